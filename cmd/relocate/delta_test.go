package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/inventory"
	"relocate/testdata/hostileregistry"
	"relocate/testdata/realregistry"
)

// upgrades is a package repository in three versions, and what each brings: "base" is a layer of all
// images, and each version has one of its own. Version 1.2.0 still has the package of version 1.1.0.
type upgrades struct {
	t      *testing.T
	src    *realregistry.Registry
	layers map[string]string // content → digest
	roots  map[string]string // version → digest
}

var upgradeVersions = []string{"1.0.0", "1.1.0", "1.2.0"}

// pushUpgrades pushes the three versions to a new registry.
func pushUpgrades(t *testing.T) *upgrades {
	t.Helper()
	u := &upgrades{t: t, src: startReal(t), layers: map[string]string{}, roots: map[string]string{}}
	s := site{t: t, host: u.src.Addr}
	content := func(name string) string {
		text := strings.Repeat(name+"\n", 20_000)
		u.layers[name] = digestOf(text)
		return text
	}
	packages := map[string]string{} // version → reference of the package's bundle
	for i, version := range upgradeVersions {
		image := s.ref("img/app", s.image("img/app", version, content("base"), content(version)))
		packages[version] = s.ref("pkg/a", s.bundle("pkg/a", version, nil, image))
		files, locked := map[string]string{}, []string{}
		for _, v := range upgradeVersions[max(0, i-1) : i+1] {
			files["packages/"+v+".yml"] = packageText("a.corp.com", v, packages[v])
			locked = append(locked, packages[v])
		}
		u.roots[version] = s.bundle("roots/main", version, files, locked...).Digest.String()
	}
	return u
}

// export exports a version.
func (u *upgrades) export(version string, args ...string) string {
	u.t.Helper()
	return export(u.t, append([]string{u.src.Addr + "/roots/main:" + version}, args...)...)
}

