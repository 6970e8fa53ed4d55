package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestForeignLayer: a layer that may not be distributed stays behind and is named, or is carried when
// that is asked for; its urls are never followed.
func TestForeignLayer(t *testing.T) {
	t.Parallel()
	for name, start := range realRegistries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := start(t), start(t)
			trap := startCanary(t, "127.0.0.1:0")
			s := site{t: t, host: src.Addr}
			foreign := s.blob("win/app", types.OCIUncompressedRestrictedLayer, []byte(noise("windows", 3000)))
			foreign.URLs = []string{"http://" + trap.addr + "/layer"}
			config := s.blob("win/app", types.OCIConfigJSON, []byte(`{"os":"windows"}`))
			image := s.imageOf("win/app", "1", config, s.blob("win/app", types.OCILayer, []byte("ordinary")), foreign)
			root := s.bundle("win/root", "1", nil, s.ref("win/app", image))
			ref, repo := src.Addr+"/win/root:1", dst.Addr+"/without"
			blobAt := func(repo string) string { return "/v2/" + repo + "/blobs/" + foreign.Digest.String() }

			report := filepath.Join(t.TempDir(), "report.json")
			file := filepath.Join(t.TempDir(), "r.tar")
			src.ResetRequests()
			exported := mustRelocate(t, "-b", ref, "--to-tar", file, "--report", report)
			assertAll(t, exported.stderr, foreign.Digest.String(), s.ref("win/app", image), "--include-non-distributable-layers")
			omitted := readReport(t, report).Omitted
			require.Len(t, omitted, 1)
			assert.Equal(t, foreign.Digest, omitted[0].Digest)
			assert.Equal(t, foreign.Size, omitted[0].Size)
			assert.Equal(t, s.ref("win/app", image), omitted[0].Image)
			assert.NotContains(t, strings.Join(src.Requests(), "\n"), foreign.Digest.String())
			asked := tryRelocate(t, "--from-tar", file, "--to-repo", repo, "--include-non-distributable-layers")
			assertFailed(t, asked, statusUsage, "the archive was exported without 1 layer that may not be distributed; export it again with them")
			imported := mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--report", report)
			assertAll(t, imported.stderr, foreign.Digest.String())
			assert.Equal(t, omitted, readReport(t, report).Omitted)
			assert.False(t, has(t, dst.Addr, blobAt("without")))
			assertAll(t, mustRelocate(t, "inspect", file).stdout, foreign.Digest.String())
			assertAll(t, mustRelocate(t, "plan", "-b", ref).stdout, foreign.Digest.String())
			mustRelocate(t, "verify", file)
			accept := filepath.Join(t.TempDir(), "rehearsal.json")
			for _, args := range [][]string{
				{"rehearse", file, "--report", accept}, {"verify", file, "--strict"}, {"verify", "--repo", repo, file, "--level", "deep"},
				{"verify", "--repo", repo, "--root", root.Digest.String(), "--level", "deep"},
			} {
				r := tryRelocate(t, args...)
				assert.Equal(t, statusMissing, r.status, "%s: %s", args, r.stderr)
				assertAll(t, r.stdout, "NOT OK", "(foreign)", foreign.Digest.String(), s.ref("win/app", image))
				assert.NotContains(t, r.stdout, "needs nothing")
			}
			for _, args := range [][]string{
				{"rehearse", file}, {"verify", file, "--strict"}, {"verify", "--repo", repo, file, "--level", "deep"},
			} {
				r := mustRelocate(t, append(args, "--accept", accept)...)
				assertAll(t, r.stdout, "OK: ", "except for 1 layer left out", "2 findings")
			}

			file, repo = export(t, ref, "--include-non-distributable-layers"), dst.Addr+"/with"
			mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--report", report, "--include-non-distributable-layers")
			assert.Empty(t, readReport(t, report).Omitted)
			content, _ := get(t, dst.Addr, blobAt("with"))
			assert.Equal(t, noise("windows", 3000), string(content))
			mustRelocate(t, "verify", file)
			mustRelocate(t, "verify", "--repo", repo, file, "--level", "deep")
			for _, level := range []string{"manifests", "blobs", "deep"} {
				r := mustRelocate(t, "verify", "--repo", repo, "--root", root.Digest.String(), "--level", level)
				assertAll(t, r.stdout, "OK: "+repo+" is complete")
				for _, wrong := range []string{"left out", "may not be distributed", "not examined"} {
					assert.NotContains(t, r.stdout, wrong, level)
				}
			}

			direct := dst.Addr + "/direct"
			mustRelocate(t, "-b", ref, "--to-repo", direct)
			assert.False(t, has(t, dst.Addr, blobAt("direct")))
			mustRelocate(t, "-b", ref, "--to-repo", direct+"2", "--include-non-distributable-layers")
			assert.True(t, has(t, dst.Addr, blobAt("direct2")))
			trap.assertSilent(t)
		})
	}
}

// TestForeignLayerNowhere: a foreign layer that is to be carried and is not there fails the export.
func TestForeignLayerNowhere(t *testing.T) {
	t.Parallel()
	src := startReal(t)
	trap := startCanary(t, "127.0.0.1:0")
	s := site{t: t, host: src.Addr}
	foreign := descriptor(t, types.OCIUncompressedRestrictedLayer, []byte("nowhere"))
	foreign.URLs = []string{"http://" + trap.addr + "/layer"}
	image := s.imageOf("win/app", "1", s.blob("win/app", types.OCIConfigJSON, []byte(`{}`)), foreign)
	s.bundle("win/root", "1", nil, s.ref("win/app", image))
	failExport(t, statusMissing, []string{foreign.Digest.String(), s.ref("win/app", image)},
		"-b", src.Addr+"/win/root:1", "--include-non-distributable-layers")
	trap.assertSilent(t)
}

// TestImageRoot: an image may hold packages/ and be no bundle. Nothing in it is read, so nothing is claimed
// about it, also beside a root that is closed.
func TestImageRoot(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src := startReal(t)
	s := site{t: t, host: src.Addr}
	layer := tarOf(t, "packages/p.yml", packageText("p.corp.com", "1.0.0", "elsewhere.example.com/a:1"))
	s.image("img/repository", "1", string(layer))
	ref := pushSample(t, src.Addr)
	alone, both := filepath.Join(t.TempDir(), "i.tar"), filepath.Join(t.TempDir(), "both.tar")
	mustRelocate(t, "-i", src.Addr+"/img/repository:1", "--to-tar", alone)
	mustRelocate(t, "-b", ref, "-i", src.Addr+"/img/repository:1", "--to-tar", both)
	const unread = "1 root that is not a bundle and was not read"
	for _, file := range []string{alone, both} {
		assertAll(t, mustRelocate(t, "verify", file, "--strict").stdout, "OK: "+file+" is complete", ", except for "+unread)
	}
	assertAll(t, mustRelocate(t, "rehearse", both).stdout, "needs nothing from elsewhere, except for "+unread)
	r := mustRelocate(t, "rehearse", alone)
	assertAll(t, r.stdout, "it has no bundle, so what it needs from elsewhere is not known")
	assert.NotContains(t, r.stdout, "needs nothing")
}
