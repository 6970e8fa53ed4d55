package leak_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/yamlnode"
	"relocate/report"
	"relocate/testdata/interop"
	"relocate/verify/leak"
)

const emptyLock = "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\n"

func resolve(t *testing.T, target leak.Target, repo string, opt leak.Options, roots ...v1.Hash) (*leak.Report, error) {
	t.Helper()
	r, err := name.NewRepository(repo)
	require.NoError(t, err)
	return leak.Resolve(t.Context(), target, r, roots, opt)
}

// What imgpkg relocated ends inside, and so does what it relocated from.
func TestImgpkgsRepository(t *testing.T) {
	t.Parallel()
	relocated, err := interop.Destination()
	require.NoError(t, err)
	root, err := v1.NewHash(interop.Root)
	require.NoError(t, err)
	var reads atomic.Int32
	got, err := resolve(t, relocated.Repo(interop.Relocated), interop.Relocated, leak.Options{Jobs: 4, Read: func() { reads.Add(1) }}, root)
	require.NoError(t, err)
	want := leak.Report{Scan: report.Scan{Packages: 3, PackagesAsText: 3, Bundles: 5, Files: got.Files, References: got.References, Inside: got.References - 1,
		Manifests: got.Manifests, IDs: got.IDs, IDsFound: got.IDsFound}, Findings: got.Findings}
	assert.Equal(t, want, *got)
	assert.Equal(t, int32(got.Bundles+got.Manifests), reads.Load())
	said := []string{"warning not-locked config/cm.yml:6"} // "sidecar", in the bundle that others nest: of no registry
	assert.Equal(t, said, codes(got))
	assert.NotZero(t, got.IDsFound)

	src, err := interop.Source()
	require.NoError(t, err)
	ref, err := name.NewDigest(interop.Repository + "@" + interop.Root)
	require.NoError(t, err)
	g, err := bundle.Walk(t.Context(), src, []name.Reference{ref}, bundle.WalkOptions{})
	require.NoError(t, err)
	scanned, err := leak.Scan(t.Context(), src, g, leak.Options{Jobs: 4})
	require.NoError(t, err)
	assert.Equal(t, got.Files, scanned.Files)
	assert.Equal(t, got.Inside, scanned.Inside)
	assert.Equal(t, said, codes(scanned))
}

// Everything of a package that is right is counted.
func TestCounts(t *testing.T) {
	t.Parallel()
	target := startTarget(t)
	c := readSeeded(t, "testdata/repository/clean-shared.txtar", target.repo.Name())
	target.fill(c)
	got, err := leak.Resolve(t.Context(), target, target.repo, c.hashes([]string{root}), leak.Options{})
	require.NoError(t, err)
	// Two versions, one bundle for both, a nested one, two files; two fetches and two images.
	assert.Equal(t, &leak.Report{Scan: report.Scan{Packages: 2, PackagesAsText: 2, Bundles: 3, Files: 2, References: 4, Inside: 4, Manifests: 7, IDs: 3, IDsFound: 2}}, got)
	assert.Empty(t, got.Findings)
}

