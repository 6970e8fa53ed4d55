package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// manifestsSite is a registry with the image of kapp-controller, and a folder with its own manifests and a Config by which
// kbld finds the image there.
type manifestsSite struct {
	site
	folder, text string
}

func newManifestsSite(t *testing.T, host string) manifestsSite {
	t.Helper()
	s := manifestsSite{site: site{t: t, host: host}, folder: t.TempDir()}
	s.image("carvel/kapp-controller", "v0.53.1", "kapp-controller")
	s.text = string(readFile(t, "../../testdata/manifests/kapp-controller.yml"))
	s.write("release.yml", s.text)
	s.write("kbld.yml", "apiVersion: kbld.k14s.io/v1alpha1\nkind: Config\noverrides:\n- {image: kapp-controller, newImage: \""+host+"/carvel/kapp-controller:v0.53.1\"}\n")
	return s
}

func (s manifestsSite) write(name, text string) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(filepath.Join(s.folder, name), []byte(text), 0o600))
}

// assertInside checks that manifests are those of the site, but for the image, which is in repo.
func (s manifestsSite) assertInside(text, repo string) {
	s.t.Helper()
	got, want := strings.Split(strings.TrimPrefix(text, "---\n"), "\n"), strings.Split(s.text, "\n")
	require.Len(s.t, got, len(want))
	changed := 0
	for i := range want {
		if got[i] != want[i] {
			changed++
			assert.Equal(s.t, "        image: kapp-controller", want[i])
			assert.Regexp(s.t, "^        image: "+repo+"@sha256:[0-9a-f]{64}$", got[i])
		}
	}
	assert.Equal(s.t, 2, changed)
}

// TestManifests: kapp-controller's own manifests cross in one archive with a package repository, and come out with their
// image inside and nothing else changed.
func TestManifests(t *testing.T) {
	t.Parallel()
	s := newManifestsSite(t, startMemory(t, nil))
	root := pushSample(t, s.host)
	source := []string{"-b", root, "--manifests", "kc=" + s.folder}
	assertAll(t, mustRelocate(t, append([]string{"plan"}, source...)...).stdout, "relocate.invalid/manifests:kc\n", "  has plain manifests, kc; relocate emit --with manifests writes them\n")

	dir := t.TempDir()
	file, again := filepath.Join(dir, "all.tar"), filepath.Join(dir, "again.tar")
	mustRelocate(t, append([]string{"--to-tar", file, "--strict"}, source...)...)
	mustRelocate(t, append([]string{"--to-tar", again, "--concurrency", "1"}, source...)...)
	require.Equal(t, digestOfFile(t, file), digestOfFile(t, again), "the same bytes each time")
	assertAll(t, mustRelocate(t, "verify", file).stdout, "OK: ", " is complete and closed", "none of the 10 references")
	assertAll(t, mustRelocate(t, "rehearse", file).stdout, "OK: ", "the 10 references in 3 package versions and their files, and 1 set of plain manifests lead to it")

	inside := startMemory(t, nil)
	repo := inside + "/all"
	r := mustRelocate(t, "--from-tar", file, "--to-repo", repo)
	assertAll(t, r.stderr, "tagged           1.0.0, kc", "note: the repository also has plain manifests (kc): relocate emit FILE --with manifests writes them")
	mustRelocate(t, "verify", "--repo", repo, file, "--level", "deep")

	r = mustRelocate(t, "emit", file, "--to-repo", repo, "--with", "manifests")
	manifests, _, found := strings.Cut(r.stdout, "---\napiVersion: packaging.carvel.dev/v1alpha1\nkind: PackageRepository")
	require.True(t, found, "the PackageRepository is the last object")
	s.assertInside(manifests, repo)
	assert.NotContains(t, r.stderr, "addresses outside")
	all := filepath.Join(dir, "objects.yml")
	require.NoError(t, os.WriteFile(all, []byte(r.stdout), 0o600))
	assertAll(t, mustRelocate(t, "verify", "--repo", repo, "-f", all).stdout, "OK: everything that 18 objects")
	assertAll(t, mustRelocate(t, "emit", file, "--to-repo", repo).stderr, "note: the archive also has plain manifests: --with manifests writes them")
}

