package page

import (
	"fmt"
	"strings"

	"relocate/carvel"
	"relocate/diff"
	"relocate/internal/text"
	"relocate/report"
)

// RenderDiff returns the page of what differs. It has no plan.
func RenderDiff(r *diff.Report, opt Options) ([]byte, error) {
	opt.Plan, opt.Changes = nil, r
	v := &report.Verdict{
		Act: "Comparison", Subject: r.B.Name, OK: true, Sentence: "It holds what " + r.A.Name + " holds",
		Proved:    []string{"manifests, configs and bundles of both were read, and match their digests"},
		NotProved: []string{"the content of layers: none was read; relocate verify reads them"},
	}
	if r.DigestsOnly {
		v.Proved = []string{"digests and sizes were compared; of an inventory there is nothing else"}
	}
	p := newPage(v, opt)
	p.word, p.state = "EQUAL", "good"
	if !r.Equal {
		p.word, p.state = "DIFFERENT", "info"
		packages, _ := r.Counts()
		v.Sentence = fmt.Sprintf("Compared with %s: packages %s; %s to carry", r.A.Name, packages, carryText(r.Carry))
		if r.DigestsOnly {
			v.Sentence = fmt.Sprintf("Compared with %s: %s to carry", r.A.Name, carryText(r.Carry))
		}
	}
	return p.encode()
}

// pageChanges says what differs.
type pageChanges struct {
	A, B     *diff.Subject
	Counts   []countRow
	Carry    diff.Amount
	Packages excerpt[changedPackage]
	Values   changedValues
	Images   excerpt[changedImage]
}

// countRow counts things of one kind.
type countRow struct{ Of, Added, Removed, Changed string }

// changedPackage is a package that differs.
type changedPackage struct {
	Name           string
	State          diff.State
	Added, Removed string // versions
	Changed        []changedVersion
}

// changedVersion is a version, or the metadata, of a package, and which of its fields differ.
type changedVersion struct{ Of, Fields string }

// changedValues are values by package and version.
type changedValues struct {
	Groups []valueGroup
	All    int
	More   int // that are not shown
}

// valueGroup is how the values of a package differ between two versions.
type valueGroup struct {
	Name string
	List []changedValue
}

// changedValue is a value that differs.
type changedValue struct {
	group string
	State diff.State
	Key   string
	Text  string // type and default
	Was   string // likewise, before
}

// changedImage is an image that one side has alone.
type changedImage struct {
	diff.Image
	State diff.State
}

// changedSide is A or B.
type changedSide struct {
	Letter string
	*diff.Subject
}

// Sides are A and B.
func (c *pageChanges) Sides() []changedSide { return []changedSide{{"A", c.A}, {"B", c.B}} }

// NamedRoots are the first roots, if they have names.
func (s changedSide) NamedRoots() (list []report.Root) {
	for _, root := range s.Roots {
		if root.Reference != "" && len(list) < mostPageUsers {
			list = append(list, root)
		}
	}
	return list
}

// newChanges returns what a page says of differences.
func newChanges(r *diff.Report) *pageChanges {
	c := &pageChanges{A: &r.A, B: &r.B, Carry: r.Carry}
	packages, versions := r.Counts()
	if !r.DigestsOnly {
		c.Counts = append(c.Counts, countOf("Packages", packages), countOf("Versions of packages", versions))
	}
	for _, k := range r.Kinds() {
		c.Counts = append(c.Counts, countRow{strings.ToUpper(k.Of[:1]) + k.Of[1:], number(k.Added), number(k.Removed), "–"})
	}
	c.Counts = append(c.Counts,
		countRow{"Blobs", amountText(r.Blobs.Added), amountText(r.Blobs.Removed), "–"})
	c.packages(r.Packages)
	c.values(r.Packages)
	c.images(&r.Images)
	return c
}

func countOf(what string, n diff.Count) countRow {
	return countRow{what, number(n.Added), number(n.Removed), number(n.Changed)}
}

func amountText(a diff.Amount) string {
	return fmt.Sprintf("%s (%s)", number(a.Blobs), text.Size(a.Bytes))
}

func carryText(a diff.Amount) string {
	return fmt.Sprintf("%s blobs (%s)", number(a.Blobs), text.Size(a.Bytes))
}

func (c *pageChanges) packages(list []diff.Package) {
	var rows []changedPackage
	for _, p := range list {
		row := changedPackage{Name: p.Name, State: p.State, Added: strings.Join(p.Added, ", "), Removed: strings.Join(p.Removed, ", ")}
		for _, v := range p.Changed {
			row.Changed = append(row.Changed, changedVersion{v.Version, strings.Join(v.Fields, ", ")})
		}
		if len(p.Metadata) > 0 {
			row.Changed = append(row.Changed, changedVersion{"metadata", strings.Join(p.Metadata, ", ")})
		}
		rows = append(rows, row)
	}
	c.Packages = shorten(rows, mostPageImages, func(p changedPackage) []string {
		foreign := []string{p.Name, p.Added, p.Removed}
		for _, v := range p.Changed {
			foreign = append(foreign, v.Of, v.Fields)
		}
		return foreign
	})
}

func (c *pageChanges) values(list []diff.Package) {
	var rows []changedValue
	for _, p := range list {
		for _, v := range p.Values {
			group := p.Name + " " + v.To
			if v.From != v.To {
				group = fmt.Sprintf("%s from %s to %s", p.Name, v.From, v.To)
			}
			if v.Unknown != "" {
				rows = append(rows, changedValue{group, "not known", "–", v.Unknown, ""})
			}
			for _, value := range v.Added {
				rows = append(rows, changedValue{group, diff.Added, value.Key, typeAndDefault(value), ""})
			}
			for _, value := range v.Removed {
				rows = append(rows, changedValue{group, diff.Removed, value.Key, typeAndDefault(value), ""})
			}
			for _, value := range v.Changed {
				rows = append(rows, changedValue{group, diff.Differs, value.Key, typeAndDefault(value.Is), typeAndDefault(value.Was)})
			}
		}
	}
	shown := shorten(rows, mostPageFindings, func(v changedValue) []string { return []string{v.group, v.Key, v.Text, v.Was} })
	c.Values.All, c.Values.More = len(rows), shown.More
	for _, v := range shown.List {
		if n := len(c.Values.Groups); n == 0 || c.Values.Groups[n-1].Name != v.group {
			c.Values.Groups = append(c.Values.Groups, valueGroup{Name: v.group})
		}
		last := &c.Values.Groups[len(c.Values.Groups)-1]
		last.List = append(last.List, v)
	}
}

// typeAndDefault is a value without its key.
func typeAndDefault(v carvel.Value) string {
	kind := v.Type
	if kind == "" {
		kind = "any type"
	}
	if value := v.DefaultText(); value != "" {
		return kind + ", default " + value
	}
	return kind
}

func (c *pageChanges) images(images *diff.Images) {
	var rows []changedImage
	for _, i := range images.Added {
		rows = append(rows, changedImage{i, diff.Added})
	}
	for _, i := range images.Removed {
		rows = append(rows, changedImage{i, diff.Removed})
	}
	c.Images = shorten(rows, mostPageImages, func(i changedImage) []string { return []string{i.Name, i.Package} })
}

// stateClass is the colour of a state.
func stateClass(s diff.State) string {
	return map[diff.State]string{diff.Added: "good", diff.Removed: "bad", diff.Differs: "warn"}[s]
}
