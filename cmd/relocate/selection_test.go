package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/realregistry"
)

// pushShop pushes a package repository and returns its reference. shop.corp.com 1.1.0 installs a database of its
// version 1, which installs a queue; each version has an image of its own.
func pushShop(s site, tag string) string {
	versions := []struct{ name, version, installs string }{
		{"shop.corp.com", "1.0.0", ""},
		{"shop.corp.com", "1.1.0", "database.corp.com 1.x"},
		{"shop.corp.com", "2.0.0-rc.1", ""},
		{"database.corp.com", "1.0.0", ""},
		{"database.corp.com", "1.5.0", "queue.corp.com 1.0.0"},
		{"database.corp.com", "2.0.0", ""},
		{"queue.corp.com", "1.0.0", ""},
		{"queue.corp.com", "2.0.0", ""},
		{"other.corp.com", "1.0.0", ""},
	}
	files := map[string]string{}
	var locked []string
	for _, v := range versions {
		image := s.ref("img/app", s.image("img/app", v.name+"-"+v.version, v.name, v.version))
		content := map[string]string{"config/app.yml": podText(image)}
		if name, constraint, ok := strings.Cut(v.installs, " "); ok {
			content["config/install.yml"] = fmt.Sprintf(`#@ load("@ytt:data", "data")
#@ if data.values.all:
---
apiVersion: packaging.carvel.dev/v1alpha1
kind: PackageInstall
metadata: {name: needed, annotations: {ext.packaging.carvel.dev/fetch-0-secret-name: login}}
spec: {packageRef: {refName: %s, versionSelection: {constraints: %s}}}
#@ end
`, name, constraint)
			content["config/values.yml"] = "#@data/values\n---\nall: true\n"
		}
		pkg := s.ref("pkg/"+v.name, s.bundle("pkg/"+v.name, v.version, content, image))
		locked = append(locked, pkg)
		files["packages/"+v.name+"/"+v.version+".yml"] = "# " + v.version + " of a package\n" + kbldText(v.name, v.version, pkg)
		files["packages/"+v.name+"/metadata.yml"] = "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: PackageMetadata\nmetadata: {name: " + v.name + "}\nspec: {displayName: A package, shortDescription: It is one.}\n"
	}
	s.bundle("shop/repository", tag, files, locked...)
	return s.host + "/shop/repository:" + tag
}

func podText(image string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: app}\nspec:\n  containers:\n  - name: app\n    image: " + image + "\n"
}

// selectedIn returns the versions of a report, and why they were chosen.
func selectedIn(t *testing.T, path string) []string {
	t.Helper()
	var list []string
	for _, s := range readReport(t, path).Selection {
		for _, v := range s.Versions {
			list = append(list, v.Name[:1]+" "+v.Version+" "+v.Reason)
		}
	}
	return list
}

// versionsIn returns the versions in an archive.
func versionsIn(t *testing.T, args ...string) []string {
	t.Helper()
	var r struct {
		Packages []struct {
			Name     string
			Versions []string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(mustRelocate(t, append([]string{"inspect", "-o", "json"}, args...)...).stdout), &r))
	var list []string
	for _, p := range r.Packages {
		for _, v := range p.Versions {
			list = append(list, p.Name[:1]+" "+v)
		}
	}
	return list
}

// TestChoosePackages: a choice brings what the chosen package installs, level by level, and nothing else. What is
// carried is the source's, digest by digest, and the derived repository is the same by every way.
func TestChoosePackages(t *testing.T) {
	t.Parallel()
	for name, start := range realRegistries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testChoosePackages(t, start(t), start(t))
		})
	}
}

