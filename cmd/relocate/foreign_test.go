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
			imported := mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--report", report)
			assertAll(t, imported.stderr, foreign.Digest.String())
			assert.Equal(t, omitted, readReport(t, report).Omitted)
			assert.False(t, has(t, dst.Addr, blobAt("without")))
			assertAll(t, mustRelocate(t, "inspect", file).stdout, foreign.Digest.String())
			assertAll(t, mustRelocate(t, "plan", "-b", ref).stdout, foreign.Digest.String())
			mustRelocate(t, "verify", file)
			mustRelocate(t, "verify", "--repo", repo, file, "--level", "deep")
			verified := mustRelocate(t, "verify", "--repo", repo, "--root", root.Digest.String(), "--level", "deep")
			assertAll(t, verified.stdout, "which may not be distributed and were not looked at", "left out: 1 layer")

			file, repo = export(t, ref, "--include-non-distributable-layers"), dst.Addr+"/with"
			mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--report", report)
			assert.Empty(t, readReport(t, report).Omitted)
			content, _ := get(t, dst.Addr, blobAt("with"))
			assert.Equal(t, noise("windows", 3000), string(content))
			mustRelocate(t, "verify", file)
			mustRelocate(t, "verify", "--repo", repo, file, "--level", "deep")

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
