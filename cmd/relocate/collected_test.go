package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/hostileregistry"
)

// TestCollectedBlob: a registry whose garbage collector took a blob. Trusting its manifests leaves it
// missing, which a deep verification finds; trusting nothing heals it.
func TestCollectedBlob(t *testing.T) {
	t.Parallel()
	for name, start := range realRegistries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := start(t), start(t)
			file := export(t, pushSample(t, src.Addr))
			source := dumpReal(t, src, "")
			image := source.tags["corp/simple-app:1.0.0"]
			lost := source.layersOf(t, image)[1] // its own: the release's name
			repo := dst.Addr + "/gc"
			mustRelocate(t, "--from-tar", file, "--to-repo", repo)
			whole := dumpReal(t, dst, "gc")
			hex := strings.TrimPrefix(lost, "sha256:")
			require.NoError(t, os.RemoveAll(filepath.Join(dst.Dir, "docker/registry/v2/blobs/sha256", hex[:2], hex)))

			dst.ResetRequests()
			mustRelocate(t, "--from-tar", file, "--to-repo", repo)
			noWrites(t, dst.Requests())
			for _, args := range [][]string{{file}, {"--root", source.tags["corp/repository:1.0.0"]}} {
				r := tryRelocate(t, append([]string{"verify", "--repo", repo, "--level", "deep"}, args...)...)
				assert.Equal(t, statusMissing, r.status, r.stdout+r.stderr)
				assertAll(t, r.stdout, "NOT OK", "missing: blob "+lost, image)
			}

			mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--trust", "nothing")
			assertAll(t, mustRelocate(t, "verify", "--repo", repo, file, "--level", "deep").stdout, "OK: "+repo)
			assert.Equal(t, whole, dumpReal(t, dst, "gc"))
		})
	}
}

// TestCollectedBlobTrustBlobs: asking for each blob finds one that the registry says it has not, and
// sends just that.
func TestCollectedBlobTrustBlobs(t *testing.T) {
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	file := export(t, pushSample(t, src.Addr))
	source := dumpReal(t, src, "")
	lost := source.layersOf(t, source.tags["corp/simple-app:1.0.0"])[1]
	repo := dst.Addr + "/gc"
	mustRelocate(t, "--from-tar", file, "--to-repo", repo)
	hex := strings.TrimPrefix(lost, "sha256:")
	require.NoError(t, os.RemoveAll(filepath.Join(dst.Dir, "docker/registry/v2/blobs/sha256", hex[:2], hex)))
	dst.ResetRequests()
	mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--trust-registry", "blobs")
	uploads, manifests := written(dst.Requests())
	assert.Equal(t, map[string]int{lost: 1}, uploads)
	assert.Empty(t, manifests)
	mustRelocate(t, "verify", "--repo", repo, file, "--level", "deep")
}

// TestCollectedStream: a registry that removes layers before their manifests can come. A stream cannot be
// read again; a file can.
func TestCollectedStream(t *testing.T) {
	t.Parallel()
	src := startReal(t)
	file := export(t, pushSample(t, src.Addr))
	source := dumpReal(t, src, "")
	image := source.tags["corp/simple-app:1.0.0"]
	lost := source.layersOf(t, image)[1]
	tag := strings.Replace(image, ":", "-", 1) + ".imgpkg"
	dst := hostileregistry.Start(t)
	collect := func() {
		dst.Behave(hostileregistry.First(1, func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
			if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifests/"+tag) {
				dst.Forget("gc", lost)
			}
			next(w, r)
		}))
	}
	collect()
	archive, err := os.Open(file)
	require.NoError(t, err)
	defer archive.Close()
	r, _ := importBytes(t, archive, "--to-repo", dst.Addr+"/gc")
	assert.Equal(t, statusFailed, r.status, r.stderr)
	assert.Empty(t, r.stdout)
	assertAll(t, r.stderr, lost, "came earlier in the stream", "hint: ", "gcDelay", "save the stream to a file")

	collect()
	mustRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/gc")
	assert.True(t, dst.HasBlob("gc", lost))
}