func testChoosePackages(t *testing.T, src, dst *realregistry.Registry) {
	root := pushShop(site{t: t, host: src.Addr}, "1.0.0")
	source := dumpReal(t, src, "")
	original := source.tags["shop/repository:1.0.0"]
	choice := []string{"--package", "shop.*@1.1.0"}

	whole, report := export(t, root), filepath.Join(t.TempDir(), "report.json")
	src.ResetRequests()
	part := export(t, append([]string{root}, append(choice, "--report", report)...)...)
	requests := withoutRepositories(src.Requests())
	assert.Equal(t, []string{"d 1.5.0 dependency", "q 1.0.0 dependency", "s 1.1.0 chosen"}, selectedIn(t, report))
	assert.Equal(t, []string{"d 1.5.0", "q 1.0.0", "s 1.1.0"}, versionsIn(t, part))
	selected := readReport(t, report).Selection[0]
	assert.Equal(t, root, selected.From.Reference)
	assert.Equal(t, original, selected.From.Digest.String())
	assert.Equal(t, 6, selected.CountLeft())
	assert.Equal(t, []string{"database.corp.com 1.5.0"}, selected.Versions[1].NeededBy)
	derived, tag := selected.Root.Digest.String(), strings.TrimPrefix(selected.Root.Reference, src.Addr+"/shop/repository:")
	assert.Regexp(t, `^1\.0\.0-selected-[0-9a-f]{8}$`, tag)

	// The same by a copy and by an import of a part.
	for repo, args := range map[string][]string{
		"import": {"--from-tar", part}, "copy": append([]string{"-b", root}, choice...), "part": append([]string{"--from-tar", whole}, choice...),
	} {
		object := mustRelocate(t, append(args, "--to-repo", dst.Addr+"/"+repo)...).stdout
		assertAll(t, object, "image: "+dst.Addr+"/"+repo+"@"+derived, "relocate/derived-from: "+original,
			`relocate/choice: '{"packages":[{"name":"shop.*","constraint":"1.1.0"}]}'`, "name: repository\n", "repository-version: "+tag)
		got := dumpReal(t, dst, repo)
		assert.Equal(t, derived, got.tags[repo+":"+tag])
		carried := source.only(t, got, derived)
		carried.manifests[derived] = got.manifests[derived]
		for _, b := range got.manifests[derived].blobs(t) {
			carried.blobs[b] = got.blobs[b]
		}
		assert.Len(t, carried.manifests, 1+2*3)
		assertRelocated(t, carried, got, repo, map[string]string{tag: derived})
	}
	mustRelocate(t, "verify", part, "--strict")
	mustRelocate(t, "verify", "--repo", dst.Addr+"/copy", part, "--level", "deep")
	mustRelocate(t, append([]string{"verify", "--repo", dst.Addr + "/part", whole, "--level", "deep"}, choice...)...)
	mustRelocate(t, "rehearse", part)
	mustRelocate(t, append([]string{"rehearse", whole}, choice...)...)
	assertAll(t, mustRelocate(t, "emit", part, "--to-repo", dst.Addr+"/import").stdout, "relocate/derived-from: "+original)
	assertAll(t, mustRelocate(t, "inspect", part).stdout, "is derived from "+original, "signatures of the original do not apply to it")
	assert.Equal(t, []string{"d 1.5.0", "q 1.0.0", "s 1.1.0"}, versionsIn(t, append([]string{whole}, choice...)...))

	// A site beyond: the mirror has the derived repository as any other.
	src.Stop()
	again := export(t, dst.Addr+"/import:"+tag)
	mustRelocate(t, "verify", again, "--strict", "--root", derived)

	// It cost what the walk of the chosen costs, and the root.
	imported := dumpReal(t, dst, "import")
	want := []string{"200 GET /v2/", "200 GET manifests/1.0.0", "404 GET manifests/" + locationsTag(original)}
	for _, b := range source.manifests[original].blobs(t) {
		want = append(want, "200 GET blobs/"+b)
	}
	for digest := range source.only(t, imported, derived).manifests {
		want = append(want, "200 GET manifests/"+digest)
		if source.isBundle(t, digest) {
			want = append(want, "404 GET manifests/"+locationsTag(digest))
		}
	}
	for digest := range source.only(t, imported, derived).blobs {
		want = append(want, "200 GET blobs/"+digest)
	}
	for _, repo := range []string{"img/app", "pkg/shop.corp.com", "pkg/database.corp.com", "pkg/queue.corp.com"} {
		want = append(want, "200 GET /v2/"+repo+"/tags/list?n=1000")
	}
	want = append(want, "404 GET referrers")
	assert.ElementsMatch(t, want, requests)
}

// blobs are the digests of a manifest's config and layers.
func (s stored) blobs(t *testing.T) []string {
	t.Helper()
	doc := s.document(t)
	list := []string{doc.Config.Digest}
	for _, l := range doc.Layers {
		list = append(list, l.Digest)
	}
	return list
}

