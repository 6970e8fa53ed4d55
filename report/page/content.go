package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/text"
	"relocate/report"
)

// The limits on the rows of each kind on a page. Rows beyond them are counted: -o json has all.
const (
	mostPageProblems = 1000
	mostPageFindings = 2000
	mostPageImages   = 5000 // and versions of packages
	mostPageAttached = 2000
	mostPageUsers    = 20 // images that need what a problem is about
	mostPageNames    = 4  // references of an image
)

// newPage returns the page of a verdict.
func newPage(v *report.Verdict, opt Options) *htmlPage {
	p := &htmlPage{Verdict: v, Options: opt, Findings: groupFindings(v.Findings), Notes: slices.Clone(v.Notes)}
	if n := len(v.Accepted); n > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("The operator accepts %s (--allow, --accept), not listed here; the JSON report has all.", text.Count(n, "finding")))
	}
	p.Unproved = append(slices.Clone(v.NotProved),
		"who made the content: signatures are copied but not checked. cosign checks them, with the signer's key; without internet access: "+CosignVerify+".",
		"what the programs in the images do: vulnerabilities and malware were not looked for.")
	p.problems(v.Problems)
	p.Omitted = shorten(v.Omitted, mostPageProblems, func(o report.Omitted) []string { return []string{o.MediaType, o.Image, o.Reason, o.Platform} })
	p.attached(v)
	p.chosen(v.Selected)
	p.Replaced = shorten(v.Replaced, mostPageImages, func(r report.Replaced) []string { return []string{r.Kind, r.Reference} })
	if opt.Plan != nil {
		p.contents(opt.Plan, opt.Platforms)
	}
	if opt.Changes != nil {
		p.Changes = newChanges(opt.Changes)
	}
	return p
}

// CosignVerify is the command that checks a signature with nothing but its key and the registry.
// cosign's --offline alone still fetches keys.
const CosignVerify = "cosign verify --key cosign.pub --insecure-ignore-tlog IMAGE"

func (p *htmlPage) problems(list []report.Problem) {
	var rows []pageProblem
	for _, problem := range list {
		users := shorten(problem.Images, mostPageUsers, func(s string) []string { return []string{s} })
		rows = append(rows, pageProblem{problem.Kind, problem.What, problem.Reason, users})
	}
	p.Problems = shorten(rows, mostPageProblems, func(r pageProblem) []string { return append([]string{r.What, r.Reason}, r.Images.List...) })
}

// contents shows what a plan holds.
func (p *htmlPage) contents(plan *bundle.Plan, platforms map[v1.Hash][]string) {
	s := newSizes(plan)
	list := packagesByTitle(plan.Graph)
	v := s.versions(list)
	p.Sizes = v.known
	p.Packages = packageRows(list, v)
	p.Map = s.treemap(list, v)
	s.left = maxSteps
	p.Images = s.imageRows(platforms)
}

// attached shows what is attached, if that was requested.
func (p *htmlPage) attached(v *report.Verdict) {
	if v.AttachedNote == "" {
		return
	}
	a := &p.Attached
	a.Note = "Signatures, attestations and SBOMs that are attached to images. " + v.AttachedNote
	if len(v.Attached) == 0 {
		a.Note = "No signatures, attestations or SBOMs. " + v.AttachedNote
	}
	a.Found = shorten(v.Attached, mostPageAttached, func(f report.Attachment) []string { return []string{f.Image} })
	a.Absent = shorten(v.Bare, mostPageAttached, func(s string) []string { return []string{s} })
	a.Unseen = shorten(v.Unseen, mostPageAttached, func(u report.Unseen) []string { return []string{u.Reference} })
}

// groupFindings groups findings by what they are about, and puts the worst first.
func groupFindings(list report.Findings) pageFindings {
	f := pageFindings{All: len(list), Counts: list.String()}
	shown := shorten(list.Sorted(), mostPageFindings, func(f report.Finding) []string {
		foreign := []string{f.Of(), f.Place(), f.Reference, f.Action}
		for part := range slices.Chunk([]byte(f.Message), mostClip) { // it is shown whole
			foreign = append(foreign, string(part))
		}
		return foreign
	})
	f.More = shown.More
	for _, finding := range shown.List {
		f.HasBasis = f.HasBasis || finding.Basis != ""
		if n := len(f.Groups); n == 0 || f.Groups[n-1].Name != finding.Of() {
			f.Groups = append(f.Groups, findingGroup{Name: finding.Of()})
		}
		last := &f.Groups[len(f.Groups)-1]
		last.List = append(last.List, finding)
	}
	return f
}

