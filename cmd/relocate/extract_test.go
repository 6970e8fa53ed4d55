package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// files are the regular files below dir, by path.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		require.True(t, d.Type().IsRegular(), path)
		text, err := os.ReadFile(path)
		relative, _ := filepath.Rel(dir, path)
		all[filepath.ToSlash(relative)] = string(text)
		return err
	}))
	return all
}

// TestExtract: the files of the root, of a bundle by reference and digest, and of a package, from an archive
// and from registries, byte for byte.
func TestExtract(t *testing.T) {
	t.Parallel()
	host, all := subjects(t)
	digest := rootDigest(t, host, "corp/packages/a", "1")
	image := host + "/corp/images/app@" + rootDigest(t, host, "corp/images/app", "1")
	want := map[string]string{
		"config/deployment.yml": "image: " + image + "\n", "config/lib/values.yml": "a: b\n", ".imgpkg/images.yml": lockText(image),
	}
	for name, base := range all {
		args := base[:len(base):len(base)]
		dir := func() string { return filepath.Join(t.TempDir(), "out") }
		root := dir()
		r := mustRelocate(t, append(args, "--extract", root)...)
		assert.Contains(t, r.stdout, "extracted 5 files", name)
		assert.Equal(t, fixture(t, "contour.yml"), files(t, root)["packages/contour/metadata.yml"], name)
		if name == "source" { // beside it there is nothing else
			assertFailed(t, tryRelocate(t, append(args, "package", contour+"/1.20.1", "--extract", dir())...), statusMissing, digest)
			continue
		}
		for _, which := range [][]string{{"package", contour + "/1.20.1"}, {"--bundle", digest}, {"--bundle", host + "/corp/packages/a@" + digest}} {
			out := dir()
			r := mustRelocate(t, append(append(args, which...), "--extract", out, "-o", "json")...)
			assertAll(t, r.stdout, `"files": 3`, `"skipped": 0`, digest)
			assert.Equal(t, want, files(t, out), "%s %v", name, which)
			info, err := os.Stat(filepath.Join(out, "config", "lib", "values.yml"))
			require.NoError(t, err)
			folder, err := os.Stat(out)
			require.NoError(t, err)
			assert.Equal(t, 0o666&folder.Mode(), info.Mode(), "the owner's permissions are everyone's, as far as the umask lets them")
			assert.Equal(t, time.Unix(0, 0).UTC(), info.ModTime().UTC())
		}
	}
}

// rawBundle pushes a bundle whose layer has just these members.
func rawBundle(s site, repo string, members ...tar.Header) {
	s.t.Helper()
	var layer bytes.Buffer
	zw := gzip.NewWriter(&layer)
	tw := tar.NewWriter(zw)
	for _, h := range append([]tar.Header{{Name: ".imgpkg/images.yml", Typeflag: tar.TypeReg, Mode: 0o600, Uname: lockText()}}, members...) {
		content := h.Uname
		h.Uname, h.Size = "", int64(len(content))
		require.NoError(s.t, tw.WriteHeader(&h))
		_, err := tw.Write([]byte(content))
		require.NoError(s.t, err)
	}
	require.NoError(s.t, tw.Close())
	require.NoError(s.t, zw.Close())
	config := s.blob(repo, types.DockerConfigJSON, []byte(`{"config":{"Labels":{"dev.carvel.imgpkg.bundle":"true"}}}`))
	s.manifest(repo, "1", types.DockerManifestSchema2, encode(s.t, v1.Manifest{
		SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Config: config, Layers: []v1.Descriptor{s.blob(repo, types.DockerLayer, layer.Bytes())},
	}))
}

