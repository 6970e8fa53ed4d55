package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/report"
	"relocate/testdata/realregistry"
)

// airgap is a registry with the sample in it, and the words of cases that stand for what it has.
type airgap struct {
	*realregistry.Registry
	repo  string
	words map[string]string
}

func startAirgap(t *testing.T) *airgap {
	t.Helper()
	src, dst := startReal(t), startReal(t)
	root := pushSample(t, src.Addr)
	repo := dst.Addr + "/airgap/corp"
	mustRelocate(t, "-b", root, "--to-repo", repo)
	d := dumpReal(t, src, "")
	src.Stop()
	index := d.manifests[d.tags["corp/guestbook:1.1.0"]].document(t)
	config := func(digest string) string { return d.manifests[digest].document(t).Config.Digest }
	a := &airgap{Registry: dst, repo: repo, words: map[string]string{
		"SOURCE": src.Addr, "HOST": dst.Addr, "REPO": repo, "ROOT": d.tags["corp/repository:1.0.0"], "GONE": digestOf("gone"),
		"BUNDLE_SIMPLE": d.tags["corp/packages/simple-app:1.0.0"], "SIMPLE": d.tags["corp/simple-app:1.0.0"],
		"STATUS": d.tags["corp/status:1.0.0"], "INDEX": d.tags["corp/guestbook:1.1.0"], "INDEX_AMD64": index.Manifests[0].Digest,
	}}
	a.words["SIMPLE_CONFIG"] = config(a.words["SIMPLE"])
	a.words["HEX_INDEX_ARM64_CONFIG"] = strings.TrimPrefix(config(index.Manifests[1].Digest), "sha256:")
	a.words["VALUED"], a.words["COMPUTED"], a.words["REFUSED"] = pushValued(t, dst.Addr, a.words["SIMPLE"])
	for word, digest := range pushTwins(t, dst.Addr, a.words["BUNDLE_SIMPLE"], a.words["ROOT"]) {
		a.words[word] = digest
	}
	dst.ResetRequests()
	return a
}

// pushValued pushes repositories whose package takes its image from a value, and returns their digests: as usual, with a
// version that ytt computes, and with a template that fails.
func pushValued(t *testing.T, host, image string) (valued, computed, refused string) {
	t.Helper()
	s := site{t: t, host: host}
	bundle := s.bundle("airgap/corp", "", map[string]string{
		"config/app.yml": `#@ load("@ytt:data", "data")
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  template:
    spec:
      containers:
      - name: app
        image: #@ data.values.image
        args: #@ ["--helper=" + data.values.helper] if data.values.helper else []
`,
		"config/values.yml": "#@data/values-schema\n---\nimage: registry.example.com/app@" + image + "\nhelper: \"\"\npassword: \"\"\n",
	}, "registry.example.com/app@"+image)
	ref := "registry.example.com/valued@" + bundle.Digest.String()
	push := func(packages string) string {
		return s.bundle("airgap/corp", "", map[string]string{"packages/valued.yml": packages}, ref).Digest.String()
	}
	computing := strings.NewReplacer("valued.corp.com.1.0.0", `#@ "computed.corp.com." + v`, "refName: valued", "refName: computed", "version: 1.0.0", "version: #@ v")
	return push(kbldText("valued.corp.com", "1.0.0", ref) + "---\n" + kbldText("valued.corp.com", "1.1.0-rc.1", ref)),
		push("#@ v = \"2.0.0\"\n" + computing.Replace(kbldText("valued.corp.com", "1.0.0", ref))),
		push("#@ fail(\"no way\")\n" + kbldText("valued.corp.com", "1.0.0", ref))
}

// pushTwins pushes repositories that have one version of a Package: TWIN_A and TWIN_SAME with the same content from two
// origins, TWIN_OTHER with another content, and TWIN_NEWER with that in a higher revision.
func pushTwins(t *testing.T, host, bundle, other string) map[string]string {
	t.Helper()
	s := site{t: t, host: host}
	twin := func(ref, annotations string) string {
		text := strings.Replace(kbldText("twin.corp.com", "1.0.0", ref), "metadata:\n", "metadata:\n"+annotations, 1)
		text += "---\napiVersion: data.packaging.carvel.dev/v1alpha1\nkind: PackageMetadata\nmetadata: {name: twin.corp.com}\nspec: {displayName: Twin of " + strings.TrimPrefix(ref, "registry.example.com/")[2:] + "}\n"
		return s.bundle("airgap/corp", "", map[string]string{"packages/twin.yml": text}, ref).Digest.String()
	}
	return map[string]string{
		"TWIN_A": twin("registry.example.com/a@"+bundle, ""), "TWIN_SAME": twin("registry.example.com/b@"+bundle, ""),
		"TWIN_OTHER": twin("registry.example.com/a@"+other, ""),
		"TWIN_NEWER": twin("registry.example.com/c@"+other, "  annotations: {packaging.carvel.dev/revision: 1.0.1}\n"),
	}
}

// expand puts what the registry has in place of the words of a case.
func (a *airgap) expand(t *testing.T, text string) string {
	return os.Expand(text, func(word string) string {
		require.Contains(t, a.words, word)
		require.NotEmpty(t, a.words[word], word)
		return a.words[word]
	})
}