// TestManifestsFolder: in a folder the manifests are a file of their own, the first to apply. What emit writes, too, comes
// once, and keeps the settings that it has there.
func TestManifestsFolder(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newManifestsSite(t, startMemory(t, nil))
	s.write("release.yml", strings.Replace(s.text, `  httpProxy: ""`, `  httpProxy: "http://proxy.example:3128"`, 1))
	file, dir := filepath.Join(t.TempDir(), "kc.tar"), t.TempDir()
	mustRelocate(t, "-b", pushSample(t, s.host), "--manifests", "kc="+s.folder, "--to-tar", file)
	ca, _ := caFile(t)
	r := mustRelocate(t, "emit", file, "--to-repo", "registry.example/all", "--with", "manifests,namespace,ca", "--registry-ca-cert-path", ca, "-d", dir)
	assertAll(t, r.stderr, "first run kubectl apply -f "+dir+"/manifests.kc.yml && kubectl wait --for=condition=Established crd --all",
		"note: the Pods of the manifests kc name no Secret for registry.example", "note: the Secret kapp-controller-config of the manifests kc is left out: another one is written in its place")
	assert.Equal(t, []string{"kustomization.yaml", "manifests.kc.yml", "packagerepository.kapp-controller-packaging-global.repository.yml",
		"secret.kapp-controller.kapp-controller-config.yml"}, slicesWithout(namesIn(t, dir), ".relocate-emit"))
	assert.Contains(t, string(readFile(t, filepath.Join(dir, "kustomization.yaml"))), "resources:\n- manifests.kc.yml\n- secret.")
	secret := string(readFile(t, filepath.Join(dir, "secret.kapp-controller.kapp-controller-config.yml")))
	assertAll(t, secret, "caCerts: |", "httpProxy: http://proxy.example:3128")
	manifests := string(readFile(t, filepath.Join(dir, "manifests.kc.yml")))
	assert.NotContains(t, manifests, "name: kapp-controller-config")
	assert.Contains(t, manifests, "kind: Namespace\nmetadata:\n  name: kapp-controller-packaging-global\n")
}

// slicesWithout returns the names that do not begin with a prefix.
func slicesWithout(names []string, prefix string) (left []string) {
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			left = append(left, name)
		}
	}
	return left
}

// TestManifestsAlone: manifests cross without a package repository: in an archive of imgpkg's format, in a crossing file,
// and from registry to registry.
func TestManifestsAlone(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newManifestsSite(t, startMemory(t, nil))
	dir, repo := t.TempDir(), startMemory(t, nil)+"/kc"
	file := filepath.Join(dir, "imgpkg.tar")
	mustRelocate(t, "--manifests", "kc="+s.folder, "--to-tar", file, "--tar-format", "imgpkg")
	s.assertInside(mustRelocate(t, "emit", file, "--to-repo", repo, "--with", "manifests").stdout, repo)
	for _, other := range []string{"localhost/kc", "r.example/x"} { // which kbld takes for other names, or refuses
		s.assertInside(mustRelocate(t, "emit", file, "--to-repo", other, "--with", "manifests").stdout, other)
	}
	assertFailed(t, tryRelocate(t, "emit", file, "--to-repo", repo), statusUsage, "contains no package repository, but plain manifests: add --with manifests")

	config := filepath.Join(dir, "crossing.yml")
	require.NoError(t, os.WriteFile(config, []byte("apiVersion: relocate/v1alpha1\nkind: Crossing\nroots:\n- manifests: {kc: \""+s.folder+"\"}\ndestination: {repository: "+repo+"}\n"), 0o600))
	file = filepath.Join(dir, "kc.tar")
	mustRelocate(t, "--config", config, "--to-tar", file)
	require.NoError(t, os.Rename(s.folder, s.folder+".gone")) // the other side has the file only
	mustRelocate(t, "--config", config, "--from-tar", file)
	s.assertInside(mustRelocate(t, "emit", "--config", config, file, "--with", "manifests").stdout, repo)
	require.NoError(t, os.Rename(s.folder+".gone", s.folder))

	r := mustRelocate(t, "--manifests", "kc="+s.folder, "--to-repo", startMemory(t, nil)+"/copied")
	assertAll(t, r.stderr, "plain manifests (kc): imgpkg pull -b ")
	assertFailed(t, tryRelocate(t, "emit", export(t, pushSample(t, s.host)), "--to-repo", repo, "--with", "manifests"), statusUsage, "has none; export them with --manifests")
}

