package bundle_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/report"
	"relocate/testdata/interop"
)

// walkPackages walks a repository bundle that has the given files and an empty lock.
func walkPackages(t *testing.T, files map[string]string) *bundle.Graph {
	t.Helper()
	var src interop.Registry
	if files[".imgpkg/images.yml"] == "" {
		files[".imgpkg/images.yml"] = lockHead
	}
	g := mustWalk(t, &src, bundle.WalkOptions{}, src.Repo("reg.test/repo").PutBundle(files))
	for i := range g.Packages {
		assert.Equal(t, g.Roots[0].Digest, g.Packages[i].Repository)
		g.Packages[i].Repository = g.Packages[0].Repository
	}
	return g
}

// The generations of Packages (docs/carvel.md, "API kinds").
func TestPackageGenerations(t *testing.T) {
	t.Parallel()
	const inline = "\n  template: {spec: {fetch: [{inline: {}}]}}\n"
	tests := []struct {
		name, text      string
		packages, metas []string
		old             bool
	}{
		{"today's Package", "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: a.b.c.1.0.0}\nspec:\n  refName: a.b.c\n  version: 1.0.0" + inline,
			[]string{"a.b.c 1.0.0"}, nil, false},
		{"today's PackageMetadata", "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: PackageMetadata\nmetadata: {name: a.b.c}\nspec: {displayName: A, shortDescription: an A}\n",
			nil, []string{"a.b.c A, an A"}, false},
		{"v0.17 Package", "apiVersion: package.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: a.b.c.1.0.0}\nspec:\n  publicName: a.b.c\n  version: 1.0.0\n  displayName: A\n  description: an A" + inline,
			[]string{"a.b.c 1.0.0"}, nil, true},
		{"v0.19.0-alpha.9 Package", "apiVersion: package.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: a.b.c}\nspec: {displayName: A, shortDescription: an A}\n",
			nil, []string{"a.b.c A, an A"}, true},
		{"v0.19.0-alpha.9 PackageVersion", "apiVersion: package.carvel.dev/v1alpha1\nkind: PackageVersion\nmetadata: {name: a.b.c.1.0.0}\nspec:\n  packageName: a.b.c\n  version: 1.0.0" + inline,
			[]string{"a.b.c 1.0.0"}, nil, true},
		{"v0.19.0-alpha.10 Package", "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: a.b.c}\nspec: {displayName: A, shortDescription: an A}\n",
			nil, []string{"a.b.c A, an A"}, true},
		{"v0.19.0-alpha.10 PackageVersion", "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: PackageVersion\nmetadata: {name: a.b.c.1.0.0}\nspec:\n  packageName: a.b.c\n  version: 1.0.0" + inline,
			[]string{"a.b.c 1.0.0"}, nil, true},
		{"another API", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {}\n", nil, nil, false},
		{"a list", "apiVersion: v1\nkind: List\nitems: []\n", nil, nil, false},
		{"another kind", "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Other\n", nil, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := walkPackages(t, map[string]string{"packages/a/1.yml": "# one\n---\n" + tt.text})
			var packages, metas []string
			for _, p := range g.Packages {
				packages = append(packages, p.Name+" "+p.Version)
				assert.Equal(t, []carvel.Fetch{{Kind: "inline", Line: 2}}, p.Fetches)
				assert.Equal(t, "packages/a/1.yml", p.File)
				assert.Equal(t, 2, p.Line)
			}
			for _, m := range g.Metadata {
				metas = append(metas, m.Name+" "+m.DisplayName+", "+m.ShortDescription)
			}
			assert.Equal(t, tt.packages, packages)
			assert.Equal(t, tt.metas, metas)
			assert.Empty(t, g.Findings)
			var served []bool
			carvel.ReadPackageFile("a.yml", []byte(tt.text), func(d carvel.PackageDocument) bool {
				served = append(served, d.Served)
				return true
			})
			assert.Equal(t, []bool{len(tt.packages)+len(tt.metas) > 0 && !tt.old}, served)
		})
	}
}

