package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// renderFile reads a file of testdata/render.
func renderFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "render", filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(text)
}

// pushRenderable pushes a package repository as corp/repository:1.0.0 and returns its reference. Its
// packages: web.corp.com in two versions, of which the newest is testdata/render/web; parts.corp.com,
// which fetches two bundles and inline files; picky.corp.com, which wants a value; cue.corp.com and
// chart.corp.com, which ytt does not render; odd.corp.com, whose second step drops what the first made; asks.corp.com, with an image by tag that is
// in no lock.
func pushRenderable(t *testing.T, host string) string {
	t.Helper()
	s := site{t: t, host: host}
	web, agent := s.ref("corp/images/web", s.image("corp/images/web", "2", "web")), s.ref("corp/images/agent", s.image("corp/images/agent", "1", "agent"))
	lock := strings.NewReplacer("id: "+web, "id: quay.io/corp/web:2", "id: "+agent, "id: quay.io/corp/agent:1").Replace(lockText(web, agent))
	bundle := func(repo string, files map[string]string) string {
		all := map[string]string{".imgpkg/images.yml": lock}
		for name, text := range files {
			all[name] = text
		}
		return s.ref("corp/packages/"+repo, s.bundle("corp/packages/"+repo, "1", all))
	}
	config := map[string]string{}
	for _, name := range []string{"schema.yml", "deployment.yml", "config.yml"} {
		config["config/"+name] = renderFile(t, "web/config/"+name)
	}
	whole, one, other := bundle("web", config), bundle("one", map[string]string{"config/a.yml": "image: quay.io/corp/web:2\n"}), bundle("other", map[string]string{"b.yml": "#@ load(\"@ytt:data\", \"data\")\nb: #@ data.values.b\n"})
	picky := bundle("picky", map[string]string{"config/a.yml": "#@ load(\"@ytt:data\", \"data\")\n#@ load(\"@ytt:assert\", \"assert\")\nhost: #@ data.values.host.name or assert.fail(\"a host is required\")\n",
		"config/schema.yml": "#@data/values-schema\n---\nhost:\n  name: \"\"\n"})
	steps := func(name, fetch, template string) string {
		text := strings.Replace(packageText(name, "1.0.0", one), "      - imgpkgBundle:\n          image: "+one+"\n", fetch, 1)
		return strings.Replace(text, "      - ytt: {}\n", template, 1)
	}
	fetch := "      - imgpkgBundle: {image: " + one + "}\n"
	s.bundle("corp/repository", "1.0.0", map[string]string{
		"packages/web.yml":   kbldText("web.corp.com", "1.0.0", one) + "---\n" + kbldText("web.corp.com", "2.0.0", whole),
		"packages/parts.yml": steps("parts.corp.com", fetch+"        path: here\n      - imgpkgBundle: {image: "+other+"}\n      - inline: {paths: {values.yml: \"#@data/values\\n---\\nb: inline\\n\"}}\n", "      - ytt: {paths: [here/config/a.yml, '1', '2']}\n      - kbld: {paths: ['-', here/.imgpkg/images.yml]}\n"),
		"packages/picky.yml": steps("picky.corp.com", "      - imgpkgBundle: {image: "+picky+"}\n", "      - ytt: {paths: [config]}\n"),
		"packages/cue.yml":   steps("cue.corp.com", fetch, "      - cue: {}\n"),
		"packages/chart.yml": steps("chart.corp.com", fetch, "      - helmTemplate: {path: config}\n"),
		"packages/git.yml":   steps("git.corp.com", "      - git: {url: https://example.com/x.git, ref: v1}\n", "      - ytt: {}\n"),
		"packages/computed.yml": "#@ for version in [\"1.0.0\", \"1.1.0\"]:\n---\n" + strings.ReplaceAll(strings.ReplaceAll(kbldText("computed.corp.com", "VERSION", one),
			"version: VERSION", "version: #@ version"), "name: computed.corp.com.VERSION", "name: #@ \"computed.corp.com.\" + version") + "#@ end\n",
		"packages/asks.yml": steps("asks.corp.com", "      - inline: {paths: {a.yml: \"image: quay.io/corp/other:1\\n\"}}\n", "      - ytt: {}\n      - kbld: {paths: ['-']}\n"),
		"packages/odd.yml":  steps("odd.corp.com", fetch, "      - ytt: {paths: [config]}\n      - ytt: {paths: [config]}\n"),
	}, whole, one, other, picky)
	return host + "/corp/repository:1.0.0"
}

