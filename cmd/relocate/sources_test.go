package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lockFileOf writes a lock to a file and returns its path.
func lockFileOf(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lock.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// TestSources carries an image, an index, a bundle that a BundleLock names, and the images of an
// ImagesLock; through an archive and from registry to registry.
func TestSources(t *testing.T) {
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	s := site{t: t, host: src.Addr}
	image := s.image("src/web", "1.0", "web")
	index := s.index("src/tool", "2.0", s.image("src/tool", "", "amd64"), s.image("src/tool", "", "arm64"))
	bundle := s.bundle("src/app", "3.0", nil, s.ref("src/web", image))
	header := "apiVersion: imgpkg.carvel.dev/v1alpha1\n"
	bundleLock := lockFileOf(t, header+"kind: BundleLock\nbundle:\n  image: "+s.ref("src/app", bundle)+"\n  tag: \"3.0\"\n")
	imagesLock := lockFileOf(t, header+"kind: ImagesLock\nimages:\n- image: "+s.ref("src/web", image)+"\n  annotations:\n    kbld.carvel.dev/id: web\n- image: "+s.ref("src/tool", index)+"\n")
	entry := func(repo string, d string) string { return "- image: " + repo + "@" + d + "\n" }
	for name, tt := range map[string]struct {
		args []string
		tags []string
		lock string // of the destination, without its head
	}{
		"image":       {args: []string{"-i", src.Addr + "/src/web:1.0"}, tags: []string{"1.0", selfTag(image.Digest.String())}, lock: "images:\n" + entry("%", image.Digest.String())},
		"index":       {args: []string{"-i", src.Addr + "/src/tool:2.0"}, tags: []string{"2.0", selfTag(index.Digest.String())}, lock: "images:\n" + entry("%", index.Digest.String())},
		"bundle-lock": {args: []string{"--lock", bundleLock}, tags: []string{"3.0", selfTag(bundle.Digest.String()), locationsTag(bundle.Digest.String())}, lock: "bundle:\n  image: %@" + bundle.Digest.String() + "\n  tag: \"3.0\"\n"},
		"images-lock": {args: []string{"--lock", imagesLock}, tags: []string{selfTag(index.Digest.String()), selfTag(image.Digest.String())},
			lock: "images:\n- annotations:\n    kbld.carvel.dev/id: web\n  image: %@" + image.Digest.String() + "\n" + entry("%", index.Digest.String())},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "a.tar")
			mustRelocate(t, append(tt.args, "--to-tar", file)...)
			mustRelocate(t, "verify", file)
			for how, args := range map[string][]string{"tar": {"--from-tar", file}, "direct": tt.args} {
				repo := dst.Addr + "/" + name + "/" + how
				lock := filepath.Join(t.TempDir(), how)
				mustRelocate(t, append(args, "--to-repo", repo, "--lock-output", lock)...)
				text, err := os.ReadFile(lock)
				require.NoError(t, err)
				want := tt.lock
				assertAll(t, string(text), strings.ReplaceAll(want, "%", repo))
				for _, tag := range tt.tags {
					assert.True(t, has(t, dst.Addr, "/v2/"+name+"/"+how+"/manifests/"+tag), tag)
				}
				mustRelocate(t, "verify", "--repo", repo, file, "--level", "deep")
			}
		})
	}
}

// TestSourcesRefused: what is named by the wrong flag is refused in imgpkg's words, before more is read.
func TestSourcesRefused(t *testing.T) {
	t.Parallel()
	src := startMemory(t, nil)
	s := site{t: t, host: src}
	image := s.image("src/web", "1.0", "web")
	bundle := s.bundle("src/app", "3.0", nil, s.ref("src/web", image))
	header := "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: "
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"bundle-by-i":    {[]string{"-i", src + "/src/app:3.0"}, "Expected bundle flag when copying a bundle (hint: Use -b instead of -i for bundles)"},
		"image-by-b":     {[]string{"-b", src + "/src/web:1.0"}, "Expected bundle image but found plain image (hint: Did you use -i instead of -b?)"},
		"bundle-in-lock": {[]string{"--lock", lockFileOf(t, header+"ImagesLock\nimages:\n- image: "+s.ref("src/app", bundle)+"\n")}, "Unable to copy bundles using an Images Lock file (hint: Create a bundle with these images)"},
		"image-in-lock":  {[]string{"--lock", lockFileOf(t, header+"BundleLock\nbundle:\n  image: "+s.ref("src/web", image)+"\n")}, "Expected bundle image but found plain image"},
		"empty-lock":     {[]string{"--lock", lockFileOf(t, header+"ImagesLock\n")}, "it lists no images"},
		"other-lock":     {[]string{"--lock", lockFileOf(t, "kind: Secret\n")}, `want "BundleLock" or "ImagesLock"`},
		"no-lock":        {[]string{"--lock", "/none/such"}, "no such file"},
		"lock-and-b":     {[]string{"--lock", "x", "-b", src + "/src/app:3.0"}, "two sources"},
		"tag-in-lock":    {[]string{"--lock", lockFileOf(t, header+"ImagesLock\nimages:\n- image: "+src+"/src/web:1.0\n")}, "has no digest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failExport(t, statusUsage, []string{tt.says, "hint: "}, tt.args...)
		})
	}
}