// only returns the manifests of d that got has, too, without the derived one, and their blobs.
func (d dump) only(t *testing.T, got dump, derived string) dump {
	t.Helper()
	some := dump{map[string]string{}, map[string]stored{}, map[string]string{}}
	for digest, m := range d.manifests {
		if _, has := got.manifests[digest]; has && digest != derived {
			some.manifests[digest] = m
			for _, b := range m.blobs(t) {
				some.blobs[b] = d.blobs[b]
			}
		}
	}
	return some
}

// writeNothingInstalled writes what kubectl prints of a cluster without a PackageInstall.
func writeNothingInstalled(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nothing.yml")
	require.NoError(t, os.WriteFile(file, []byte("apiVersion: v1\nitems: []\nkind: List\nmetadata:\n  resourceVersion: \"\"\n"), 0o600))
	return file
}

// TestChoices: what choices choose, and what they say.
func TestChoices(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src := startReal(t)
	s := site{t: t, host: src.Addr}
	root := pushShop(s, "1.0.0")
	installed := filepath.Join(t.TempDir(), "installed.yml")
	require.NoError(t, os.WriteFile(installed, []byte(`apiVersion: v1
kind: List
items:
- apiVersion: packaging.carvel.dev/v1alpha1
  kind: PackageInstall
  metadata: {name: a, namespace: b}
  spec: {packageRef: {refName: queue.corp.com, versionSelection: {constraints: ">0.0.0"}}}
  status: {version: 1.0.0, lastAttemptedVersion: 1.0.0}
`), 0o600))
	tests := []struct {
		args []string
		want []string
		says []string
	}{
		{[]string{"--latest", "1"}, []string{"d 2.0.0 chosen", "d 1.5.0 dependency", "o 1.0.0 chosen", "q 2.0.0 chosen", "q 1.0.0 dependency", "s 1.1.0 chosen"},
			[]string{"chosen: 6 of 9 versions of " + root, "came along as dependencies:\n  database.corp.com 1.5.0, needed by shop.corp.com 1.1.0\n",
				"no longer in the repository: 3 versions of 2 packages; a PackageInstall of one of them fails\n  database.corp.com 1.0.0\n  shop.corp.com 2.0.0-rc.1, 1.0.0\n"}},
		{[]string{"--latest", "1", "--prerelease", "--exclude-package", "d*", "--exclude-package", "other.corp.com"}, []string{"q 2.0.0 chosen", "s 2.0.0-rc.1 chosen"}, nil},
		{[]string{"--package", "queue.corp.com@>=2.0.0", "--installed", writeNothingInstalled(t)}, []string{"q 2.0.0 chosen"}, nil},
		{[]string{"--package", "queue.corp.com@>=2.0.0", "--installed", installed}, []string{"q 2.0.0 chosen", "q 1.0.0 installed"},
			[]string{"chosen because the cluster uses them:\n  queue.corp.com 1.0.0\n"}},
		{[]string{"--package", "shop.corp.com@1.1.0", "--no-dependencies"}, []string{"s 1.1.0 chosen"},
			[]string{"findings: 1 breaks an install", `a PackageInstall needs "database.corp.com 1.x", which was not chosen`}},
		{[]string{"--package", "shop.corp.com@1.0.0 || 1.1.0", "--exclude-package", "queue.*"}, []string{"d 1.5.0 dependency", "s 1.1.0 chosen", "s 1.0.0 chosen"},
			[]string{`a PackageInstall needs "queue.corp.com 1.0.0", which is excluded`}},
		{[]string{"--package", "*.corp.com@>=2.0.0"}, []string{"d 2.0.0 chosen", "q 2.0.0 chosen"},
			[]string{"shop.corp.com 2.0.0-rc.1, 1.1.0, 1.0.0, though it is wanted: all=3 -> after-prereleases-filter=2 -> after-constraints-filter=0\n"}},
		{[]string{"--package", "shop.corp.com@1.1.0", "--render"}, []string{"d 1.5.0 dependency", "q 1.0.0 dependency", "s 1.1.0 chosen"}, nil},
		{[]string{"--package", "shop.corp.com@1.1.0", "--render", "--values-file", "shop.corp.com=" + shopValues(t, "all: false\n")}, []string{"d 1.5.0 dependency", "q 1.0.0 dependency", "s 1.1.0 chosen"}, nil},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Parallel()
			report := filepath.Join(t.TempDir(), "report.json")
			file := export(t, append([]string{root, "--report", report}, tt.args...)...)
			assert.Equal(t, tt.want, selectedIn(t, report))
			r := mustRelocate(t, append([]string{"plan", "-b", root}, tt.args...)...)
			assertAll(t, r.stdout, tt.says...)
			var want []string
			for _, line := range tt.want {
				want = append(want, line[:strings.LastIndex(line, " ")])
			}
			assert.ElementsMatch(t, want, versionsIn(t, file))
		})
	}
}

