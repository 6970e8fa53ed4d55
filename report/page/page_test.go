package page

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/digest"
	"relocate/report"
	memory "relocate/testdata/interop"
)

// pageHostile is what names can be that want to be more than text.
var pageHostile = []string{
	`<script>pwned=1</script>`, `"><img src=http://evil.test/x onerror=pwned=1>`, `' onmouseover='pwned=1`, `</title></style></script><script src=//evil.test/>`,
	`javascript:pwned=1`, "\u202egnp.exe\u202c", "\x1b[2J\x00\x07", `<svg/onload=pwned=1>`, `<!--`, `]]>`, `{{.}}`, `&lt;b&gt;`, "${pwned=1}", "`", "\u2028\ufeff", "\xff\xfe", `<a href="http://evil.test/">`,
}

// spoil puts s into all that is foreign in a report and in the shop.
func (s *shopSource) spoil(r *report.Verdict, text string) *report.Verdict {
	g := s.plan.Graph
	for i := range g.Packages {
		p := &g.Packages[i]
		p.Name, p.Version, p.ReleasedAt = p.Name+text, p.Version+text, text
	}
	for i := range g.Metadata {
		g.Metadata[i].Name, g.Metadata[i].DisplayName, g.Metadata[i].ShortDescription = g.Packages[0].Name, text, text
	}
	for _, n := range g.Nodes {
		for i := range n.References {
			n.References[i] = text + n.References[i]
		}
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		f.Bundle, f.Package, f.File, f.Reference, f.Message, f.Action = text, f.Package+text, text, text, text, text
	}
	for i := range r.Problems {
		p := &r.Problems[i]
		p.Kind, p.What, p.Reason, p.Images = text, text, text, []string{text}
	}
	for i := range r.Omitted {
		r.Omitted[i].Image, r.Omitted[i].MediaType, r.Omitted[i].Reason, r.Omitted[i].Platform = text, text, text, text
	}
	for i := range r.Unseen {
		r.Unseen[i].Reference = text
	}
	for i := range r.Roots {
		r.Roots[i].Reference = text
		r.Roots[i].Derived = &report.Derived{Choice: []byte(text)}
	}
	for i := range r.Selected {
		r.Selected[i].From.Reference = text
		r.Selected[i].Versions[0] = report.SelectedVersion{Name: text, Version: text, Reason: text, NeededBy: []string{text}}
		r.Selected[i].Left[0] = report.LeftPackage{Name: text, Versions: []string{text}}
	}
	for i := range r.Replaced {
		r.Replaced[i].Kind, r.Replaced[i].Reference = text, text
	}
	r.Subject, r.Sentence, r.Hint, r.Proved, r.NotProved, r.Notes = text, text, text, []string{text}, []string{text}, []string{text}
	return r
}

// obeyed finds what a reader would not only see: control characters, and those that change the direction of writing.
var obeyed = regexp.MustCompile("[\x00-\x1f\x7f\u0080-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")

// parsed is what a browser makes of a page.
type parsed struct {
	text     string              // what is read
	elements map[string][]string // attributes by element, sorted, each once
	count    map[string]int      // of elements
	links    []string
	own      []string // text of style and script
}

func parsePage(t testing.TB, page []byte) parsed {
	doc, err := html.Parse(bytes.NewReader(page))
	require.NoError(t, err)
	p := parsed{elements: map[string][]string{}, count: map[string]int{}}
	var read strings.Builder
	for n := range doc.Descendants() {
		switch n.Type {
		case html.TextNode:
			if n.Parent.Data == "style" || n.Parent.Data == "script" {
				p.own = append(p.own, n.Data)
			} else {
				read.WriteString(n.Data)
			}
		case html.CommentNode:
			t.Errorf("comment %q", n.Data)
		case html.ElementNode:
			p.count[n.Data]++
			for _, a := range n.Attr {
				if at, found := slices.BinarySearch(p.elements[n.Data], a.Key); !found {
					p.elements[n.Data] = slices.Insert(p.elements[n.Data], at, a.Key)
				}
				if a.Key == "href" || a.Key == "src" {
					p.links = append(p.links, a.Val)
				}
			}
		}
	}
	p.text = strings.Join(strings.Fields(read.String()), " ")
	return p
}

// assertContained fails when a page has anything that the template does not.
func assertContained(t testing.TB, page []byte) parsed { return assertContainedIn(t, page, 1) }