// pagePackage is a package and its versions, the newest first.
type pagePackage struct {
	Name, Title, About string
	versions           []carvel.Package
}

// packagesByTitle returns the packages of a graph by title.
func packagesByTitle(g *bundle.Graph) []pagePackage {
	byName := map[string]*pagePackage{}
	for _, p := range g.Packages {
		if byName[p.Name] == nil {
			byName[p.Name] = &pagePackage{Name: p.Name, Title: p.Name}
		}
		byName[p.Name].versions = append(byName[p.Name].versions, p)
	}
	for _, m := range g.Metadata {
		if p := byName[m.Name]; p != nil && p.Title == p.Name && p.About == "" {
			p.Title, p.About = cmp.Or(m.DisplayName, m.Name), m.ShortDescription
		}
	}
	list := make([]pagePackage, 0, len(byName))
	for _, p := range byName {
		slices.SortStableFunc(p.versions, func(a, b carvel.Package) int {
			return cmp.Or(carvel.CompareVersions(b.Version, a.Version), strings.Compare(a.Version, b.Version))
		})
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b pagePackage) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title)), strings.Compare(a.Name, b.Name))
	})
	return list
}

func packageRows(list []pagePackage, v versionSizes) excerpt[packageRow] {
	var rows []packageRow
	for _, p := range list {
		for i, version := range p.versions {
			row := packageRow{Title: p.Title, Name: p.Name, Version: version.Version, ReleasedAt: version.ReleasedAt, Again: i > 0, Size: -1, Only: -1}
			if i == 0 {
				row.About = p.About
			}
			if n := len(rows); v.known && v.all[n] >= 0 {
				row.Size, row.Only = v.all[n], v.only[n]
			}
			rows = append(rows, row)
		}
	}
	return shorten(rows, mostPageImages, func(r packageRow) []string {
		return []string{r.Title, r.Name, r.Version, r.ReleasedAt, r.About}
	})
}

// imageRows returns the images in graph order, each index before its children.
func (s *sizes) imageRows(platforms map[v1.Hash][]string) excerpt[imageRow] {
	nodes := s.plan.Graph.Nodes
	var rows []imageRow
	var order []int32 // by row
	listed := make([]bool, len(nodes))
	add := func(i int32, parent string) {
		n := nodes[i]
		if listed[i] || n.Kind == bundle.Attached || n.Subject != (v1.Hash{}) {
			return
		}
		listed[i] = true
		order = append(order, i)
		d := n.Descriptor.Digest
		rows = append(rows, imageRow{Names: withoutDigests(n.References), Parent: parent, Digest: d, Kind: n.Kind, Platforms: platforms[d]})
	}
	for i, n := range nodes {
		if n.IsChild {
			continue
		}
		add(int32(i), "")
		if n.Kind == bundle.Index {
			for _, c := range s.children[i] {
				if nodes[c].IsChild {
					add(c, shortName(n))
				}
			}
		}
	}
	for i, n := range nodes { // children of children
		if n.IsChild {
			add(int32(i), "an index")
		}
	}
	shown := shorten(rows, mostPageImages, func(r imageRow) []string { return slices.Concat(r.Names.List, []string{r.Parent}) })
	for i := range shown.List {
		shown.List[i].Size = s.image(order[i])
	}
	return shown
}

// withoutDigests returns references without their digests, each once: the digest is shown beside
// them.
func withoutDigests(refs []string) excerpt[string] {
	var list []string
	for _, ref := range refs {
		name := placeOf(ref)
		if len(list) == 0 || list[len(list)-1] != name {
			list = append(list, name)
		}
	}
	return shorten(list, mostPageNames, func(s string) []string { return []string{s} })
}

// titleOf is the name of a manifest, and its digest.
func titleOf(n *bundle.Node) string { return placeOf(n.Name()) + "\n" + n.Descriptor.Digest.String() }

// attachmentWord says what kind of attachment has a tag.
func attachmentWord(tag string) string {
	_, suffix, _ := strings.Cut(tag, ".")
	return cmp.Or(map[string]string{"sig": "signature", "att": "attestation", "sbom": "SBOM"}[suffix], "referrer")
}

// dayOf is the day of a time; other text stays as written.
func dayOf(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s
	}
	return t.UTC().Format("2006-01-02")
}