// shopValues writes data values.
func shopValues(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "values.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// TestChoicesRefused: what cannot be chosen is refused before anything is written, with what to do.
func TestChoicesRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src := startReal(t)
	s := site{t: t, host: src.Addr}
	root := pushShop(s, "1.0.0")
	image := s.ref("img/app", s.image("img/app", "1", "app"))
	plain := s.ref("plain/bundle", s.bundle("plain/bundle", "1", nil, image))
	template := s.bundle("template/repository", "1", map[string]string{"packages/all.yml": "#@ if True:\n" + packageText("a.corp.com", "1.0.0", plain) + "#@ end\n"}, plain)
	whole, nothing := export(t, root), writeNothingInstalled(t)
	tests := []struct {
		args   []string
		status int
		says   []string
	}{
		{[]string{"-b", root, "--package", "cart.corp.com"}, statusMissing, []string{`"cart.corp.com" matches nothing: no package has that name`, "hint: list the packages with relocate inspect"}},
		{[]string{"-b", root, "--package", "shop.corp.com@>3.0.0"}, statusMissing, []string{`"shop.corp.com@>3.0.0" matches nothing`}},
		{[]string{"-b", root, "--package", "shop.corp.com@^1.0.0"}, statusUsage, []string{"--package shop.corp.com@^1.0.0: "}},
		{[]string{"-b", root, "--exclude-package", "*"}, statusUsage, []string{"the choice leaves no package"}},
		{[]string{"-b", root, "--prerelease"}, statusUsage, []string{"--prerelease needs --package, --exclude-package, --latest or --installed"}},
		{[]string{"-b", root, "--latest", "-1"}, statusUsage, []string{"--latest -1: must be at least 1"}},
		{[]string{"-b", root, "--latest", "0"}, statusUsage, []string{"--latest 0: must be at least 1"}},
		{[]string{"-b", root, "--installed", nothing}, statusUsage, []string{"--installed " + nothing + ": lists no PackageInstall, and nothing else is chosen"}},
		{[]string{"--config", writeConfig(t, "roots:\n- bundle: %s\n  choose: {installed: %s}\n", root, nothing)}, statusUsage, []string{"lists no PackageInstall, and nothing else is chosen", "crossing.yml:5"}},
		{[]string{"-b", root, "--installed", root}, statusUsage, []string{"--installed: open ", "check the path"}},
		{[]string{"-b", root, "--installed", whole}, statusUsage, []string{"--installed " + whole + ": "}},
		{[]string{"-i", image, "--latest", "1"}, statusUsage, []string{"packages are chosen, but no root is a package repository"}},
		{[]string{"-b", plain, "--latest", "1"}, statusUsage, []string{"packages are chosen, but no root is a package repository"}},
		{[]string{"-i", root, "--latest", "1"}, statusUsage, []string{"Use -b instead of -i for bundles"}},
		{[]string{"-b", s.ref("template/repository", template), "--package", "a.corp.com"}, statusFailed, []string{": packages/all.yml: nothing can be chosen from it", "carry the whole repository"}},
		{[]string{"-b", src.Addr + "/no/repository:1", "--latest", "1"}, statusMissing, []string{"find " + src.Addr + "/no/repository:1"}},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "r.tar")
			r := tryRelocate(t, append(tt.args, "--to-tar", file)...)
			assert.Equal(t, tt.status, r.status, r.stderr)
			assertAll(t, r.stderr, tt.says...)
			assert.Empty(t, namesIn(t, filepath.Dir(file)))
		})
	}
	for _, args := range [][]string{
		{"verify", whole, "--latest", "1"},
		{"inspect", "--repo", root, "--latest", "1"},
		{"verify", "--repo", src.Addr + "/shop/repository:1.0.0", "--latest", "1"},
	} {
		assert.Equal(t, statusUsage, tryRelocate(t, args...).status, args)
	}
}