// carried returns which of the layers an archive has.
func (u *upgrades) carried(file string) (list []string) {
	u.t.Helper()
	f, err := os.Open(file)
	require.NoError(u.t, err)
	defer f.Close()
	members := map[string]bool{}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		require.NoError(u.t, err)
		members[strings.TrimPrefix(h.Name, "blobs/sha256/")] = true
	}
	for name, digest := range u.layers {
		if members[strings.TrimPrefix(digest, "sha256:")] {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// sealIn returns the seal of an archive.
func sealIn(t *testing.T, file string) string {
	t.Helper()
	for _, l := range strings.Split(mustRelocate(t, "inspect", file).stdout, "\n") {
		if seal, ok := strings.CutPrefix(l, "seal "); ok {
			return seal
		}
	}
	require.Fail(t, "no seal")
	return ""
}

// writeInventory writes an inventory to a file.
func writeInventory(t *testing.T, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "inventory.txt")
	require.NoError(t, os.WriteFile(file, []byte(mustRelocate(t, append([]string{"inventory"}, args...)...).stdout), 0o600))
	return file
}

// assertMissing checks that an import wrote nothing, because these layers of a base are missing.
func (u *upgrades) assertMissing(dst *realregistry.Registry, r result, base string, layers ...string) {
	u.t.Helper()
	assert.Equal(u.t, statusMissing, r.status, r.stderr)
	assert.Empty(u.t, r.stdout)
	assertAll(u.t, r.stderr, "nothing was uploaded; missing: ", " layers that the archive assumes", "archive "+sealIn(u.t, base), "hint: import the archives that have them first")
	for name, digest := range u.layers {
		assert.Equal(u.t, slices.Contains(layers, name), strings.Contains(r.stderr, digest), "%s: %s", name, r.stderr)
	}
	noWrites(u.t, dst.Requests())
}

// TestDeltas: three archives in a row, of which each leaves out what those before it have: in every order,
// each of them twice, and without the one in the middle. An import is right, or says what is missing and
// which archive has it, and writes nothing.
func TestDeltas(t *testing.T) {
	skipShort(t)
	t.Parallel()
	u := pushUpgrades(t)
	files := map[string]string{}
	files["1.0.0"] = u.export("1.0.0")
	files["1.1.0"] = u.export("1.1.0", "--base", files["1.0.0"])
	files["1.2.0"] = u.export("1.2.0", "--base", files["1.0.0"], "--base", files["1.1.0"])
	assert.Equal(t, []string{"1.0.0", "base"}, u.carried(files["1.0.0"]))
	assert.Equal(t, []string{"1.1.0"}, u.carried(files["1.1.0"]))
	assert.Equal(t, []string{"1.2.0"}, u.carried(files["1.2.0"]))
	source := dumpReal(t, u.src, "")

	base10, base11 := "archive "+sealIn(t, files["1.0.0"])+" of "+u.src.Addr+"/roots/main:1.0.0", "archive "+sealIn(t, files["1.1.0"])+" of "+u.src.Addr+"/roots/main:1.1.0"
	assertAll(t, mustRelocate(t, "verify", files["1.2.0"]).stdout, "is complete and closed, given 1 layer (100.0 kB) of "+base10+" and 1 layer (120.0 kB) of "+base11,
		"that the destination has 2 layers that the archive assumes", "the roots need all of it, and nothing else but what it assumes")
	assertAll(t, mustRelocate(t, "inspect", files["1.2.0"]).stdout, "assumes: 1 layer (100.0 kB) of "+base10+"\n", "contents not verified")

	// Which archives an import needs, and which layers of which archive it names without them.
	needs := map[string]map[string][]string{"1.0.0": {}, "1.1.0": {"1.0.0": {"1.0.0", "base"}}, "1.2.0": {"1.0.0": {"base"}, "1.1.0": {"1.1.0"}}}
	for i, order := range [][]string{
		{"1.0.0", "1.1.0", "1.2.0"}, {"1.0.0", "1.2.0", "1.1.0", "1.2.0"}, {"1.1.0", "1.0.0", "1.1.0", "1.2.0"}, {"1.1.0", "1.2.0", "1.0.0", "1.1.0", "1.2.0"},
		{"1.2.0", "1.0.0", "1.1.0", "1.2.0"}, {"1.2.0", "1.1.0", "1.0.0", "1.1.0", "1.2.0"},
		{"1.0.0", "1.0.0", "1.1.0", "1.1.0", "1.2.0", "1.2.0", "1.0.0"},
	} {
		for name, start := range realRegistries {
			t.Run(fmt.Sprintf("%s %d", name, i), func(t *testing.T) {
				t.Parallel()
				u, dst := &upgrades{t, u.src, u.layers, u.roots}, start(t)
				repo, there := dst.Addr+"/private", map[string]bool{}
				for n, version := range order {
					dst.ResetRequests()
					r := tryRelocate(t, "--from-tar", files[version], "--to-repo", repo)
					var missing []string
					var from string
					for base, layers := range needs[version] {
						if !there[base] {
							missing, from = append(missing, layers...), base
						}
					}
					if len(missing) > 0 {
						u.assertMissing(dst, r, files[from], missing...)
						continue
					}
					require.Zero(t, r.status, r.stderr)
					if slices.Contains(order[:n], version) && there[version] {
						noWrites(t, dst.Requests())
					}
					there[version] = true
				}
				got := dumpReal(t, dst, "private")
				for version, digest := range u.roots {
					assert.Equal(t, digest, got.tags["private:"+version])
					mustRelocate(t, "verify", "--repo", repo, files[version], "--level", "deep")
				}
				for digest := range got.blobs {
					assert.True(t, source.blobs[digest] == got.blobs[digest] || source.blobs[digest] == "", digest)
				}
			})
		}
	}
}

// TestDeltaByInventory: what a destination says of itself is as good as the archives that it had, and is
// enough when one of them was lost. Text is all that goes back.
func TestDeltaByInventory(t *testing.T) {
	t.Parallel()
	for name, start := range realRegistries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, dst := pushUpgrades(t), start(t)
			repo := dst.Addr + "/private"
			first := u.export("1.0.0")
			mustRelocate(t, "--from-tar", first, "--to-repo", repo)
			list := writeInventory(t, "--repo", repo)
			text, err := os.ReadFile(list)
			require.NoError(t, err)
			assert.NotContains(t, string(text), dst.Addr)
			assert.NotContains(t, string(text), "private")
			assert.Equal(t, string(text), mustRelocate(t, "inventory", "--repo", repo).stdout, "it is always the same")
			assertInventory(t, dumpReal(t, dst, "private"), string(text), u.roots["1.0.0"])

			delta := u.export("1.2.0", "--have", list)
			assert.Equal(t, []string{"1.1.0", "1.2.0"}, u.carried(delta))
			dst.ResetRequests()
			r := mustRelocate(t, "--from-tar", delta, "--to-repo", repo)
			assertAll(t, r.stderr, "assumed          1 layer (100.0 kB), which the archive leaves out: a byte of each was read")
			assert.Contains(t, dst.Requests(), "206 GET /v2/private/blobs/"+u.layers["base"])
			mustRelocate(t, "verify", "--repo", repo, delta, "--level", "deep")

			assertAll(t, mustRelocate(t, "plan", "-b", u.src.Addr+"/roots/main:1.0.0", "--have", list, "--base", first).stderr, "nothing is left out because of the inventory ")
			assert.Equal(t, statusDifferent, tryRelocate(t, "diff", list, delta).status)
			of := writeInventory(t, first)
			assert.Equal(t, u.carried(u.export("1.2.0", "--base", first)), u.carried(u.export("1.2.0", "--have", of)))
		})
	}
}