// assertContainedIn is assertContained of a page with so many treemaps.
func assertContainedIn(t testing.TB, page []byte, maps int) parsed {
	p := parsePage(t, page)
	known := map[string]string{
		"html": "lang", "meta": "charset content http-equiv name", "link": "href rel", "div": "aria-labelledby class role tabindex", "p": "class", "dl": "class", "dt": "class",
		"nav": "aria-label", "a": "href", "section": "aria-labelledby id", "h2": "id", "ul": "class", "table": "aria-label class data-tools",
		"th": "class colspan data-sort scope", "tr": "class", "td": "class data-value", "span": "aria-hidden class", "bdi": "class",
		"svg": "aria-label role viewbox viewBox", "g": "class data-name", "rect": "class data-bytes height width x y", "text": "class dx dy x y",
	}
	for element, attributes := range p.elements {
		assert.Subset(t, strings.Fields(known[element]), attributes, element)
	}
	for _, e := range []string{"script", "style", "link"} {
		assert.Equal(t, 1, p.count[e], e)
	}
	assert.Equal(t, maps, p.count["svg"])
	for _, e := range []string{"img", "iframe", "object", "form", "base", "input", "button"} {
		assert.Zero(t, p.count[e], e)
	}
	assert.Equal(t, []string{pageCSS, pageScript}, p.own)
	for _, link := range p.links {
		assert.Regexp(t, `^(#[a-z-]+|data:,)$`, link)
	}
	assert.False(t, obeyed.Match(bytes.ReplaceAll(bytes.ReplaceAll(page, []byte("\n"), nil), []byte("\t"), nil)))
	return p
}

func TestPage(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	v := s.report()
	v.Findings = s.findings()
	page, err := s.page(t, v.Judge()).encode()
	require.NoError(t, err)
	other := newShop(t)
	same := other.report()
	same.Findings = other.findings()
	again, err := other.page(t, same.Judge()).encode()
	require.NoError(t, err)
	assert.True(t, bytes.Equal(page, again), "the same bytes")
	p := assertContained(t, page)
	assertAll(t, p.text, "NOT CLOSED", "shop.tar is complete", "Packages2", "Versions3", "Not all of it works", "Date2026-07-01 12:00:00 UTC", "Programrelocate 1.2.3", "Commandrelocate verify shop.tar",
		"1 breaks an install, 1 breaks a pull, 2 warnings, 1 for information", "config/deploy.yml:31", "docker.io/library/nginx:1.25", "add the image to the bundle's ImagesLock with kbld",
		"every byte is accounted for", "refused to list its tags", "5.0 MB", "non-distributable", "linux/arm64/v8", "signature",
		memory.Hash(s.web).String(), memory.Hash(s.db).String(), "Templatesrendered 2 of 3 package versions, examined 1 as text only", "pullrendered", "warningtext", "what 1 package version deploys",
		`by the choice of every package, the newest version of each; signatures of the original do not apply to it`, "Chosen packages 2", "blog.acme.example2.0.0needed by shop.acme.example 1.1.0registry.example/acme/whole:1.0",
		"Other digests 1", "registry.example/acme/web:1.0index"+digest.Of([]byte("was")).String()+digest.Of([]byte("is")).String()+"3",
		"No longer in the repository 1", "shop.acme.example0.9.0, 0.8.0",
		"Listed images without any 7", "Every repository that an image comes from was asked.")
	assert.Less(t, strings.Index(p.text, "blog.acme.example 2.0.0"), strings.Index(p.text, "shop.acme.example 1.1.0"), "the worst first")
	assert.Less(t, strings.Index(p.text, "Findings 5"), strings.Index(p.text, "What was proved"))
	assert.NotContains(t, p.text, "No problems")

	good, err := s.page(t, s.report().Judge()).encode()
	require.NoError(t, err)
	assertAll(t, assertContained(t, good).text, "OK", "No problems. No findings.")
	assert.NotContains(t, string(good), "seen in the text of a file", "no finding says what it was seen in")

	v = s.report()
	v.Problems, v.Findings = s.problems(), s.findings()
	v.Rows = []report.Row{{Of: "manifests", Checked: 1234}, {Of: "layers", Checked: 30, Wrong: 2}}
	page, err = s.page(t, v.Judge()).encode()
	require.NoError(t, err)
	p = assertContained(t, page)
	assertAll(t, p.text, "NOT OK", "2 problems", "What to do: transfer the file again", "damaged", "needed by "+s.web.Name(), "Nothing: see Problems.", "manifests1,2340layers302")
	assert.NotContains(t, p.text, "No problems")

	v = s.report()
	v.Strict, v.Proved, v.Findings, v.Accepted = true, nil, s.findings(), s.findings()[:1]
	page, err = s.page(t, v.Judge()).encode()
	require.NoError(t, err)
	p = assertContained(t, page)
	assertAll(t, p.text, "NOT OK", "Nothing: see Findings.", "The operator accepts 1 finding (--allow, --accept), not listed here")
	assert.NotContains(t, p.text, "No problems")

	page, err = Render((&report.Verdict{Subject: "shop.tar", Problems: s.problems()}).Judge(), Options{}) // of an archive whose content cannot be read
	require.NoError(t, err)
	assertAll(t, parsePage(t, page).text, "NOT OK", "2 problems")

	page, err = Render((&report.Verdict{Subject: "o.yml", Objects: &report.ObjectCounts{Objects: 3, Rendered: 2, NotRendered: 1}}).Judge(), Options{})
	require.NoError(t, err)
	assertAll(t, parsePage(t, page).text, "Templatesrendered 2 of 3 PackageInstalls")
}