func TestFetchKinds(t *testing.T) {
	t.Parallel()
	const (
		inline = "inline: {paths: {a.yml: text}}"
		image  = "image: {url: reg.test/i:1}"
		http   = "http: {url: https://a.test/x.tgz}"
		git    = "git: {url: https://a.test/x.git, ref: origin/main}"
		chart  = "helmChart: {name: redis, version: 1.0.0, repository: {url: https://charts.test}}"
		imgpkg = "imgpkgBundle: {image: reg.test/b:1}"
	)
	tests := []struct {
		name, step string
		want       carvel.Fetch
	}{
		{"inline", "{" + inline + "}", carvel.Fetch{Kind: "inline"}},
		{"image", "{" + image + "}", carvel.Fetch{Kind: "image", Reference: "reg.test/i:1"}},
		{"http", "{" + http + "}", carvel.Fetch{Kind: "http", Reference: "https://a.test/x.tgz"}},
		{"git", "{" + git + "}", carvel.Fetch{Kind: "git", Reference: "https://a.test/x.git"}},
		{"helmChart", "{" + chart + "}", carvel.Fetch{Kind: "helmChart", Reference: "https://charts.test redis"}},
		{"helmChart without repository", "{helmChart: {name: redis}}", carvel.Fetch{Kind: "helmChart", Reference: "redis"}},
		{"imgpkgBundle", "{" + imgpkg + ", path: x}", carvel.Fetch{Kind: "imgpkgBundle", Reference: "reg.test/b:1"}},
		{"tagSelection", "{imgpkgBundle: {image: reg.test/b, tagSelection: {semver: {constraints: '>1'}}}}",
			carvel.Fetch{Kind: "imgpkgBundle", Reference: "reg.test/b", TagSelection: true}},
		{"tagSelection of an image", "{image: {url: reg.test/b, tagSelection: {semver: {}}}}",
			carvel.Fetch{Kind: "image", Reference: "reg.test/b", TagSelection: true}},
		{"none", "{path: x}", carvel.Fetch{}},
		// Of several, kapp-controller takes the first of: inline, image, http, git, helmChart, imgpkgBundle.
		{"inline first", "{" + imgpkg + "," + chart + "," + git + "," + http + "," + image + "," + inline + "}", carvel.Fetch{Kind: "inline"}},
		{"then image", "{" + imgpkg + "," + chart + "," + git + "," + http + "," + image + "}", carvel.Fetch{Kind: "image", Reference: "reg.test/i:1"}},
		{"then http", "{" + imgpkg + "," + chart + "," + git + "," + http + "}", carvel.Fetch{Kind: "http", Reference: "https://a.test/x.tgz"}},
		{"then git", "{" + imgpkg + "," + chart + "," + git + "}", carvel.Fetch{Kind: "git", Reference: "https://a.test/x.git"}},
		{"then helmChart", "{" + imgpkg + "," + chart + "}", carvel.Fetch{Kind: "helmChart", Reference: "https://charts.test redis"}},
		{"null counts as absent", "{" + imgpkg + ", image: null}", carvel.Fetch{Kind: "imgpkgBundle", Reference: "reg.test/b:1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var src interop.Registry
			src.Repo("reg.test/b").PutBundle(map[string]string{".imgpkg/images.yml": lockHead}, "1")
			src.Repo("reg.test/i").PutBundle(map[string]string{".imgpkg/images.yml": lockHead}, "1")
			g := mustWalk(t, &src, bundle.WalkOptions{}, src.Repo("reg.test/repo").PutBundle(map[string]string{
				".imgpkg/images.yml": lockHead, "packages/a.yaml": packageYAML("a.b.c", "1.0.0", tt.step, "{inline: {}}"),
			}))
			got := g.Packages[0].Fetches
			for i := range got {
				got[i].Digest, got[i].Line = v1.Hash{}, 0 // another test's
			}
			assert.Equal(t, []carvel.Fetch{tt.want, {Kind: "inline"}}, got)
		})
	}
}