// What cannot be asked is an error, not a finding.
func TestBrokenNetwork(t *testing.T) {
	t.Parallel()
	for _, after := range []int{0, 1, 3, 5, 7} {
		target := startTarget(t)
		c := readSeeded(t, "testdata/repository/clean-simple.txtar", target.repo.Name())
		target.fill(c)
		seen := 0
		target.refuse = func() int {
			if seen++; seen > after {
				return http.StatusInternalServerError
			}
			return 0
		}
		_, err := leak.Resolve(t.Context(), target, target.repo, c.hashes([]string{root}), leak.Options{})
		require.Error(t, err, "after %d answers", after)
	}
	target := startTarget(t)
	target.server.Close()
	_, err := leak.Resolve(t.Context(), target, target.repo, []v1.Hash{{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}}, leak.Options{})
	require.Error(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	repo := memory()
	bundled := repo.PutBundle(map[string]string{carvel.LockFile: emptyLock})
	_, err = leak.Resolve(ctx, repo, bundled.Context(), []v1.Hash{interop.Hash(bundled)}, leak.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

// A registry that does not show the root has no word to say about it.
func TestRootDenied(t *testing.T) {
	t.Parallel()
	target := startTarget(t)
	c := readSeeded(t, "testdata/repository/clean-simple.txtar", target.repo.Name())
	target.fill(c)
	target.denied[c.refs[root].DigestStr()] = true
	_, err := leak.Resolve(t.Context(), target, target.repo, c.hashes([]string{root}), leak.Options{})
	require.ErrorIs(t, err, fs.ErrPermission)
}

// memory returns a repository in memory as a target.
func memory() *interop.Repo { return new(interop.Registry).Repo("private.test/all") }

func codes(r *leak.Report) []string {
	var list []string
	for _, f := range r.Findings {
		list = append(list, fmt.Sprintf("%s %s %s:%d", f.Level, f.Code, f.File, f.Line))
	}
	return list
}

// Damage is a finding, wherever it is.
func TestDamage(t *testing.T) {
	t.Parallel()
	pkgYAML := func(ref string) string {
		return "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: a.b.c.1.0.0}\nspec:\n  refName: a.b.c\n  version: 1.0.0\n" +
			"  template: {spec: {fetch: [{imgpkgBundle: {image: '" + ref + "'}}], template: [{kbld: {paths: [a.yml, .imgpkg/images.yml]}}]}}\n"
	}
	for what, tt := range map[string]struct {
		damage func(repo *interop.Repo, root, pkg name.Digest)
		want   []string
	}{
		"nothing": {func(*interop.Repo, name.Digest, name.Digest) {}, nil},
		"the root's layer": {func(repo *interop.Repo, root, _ name.Digest) { spoilLayer(repo, root) },
			[]string{"install damaged :0"}},
		"a package's layer": {func(repo *interop.Repo, _, pkg name.Digest) { spoilLayer(repo, pkg) },
			[]string{"install damaged :0"}},
		"a package's layer is gone": {func(repo *interop.Repo, _, pkg name.Digest) { delete(repo.Blobs, layerOf(repo, pkg)) },
			[]string{"install missing :0"}},
		"a package's config is gone": {func(repo *interop.Repo, _, pkg name.Digest) {
			n, err := bundle.ReadNode(context.Background(), repo, pkg)
			if err == nil {
				delete(repo.Blobs, n.Blobs[0].Digest)
			}
		}, []string{"install missing .imgpkg/images.yml:4", "install missing packages/a.yml:7"}},
		"a package's manifest": {func(repo *interop.Repo, _, pkg name.Digest) {
			m := repo.Manifests[interop.Hash(pkg)]
			repo.Manifests[interop.Hash(pkg)] = interop.Manifest{MediaType: m.MediaType, Raw: append([]byte(" "), m.Raw...)}
		}, []string{"install damaged .imgpkg/images.yml:4", "install damaged packages/a.yml:7"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			repo := memory()
			pkg := repo.PutBundle(map[string]string{carvel.LockFile: emptyLock, "a.yml": "a: b\n"})
			root := repo.PutBundle(map[string]string{
				carvel.LockFile:  emptyLock + "images:\n- image: " + pkg.Name() + "\n  annotations: {kbld.carvel.dev/id: o.test/p:1}\n",
				"packages/a.yml": pkgYAML("o.test/p:1")})
			tt.damage(repo, root, pkg)
			got, err := resolve(t, repo, repo.Name, leak.Options{}, interop.Hash(root))
			require.NoError(t, err)
			var lines []string
			for _, line := range codes(got) {
				if !strings.HasPrefix(line, "information tag ") {
					lines = append(lines, line)
				}
			}
			assert.Equal(t, tt.want, lines)
		})
	}
}

func layerOf(repo *interop.Repo, ref name.Digest) v1.Hash {
	n, err := bundle.ReadNode(context.Background(), repo, ref)
	if err != nil {
		panic(err) // of a test's own repository
	}
	return n.Blobs[1].Digest
}

func spoilLayer(repo *interop.Repo, ref name.Digest) {
	d := layerOf(repo, ref)
	repo.Blobs[d] = append(bytes.Clone(repo.Blobs[d][:len(repo.Blobs[d])-1]), 'x')
}

// A link is not unpacked, so packages/ may not be one.
func TestPackagesLink(t *testing.T) {
	t.Parallel()
	repo := memory()
	var layer bytes.Buffer
	zw := gzip.NewWriter(&layer)
	tw := tar.NewWriter(zw)
	put := func(h *tar.Header, text string) {
		h.Size = int64(len(text))
		require.NoError(t, tw.WriteHeader(h))
		_, err := tw.Write([]byte(text))
		require.NoError(t, err)
	}
	put(&tar.Header{Name: carvel.LockFile, Typeflag: tar.TypeReg, Mode: 0o600}, emptyLock)
	put(&tar.Header{Name: "packages", Typeflag: tar.TypeSymlink, Linkname: "others"}, "")
	require.NoError(t, tw.Close())
	require.NoError(t, zw.Close())
	config := repo.PutBlob([]byte(`{"config":{"Labels":{"dev.carvel.imgpkg.bundle":"true"}}}`))
	config.MediaType = types.DockerConfigJSON
	blob := repo.PutBlob(layer.Bytes())
	blob.MediaType = types.DockerLayer
	ref := repo.PutJSON(types.DockerManifestSchema2, v1.Manifest{SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Config: config, Layers: []v1.Descriptor{blob}})
	got, err := resolve(t, repo, repo.Name, leak.Options{}, interop.Hash(ref))
	require.NoError(t, err)
	assert.Equal(t, []string{"install no-packages packages:0"}, codes(got))
	assert.Contains(t, got.Findings[0].Message, "is a link")
}

// A hostile repository gets a report of a size for people, in time.
func TestLimits(t *testing.T) {
	t.Parallel()
	t.Run("findings", func(t *testing.T) {
		t.Parallel()
		repo := memory()
		var lock, pkgs strings.Builder
		lock.WriteString(emptyLock + "images:\n")
		for i := range 6000 {
			fmt.Fprintf(&lock, "- image: o.test/a@sha256:%064x\n", i)
			fmt.Fprintf(&pkgs, "---\napiVersion: v1\nkind: K%d\n", i)
		}
		root := repo.PutBundle(map[string]string{carvel.LockFile: lock.String(), "packages/a.yml": pkgs.String()})
		got, err := resolve(t, repo, repo.Name, leak.Options{Jobs: 4}, interop.Hash(root))
		require.NoError(t, err)
		require.Equal(t, 10_000+6000+1, len(got.Findings))
		assert.Equal(t, 2*6000+1-10_000, got.More)
		assert.EqualValues(t, "not-read", got.Findings[16_000].Code)
		assert.Equal(t, "there are 2001 more findings that break an install or a pull than are listed", got.Findings[16_000].Message)
	})
	t.Run("flood", func(t *testing.T) { // of warnings, before what they would hide
		t.Parallel()
		repo := memory()
		files := map[string]string{carvel.LockFile: emptyLock, "packages/z.yml": "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: a.b.c.1.0.0}\n" +
			"spec: {refName: a.b.c, version: 1.0.0, template: {spec: {fetch: [{http: {url: 'https://files.test/a.tgz'}}]}}}\n"}
		for i := range 12_000 {
			files[fmt.Sprintf("packages/%d.yml", i%2)] += fmt.Sprintf("---\napiVersion: v1\nkind: K%d\n", i)
		}
		got, err := resolve(t, repo, repo.Name, leak.Options{}, interop.Hash(repo.PutBundle(files)))
		require.NoError(t, err)
		assert.Equal(t, 2000, got.More)
		assert.Equal(t, "install outside packages/z.yml:4", codes(got)[10_000])
		files["packages/0.yml"] += strings.Repeat("---\na: b\n", 4000) + "---\n" + files["packages/z.yml"]
		delete(files, "packages/z.yml")
		got, err = resolve(t, repo, repo.Name, leak.Options{}, interop.Hash(repo.PutBundle(files)))
		require.NoError(t, err)
		isInstall := func(f report.Finding) bool { return f.Level == report.Install }
		assert.True(t, slices.ContainsFunc(got.Findings, isInstall), "there are more documents than are read")
	})
	t.Run("nesting", func(t *testing.T) {
		t.Parallel()
		repo := memory()
		lock := emptyLock
		var root name.Digest
		for i := range 40 {
			root = repo.PutBundle(map[string]string{carvel.LockFile: lock, "a.yml": fmt.Sprint("a: ", i)})
			lock = emptyLock + "images:\n- image: " + root.Name() + "\n"
		}
		got, err := resolve(t, repo, repo.Name, leak.Options{}, interop.Hash(root))
		require.NoError(t, err)
		assert.Equal(t, []string{"warning no-packages packages:0", "install damaged .imgpkg/images.yml:0"}, codes(got))
		assert.Contains(t, got.Findings[1].Message, "nested more than 32 deep")
	})
	t.Run("steps", func(t *testing.T) {
		t.Parallel()
		repo := memory()
		pkg := repo.PutBundle(map[string]string{carvel.LockFile: emptyLock, "a.yml": "image: o.test/x:1\n"})
		files := map[string]string{carvel.LockFile: emptyLock + "images:\n- image: " + pkg.Name() + "\n  annotations: {kbld.carvel.dev/id: '" + pkg.Name() + "'}\n"}
		for i := range 30 {
			files[fmt.Sprintf("packages/%02d.yml", i)] = fmt.Sprintf("apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: a.b.c.1.0.%d}\nspec:\n  refName: a.b.c\n  version: 1.0.%d\n"+
				"  template: {spec: {fetch: [{imgpkgBundle: {image: '%s'}}], template: [{kbld: {paths: [%s.imgpkg/images.yml]}}]}}\n", i, i, pkg, strings.Repeat("a.yml, ", i))
		}
		got, err := resolve(t, repo, repo.Name, leak.Options{}, interop.Hash(repo.PutBundle(files)))
		require.NoError(t, err)
		assert.Equal(t, []string{"install not-locked a.yml:1", "install not-read packages/00.yml:7"}, codes(got)[:2])
	})
	t.Run("packed charts", func(t *testing.T) {
		t.Parallel()
		files := map[string]string{"charts/a.tgz/a/a/charts/b.tgz/charts/c.tgz/charts/d.tgz/charts/e.tgz/a.yml": "a: b", "charts/b.tgz/x": strings.Repeat("\x00", 1<<20)}
		for i := range 10_000 {
			files[fmt.Sprintf("charts/b.tgz/%d", i)] = ""
		}
		for i := range 40 {
			files[fmt.Sprintf("charts/c.tgz/%d", i)] = files["charts/b.tgz/x"]
		}
		files = packCharts(t, files)
		files["charts/d.tgz"] = "\x00"
		files[carvel.LockFile] = emptyLock
		repo := memory()
		got, err := resolve(t, repo, repo.Name, leak.Options{}, interop.Hash(repo.PutBundle(files)))
		require.NoError(t, err)
		assert.Equal(t, []string{"warning no-packages packages:0", "install not-read charts/a.tgz/a/a/charts/b.tgz/charts/c.tgz/charts/d.tgz/charts/e.tgz:0",
			"install not-read charts/b.tgz:0", "install not-read charts/c.tgz:0", "warning not-read charts/d.tgz:0"}, codes(got))
	})
	t.Run("large file", func(t *testing.T) {
		t.Parallel()
		repo := memory()
		root := repo.PutBundle(map[string]string{carvel.LockFile: emptyLock, "a.yml": strings.Repeat("#", yamlnode.MaxSize+1), "b.bin": "\x00"})
		got, err := resolve(t, repo, repo.Name, leak.Options{}, interop.Hash(root))
		require.NoError(t, err)
		assert.Equal(t, []string{"warning no-packages packages:0", "warning not-read a.yml:0"}, codes(got))
		assert.Zero(t, got.Files)
	})
}

// TestHiddenDocument: a Package stands behind a line break that is none to most readers.
func TestHiddenDocument(t *testing.T) {
	t.Parallel()
	repo := memory()
	const pkg = "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: a.b.c.1.%[1]d.0}\n" +
		"spec: {refName: a.b.c, version: 1.%[1]d.0, releaseNotes: \"a\u2028b\", template: {spec: {fetch: [{inline: {}}]}}}\n"
	files := map[string]string{carvel.LockFile: emptyLock, "packages/a.yml": fmt.Sprintf(pkg, 0)}
	got, err := resolve(t, repo, repo.Name, leak.Options{}, interop.Hash(repo.PutBundle(files)))
	require.NoError(t, err)
	assert.Equal(t, []string{"warning not-read packages/a.yml:4"}, codes(got), "there is nothing behind it")
	files["packages/a.yml"] += "#\r---\r" + fmt.Sprintf(pkg, 1)
	got, err = resolve(t, repo, repo.Name, leak.Options{}, interop.Hash(repo.PutBundle(files)))
	require.NoError(t, err)
	assert.Equal(t, []string{"install not-read packages/a.yml:1", "warning not-read packages/a.yml:4"}, codes(got))
}

// TestUTF16: kapp-controller's tools read it.
func TestUTF16(t *testing.T) {
	t.Parallel()
	repo := memory()
	pkg := repo.PutBundle(map[string]string{carvel.LockFile: emptyLock, "a.yml": "\xff\xfea\x00:\x00 \x001\x00", "b.bin": "\xff\xfe\x00"})
	files := map[string]string{
		carvel.LockFile: emptyLock + "images:\n- image: " + pkg.Name() + "\n  annotations: {kbld.carvel.dev/id: '" + pkg.Name() + "'}\n",
		"packages/a.yml": "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: a.b.c.1.0.0}\nspec:\n  refName: a.b.c\n  version: 1.0.0\n" +
			"  template: {spec: {fetch: [{imgpkgBundle: {image: '" + pkg.Name() + "'}}], template: [{ytt: {}}, {kbld: {}}]}}\n",
		"packages/b.yml": "\xfe\xff\x00a\x00:\x00 \x001",
	}
	got, err := resolve(t, repo, repo.Name, leak.Options{}, interop.Hash(repo.PutBundle(files)))
	require.NoError(t, err)
	assert.Equal(t, []string{"install not-read packages/b.yml:1", "install not-read a.yml:0"}, codes(got))
}