// contract puts the words back.
func (a *airgap) contract(text string) string {
	for _, word := range slices.Backward(slices.Sorted(maps.Keys(a.words))) { // REPO, which has HOST in it, before it
		text = strings.ReplaceAll(text, a.words[word], "$"+word)
	}
	return text
}

// sections cuts a case into what stands between the lines "-- NAME --".
func sections(text string) map[string]string {
	parts, name := map[string]string{}, ""
	for l := range strings.Lines(text) {
		if inner, found := strings.CutPrefix(l, "-- "); found && strings.HasSuffix(inner, " --\n") {
			name = strings.TrimSuffix(inner, " --\n")
			continue
		}
		parts[name] += l
	}
	return parts
}

// TestClusterCases: each finding of each case in testdata/cluster, at its line and its place.
func TestClusterCases(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	a := startAirgap(t)
	files, err := filepath.Glob("testdata/cluster/*.txtar")
	require.NoError(t, err)
	faults := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		parts := sections(string(text))
		objects := filepath.Join(t.TempDir(), "objects")
		require.NoError(t, os.WriteFile(objects, []byte(a.expand(t, parts["objects"])), 0o600))
		args := append([]string{"verify", "--repo", a.repo, "-f", objects}, strings.Fields(parts["args"])...)
		got := a.contract(summarizeCluster(t, tryRelocate(t, append(args, "-o", "json")...)))
		if *update {
			before, _, _ := strings.Cut(string(text), "-- want --\n")
			require.NoError(t, os.WriteFile(file, []byte(before+"-- want --\n"+got), 0o600))
			continue
		}
		assert.Equal(t, parts["want"], got, file)
		faults += strings.Count(parts["want"], "\n  ")
		printed := tryRelocate(t, args...)
		assert.Equal(t, strings.HasPrefix(printed.stdout, "OK: "), printed.status == 0, file)
		assert.NotContains(t, printed.stdout, "\x1b")
		assert.NotContains(t, printed.stdout, "\u202e")
		assert.NotContains(t, got+printed.stdout+printed.stderr, "hunter", "a value of a Secret")
	}
	for _, r := range a.Requests() {
		assert.Regexp(t, `^(200|404) GET /v2/(airgap/corp/(manifests|blobs)/.*)?$`, r)
	}
}

// summarizeCluster writes the report of verify -f as a case has it.
func summarizeCluster(t *testing.T, r result) string {
	t.Helper()
	var report objectsJSON
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &report), "%s\n%s", r.stdout, r.stderr)
	require.Equal(t, report.OK, r.status == 0)
	var b strings.Builder
	fmt.Fprintf(&b, "status %d\n%d objects, %d references: %d inside, %d allowed, %d running\n",
		r.status, report.Objects, report.References, report.Inside, report.Allowed, report.Running)
	if n := report.Rendered + report.NotRendered; n > 0 {
		fmt.Fprintf(&b, "%d of %d installs rendered\n", report.Rendered, n)
	}
	for _, f := range report.Findings {
		fmt.Fprintf(&b, "%d: %s: %s %s%s: %s\n", f.Line, f.Object, f.Level, f.Code, strings.TrimSuffix(", "+string(f.Basis), ", "), f.Path)
		for _, l := range slices.DeleteFunc([]string{f.Reference, f.Message, f.Action}, func(s string) bool { return s == "" }) {
			fmt.Fprintf(&b, "  %s\n", line(l))
		}
	}
	return b.String()
}

// TestClusterUsage: -f goes with --repo and little else; an input that proves nothing is an error that says
// where.
func TestClusterUsage(t *testing.T) {
	t.Parallel()
	canary := startCanary(t, "127.0.0.1:0")
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	good := file("good.yml", "kind: Pod\n")
	repo := []string{"--repo", canary.addr + "/x"}
	for name, c := range map[string]struct {
		args  []string
		parts []string
	}{
		"no-repo":  {[]string{"-f", good}, []string{"-f", "--repo"}},
		"archive":  {append(repo, "-f", good, "a.tar"), []string{"-f can be used only with --repo"}},
		"root":     {append(repo, "-f", good, "--root", digestOf("x")), []string{"-f can be used only with --repo"}},
		"level":    {append(repo, "-f", good, "--level", "deep"), []string{"-f can be used only with --repo"}},
		"allow":    {append(repo, "-f", good, "--allow", "https://quay.io"), []string{"--allow", "no host"}},
		"password": {append(repo, "-f", "-", "--registry-password-stdin"), []string{"standard input already has the objects"}},
		"jobs":     {append(repo, "-f", good, "--concurrency", "0"), []string{`"--concurrency"`, "between 1 and 256"}},
		"no-file":  {append(repo, "-f", filepath.Join(dir, "none.yml")), []string{"none.yml", "no such file"}},
		"empty":    {append(repo, "-f", file("empty.yml", "")), []string{"empty.yml", "it has no objects", "kubectl"}},
		"text":     {append(repo, "-f", file("text.yml", "kind: Pod\n---\n\n\x1b[2J: [\n")), []string{"read objects of ", "text.yml: document 2, line 2: "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := tryRelocate(t, append([]string{"verify"}, c.args...)...)
			assert.Equal(t, statusUsage, r.status, r.stderr)
			assertAll(t, r.stderr, c.parts...)
			assert.NotContains(t, r.stderr, "\x1b")
			assert.Empty(t, r.stdout)
		})
	}
	t.Cleanup(func() { canary.assertSilent(t) })
}