// assertInventory compares an inventory with what a repository has.
func assertInventory(t *testing.T, has dump, text, root string) {
	t.Helper()
	list, err := inventory.Read(strings.NewReader(text))
	require.NoError(t, err)
	kinds := map[string]inventory.Kind{}
	for e := range list.All() {
		kinds[e.Digest.String()] = e.Kind
	}
	want := map[string]inventory.Kind{}
	for digest := range has.blobs {
		want[digest] = inventory.Blob
	}
	for digest := range has.manifests {
		want[digest] = inventory.Manifest
	}
	want[root] = inventory.Root
	assert.Equal(t, want, kinds)
}

// TestDeltaCollected: a layer that is assumed, and that the destination's garbage collector took, is missed
// before anything is written, though the registry has the manifests that need it.
func TestDeltaCollected(t *testing.T) {
	t.Parallel()
	for name, start := range realRegistries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, dst := pushUpgrades(t), start(t)
			repo := dst.Addr + "/private"
			first := u.export("1.0.0")
			delta := u.export("1.1.0", "--base", first)
			mustRelocate(t, "--from-tar", first, "--to-repo", repo)
			hex := strings.TrimPrefix(u.layers["base"], "sha256:")
			require.NoError(t, os.RemoveAll(filepath.Join(dst.Dir, "docker/registry/v2/blobs/sha256", hex[:2], hex)))
			for _, trust := range []string{"manifests", "nothing"} {
				dst.ResetRequests()
				u.assertMissing(dst, tryRelocate(t, "--from-tar", delta, "--to-repo", repo, "--trust-registry", trust), first, "base")
			}
			mustRelocate(t, "--from-tar", first, "--to-repo", repo, "--trust-registry", "nothing")
			mustRelocate(t, "--from-tar", delta, "--to-repo", repo)
			mustRelocate(t, "verify", "--repo", repo, delta, "--level", "deep")
		})
	}
}

// TestDeltaHeadLies: a registry that answers a HEAD with 200 for a blob that only another repository has,
// as zot does. A byte is read, and so the layer is missed.
func TestDeltaHeadLies(t *testing.T) {
	t.Parallel()
	u, dst := pushUpgrades(t), hostileregistry.Start(t)
	first := u.export("1.0.0")
	delta := u.export("1.1.0", "--base", first)
	mustRelocate(t, "--from-tar", first, "--to-repo", dst.Addr+"/other")
	dst.Behave(func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
		if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/blobs/") {
			r.URL.Path = strings.Replace(r.URL.Path, "/private/", "/other/", 1)
		}
		next(w, r)
	})
	r := tryRelocate(t, "--from-tar", delta, "--to-repo", dst.Addr+"/private")
	assert.Equal(t, statusMissing, r.status, r.stderr)
	assertAll(t, r.stderr, "missing: 2 of the 2 layers", u.layers["base"], u.layers["1.0.0"])
}

// TestDeltaFromStream: a delta that arrives once is refused before its layers are read.
func TestDeltaFromStream(t *testing.T) {
	t.Parallel()
	u, dst := pushUpgrades(t), startReal(t)
	first := u.export("1.0.0")
	delta, err := os.ReadFile(u.export("1.1.0", "--base", first))
	require.NoError(t, err)
	repo := dst.Addr + "/private"
	r, _ := importBytes(t, strings.NewReader(string(delta)), "--to-repo", repo)
	u.assertMissing(dst, r, first, "1.0.0", "base")
	mustRelocate(t, "--from-tar", first, "--to-repo", repo)
	r, _ = importBytes(t, strings.NewReader(string(delta)), "--to-repo", repo)
	require.Zero(t, r.status, r.stderr)
	mustRelocate(t, "verify", "--repo", repo+":1.1.0", "--level", "deep")
}