// TestPageOfImport makes the page of what is no verification.
func TestPageOfImport(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	v := &report.Verdict{
		Act: "Import", OK: true, Sentence: "Imported to private.test/all", Repository: "private.test/all", Tags: []string{"1.0"}, Notes: []string{"2 blobs came damaged."},
		AttachedNote: "They were not looked for (--attachments none).",
	}
	s.plan.Describe(v, false)
	v.Attached = nil
	text := func() string {
		page, err := s.page(t, v).encode()
		require.NoError(t, err)
		return assertContained(t, page).text
	}
	assertAll(t, text(), "Import report", "Imported to private.test/all", "tagged 1.0", "2 blobs came damaged.", "not looked for (--attachments none)")
}

// TestPageSizes holds sizes to what the layers of the shop add up to.
func TestPageSizes(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	p := s.page(t, s.report())
	const slack = 8_000 // manifests, configs and bundle layers
	got := map[string]packageRow{}
	for _, row := range p.Packages.List {
		got[row.Title+" "+row.Version] = row
	}
	for version, want := range map[string][2]int64{
		"Shop 1.1.0":              {baseBytes + webBytes + webBytes/3 + dbBytes, webBytes + webBytes/3},
		"Shop 1.0.0":              {baseBytes + oldBytes + dbBytes, oldBytes},
		"blog.acme.example 2.0.0": {baseBytes + blogBytes + dbBytes, blogBytes},
	} {
		row := got[version]
		assert.InDelta(t, want[0]+slack/2, row.Size, slack/2, version)
		assert.InDelta(t, want[1]+slack/2, row.Only, slack/2, version)
	}
	for _, row := range p.Images.List {
		if row.Digest == memory.Hash(s.web) {
			assert.Equal(t, []string{"linux/amd64", "linux/arm64/v8"}, row.Platforms)
			assert.InDelta(t, baseBytes+webBytes+webBytes/3+slack/2, row.Size, slack/2)
		}
	}
	groups := map[string]int64{}
	for _, g := range p.Map {
		groups[g.Name] = g.Bytes
	}
	assert.InDelta(t, baseBytes+dbBytes+slack/2, groups[groupNames[sharedGroup]], slack/2)
	assert.InDelta(t, webBytes+webBytes/3+oldBytes+slack/2, groups["Shop"], slack/2)
	assert.InDelta(t, blogBytes+slack/2, groups["blog.acme.example"], slack/2)
}

// TestPageSteps makes a graph whose sizes are the square of it: they are not computed, and the page says so.
func TestPageSteps(t *testing.T) {
	t.Parallel()
	g := &bundle.Graph{}
	repo, err := name.NewRepository("deep.test/all")
	require.NoError(t, err)
	var all []v1.Hash
	for i := range 6_000 {
		n := largeNode(repo, bundle.Bundle, i, 10)
		if i < 3_000 {
			g.Packages = append(g.Packages, carvel.Package{Name: fmt.Sprint(i), Version: "1", Fetches: []carvel.Fetch{{Digest: n.Descriptor.Digest}}})
		} else {
			all = append(all, n.Descriptor.Digest)
		}
		g.Nodes = append(g.Nodes, n)
	}
	hub := largeNode(repo, bundle.Bundle, 7_000, 1)
	hub.Children = all
	g.Nodes = append(g.Nodes, hub)
	for _, n := range g.Nodes[:3_000] {
		n.Children = []v1.Hash{hub.Descriptor.Digest}
	}
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	p := newPage(&report.Verdict{OK: true}, Options{Plan: plan})
	assert.False(t, p.Sizes)
	assert.EqualValues(t, -1, p.Packages.List[0].Size)
	page, err := p.encode()
	require.NoError(t, err)
	assert.Contains(t, parsePage(t, page).text, "Sizes were not computed")
}

