package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/report"
	"relocate/verify"
)

// How many rows of each kind a page has. What is more is counted: -o json has all.
const (
	mostPageProblems = 1000
	mostPageFindings = 2000
	mostPageImages   = 5000 // and versions of packages
	mostPageAttached = 2000
	mostPageUsers    = 20 // images that need what a problem is about
	mostPageNames    = 4  // references of an image
)

// pageOfVerify returns the page of what verify found. The plan is nil when there is none; platforms are
// platformsOf's, or nil.
func pageOfVerify(r *verifyReport, plan *bundle.Plan, platforms map[v1.Hash][]string) *htmlPage {
	p := &htmlPage{
		Act: cmp.Or(r.act, "Verification"), Subject: r.Subject, Repository: r.repo, OK: r.OK, Roots: r.Roots, Contents: r.Contents, Proved: r.Proved, Rows: r.Rows,
		Verdict: strings.TrimPrefix(strings.TrimPrefix(r.verdict(), "OK: "), "NOT CLOSED: "), Hint: r.hint,
	}
	if p.Archive = r.Archive; r.Archive != nil && !r.pinned {
		p.NotProved = append(p.NotProved, "That it is the file that was exported: neither --seal nor --root was given.")
	}
	isRegistry := r.level != "" // which is asked for attachments of an archive only
	if r.act == rehearsalAct {
		p.NotProved = append(p.NotProved, "That the private registry takes it, and keeps it: this was a registry of its own. relocate verify --repo proves that, after the import.")
	}
	p.NotProved = append(p.NotProved, map[verify.Level]string{
		verify.Manifests: "That layers are there: at level manifests they are not asked for. --level blobs asks for each, --level deep reads and hashes each.",
		verify.Blobs:     "That layers are whole: the registry says that it has them, and was not made to show them. --level deep reads and hashes each.",
	}[r.level])
	p.problems(r.Problems)
	p.common(plan, platforms, r.leaks, r.Omitted)
	p.Attached = pageAttached{Unseen: unseenRows(r.Unseen), Note: notLooked}
	if plan != nil {
		p.attached(attachmentsOf(plan.Graph, !isRegistry || len(plan.Graph.Attachments) > 0), notLooked)
	}
	if r.act == "" && r.told != "" { // objects of a cluster
		p.Attached.Note, p.NotProved = "", []string{"That what the objects name is whole: relocate verify --repo, with the archive, proves that."}
	}
	p.limits(r.Findings, len(r.Omitted), len(r.Unseen))
	return p
}

// pageOfCopy returns the page of an export, an import or a copy between registries.
func pageOfCopy(r *copyReport, plan *bundle.Plan, platforms map[v1.Hash][]string) *htmlPage {
	p := &htmlPage{
		Act: map[string]string{"export": "Export", "import": "Import", "copy": "Copy"}[r.Action], OK: len(r.Failures) == 0,
		Archive: r.Archive, Repository: r.Repository, Tags: r.Tags, Roots: r.Roots, Contents: &r.Contents,
	}
	p.Subject = r.Repository
	if r.Archive != nil && p.Subject == "" {
		p.Subject = r.Archive.File
	}
	done := map[string]string{"export": "Exported", "import": "Imported", "copy": "Copied"}[r.Action]
	p.Verdict = fmt.Sprintf("%s to %s: %s", done, p.Subject, r.Contents)
	if !p.OK {
		p.Verdict = fmt.Sprintf("%s could not be %s", count(len(r.Failures), "manifest and blob"), strings.ToLower(done))
		p.Hint = "Run the same command again: what is there is not copied again."
	}
	var problems []verify.Problem
	for _, f := range r.Failures {
		problems = append(problems, verify.Problem{Kind: "failed", What: f.Digest.String(), Images: []string{f.Image}, Reason: f.Reason})
	}
	p.problems(problems)
	p.notes(r)
	p.common(plan, platforms, r.leaks, r.Omitted)
	unseen := 0
	p.Attached.Note = "Signatures, attestations and SBOMs were not looked for (--attachments none)."
	if r.Attachments != nil {
		unseen = len(r.Attachments.Unseen)
		p.Attached.Unseen = unseenRows(r.Attachments.Unseen)
		note := "Every repository that an image comes from was asked."
		if r.Action == "import" {
			note = notLooked
		}
		p.attached(r.Attachments, note)
	}
	if p.OK {
		p.Proved = append(p.Proved, "Every manifest, config and layer that was copied was hashed on the way, and has the digest that names it.")
	}
	if r.Action == "export" {
		p.NotProved = append(p.NotProved, "That the file is still whole when it arrives: relocate verify, with the seal, proves that.")
	} else {
		p.NotProved = append(p.NotProved, "That the registry still has all of it, and reaches nothing outside: relocate verify --repo proves that.")
	}
	p.limits(r.Findings, len(r.Omitted), unseen)
	return p
}

// notes tells what went on beside the verdict.
func (p *htmlPage) notes(r *copyReport) {
	if r.Reread > 0 {
		p.Notes = append(p.Notes, count(r.Reread, "blob")+" came damaged, and right when read again: look at the medium, the memory and the network.")
	}
	for _, m := range r.Moved {
		note := fmt.Sprintf("The tag %s has moved since the export began: it was %s, which was exported, and is %s.", m.Reference, m.Was, m.Is)
		if m.Is == (v1.Hash{}) {
			note = fmt.Sprintf("The tag %s was %s, which was exported; whether it has moved since is not known: %s.", m.Reference, m.Was, m.Reason)
		}
		p.Notes = append(p.Notes, note)
	}
}