// TestRender prints what ytt 0.51.1 and kbld 0.44.0 give for testdata/render/web and the lock of the
// destination:
//
//	ytt -f web/config/ --data-values-file web/values.yml | kbld -f - -f lock.yml --build=false
func TestRender(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	host := startMemory(t, nil)
	root := pushRenderable(t, host)
	archive := export(t, root)
	mustRelocate(t, "--from-tar", archive, "--to-repo", host+"/private")
	values := filepath.Join("testdata", "render", "web", "values.yml")
	for name, of := range map[string][]string{"archive": {archive}, "imgpkg's archive": {export(t, root, "--tar-format", "imgpkg")}, "source": {"--repo", root}, "destination": {"--repo", host + "/private:1.0.0"}} {
		render := func(args ...string) result {
			return mustRelocate(t, append(append([]string{"render"}, of...), args...)...)
		}
		for _, given := range []string{values, "web.corp.com=" + values, "web.corp.com/2.0.0=" + values} {
			r := render("package", "web.corp.com", "--values-file", given, "--to-repo", "r.test/shop")
			golden(t, "render/web.yml", r.stdout)
			assert.Contains(t, r.stderr, "warning: config/config.yml:7: quay.io/corp/agent:1 is in the lock, but kbld does not rewrite it\n", name)
		}
		golden(t, "render/web-images.txt", render("package", "web.corp.com/2.0.0", "--to-repo", "r.test/shop", "--images").stdout)
		assert.Equal(t, render("package", "web.corp.com").stdout, render("package", "web.corp.com/2.0.0").stdout, "the newest")
		assert.Contains(t, render("package", "web.corp.com/1.0.0").stdout, "image: "+host+"/corp/images/web@sha256:", "the lock as it is")
		assert.Contains(t, render("package", "parts.corp.com", "--to-repo", "r.test/shop").stdout, "b: inline\n", "fetches in their folders")

		assert.Equal(t, render("package", "web.corp.com/1.0.0").stdout, render("package", "computed.corp.com/1.1.0").stdout, "a Package that ytt computes")

		var report renderReport
		require.NoError(t, json.Unmarshal([]byte(render("package", "web.corp.com", "--to-repo", "r.test/shop", "-o", "json").stdout), &report))
		assert.Equal(t, "web.corp.com/2.0.0", report.Package)
		assert.Regexp(t, `^r\.test/shop@sha256:`, report.Fetches[0].Reference, "as the cluster fetches it")
		assert.Contains(t, report.Fetches[0].Before, "/corp/packages/web@")
		require.Len(t, report.Documents, 2)
		assert.Equal(t, "Deployment", report.Documents[1].Object.(map[string]any)["kind"])
		require.Len(t, report.Images, 2)
		assert.True(t, report.Images[0].NotRewritten)
		image := report.Images[1]
		assert.Regexp(t, `^r\.test/shop@sha256:`, image.Reference)
		assert.Equal(t, []any{"quay.io/corp/web:2", 1, "/spec/template/spec/containers/0/image", "config/deployment.yml", 15},
			[]any{image.Before, image.Document, image.Path, image.File, image.Line})
		assert.Empty(t, report.Faults)
		assert.Equal(t, renderCounts{Documents: 2, Images: 2, Rewritten: 1, NotRewritten: 1}, report.Counts)
	}
}

// TestRenderFault: what kapp-controller does not report is a warning.
func TestRenderFault(t *testing.T) {
	t.Parallel()
	root := pushRenderable(t, startMemory(t, nil))
	r := mustRelocate(t, "render", "--repo", root, "package", "odd.corp.com")
	assert.Equal(t, "image: quay.io/corp/web:2\n", r.stdout)
	assertAll(t, r.stderr, "warning: ", "(stream-dropped)", "\n  → ")
	var report renderReport
	require.NoError(t, json.Unmarshal([]byte(mustRelocate(t, "render", "--repo", root, "package", "odd.corp.com", "-o", "json").stdout), &report))
	require.Len(t, report.Faults, 1)
	assert.Equal(t, "stream-dropped", string(report.Faults[0].Code))
}

// TestRenderAsks: an image that kbld would ask a registry for is a warning. --images leaves the documents out.
func TestRenderAsks(t *testing.T) {
	t.Parallel()
	args := []string{"render", "--repo", pushRenderable(t, startMemory(t, nil)), "package", "asks.corp.com"}
	r := mustRelocate(t, args...)
	assert.Equal(t, "---\nimage: quay.io/corp/other:1\n", r.stdout)
	assert.Contains(t, r.stderr, "warning: a.yml:1: quay.io/corp/other:1 has a tag and is not in the lock: kbld asks its registry for the digest")
	assert.Contains(t, mustRelocate(t, append(args, "--images")...).stdout, "quay.io/corp/other:1\n  is not in the lock: kbld asks its registry for the digest\n  from  a.yml:1\n")
	asJSON, asYAML := formats(t, append(args, "--images"))
	assert.Equal(t, asJSON, asYAML)
	assert.NotContains(t, asJSON, "documents")
	assert.Equal(t, true, asJSON["images"].([]any)[0].(map[string]any)["notLocked"])
	assert.Contains(t, mustRelocate(t, append(args, "-o", "json")...).stdout, `"documents": [`)
}