func TestFindings(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	covered := bundleOf(src.Repo("reg.test/covered"))
	loose := bundleOf(src.Repo("reg.test/loose"), covered)
	pkg := func(fetches ...string) string { return packageYAML("a.b.c", "1.0.0", fetches...) }
	imgpkg := func(ref string) string { return "{imgpkgBundle: {image: '" + ref + "'}}" }
	type findings []report.Finding
	tests := []struct {
		name, text string // of packages/a.yml; no text, no file
		lock       string // nothing means one that covers covered
		want       findings
	}{
		{name: "covered", text: pkg(imgpkg(covered.Name()))},
		{name: "uncovered", text: pkg(imgpkg(loose.Name()))},
		{name: "image.url", text: pkg("{image: {url: '" + covered.Name() + "'}}")},
		{name: "what is no image", text: pkg("{http: {url: https://a.test/x}}", "{inline: {}}", imgpkg("not a reference"), imgpkg(""), "{image: {url: ''}}")},
		{name: "tagSelection", text: pkg("{imgpkgBundle: {image: reg.test/covered, tagSelection: {semver: {}}}}")},
		{name: "long reference", text: pkg(imgpkg(strings.Repeat("a.", 1000) + "test/b"))},
		{name: "lock entry without id", text: pkg(), lock: lockHead + "images:\n- image: " + covered.Name() + "\n"},
		{name: "no kind of fetch", text: pkg("{path: x}"), want: findings{
			{Code: "not-read", Level: report.Warning, Package: "a.b.c 1.0.0", File: "packages/a.yml", Line: 1, Message: "has a fetch step of an unknown kind"}}},
		{name: "ytt, read", text: "#@ x = 1\n---\n" + pkg(imgpkg(covered.Name())) + "#@ end\n", want: findings{
			{Code: "not-read", Level: report.Install, File: "packages/a.yml", Line: 1, Message: "has ytt directives that were not run; Packages that they compute were not seen"}}},
		{name: "ytt, not read", text: pkg() + "---\na: b: c #@ x\n", want: findings{
			{Code: "not-read", Level: report.Warning, File: "packages/a.yml", Line: 11, Message: "is not YAML without ytt: "},
			{Code: "not-read", Level: report.Install, File: "packages/a.yml", Line: 12, Message: "has ytt directives that were not run; Packages that they compute were not seen"}}},
		{name: "not YAML", text: "a: [\n---\n" + pkg(), want: findings{{Code: "not-read", Level: report.Warning, File: "packages/a.yml", Line: 1, Message: "is not YAML without ytt: "}}},
		{name: "not YAML, several times", text: "a: [\n---\n" + pkg() + "---\nb: [\n---\nc: [\n", want: findings{
			{Code: "not-read", Level: report.Warning, File: "packages/a.yml", Line: 1, Message: "is not YAML without ytt: yaml: line 1: did not find expected node content; and 2 more documents"}}},
		{name: "aliases", text: "a: &a " + strings.Repeat("x", 1<<20) + "\nb: [*a, *a, *a, *a]\n---\n" + pkg(), want: findings{
			{Code: "not-read", Level: report.Install, File: "packages/a.yml", Line: 1, Message: "is not YAML without ytt: has aliases that make it larger than 4194304 bytes"}}},
		{name: "lone carriage return", text: "a: 1\n\r---\r" + pkg(), want: findings{
			{Code: "not-read", Level: report.Warning, File: "packages/a.yml", Line: 2,
				Message: "has a line break that some YAML readers do not see; a document hidden after it was not read"},
			{Code: "not-read", Level: report.Install, File: "packages/a.yml", Line: 1, Message: "has a document after a line break that other readers do not see; it was not read"}}},
		{name: "not text", text: "\xff", want: findings{{Code: "not-read", Level: report.Warning, File: "packages/a.yml", Line: 1, Message: "is not UTF-8"}}},
	}
	for _, tt := range tests {
		text := tt.lock
		if text == "" {
			text = lock(covered)
		}
		files := map[string]string{".imgpkg/images.yml": text, "packages/a.yml": tt.text}
		if tt.text == "" {
			delete(files, "packages/a.yml")
		}
		root := repo.PutBundle(files)
		var got findings
		for i, f := range mustWalk(t, &src, bundle.WalkOptions{}, root).Findings {
			assert.Equal(t, root.Name(), f.Bundle, tt.name)
			f.Bundle = ""
			if i < len(tt.want) && tt.want[i].Message == "is not YAML without ytt: " { // the rest is the library's
				assert.Contains(t, f.Message, tt.want[i].Message, tt.name)
				f.Message = tt.want[i].Message
			}
			got = append(got, f)
		}
		assert.Equal(t, tt.want, got, tt.name)
	}
}