// TestChooseOfSeveral: a root of which nothing is chosen is left out, and what is no package repository is whole.
// Two choices have two tags.
func TestChooseOfSeveral(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	s := site{t: t, host: src.Addr}
	shop, sample := pushShop(s, "1.0.0"), pushSample(t, src.Addr)
	image := s.ref("img/lone", s.image("img/lone", "1", "lone"))
	report := filepath.Join(t.TempDir(), "report.json")
	file := export(t, shop, sample, "-i", image, "--package", "queue.*@2.0.0", "--report", report)
	r := readReport(t, report)
	require.Len(t, r.Roots, 2)
	assert.Equal(t, image, r.Roots[1].Reference)
	require.Len(t, r.Selection, 2)
	assert.Nil(t, r.Selection[1].Root)
	assert.Equal(t, []string{"q 2.0.0"}, versionsIn(t, file))

	repo := dst.Addr + "/both"
	mustRelocate(t, "-b", shop, "--package", "queue.*@2.0.0", "--to-repo", repo)
	mustRelocate(t, "-b", shop, "--package", "queue.*@1.0.0", "--to-repo", repo)
	tags := dumpReal(t, dst, "both").rootTags("both")
	assert.Len(t, tags, 2)
	for _, tag := range tags {
		mustRelocate(t, "verify", "--repo", repo+":"+tag)
	}
}

// TestChooseFromTemplates: what a chart installs under a condition comes along, and so does what an App of a bundle
// has inline. Where a template computes the constraint, a warning says so, with file and line.
func TestChooseFromTemplates(t *testing.T) {
	t.Parallel()
	src := startReal(t)
	s := site{t: t, host: src.Addr}
	install := func(name, constraint string) string {
		return "apiVersion: packaging.carvel.dev/v1alpha1\nkind: PackageInstall\nmetadata: {name: needed}\nspec:\n  packageRef:\n    refName: " + name +
			"\n    versionSelection:\n      constraints: " + constraint + "\n"
	}
	queue := "      " + strings.ReplaceAll(install("queue.corp.com", "1.0.0"), "\n", "\n      ")
	files := map[string]string{}
	var locked []string
	for _, p := range []struct{ name, path, text string }{
		{"shop.corp.com", "config/templates/installs.yaml", "{{- if .Values.all }}\n" + install("database.corp.com", "1.x") + "{{- end }}\n---\n" +
			install("other.corp.com", `{{ .Values.other | default "1.x" | quote }}`)},
		{"database.corp.com", "config/app.yml", "apiVersion: kappctrl.k14s.io/v1alpha1\nkind: App\nmetadata: {name: queue}\nspec:\n  fetch:\n  - inline:\n      paths:\n        queue.yml: |\n    " +
			strings.ReplaceAll(queue, "\n", "\n    ") + "\n"},
		{"queue.corp.com", "config/empty.yml", ""},
		{"other.corp.com", "config/empty.yml", ""},
	} {
		pkg := s.ref("pkg/"+p.name, s.bundle("pkg/"+p.name, "1.0.0", map[string]string{p.path: p.text}))
		locked = append(locked, pkg)
		text := packageText(p.name, "1.0.0", pkg)
		if p.name == "shop.corp.com" {
			text = strings.Replace(text, "- ytt: {}", "- helmTemplate: {path: config}", 1)
		}
		files["packages/"+p.name+".yml"] = text
	}
	s.bundle("charts/repository", "1", files, locked...)
	report := filepath.Join(t.TempDir(), "report.json")
	file := export(t, src.Addr+"/charts/repository:1", "--package", "shop.corp.com", "--report", report)
	assert.Equal(t, []string{"d 1.0.0 dependency", "q 1.0.0 dependency", "s 1.0.0 chosen"}, selectedIn(t, report))
	assert.ElementsMatch(t, []string{"d 1.0.0", "q 1.0.0", "s 1.0.0"}, versionsIn(t, file))
	for _, f := range readReport(t, report).Findings {
		if f.Code == "not-installed" {
			assert.Equal(t, "warning config/templates/installs.yaml:17", fmt.Sprintf("%s %s:%d", f.Level, f.File, f.Line))
			return
		}
	}
	assert.Fail(t, "no warning about what the template computes")
}