func largeNode(repo name.Repository, kind bundle.Kind, i int, size int64) *bundle.Node {
	blob := func(what string, size int64, mediaType types.MediaType) v1.Descriptor {
		return v1.Descriptor{Digest: digest.Of(fmt.Append(nil, what, i)), Size: size, MediaType: mediaType}
	}
	n := &bundle.Node{Kind: kind, From: repo, Descriptor: blob("manifest", 500, types.OCIManifestSchema1)}
	n.References = []string{repo.Digest(n.Descriptor.Digest.String()).Name()}
	n.Blobs = []v1.Descriptor{blob("config", 900, types.OCIConfigJSON), blob("layer", size, types.OCILayer)}
	return n
}

// largePage is of some 5,000 packages with 20,000 images, and of more findings and problems than are shown.
func largePage(t *testing.T) *htmlPage {
	t.Helper()
	g := &bundle.Graph{}
	repo, err := name.NewRepository("large.test/" + strings.Repeat("long-name/", 12) + "all")
	require.NoError(t, err)
	v := &report.Verdict{Subject: "large.tar"}
	for i := range 5_010 {
		b := largeNode(repo, bundle.Bundle, i, 20_000)
		g.Nodes = append(g.Nodes, b)
		for j := range 4 {
			n := largeNode(repo, bundle.Plain, 10_000+4*i+j, int64(1_000_000+i*j))
			g.Nodes, b.Children = append(g.Nodes, n), append(b.Children, n.Descriptor.Digest)
		}
		pkg := fmt.Sprintf("package-%d.large.test", i)
		g.Packages = append(g.Packages, carvel.Package{Name: pkg, Version: "1.0.0", Fetches: []carvel.Fetch{{Digest: b.Descriptor.Digest}}})
		v.Findings = append(v.Findings, report.Finding{Level: report.Pull, Package: pkg + " 1.0.0", File: "a.yml", Line: i, Message: strings.Repeat("long text ", 40)})
		v.Problems = append(v.Problems, report.Problem{Kind: report.Missing, What: "blob", Reason: "gone"})
	}
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	c := plan.Contents()
	v.Contents = &c
	return newPage(v, Options{Plan: plan})
}

// TestPageLarge: a large page still opens, and says what it leaves out.
func TestPageLarge(t *testing.T) {
	t.Parallel()
	p := largePage(t)
	page, err := p.encode()
	require.NoError(t, err)
	assert.Less(t, len(page), 10_000_000)
	got := parsePage(t, page)
	assertAll(t, got.text, "and 20,050 more that are not shown here; the JSON report has all", "and 4,010 more that are not shown here", "and 10 more that are not shown here",
		fmt.Sprintf("and %s more that are not shown", number(p.Findings.More)), "Images 25,050", "Packages 5,010 versions", "Problems 5,010")
	assert.Less(t, got.count["rect"], 450)
	assert.Greater(t, got.count["rect"], 100)
	sum := int64(0)
	for _, g := range p.Map {
		sum += g.Bytes
	}
	assert.Equal(t, p.Verdict.Contents.Bytes, sum)
}

// FuzzPage: whatever names are, a page has the elements and attributes of its template, and no more.
func FuzzPage(f *testing.F) {
	for _, s := range append(pageHostile, "\x1b[31mred", "bell\a", "c1\u009b2J", "mark\u200e", "del\x7f", "cr\rover", "\U000e0001tag") {
		f.Add(s)
	}
	f.Add(strings.Join(pageHostile, ""))
	shop := newShop(f)
	plan := *shop.plan.Graph
	f.Fuzz(func(t *testing.T, text string) {
		g := plan
		g.Packages, g.Metadata, g.Nodes = slices.Clone(plan.Packages), slices.Clone(plan.Metadata), nil
		for _, n := range plan.Nodes {
			node := *n
			node.References = slices.Clone(n.References)
			g.Nodes = append(g.Nodes, &node)
		}
		p := *shop.plan
		p.Graph = &g
		s := &shopSource{repo: shop.repo, plan: &p}
		r := (&shopSource{plan: shop.plan, web: shop.web, db: shop.db}).report()
		r.Findings, r.Problems, r.Omitted = shop.findings(), shop.problems(), slices.Clone(r.Omitted)
		s.spoil(r, text)
		page, err := s.page(t, r).encode()
		require.NoError(t, err)
		assertContained(t, page)
	})
}