// ytt reads .yml and .yaml at any depth, hidden ones too, and nothing else.
func TestPackageFiles(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for i, p := range []string{"packages/a.yml", "packages/b/c/d.yaml", "packages/.hidden/.e.yml",
		"packages/f.json", "packages/g.yml.bak", "packages/README.md", "other/h.yml", "i.yml", "packagesx/j.yml", "x/packages/k.yml"} {
		files[p] = packageYAML(p, "1.0."+string(rune('0'+i)))
	}
	g := walkPackages(t, files)
	var got []string
	for _, p := range g.Packages {
		got = append(got, p.File)
	}
	assert.Equal(t, []string{"packages/.hidden/.e.yml", "packages/a.yml", "packages/b/c/d.yaml"}, got)
	assert.True(t, g.Node(g.Roots[0].Digest).HasPackages)
	assert.False(t, walkPackages(t, map[string]string{"i.yml": files["i.yml"]}).Nodes[0].HasPackages)
}

// Documents are counted by line, whatever the line endings; those of comments only are none.
func TestSeveralDocuments(t *testing.T) {
	t.Parallel()
	one := "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nspec: {refName: a.b.c, version: "
	text := "%YAML 1.1\n---\n# nothing\n--- # one\n" + one + "1.0.0}\n...\n---\r\n" + one + "1.1.0}\n---x: no marker\n"
	g := walkPackages(t, map[string]string{"packages/a.yml": text})
	var got []string
	for _, p := range g.Packages {
		got = append(got, fmt.Sprintf("%s at %d", p.Version, p.Line))
	}
	assert.Equal(t, []string{"1.0.0 at 4", "1.1.0 at 9"}, got)
	assert.Empty(t, g.Findings)
}

func TestReleasedAt(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{
		`"2021-06-23T18:00:00Z"`: "2021-06-23T18:00:00Z",
		`2021-06-23T18:00:00Z`:   "2021-06-23T18:00:00Z",
		`2021-06-23 18:00:00`:    "2021-06-23 18:00:00",
		`2021-06-23`:             "2021-06-23",
		`null`:                   "",
	} {
		text := "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nspec: {refName: a.b.c, version: 1.0.0, releasedAt: " + written + "}\n"
		g := walkPackages(t, map[string]string{"packages/a.yml": text})
		if assert.Len(t, g.Packages, 1, written) {
			assert.Equal(t, want, g.Packages[0].ReleasedAt, written)
		}
		assert.Empty(t, g.Findings, written)
	}
}

// A repository is one whatever could be read of its files: all may be ytt's.
func TestRepositoryOfFilesThatAreNotRead(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	image := repo.PutPlain(`{}`)
	root := repo.PutBundle(map[string]string{
		".imgpkg/images.yml": lockHead + "images:\n- image: " + image.Name() + "\n",
		"packages/a.yml":     "#@ for x in y:\n--- #@ f(x)\n",
	})
	g := mustWalk(t, &src, bundle.WalkOptions{}, root)
	assert.True(t, g.Node(hash(root)).HasPackages)
	assert.False(t, g.Node(hash(image)).HasPackages)
	var codes []report.Code
	for _, f := range g.Findings {
		codes = append(codes, f.Code)
	}
	assert.Equal(t, []report.Code{"not-read"}, codes)
}