// TestManifestsRefused: what is not found, or cannot be replaced, is said with the file and the line before anything is
// copied; what kbld does not find is reported, and --strict fails.
func TestManifestsRefused(t *testing.T) {
	t.Parallel()
	s := newManifestsSite(t, startMemory(t, nil))
	file := filepath.Join(t.TempDir(), "kc.tar")
	try := func(more ...string) result {
		return tryRelocate(t, append([]string{"--manifests", "kc=" + s.folder, "--to-tar", file}, more...)...)
	}
	pod := "apiVersion: v1\nkind: Pod\nspec:\n  args: [--acme-http01-solver-image=quay.io/jetstack/cert-manager-acmesolver:v1.16.2]\n"
	s.write("pod.yml", pod)
	assertFailed(t, try("--strict"), statusMissing, "config/pod.yml:4 (outside-key, text)", "add a kbld Config with a searchRule for this value to the manifests")
	mustRelocate(t, "--manifests", "kc="+s.folder, "--to-tar", file)
	assertAll(t, mustRelocate(t, "emit", file, "--to-repo", "registry.example/all", "--with", "manifests").stderr,
		"note: the manifests still name images or addresses outside, or may (1 reference): relocate verify "+file+" lists them")
	require.NoError(t, os.Remove(file))
	s.write("pod.yml", "apiVersion: v1\nkind: Secret\ndata: {v.yml: aW1hZ2U6IHF1YXkuaW8vc2VjcmV0L3o6Mgo=}\n")
	assertFailed(t, try("--strict"), statusMissing, "config/pod.yml:3 (outside-key, text)", "quay.io/secret/z:2", "in base64, in data.v.yml", "as text first (stringData)")
	s.write("pod.yml", "apiVersion: v1\nkind: ConfigMap\nimage: "+s.host+"/carvel/kapp-controller:v0.53.1\nitems: [{apiVersion: v1, kind: Pod}]\n")
	assertFailed(t, try("--strict"), statusMissing, "config/pod.yml:3 (not-locked, text)", "what a kbld Config beside the files adds with searchRules or overrides")
	s.write("pod.yml", pod+"  image: "+s.host+"/no/such:1\n")
	assertFailed(t, try(), statusMissing, "find "+s.host+"/no/such:1, referenced by config/pod.yml:5 of the manifests kc", "add a kbld Config to the manifests whose override")
	s.write("pod.yml", pod+"  image: \"\\u0061/b:1\"\n")
	assertFailed(t, try(), statusUsage, `--manifests kc=`+s.folder+`: pod.yml: line 5: "a/b:1" cannot be replaced in the text`)
	assertFailed(t, try("--manifests", "kc="+s.folder), statusUsage, "pod.yml: line 5")
	s.write("pod.yml", pod)
	assertFailed(t, try("--manifests", "kc="+s.folder), statusUsage, "two sets of manifests have the name kc")
	assert.NoFileExists(t, file)
}

// TestManifestsResume: an export with manifests continues, and says when an image has moved; with other files it is
// another export.
func TestManifestsResume(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	s := newManifestsSite(t, startMemory(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if broken.Load() && strings.HasSuffix(r.URL.Path, digestOf([]byte("kapp-controller"))) {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			h.ServeHTTP(w, r)
		})
	}))
	dir := t.TempDir()
	whole, file := filepath.Join(dir, "whole.tar"), filepath.Join(dir, "kc.tar")
	args := []string{"--manifests", "kc=" + s.folder, "--to-tar"}
	mustRelocate(t, append(args, whole)...)
	broken.Store(true)
	require.Equal(t, statusPartly, tryRelocate(t, append(args, file, "--keep-going")...).status)
	broken.Store(false)

	s.write("other.yml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n")
	assertFailed(t, tryRelocate(t, append(args, file)...), statusUsage, "cannot be continued")
	require.NoError(t, os.Remove(filepath.Join(s.folder, "other.yml")))
	s.image("carvel/kapp-controller", "v0.53.1", "another")
	r := mustRelocate(t, append(args, file)...)
	assertAll(t, r.stderr, "note: continues with ", "note: relocate.invalid/manifests:kc has moved to ")
	assert.Equal(t, digestOfFile(t, whole), digestOfFile(t, file))
}

