package leak

import (
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/verify/leak/kappctrl"
)

// use is a folder's use by a Package.
type use struct {
	at position // of the first fetch, in the repository bundle
	of *kappctrl.Document
}

// part is what one fetch of a Package puts into its folder. A bundle that no Package fetches is the only part.
type part struct {
	folder  string                // cleaned; empty for the App's own
	node    *bundle.Node          // the bundle; nil for an inline fetch
	inline  []kappctrl.InlineFile // of the first Package with this folder; others have the same at other lines
	unknown bool                  // what is fetched is not carried or no bundle
}

// lockFile returns the path of the bundle's lock in the folder.
func (p part) lockFile() string { return path.Join(p.folder, carvel.LockFile) }

// keyOf returns what two folders with the same content have in common.
func keyOf(parts []part) string {
	var key strings.Builder
	for _, p := range parts {
		of := "unknown"
		switch {
		case p.node != nil:
			of = p.node.Descriptor.Digest.String()
		case !p.unknown:
			sum := sha256.New()
			for _, f := range p.inline {
				fmt.Fprintf(sum, "%q %q\n", f.Path, f.Data)
			}
			of = fmt.Sprintf("inline %x", sum.Sum(nil))
		}
		fmt.Fprintf(&key, "%q %s\n", p.folder, of)
	}
	return key.String()
}

// group is a set of uses of a folder whose steps read the same files in the same way.
type group struct {
	uses []use
	pkg  string // names of their Packages
}

// maxGroups is the limit on checked groups of one folder. Real folders have one.
const maxGroups = 20

// groups puts uses with equal steps into one group. more says that groups beyond the limit are left
// out.
func groups(uses []use) (list []group, more bool) {
	for _, u := range uses {
		i := slices.IndexFunc(list, func(g group) bool { return g.steps().Equal(u.of.Steps) })
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
	return g.uses[0].of.Steps
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