// Of a file of very many documents, the first are read, and one finding says so.
func TestManyDocuments(t *testing.T) {
	t.Parallel()
	g := walkPackages(t, map[string]string{"packages/a.yml": packageYAML("a.b.c", "1.0.0") + strings.Repeat("---\na\n", 9_999),
		"packages/b.yml": packageYAML("a.b.c", "1.1.0") + strings.Repeat("---\na: b: c\n", 10_000) + "---\n" + packageYAML("a.b.c", "1.2.0")})
	assert.Len(t, g.Packages, 2)
	if assert.Len(t, g.Findings, 3) {
		assert.Contains(t, g.Findings[0].Message, "cannot unmarshal string into Go value of type carvel.packageYAML; and 9998 more documents")
		assert.Contains(t, g.Findings[1].Message, "; and 9998 more documents")
		assert.Equal(t, report.Finding{Code: "not-read", Level: report.Install, Bundle: g.Roots[0].Reference.Name(), File: "packages/b.yml", Line: 20009,
			Message: "has more than 10000 documents; the others were not read"}, g.Findings[2])
	}
}

// A fetch knows what it leads to, and where it is written.
func TestFetchDigestAndLine(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	pkgs := src.Repo("reg.test/pkg")
	first, second := bundleOf(pkgs), bundleOf(pkgs, pkgs.PutPlain(`{}`))
	pkgs.Tags["tagged"] = hash(second)
	text := packageYAML("a.b.c", "1.0.0") + "---\n" + `apiVersion: data.packaging.carvel.dev/v1alpha1
kind: Package
spec:
  refName: a.b.c
  version: 1.1.0
  releaseNotes: was reg.test/pkg:v10
  template:
    spec:
      fetch:
      # not reg.test/pkg:v1
      - imgpkgBundle: {image: "reg.test/pkg:v1"}
      - imgpkgBundle:
          image: ` + second.Name() + `
      - imgpkgBundle: {image: reg.test/pkg:tagged}
      - helmChart: {name: redis, repository: {url: 'https://charts.test'}}
      - imgpkgBundle: {image: "reg.test/pkg:v\u0031"}
      - inline: {}
`
	root := src.Repo("reg.test/repo").PutBundle(map[string]string{
		".imgpkg/images.yml": lockHead + "images:\n- image: " + first.Name() + "\n  annotations: {kbld.carvel.dev/id: 'reg.test/pkg:v1'}\n",
		"packages/a.yml":     text,
	})
	g := mustWalk(t, &src, bundle.WalkOptions{}, root)
	start := strings.Count(packageYAML("a.b.c", "1.0.0"), "\n") + 1
	assert.Equal(t, []carvel.Fetch{
		{Kind: "imgpkgBundle", Reference: "reg.test/pkg:v1", Digest: hash(first), Line: start + 11},
		{Kind: "imgpkgBundle", Reference: second.Name(), Digest: hash(second), Line: start + 13},
		{Kind: "imgpkgBundle", Reference: "reg.test/pkg:tagged", Digest: hash(second), Line: start + 14},
		{Kind: "helmChart", Reference: "https://charts.test redis", Line: start + 15},
		{Kind: "imgpkgBundle", Reference: "reg.test/pkg:v1", Digest: hash(first), Line: start + 11},
		{Kind: "inline", Line: start},
	}, g.Packages[1].Fetches)
}

// TestFetched: the part of a graph with Packages has their repositories and what they fetch.
func TestFetched(t *testing.T) {
	t.Parallel()
	r := &interop.Registry{}
	image := putArtifact(r.Repo("reg.test/image"), "{}")
	pkg := r.Repo("reg.test/pkg").PutBundle(map[string]string{".imgpkg/images.yml": lock(image)})
	root := r.Repo("reg.test/repository").PutBundle(map[string]string{
		".imgpkg/images.yml": lock(pkg, image), "packages/a.yml": packageYAML("a.corp.com", "1.0.0", "{imgpkgBundle: {image: "+pkg.Name()+"}}"),
	})
	g, err := bundle.Walk(t.Context(), r, []name.Reference{root}, bundle.WalkOptions{})
	require.NoError(t, err)
	require.Len(t, g.Nodes, 3)
	part := g.Fetched()
	assert.Equal(t, g.Packages, part.Packages)
	for ref, want := range map[name.Digest]bool{root: true, pkg: true, image: false} {
		assert.Equal(t, want, part.Node(hash(ref)) != nil, ref)
	}
}