// TestManifestsPlatforms: where new indexes are made for the platforms, the manifests name those.
func TestManifestsPlatforms(t *testing.T) {
	t.Parallel()
	s, folder := newPlatformSite(t, startMemory(t, nil)), t.TempDir()
	index := s.ref(platformsRepo, s.index)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "pod.yml"), []byte("apiVersion: v1\nkind: Pod\nspec: {image: \""+index+"\"}\n"), 0o600))
	for _, mode := range []string{"sparse", "derive"} {
		file := filepath.Join(t.TempDir(), mode+".tar")
		args := []string{"--manifests", "pod=" + folder, "--platform", "linux/amd64", "--platform-mode", mode, "--to-tar", file}
		mustRelocate(t, args...)
		mustRelocate(t, "verify", file)
		text := mustRelocate(t, "emit", file, "--to-repo", "registry.example/all", "--with", "manifests").stdout
		assertAll(t, text, "spec: {image: \"registry.example/all@sha256:")
		assert.Equal(t, mode == "sparse", strings.Contains(text, s.index.Digest.String()), text)
	}
}

// TestManifestsTwice: two sets are made apart: one name can mean another image in each, and each is the bundle that it is alone.
func TestManifestsTwice(t *testing.T) {
	t.Parallel()
	s := site{t: t, host: startMemory(t, nil)}
	var args []string
	images := map[string]string{}
	for _, name := range []string{"one", "two"} {
		images[name] = s.image("corp/"+name, "1", name).Digest.String()
		folder := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(folder, "pod.yml"), []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: "+name+"}\nspec: {image: app}\n---\n"+
			"apiVersion: kbld.k14s.io/v1alpha1\nkind: Config\noverrides:\n- {image: app, newImage: \""+s.host+"/corp/"+name+":1\"}\n"), 0o600))
		args = append(args, "--manifests", name+"="+folder)
	}
	dir := t.TempDir()
	both, alone := filepath.Join(dir, "both.tar"), filepath.Join(dir, "alone.tar")
	mustRelocate(t, append(args, "--to-tar", both)...)
	mustRelocate(t, append(args[:2], "--to-tar", alone)...)
	text := mustRelocate(t, "emit", both, "--to-repo", "r.example/all", "--with", "manifests").stdout
	assertAll(t, text, "metadata: {name: one}\nspec: {image: r.example/all@"+images["one"]+"}\n", "metadata: {name: two}\nspec: {image: r.example/all@"+images["two"]+"}\n")
	_, of, _ := strings.Cut(mustRelocate(t, "inspect", alone).stdout, "relocate.invalid/manifests:one\n")
	digest, _, _ := strings.Cut(of, "\n")
	assertAll(t, mustRelocate(t, "inspect", both).stdout, digest)
}

// TestManifestsPrune: an old archive that is dropped takes no manifests away that a newer one has, too. Dropping their tag does.
func TestManifestsPrune(t *testing.T) {
	t.Parallel()
	s := newManifestsSite(t, startMemory(t, nil))
	repo, dir := startReal(t).Addr+"/all", t.TempDir()
	archives := map[string]string{}
	for _, version := range []string{"1.0.0", "1.1.0"} {
		pkg := s.ref("corp/a", s.bundle("corp/a", version, map[string]string{"config/a.yml": "version: " + version + "\n"}))
		s.bundle("corp/repository", version, map[string]string{"packages/a.yml": packageText("a.corp.com", version, pkg)}, pkg)
		archives[version] = filepath.Join(dir, version+".tar")
		mustRelocate(t, "-b", s.host+"/corp/repository:"+version, "--manifests", "kc="+s.folder, "--to-tar", archives[version])
		mustRelocate(t, "--from-tar", archives[version], "--to-repo", repo)
	}
	assertAll(t, mustRelocate(t, "prune", "--repo", repo, "--drop", archives["1.0.0"], "--yes").stdout, "which stays: needed by kc", "roots kept  1.1.0, kc")
	assertAll(t, mustRelocate(t, "verify", "--repo", repo, archives["1.1.0"]).stdout, "OK: ")
	mustRelocate(t, "prune", "--repo", repo, "--drop", "kc", "--yes")
	assert.Equal(t, statusMissing, tryRelocate(t, "verify", "--repo", repo, archives["1.1.0"]).status)
}