// TestDeltaRehearsedAndServed: rehearse and serve take what a delta assumes from its bases, and refuse it
// without them.
func TestDeltaRehearsedAndServed(t *testing.T) {
	t.Parallel()
	u := pushUpgrades(t)
	first := u.export("1.0.0")
	delta := u.export("1.1.0", "--base", first)
	assertAll(t, mustRelocate(t, "rehearse", delta, "--base", first).stdout, "OK: ", "can be imported into", "given 2 layers (220.0 kB) of archive "+sealIn(t, first))
	for _, args := range [][]string{{"rehearse", delta}, {"serve", "--listen", "127.0.0.1:0", delta}, {"rehearse", delta, "--base", u.export("1.1.0", "--base", first)}} {
		r := tryRelocate(t, args...)
		assert.Equal(t, statusMissing, r.status, r.stderr)
		assertAll(t, r.stderr, "missing: 2 of the 2 layers that the archive assumes", "archive "+sealIn(t, first), u.layers["base"], "--base")
	}
	for name, args := range map[string][]string{"a base": {delta, "--base", first}, "another archive": {first, delta, "--as", "all"}} {
		served := mustServe(t, args...)
		path := map[string]string{"a base": "/roots/main", "another archive": "/all"}[name]
		image, err := crane.Pull(served.host + "/img/app@" + u.imageOf("1.1.0"))
		require.NoError(t, err)
		layers, err := image.Layers()
		require.NoError(t, err)
		require.Len(t, layers, 2)
		for _, layer := range layers {
			r, err := layer.Compressed()
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, r)
			require.NoError(t, err, name)
		}
		assert.Equal(t, u.roots["1.1.0"], dumpRepositories(t, served.host, strings.TrimPrefix(path, "/")).tags[strings.TrimPrefix(path, "/")+":1.1.0"])
	}
}

// TestDeltaOfDamagedBase: a byte of an assumed layer that was flipped in its base is damage of that base, which
// rehearse finds before it imports anything.
func TestDeltaOfDamagedBase(t *testing.T) {
	t.Parallel()
	u := pushUpgrades(t)
	first := u.export("1.0.0")
	delta := u.export("1.1.0", "--base", first)
	raw, err := os.ReadFile(first)
	require.NoError(t, err)
	at := bytes.Index(raw, []byte("base\nbase\n"))
	require.Positive(t, at, "the layer is not compressed")
	flipIn(t, first, int64(at), false)
	r := tryRelocate(t, "rehearse", delta, "--base", first)
	assertFailed(t, r, statusDamage, first+" ", u.layers["base"], "hint: the file was changed after it was written")
	assert.NotContains(t, r.stderr, "embedded-registry")
}

// TestDeltaOfDelta: what a base that is named assumes itself is missed of the archive that it assumes it of.
func TestDeltaOfDelta(t *testing.T) {
	skipShort(t)
	t.Parallel()
	u := pushUpgrades(t)
	first := u.export("1.0.0")
	second := u.export("1.1.0", "--base", first)
	third := u.export("1.2.0", "--base", second)
	mustRelocate(t, "rehearse", third, "--base", first, "--base", second)
	for _, args := range [][]string{{"rehearse", third, "--base", second}, {"serve", "--listen", "127.0.0.1:0", third, "--base", second}} {
		r := tryRelocate(t, args...)
		assertFailed(t, r, statusMissing, "missing: 1 of the 2 layers that the archive assumes\n  1 layer (100.0 kB) of archive "+sealIn(t, first)+" of "+u.src.Addr+"/roots/main:1.0.0:\n", u.layers["base"])
		assert.NotContains(t, r.stderr, sealIn(t, second))
	}
	r := tryRelocate(t, "rehearse", third, "--base", first)
	assertFailed(t, r, statusMissing, "missing: 1 of the 2 layers", "archive "+sealIn(t, second), u.layers["1.1.0"])
}

// imageOf returns the digest of a version's image.
func (u *upgrades) imageOf(version string) string {
	return dumpReal(u.t, u.src, "img").tags["img/app:"+version]
}

