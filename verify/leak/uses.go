package leak

import (
	"fmt"
	"slices"
	"strings"

	"relocate/verify/leak/kappctrl"
)

// use is the fetch of a bundle by a Package.
type use struct {
	at    position       // of the fetch, in the repository bundle
	steps kappctrl.Steps // relative to the folder of the fetched bundle
	of    *kappctrl.Document
}

// group is a set of uses of a bundle whose steps read the same files in the same way.
type group struct {
	uses []use
	pkg  string // names of their Packages
}

// maxGroups is the limit on checked groups of one bundle. Real bundles have one.
const maxGroups = 20

// groups puts uses with equal steps into one group. more says that groups beyond the limit are left
// out.
func groups(uses []use) (list []group, more bool) {
	for _, u := range uses {
		i := slices.IndexFunc(list, func(g group) bool { return g.steps().Equal(u.steps) })
		if i < 0 && len(list) == maxGroups {
			more = true
			continue
		}
		if i < 0 {
			i = len(list)
			list = append(list, group{})
		}
		list[i].uses = append(list[i].uses, u)
	}
	for i := range list {
		list[i].pkg = names(list[i].uses)
	}
	return list, more
}

// steps returns the steps of the first use; nil without uses.
func (g group) steps() kappctrl.Steps {
	if len(g.uses) == 0 {
		return nil
	}
	return g.uses[0].steps
}

// names joins the names of the Packages of uses, for display.
func names(uses []use) string {
	var list []string
	seen := map[string]bool{}
	for _, u := range uses {
		if !seen[u.at.pkg] {
			seen[u.at.pkg] = true
			list = append(list, u.at.pkg)
		}
	}
	if more := len(list) - 3; more > 0 {
		list = append(list[:3], fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, ", ")
}