// TestClusterEmitted: what an import writes for kubectl passes, from a pipe; and the text says what hurts first.
func TestClusterEmitted(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	root := pushSample(t, src.Addr)
	repo := dst.Addr + "/airgap"
	emitted := mustRelocate(t, "-b", root, "--to-repo", repo).stdout
	src.Stop()
	verify := func(objects string, args ...string) result {
		return relocateInput(t, objects, append([]string{"verify", "--repo", repo, "-f", "-"}, args...)...)
	}
	r := verify(emitted)
	assert.Equal(t, "OK: everything that 1 object in standard input names is in "+repo+
		"\n  1 reference: 1 in the repository, 0 allowed elsewhere; 0 containers compared with what the nodes run\n"+
		"not proved:\n  that the content that the objects name is intact: relocate verify --repo, with the archive, checks that\n", r.stdout)
	assert.Zero(t, r.status, r.stderr)

	bad := strings.Replace(emitted, repo+"@", repo+":1.0.0 # ", 1) +
		"---\nkind: Pod\nmetadata: {name: web, namespace: default}\nspec: {containers: [{image: nginx}]}\n"
	r = verify(bad)
	assert.Equal(t, statusMissing, r.status)
	golden := strings.ReplaceAll(`NOT OK: not everything that 2 objects in standard input need comes from REPO: 1 breaks a pull, 1 warning
  2 references: 1 in the repository, 0 allowed elsewhere; 0 containers compared with what the nodes run
not proved:
  that the content that the objects name is intact: relocate verify --repo, with the archive, checks that
findings: 1 breaks a pull, 1 warning

Pod default/web
  pull         line 16, spec.containers[0].image (outside)
               nginx
               it is at index.docker.io/library/nginx, outside of REPO
               → copy it to REPO and refer to it there by digest, or allow its registry with --allow

PackageRepository kapp-controller-packaging-global/repository
  warning      line 12, spec.fetch.imgpkgBundle.image (not-pinned)
               REPO:1.0.0
`, "REPO", repo)
	require.True(t, strings.HasPrefix(r.stdout, golden), r.stdout)
	r = verify(bad, "-o", "yaml", "--allow", "docker.io")
	assert.Zero(t, r.status)
	assertAll(t, r.stdout, "ok: true", "code: not-pinned", "allowed: 1")
	r = verify(bad, "--allow", "docker.io")
	assert.True(t, strings.HasPrefix(r.stdout, "OK: everything that 2 objects in standard input name is in "+repo+", or allowed to be elsewhere, except for 1 warning\n"), r.stdout)

	dst.Stop()
	r = verify(emitted)
	assert.Equal(t, statusFailed, r.status)
	assert.Empty(t, r.stdout)
}

// TestClusterMessage: what kapp-controller says is shown whole, with its lines, in each form of the report.
func TestClusterMessage(t *testing.T) {
	t.Parallel()
	dst := startReal(t)
	long := strings.Repeat("long ", 200) + "end"
	dir := t.TempDir()
	r := relocateInput(t, `kind: PackageInstall
apiVersion: packaging.carvel.dev/v1alpha1
metadata: {name: web, namespace: shop}
status:
  conditions:
  - type: ReconcileFailed
    status: "True"
    message: "Deploying: Error (see .status.usefulErrorMessage for details)"
  usefulErrorMessage: |
    kapp: Error: waiting on reconcile:
      - `+long+`

    <b>and more
`, "verify", "--repo", dst.Addr+"/x", "-f", "-", "-o", "json", "--report", filepath.Join(dir, "report.html"))
	assert.Equal(t, statusMissing, r.status)
	says := "kapp-controller cannot reconcile it:\nDeploying: Error\nkapp: Error: waiting on reconcile:\n  - " + long + "\n\n<b>and more"
	var got objectsJSON
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &got))
	require.Len(t, got.Findings, 2)
	f := got.Findings[1]
	assert.Equal(t, []string{"failed", "install", says}, []string{string(f.Code), string(f.Level), f.Message})

	var text strings.Builder
	writeFinding(&text, report.Finding{Code: "failed", Level: report.Install, Message: f.Message + "\x1b"})
	assert.Contains(t, text.String(), "\n                 - "+long+"\n               <b>and more\ufffd\n")
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	require.NoError(t, err)
	assert.Contains(t, string(page), "<br>  - "+long+"<br>&lt;b&gt;and more")
}

// relocateInput runs the program with a text as its standard input.
func relocateInput(t *testing.T, input string, args ...string) result {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd := newRoot()
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	status := 0
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		status, _, _ = judge(t.Context(), err)
	}
	return result{status, stdout.String(), stderr.String()}
}