// TestRenderFails: a package that is not rendered says why, and what to do.
func TestRenderFails(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no helm
	root := pushRenderable(t, startMemory(t, nil))
	archive := export(t, root)
	try := func(args ...string) result { return tryRelocate(t, append([]string{"render", archive}, args...)...) }

	assertFailed(t, try("package", "wbe.corp.com"), statusMissing, "package wbe.corp.com: ", "has no package of that name",
		"hint: did you mean: relocate render "+archive+" package web.corp.com\n")
	assertFailed(t, try("package", "web.corp"), statusMissing, "hint: did you mean: relocate render "+archive+" package web.corp.com\n")
	assertFailed(t, try("package", "nothing.test"), statusMissing, "hint: list the packages with relocate inspect")
	assertFailed(t, try("package", "web.corp.com/3.0.0"), statusMissing, "does not have this version, only 2.0.0, 1.0.0")

	r := try("package", "picky.corp.com")
	assertFailed(t, r, statusUsage, "render package picky.corp.com/1.0.0: ytt: ", "fail: a host is required", "it needs values for: host.name\n",
		"hint: write the values to a file, and run: relocate render "+archive+" package picky.corp.com --values-file values.yml\n")
	r = mustRelocate(t, "render", archive, "package", "picky.corp.com", "--values-file", valuesFile(t, "host: {name: a}\n"), "--values-file", valuesFile(t, "host: {name: b}\n"))
	assert.Equal(t, "host: b\n", r.stdout, "the last one wins")
	assertFailed(t, try("package", "picky.corp.com", "--values-file", valuesFile(t, "hots: {name: a}\n")), statusFailed, "Given data value is not declared in schema", "hint: a cluster fails the same way")

	assertFailed(t, try("package", "cue.corp.com"), statusFailed, "step 1 is cue", "hint: relocate rehearse and verify examine such a package as text")
	assertFailed(t, try("package", "chart.corp.com"), statusUsage, "step 1 is helmTemplate, and there is no helm program", "hint: ", "--helm PATH")
	assertFailed(t, try("package", "git.corp.com"), statusFailed, "git")
	assertFailed(t, try("package", "web.corp.com", "--values-file", "picky.corp.com/1.0.0="+valuesFile(t, "")), statusUsage, "the package is web.corp.com")
}

// TestInspectDataValues: of a Package without a schema, inspect shows the values that its files declare.
func TestInspectDataValues(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	host := startMemory(t, nil)
	root := pushRenderable(t, host)
	archive := export(t, root)
	mustRelocate(t, "--from-tar", archive, "--to-repo", host+"/private")
	for name, of := range map[string][]string{"archive": {archive}, "source": {"--repo", root}, "destination": {"--repo", host + "/private:1.0.0"}} {
		inspect := func(args ...string) result {
			return mustRelocate(t, append(append([]string{"inspect"}, of...), args...)...)
		}
		r := inspect("package", "web.corp.com/2.0.0", "--values-schema")
		assert.Equal(t, "KEY        DEFAULT  TYPE     DESCRIPTION\nnamespace  default  string   -\nreplicas   1        integer  How many pods answer\n", r.stdout, name)
		assert.Contains(t, r.stderr, "note: the Package has no valuesSchema; its files declare these values: config/schema.yml\n")
		r = inspect("package", "parts.corp.com/1.0.0", "--values-schema")
		assert.Equal(t, "KEY  DEFAULT  TYPE    DESCRIPTION\nb    inline   string  -\n", r.stdout)
		assert.Contains(t, r.stderr, "note: the Package has no valuesSchema; these are the defaults in its files: 2/values.yml\n")

		asJSON, asYAML := formats(t, append(append([]string{"inspect"}, of...), "package", "web.corp.com/2.0.0", "--values-schema"))
		assert.Equal(t, asJSON, asYAML)
		assert.Equal(t, map[string]any{"declared": true, "files": []any{"config/schema.yml"}}, asJSON["origin"])

		values := filepath.Join(t.TempDir(), "values.yml")
		inspect("package", "web.corp.com/2.0.0", "--values-file-output", values)
		text, err := os.ReadFile(values)
		require.NoError(t, err)
		assert.Equal(t, "# namespace: default\n# replicas: 1\n", string(text))

		r = inspect("package", "cue.corp.com/1.0.0", "--values-schema")
		assert.Equal(t, "Package 'cue.corp.com/1.0.0' does not have any user configurable values\n", r.stdout)
		r = inspect("package", "chart.corp.com/1.0.0", "--values-schema")
		assert.Equal(t, "Package 'chart.corp.com/1.0.0' has no values schema\n", r.stdout)
		assert.Contains(t, r.stderr, "step 1 is helmTemplate, whose values are those of the chart\n")
		r = inspect("package", "git.corp.com/1.0.0", "--values-schema")
		assert.Contains(t, r.stderr, "note: the Package has no valuesSchema, and its files do not say which values it takes: ")
	}
}