// TestDeltaPlan: plan says what an export with the same bases would leave out, and its exact size.
func TestDeltaPlan(t *testing.T) {
	t.Parallel()
	u := pushUpgrades(t)
	first := u.export("1.0.0")
	delta := u.export("1.1.0", "--base", first)
	info, err := os.Stat(delta)
	require.NoError(t, err)
	r := mustRelocate(t, "plan", "-b", u.src.Addr+"/roots/main:1.1.0", "--base", first)
	assertAll(t, r.stdout, fmt.Sprintf("archive    %d bytes", info.Size()), "assumes: 2 layers (220.0 kB) of archive "+sealIn(t, first))
	config := filepath.Join(t.TempDir(), "crossing.yml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "apiVersion: relocate/v1alpha1\nkind: Crossing\nroots:\n- bundle: %s/roots/main:1.1.0\nbases: [%s]\n", u.src.Addr, first), 0o600))
	assert.Equal(t, r.stdout, mustRelocate(t, "plan", "--config", config).stdout)
	asJSON, asYAML := formats(t, []string{"plan", "-b", u.src.Addr + "/roots/main:1.1.0", "--base", first})
	assert.Equal(t, asJSON["bases"], asYAML["bases"])
	assert.Len(t, asJSON["bases"], 1)
}

// TestDeltaUsage: what cannot be a delta, or its base, is refused with what to do.
func TestDeltaUsage(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	u := pushUpgrades(t)
	root := u.src.Addr + "/roots/main:1.0.0"
	first, imgpkg := u.export("1.0.0"), u.export("1.0.0", "--tar-format", "imgpkg")
	list := writeInventory(t, first)
	text, err := os.ReadFile(list)
	require.NoError(t, err)
	cut := filepath.Join(t.TempDir(), "cut.txt")
	require.NoError(t, os.WriteFile(cut, text[:strings.LastIndex(string(text), "end")], 0o600))
	to := filepath.Join(t.TempDir(), "to.tar")
	for _, test := range []struct {
		args   []string
		status int
		says   []string
	}{
		{[]string{"-b", root, "--to-tar", to, "--tar-format", "imgpkg", "--have", list}, statusUsage, []string{"--tar-format imgpkg", "imgpkg needs all layers"}},
		{[]string{"plan", "-b", root, "--tar-format", "imgpkg", "--base", first}, statusUsage, []string{"imgpkg needs all layers"}},
		{[]string{"-b", root, "--to-repo", u.src.Addr + "/x", "--have", list}, statusUsage, []string{"--have and --base need --to-tar"}},
		{[]string{"-b", root, "--to-tar", to, "--base", imgpkg}, statusUsage, []string{imgpkg, "no seal", "hint: write its inventory to a file with relocate inventory"}},
		{[]string{"-b", root, "--to-tar", to, "--base", list}, statusUsage, []string{"--base: ", "is not an archive"}},
		{[]string{"-b", root, "--to-tar", to, "--have", first}, statusDamage, []string{"--have: ", "is not an inventory", "hint: name a file written by relocate inventory"}},
		{[]string{"-b", root, "--to-tar", to, "--have", cut}, statusDamage, []string{"is cut off after line", "transfer it again"}},
		{[]string{"-b", root, "--to-tar", to, "--have", "none.txt"}, statusUsage, []string{"none.txt"}},
		{[]string{"inventory"}, statusUsage, []string{"name an archive, or a repository with --repo"}},
		{[]string{"inventory", root}, statusUsage, []string{"name a repository with --repo"}},
		{[]string{"inventory", first, "--repo", u.src.Addr + "/x"}, statusUsage, []string{"cannot be used together"}},
		{[]string{"inventory", "--repo", u.src.Addr + "/none"}, statusMissing, []string{"list the tags of", "does not exist, or has no tags\n", "hint: check the spelling of --repo"}},
	} {
		r := tryRelocate(t, test.args...)
		assert.Equal(t, test.status, r.status, "%v: %s", test.args, r.stderr)
		assertAll(t, r.stderr, test.says...)
		assert.NoFileExists(t, to)
	}
	of := writeInventory(t, imgpkg)
	assert.Empty(t, u.carried(u.export("1.0.0", "--have", of)), "an inventory of imgpkg's tar is as good")
	assertAll(t, mustRelocate(t, "inventory", first).stderr, "contents not verified: layers were not read")
}

// TestBaseIsTarget: an archive is not replaced by a delta that assumes what only it has.
func TestBaseIsTarget(t *testing.T) {
	t.Parallel()
	root := pushSample(t, startMemory(t, nil))
	file := export(t, root)
	before := digestOfFile(t, file)
	link := filepath.Join(t.TempDir(), "link.tar")
	require.NoError(t, os.Symlink(file, link))
	for _, base := range []string{file, link} {
		assertFailed(t, tryRelocate(t, "-b", root, "--to-tar", file, "--base", base), statusUsage, "--base and --to-tar name the same file")
	}
	list := filepath.Join(t.TempDir(), "inventory.txt")
	require.NoError(t, os.WriteFile(list, []byte(mustRelocate(t, "inventory", file).stdout), 0o600))
	for _, args := range [][]string{{"verify", file}, {"rehearse", file}, {"diff", file, list}, {"plan", "-b", root, "--base", file}, {"plan", "-b", root}, {"-b", root, "--to-tar", file + "2", "--base", file}} {
		assertFailed(t, tryRelocate(t, append(args, "--report", file)...), statusUsage, "--report "+file+": is an archive, which would be replaced")
		assertFailed(t, tryRelocate(t, append(args, "--report", list)...), statusUsage, "is an inventory, which would be replaced")
	}
	assert.Equal(t, before, digestOfFile(t, file))
}

// TestInventoryAsBase: an inventory in place of an archive, and an import into another repository than that of
// the inventory. Which files a crossing file needs behind the gap.
func TestInventoryAsBase(t *testing.T) {
	skipShort(t)
	t.Parallel()
	u, dst := pushUpgrades(t), startReal(t)
	first, repo := u.export("1.0.0"), dst.Addr+"/a/main"
	mustRelocate(t, "--from-tar", first, "--to-repo", repo)
	list := writeInventory(t, "--repo", repo)
	delta := u.export("1.1.0", "--have", list)
	for _, command := range []string{"rehearse", "serve"} {
		assertFailed(t, tryRelocate(t, command, delta, "--base", list), statusUsage, "--base: "+list+" is not an archive", "hint: an inventory has no layers; name the archives that were imported\n")
	}
	assertFailed(t, tryRelocate(t, "-b", u.src.Addr+"/roots/main:1.1.0", "--to-tar", filepath.Join(t.TempDir(), "a.tar"), "--base", list), statusUsage, "hint: name an inventory with --have\n")
	const asks = "is this the repository that the inventory was made of?"
	assertFailed(t, tryRelocate(t, "--from-tar", delta, "--to-repo", dst.Addr+"/b/main"), statusMissing, "hint: import the archives", asks)
	r := tryRelocate(t, "rehearse", delta)
	assertFailed(t, r, statusMissing, "hint: import the archives")
	assert.NotContains(t, r.stderr, asks)
	r = tryRelocate(t, "--from-tar", u.export("1.1.0", "--base", first), "--to-repo", dst.Addr+"/b/main")
	assertFailed(t, r, statusMissing, "hint: import the archives")
	assert.NotContains(t, r.stderr, asks, "there is no inventory")
	mustRelocate(t, "rehearse", delta, "--base", first)

	file := writeConfig(t, "roots:\n- bundle: %s/roots/main:1.1.0\n  choose: {installed: none.yml}\nhave: [none.txt]\n", u.src.Addr)
	assertFailed(t, tryRelocate(t, "--config", file, "--from-tar", delta, "--to-repo", repo), statusUsage, "none.yml")
	file = writeConfig(t, "roots:\n- bundle: %s/roots/main:1.1.0\nhave: [none.txt]\nbases: [none.tar]\naccept: none.json\nrender:\n  values: {a.corp.com: none.yml}\n", u.src.Addr)
	mustRelocate(t, "--config", file, "--from-tar", delta, "--to-repo", repo)
	for _, c := range []struct{ name, key, command string }{
		{"none.json", "accept: none.json", "verify"}, {"none.yml", "render: {values: {a.corp.com: none.yml}}", "verify"}, {"none.tar", "bases: [none.tar]", "rehearse"},
	} {
		file := writeConfig(t, "roots:\n- bundle: %s/roots/main:1.1.0\n%s\n", u.src.Addr, c.key)
		assertFailed(t, tryRelocate(t, c.command, "--config", file, delta), statusUsage, c.name)
	}
	mustRelocate(t, "rehearse", "--config", writeConfig(t, "roots:\n- bundle: %s/roots/main:1.1.0\nbases: [%s]\nhave: [none.txt]\n", u.src.Addr, first), delta)
}