// TestResumeChoice: an export of a choice continues for the same choice only, and says that the root's tag moved.
func TestResumeChoice(t *testing.T) {
	t.Parallel()
	m := newMeter(t, startReal(t).Addr)
	s := site{t: t, host: m.host}
	root := pushShop(s, "1.0.0")
	choice := []string{"-b", root, "--package", "queue.*"}
	want := digestOfFile(t, export(t, root, "--package", "queue.*"))
	file := filepath.Join(t.TempDir(), "r.tar")
	breakOff(t, m, digestOf("2.0.0"), file, choice...)
	other := tryRelocate(t, "-b", root, "--package", "queue.*@2.0.0", "--to-tar", file)
	assertFailed(t, other, statusUsage, "resume "+file, "the unfinished archive cannot be continued")
	assertFailed(t, tryRelocate(t, "-b", root, "--to-tar", file), statusUsage, "resume "+file)
	r := mustRelocate(t, append(choice, "--to-tar", file)...)
	assertAll(t, r.stderr, "note: continues with ")
	assert.NotContains(t, r.stderr, "cannot check")
	assert.NotContains(t, r.stderr, "has moved")
	assert.Equal(t, want, digestOfFile(t, file))

	file = filepath.Join(t.TempDir(), "moved.tar")
	breakOff(t, m, digestOf("2.0.0"), file, choice...)
	moved := s.bundle("shop/repository", "1.0.0", map[string]string{"new.txt": "new"}).Digest.String()
	assertAll(t, mustRelocate(t, append(choice, "--to-tar", file)...).stderr, "note: "+root+" has moved to "+moved)
	assert.Equal(t, want, digestOfFile(t, file))
}

// TestChooseByDigest: a root by digest, and imgpkg's format.
func TestChooseByDigest(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	root := pushShop(site{t: t, host: src.Addr}, "1.0.0")
	digest := rootDigest(t, src.Addr, "shop/repository", "1.0.0")
	byDigest := src.Addr + "/shop/repository@" + digest
	tags := map[string]bool{}
	for _, args := range [][]string{{byDigest}, {root}, {byDigest, "--tar-format", "imgpkg"}} {
		report := filepath.Join(t.TempDir(), "report.json")
		file := export(t, append(args, "--package", "other.*", "--report", report)...)
		tags[readReport(t, report).Roots[0].Digest.String()] = true
		mustRelocate(t, "verify", file, "--strict")
		mustRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/r")
	}
	assert.Len(t, tags, 1, "one digest")

	s := site{t: t, host: src.Addr}
	s.bundle("shop/repository", "2.0.0", map[string]string{"packages/other.yml": kbldText("other.corp.com", "2.0.0", s.ref("pkg/new", s.bundle("pkg/new", "1", nil)))})
	newer := src.Addr + "/shop/repository@" + rootDigest(t, src.Addr, "shop/repository", "2.0.0")
	both := filepath.Join(t.TempDir(), "both.tar")
	refused := tryRelocate(t, "-b", byDigest, "-b", newer, "--package", "other.*", "--to-tar", both)
	assertFailed(t, refused, statusUsage, "/shop/repository:selected-") // which of the two a PackageRepository is of
	assert.NoFileExists(t, both)
	assert.Len(t, regexp.MustCompile(`repository:selected-[0-9a-f]{8}`).FindAllString(refused.stderr, -1), 2, refused.stderr)
}

// TestChoiceNamedAsRoot: what is derived never takes the name, and so the place, of another root.
func TestChoiceNamedAsRoot(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	s := site{t: t, host: startReal(t).Addr}
	root := pushShop(s, "1.0.0")
	report := filepath.Join(t.TempDir(), "report.json")
	export(t, root, "--package", "other.*", "--report", report)
	taken := readReport(t, report).Roots[0].Reference
	_, tag, _ := strings.Cut(taken, "repository:")
	s.bundle("shop/repository", tag, map[string]string{"packages/other.yml": kbldText("other.corp.com", "9.0.0", s.ref("pkg/new", s.bundle("pkg/new", "1", nil)))})
	config := filepath.Join(t.TempDir(), "crossing.yml")
	require.NoError(t, os.WriteFile(config, []byte("apiVersion: relocate/v1alpha1\nkind: Crossing\nroots:\n- bundle: "+taken+"\n- bundle: "+root+"\n  choose: {packages: [other.*]}\n"), 0o600))
	file := filepath.Join(t.TempDir(), "r.tar")
	assertFailed(t, tryRelocate(t, "--config", config, "--to-tar", file), statusUsage, "has the name of another root, "+taken)
	assert.NoFileExists(t, file)
}