// TestExtractHostile: nothing gets out of the folder, nothing but files and folders into it, and what cannot
// be is refused whole.
func TestExtractHostile(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	s := site{t: t, host: host}
	file := func(name, content string, mode int64) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Uname: content}
	}
	rawBundle(s, "odd", file("../../up", "a", 0o600), file("/abs/x", "b", 0o4711), file("a/../b", "c", 0o640), tar.Header{Name: "deep/empty/", Typeflag: tar.TypeDir, Mode: 0o500},
		tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "up"},
		tar.Header{Name: "device", Typeflag: tar.TypeChar, Devmajor: 1}, tar.Header{Name: "pipe", Typeflag: tar.TypeFifo}, file("link/x", "d", 0o600))
	parent := t.TempDir()
	out := filepath.Join(parent, "in", "out")
	require.NoError(t, os.MkdirAll(out, 0o750)) // empty: it may be there
	r := mustRelocate(t, "inspect", "--repo", host+"/odd:1", "--extract", out)
	assertAll(t, r.stdout, "extracted 5 files", "skipped: 4 members")
	assert.Equal(t, map[string]string{
		"in/out/up": "a", "in/out/abs/x": "b", "in/out/b": "c", "in/out/link/x": "d", "in/out/.imgpkg/images.yml": lockText(),
	}, files(t, parent))
	for path, want := range map[string]fs.FileMode{"": fs.ModeDir | 0o750, "abs/x": 0o710, "b": 0o640, "up": 0o600, "deep/empty": fs.ModeDir | 0o700} {
		info, err := os.Stat(filepath.Join(out, path))
		require.NoError(t, err)
		assert.Equal(t, want, info.Mode(), path)
	}

	long := strings.Repeat("x", 300)
	rawBundle(s, "twice", file("a", "1", 0o600), file("b/../a", "2", 0o600))
	rawBundle(s, "below-file", file("a", "1", 0o600), file("a/b", "2", 0o600))
	rawBundle(s, "long", file("d/"+long, "1", 0o600))
	for repo, part := range map[string]string{"twice": "appears twice", "below-file": "a", "long": "too long"} {
		out := filepath.Join(t.TempDir(), "out")
		assertFailed(t, tryRelocate(t, "inspect", "--repo", host+"/"+repo+":1", "--extract", out), statusFailed, part)
		assert.NoDirExists(t, out)
		left, err := os.ReadDir(filepath.Dir(out))
		require.NoError(t, err)
		assert.Empty(t, left, repo)
	}

	full := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(full, "mine"), nil, 0o600))
	for _, there := range []string{full, filepath.Join(full, "mine")} {
		assertFailed(t, tryRelocate(t, "inspect", "--repo", host+"/odd:1", "--extract", there), statusUsage, "--extract "+there)
	}
	assert.Equal(t, map[string]string{"mine": ""}, files(t, full))
}

// TestExtractUmask: no file or folder gets a permission that the umask takes away, whatever its member and
// the folder to extract to have.
func TestExtractUmask(t *testing.T) {
	t.Parallel()
	skipShort(t)
	s := site{t: t, host: startReal(t).Addr}
	rawBundle(s, "x/owner", tar.Header{Name: "run.sh", Typeflag: tar.TypeReg, Mode: 0o700}, tar.Header{Name: "dir/", Typeflag: tar.TypeDir, Mode: 0o700},
		tar.Header{Name: "dir/file", Typeflag: tar.TypeReg, Mode: 0o600})
	rawBundle(s, "x/all", tar.Header{Name: "run.sh", Typeflag: tar.TypeReg, Mode: 0o6777}, tar.Header{Name: "dir/", Typeflag: tar.TypeDir, Mode: 0o7777},
		tar.Header{Name: "dir/file", Typeflag: tar.TypeReg, Mode: 0o666})
	path, err := program()
	require.NoError(t, err)
	for _, umask := range []fs.FileMode{0, 0o002, 0o022, 0o027, 0o077} {
		for _, repo := range []string{"owner", "all"} {
			for _, made := range []fs.FileMode{0, 0o777, 0o750} { // of the folder, 0: the program makes it
				out := filepath.Join(t.TempDir(), "out")
				most := 0o777 &^ umask
				if made != 0 {
					require.NoError(t, os.Mkdir(out, 0o700))
					require.NoError(t, os.Chmod(out, made))
					most &= made
				}
				cmd := exec.CommandContext(t.Context(), "sh", "-c", fmt.Sprintf(`umask %o; exec "$0" "$@"`, umask),
					path, "inspect", "--repo", s.host+"/x/"+repo+":1", "--extract", out)
				text, err := cmd.CombinedOutput()
				require.NoError(t, err, "%s", text)
				for name, mode := range map[string]fs.FileMode{"run.sh": 0o777, "dir": 0o777 | fs.ModeDir, "dir/file": 0o666} {
					info, err := os.Stat(filepath.Join(out, name))
					require.NoError(t, err)
					assert.Equal(t, mode&(most|fs.ModeDir), info.Mode(), "%s of %s, umask %o, folder %o", name, repo, umask, made)
				}
			}
		}
	}
}
