package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/realregistry"
)

// emptyManifest leaves what a full disk leaves at docker-registry: a manifest's file without a byte.
func emptyManifest(t *testing.T, reg *realregistry.Registry, digest string) (file string) {
	t.Helper()
	hex := strings.TrimPrefix(digest, "sha256:")
	dir := filepath.Join(reg.Dir, "docker/registry/v2/blobs/sha256", hex[:2], hex)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "data"), nil, 0o644))
	return filepath.Join(dir, "data")
}

// TestEmptyManifest: the registry answers 201 to a manifest whose file is empty, and 500 to whoever reads it.
// The import says so, verify lists it, and both are right when the file is gone.
func TestEmptyManifest(t *testing.T) {
	t.Parallel()
	for name, start := range realRegistries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := start(t), start(t)
			file := export(t, pushSample(t, src.Addr))
			repo, quickly := dst.Addr+"/full", []string{"--registry-retry-wait", "1ms"}
			image := dumpReal(t, src, "").tags["corp/simple-app:1.0.0"]
			empty := emptyManifest(t, dst, image)

			r := tryRelocate(t, append(quickly, "--from-tar", file, "--to-repo", repo)...)
			assert.Equal(t, statusFailed, r.status)
			assertAll(t, r.stderr, image, "the registry cannot read the manifest", "hint: ", "remove that manifest's file")
			assert.Empty(t, r.stdout)
			require.NoError(t, os.Remove(empty))
			mustRelocate(t, "--from-tar", file, "--to-repo", repo)
			mustRelocate(t, "verify", "--repo", repo, file, "--level", "deep")

			empty = emptyManifest(t, dst, image)
			for _, args := range [][]string{{file}, {"--root", rootDigest(t, src.Addr, "corp/repository", "1.0.0")}} {
				r := tryRelocate(t, append(append(quickly, "verify", "--repo", repo), args...)...)
				assert.Equal(t, statusDamage, r.status, r.stderr)
				assertAll(t, r.stdout, "damaged: manifest ", image, "cannot read it", "remove its file from the registry's storage, and import again")
			}
			r = tryRelocate(t, append(quickly, "--from-tar", file, "--to-repo", repo)...)
			assert.Equal(t, statusFailed, r.status)
			assertAll(t, r.stderr, image, "the registry cannot read the manifest", "hint: ", "remove that manifest's file")
			require.NoError(t, os.Remove(empty))
			mustRelocate(t, "--from-tar", file, "--to-repo", repo)
			mustRelocate(t, "verify", "--repo", repo, file, "--level", "deep")

			locations := dumpReal(t, dst, "full").tags["full:"+locationsTag(rootDigest(t, src.Addr, "corp/repository", "1.0.0"))]
			emptyManifest(t, dst, locations)
			r = tryRelocate(t, append(quickly, "verify", "--repo", repo, file)...)
			assert.Equal(t, statusDamage, r.status, r.stderr)
			assertAll(t, r.stdout, "damaged: locations images", "cannot read it")
		})
	}
}
