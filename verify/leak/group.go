package leak

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"relocate/report"
)

// group is the uses of a bundle whose steps read the same in the same way.
type group struct {
	uses []use
	pkg  string // names of their Packages
}

// maxGroups is how many groups of one bundle are looked at. Real ones have one.
const maxGroups = 20

// groups puts uses together; more says that those beyond the limit are left out.
func groups(uses []use) (list []group, more bool) {
	for _, u := range uses {
		i := slices.IndexFunc(list, func(g group) bool { return sameSteps(g.steps(), u.steps) })
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

// steps returns those of the first use; nil when there is none.
func (g group) steps() []step {
	if len(g.uses) == 0 {
		return nil
	}
	return g.uses[0].steps
}

func sameSteps(a, b []step) bool {
	return slices.EqualFunc(a, b, func(a, b step) bool {
		return a.kind == b.kind && slices.Equal(a.paths, b.paths) && slices.Equal(a.values, b.values) && maps.Equal(a.inline, b.inline)
	})
}

// names joins the Packages of uses for people.
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

// merge makes one of findings that say the same of several Packages.
func merge(findings []report.Finding) []report.Finding {
	at := map[report.Finding]int{}
	merged := findings[:0]
	for _, f := range findings {
		pkg := f.Package
		f.Package = ""
		i, known := at[f]
		if !known {
			at[f] = len(merged)
			f.Package = pkg
			merged = append(merged, f)
		} else if first := merged[i].Package; !slices.Contains(strings.Split(first, ", "), pkg) && len(first) < 1000 {
			merged[i].Package = first + ", " + pkg
		}
	}
	return merged
}

// positions returns where a line of file is for people: in a file of the bundle; in each Package of g that has
// the file inline; or, of no file, in the steps of each.
func (b *inside) positions(g group, file string, line int) []position {
	var list []position
	for _, u := range g.uses {
		if file == "" {
			list = append(list, u.stepAt(g.steps(), line))
			continue
		}
		texts := u.inline
		if b.work.node == nil {
			texts = slices.Concat(texts, b.work.inline)
		}
		i := slices.IndexFunc(texts, func(t inlineText) bool { return cleanPath(t.path) == cleanPath(strings.TrimPrefix(file, inlineMark)) })
		if i >= 0 {
			list = append(list, u.at.in(texts[i].at(line)))
		}
	}
	switch {
	case len(list) > 0:
		return list
	case b.work.node == nil:
		return []position{g.uses[0].at}
	}
	return []position{{bundle: b.work.node.Name(), pkg: g.pkg, file: file, line: line}}
}

// stepAt returns where u has the step that is in line of those that steps were read from.
func (u use) stepAt(steps []step, line int) position {
	for i, s := range steps {
		if s.line == line && i < len(u.steps) {
			return u.at.in(u.steps[i].line)
		}
	}
	return u.at
}