// TestChooseSigned: what is attached to the chosen bundles and their images crosses. The derived repository has no
// signature, and needs none.
func TestChooseSigned(t *testing.T) {
	t.Parallel()
	src, dst := startReferrers(t), startReferrers(t)
	s := newSignedSite(t, src)
	report := filepath.Join(t.TempDir(), "report.json")
	file := export(t, s.root, "--package", "app.example.com", "--attachments", "require", "--report", report)
	r := readReport(t, report)
	assert.Len(t, r.Attachments.Found, s.attached-1, "not that of the root")
	assert.Empty(t, r.Attachments.Absent)
	assert.Empty(t, r.Attachments.Unseen)
	for _, root := range []string{file, export(t, s.root)} {
		repo := "from/" + filepath.Base(filepath.Dir(root))
		mustRelocate(t, "--from-tar", root, "--to-repo", dst+"/"+repo, "--package", "app.example.com", "--attachments", "require", "--tag", "1.0")
		s.assertSigned(t, dst, repo)
		derived := rootDigest(t, dst, repo, "1.0")
		assert.NotEqual(t, s.bundles[0].Digest.String(), derived)
		assert.False(t, has(t, dst, "/v2/"+repo+"/manifests/"+strings.Replace(derived, ":", "-", 1)+".sig"))
	}
}

// TestChooseAndMore: a choice goes together with a platform and with a base, and a derived archive is served.
func TestChooseAndMore(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	root := pushSample(t, src.Addr)
	choice := []string{"--package", "guestbook.corp.com", "--latest", "1"}
	part := export(t, append([]string{root}, choice...)...)
	repo := dst.Addr + "/served"
	mustRelocate(t, "--from-tar", part, "--to-repo", repo)
	served := mustServe(t, part, "--as", "served")
	imported, got := dumpRepositories(t, dst.Addr, "served"), dumpRepositories(t, served.host, "served")
	assert.Equal(t, imported.tags, got.tags)
	assert.Equal(t, imported.manifests, got.manifests)

	trimmed := export(t, append([]string{root, "--platform", "linux/amd64", "--platform-mode", "derive"}, choice...)...)
	mustRelocate(t, "verify", trimmed, "--strict")
	repo = dst.Addr + "/trimmed"
	object := mustRelocate(t, "--from-tar", trimmed, "--to-repo", repo).stdout
	assertAll(t, object, "relocate/derived-from: "+rootDigest(t, src.Addr, "corp/repository", "1.0.0"), "relocate/choice: ")
	mustRelocate(t, "verify", "--repo", repo, trimmed, "--level", "deep")
	assert.Less(t, sizeOf(t, trimmed), sizeOf(t, part))

	base := export(t, root)
	delta := export(t, append([]string{root, "--base", base}, choice...)...)
	assert.Less(t, sizeOf(t, delta), sizeOf(t, part))
	repo = dst.Addr + "/delta"
	mustRelocate(t, "--from-tar", base, "--to-repo", repo)
	mustRelocate(t, "--from-tar", delta, "--to-repo", repo)
	mustRelocate(t, "verify", "--repo", repo, delta, "--level", "deep")
	mustRelocate(t, "--from-tar", delta, "--to-repo", dst.Addr+"/delta", "--package", "guestbook.corp.com", "--tag", "again")
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

// TestResumeChoiceForPlatform: a root that was derived twice, by a choice and for a platform, is the source's all the
// same.
func TestResumeChoiceForPlatform(t *testing.T) {
	t.Parallel()
	m := newMeter(t, startReal(t).Addr)
	root := pushSample(t, m.host)
	args := []string{"-b", root, "--package", "guestbook.corp.com", "--latest", "1", "--platform", "linux/amd64", "--platform-mode", "derive"}
	want := filepath.Join(t.TempDir(), "r.tar")
	mustRelocate(t, append(args, "--to-tar", want)...)
	layer := ""
	for digest, m := range dumpRepositories(t, m.host, "corp/guestbook").manifests {
		if doc := m.document(t); doc.Config != nil && strings.Contains(mustRelocate(t, "inspect", want, "--tree", "-o", "json").stdout, digest) {
			layer = doc.Layers[1].Digest
		}
	}
	require.NotEmpty(t, layer)
	file := filepath.Join(t.TempDir(), "r.tar")
	breakOff(t, m, layer, file, args...)
	r := mustRelocate(t, append(args, "--to-tar", file)...)
	assertAll(t, r.stderr, "note: continues with ")
	assert.NotContains(t, r.stderr, "cannot check")
	assert.Equal(t, digestOfFile(t, want), digestOfFile(t, file))
}