// limits says what nobody may take for proved.
func (p *htmlPage) limits(findings []report.Finding, omitted, unseen int) {
	unread := 0
	for _, f := range findings {
		if f.Code == "not-read" {
			unread++
		}
	}
	add := func(n int, format string, noun string) {
		if n > 0 {
			p.NotProved = append(p.NotProved, fmt.Sprintf(format, count(n, noun)))
		}
	}
	add(omitted, "That all layers are there: %s that may not be distributed stayed behind (see Left out).", "layer")
	add(unread, "That every reference was seen: %s with what could not be read in full (see Findings).", "place")
	add(unseen, "That every signature was seen: %s refused or not carried (see Signatures).", "attachment")
	p.NotProved = append(p.NotProved,
		"Who made the content: signatures are carried, and not checked. cosign does that, with the signer's key; without internet access: "+cosignVerify+".",
		"What the programs in the images do: vulnerabilities and malware were not looked for.")
	p.NotProved = slices.DeleteFunc(p.NotProved, func(s string) bool { return s == "" })
}

// cosignVerify checks a signature with nothing but its key and the registry. cosign's --offline alone still fetches keys.
const cosignVerify = "cosign verify --key cosign.pub --insecure-ignore-tlog IMAGE"

func (p *htmlPage) problems(list []verify.Problem) {
	var rows []pageProblem
	for _, problem := range list {
		users := shorten(problem.Images, mostPageUsers, func(s string) []string { return []string{s} })
		rows = append(rows, pageProblem{problem.Kind, problem.What, problem.Reason, users})
	}
	p.Problems = shorten(rows, mostPageProblems, func(r pageProblem) []string { return append([]string{r.What, r.Reason}, r.Images.List...) })
}

// common takes over what all pages have.
func (p *htmlPage) common(plan *bundle.Plan, platforms map[v1.Hash][]string, found leaks, omitted []bundle.Omitted) {
	p.Findings = groupFindings(found.Findings)
	if n := len(found.Accepted); n > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("The operator accepts %s (--allow, --accept), not listed here; the JSON report has all.", count(n, "finding")))
	}
	p.Omitted = shorten(omitted, mostPageProblems, func(o bundle.Omitted) []string { return []string{o.MediaType, o.Image, o.Reason} })
	if plan == nil {
		return
	}
	s := newSizes(plan)
	list := packagesByTitle(plan.Graph)
	v := s.versions(list)
	p.Sizes = v.known
	p.Packages = packageRows(list, v)
	p.Map = s.treemap(list, v)
	s.left = maxSteps
	p.Images = s.imageRows(platforms)
}

// notLooked is what is known of attachments away from where they came from.
const notLooked = "They were looked for at the export only: what the source had, and was not asked for, is not known here."

// attached tells what is attached; note says where it was looked for.
func (p *htmlPage) attached(r *attachmentsReport, note string) {
	a := &p.Attached
	a.Note = "Signatures, attestations and SBOMs that hang on images. " + note
	if len(r.Found) == 0 {
		a.Note = "No signatures, attestations or SBOMs were found. " + note
	}
	a.Found = shorten(r.Found, mostPageAttached, func(f attachmentReport) []string { return []string{f.Image} })
	a.Absent = shorten(r.Absent, mostPageAttached, func(s string) []string { return []string{s} })
}

func unseenRows(list []bundle.Unseen) excerpt[bundle.Unseen] {
	return shorten(list, mostPageAttached, func(u bundle.Unseen) []string { return []string{u.Reference} })
}

// levelRank puts the worst level first.
func levelRank(l report.Level) int {
	return cmp.Or(map[report.Level]int{report.Install: 1, report.Pull: 2}[l], 3)
}

// groupFindings groups findings by package, or by bundle, and puts the worst first.
func groupFindings(list []report.Finding) pageFindings {
	f := pageFindings{All: len(list)}
	group := func(f report.Finding) string { return cmp.Or(f.Package, f.Bundle) }
	worst, levels := map[string]int{}, map[int]int{}
	for _, finding := range list {
		rank, name := levelRank(finding.Level), group(finding)
		levels[rank]++
		if worst[name] == 0 || rank < worst[name] {
			worst[name] = rank
		}
	}
	for i, level := range []report.Level{report.Install, report.Pull, report.Warning} {
		if n := levels[i+1]; n > 0 {
			f.Counts = append(f.Counts, levelCount{level, n})
		}
	}
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b report.Finding) int {
		return cmp.Or(worst[group(a)]-worst[group(b)], strings.Compare(group(a), group(b)),
			levelRank(a.Level)-levelRank(b.Level), strings.Compare(a.File, b.File), a.Line-b.Line)
	})
	shown := shorten(sorted, mostPageFindings, func(f report.Finding) []string {
		return []string{group(f), f.File, f.Reference, f.Message, f.Action}
	})
	f.More = shown.More
	for _, finding := range shown.List {
		if n := len(f.Groups); n == 0 || f.Groups[n-1].Name != group(finding) {
			f.Groups = append(f.Groups, findingGroup{Name: group(finding)})
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

// withoutDigests returns references as they are read, each once: a digest is told beside them.
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

// dayOf is the day of a time; what is no time is as written.
func dayOf(s string) string {
	if day, _, ok := strings.Cut(releasedAt(s), " "); ok && len(day) == len("2006-01-02") {
		return day
	}
	return s
}
