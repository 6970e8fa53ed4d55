package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pushLayout unpacks an archive and pushes it as "crane push --index" does.
func pushLayout(t *testing.T, file, to string) {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "tar", "-xf", file, "-C", dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	index, err := layout.ImageIndexFromPath(dir)
	require.NoError(t, err)
	ref, err := name.ParseReference(to)
	require.NoError(t, err)
	require.NoError(t, remote.WriteIndex(ref, index, remote.WithContext(t.Context())))
}

// TestVerifyPushed: what another tool pushed has all content, but neither tags of its own nor locations images. verify says
// so, and an import adds these alone.
func TestVerifyPushed(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	file := export(t, pushSample(t, src.Addr))
	src.Stop()
	repo := dst.Addr + "/pushed"
	pushLayout(t, file, repo+":by-crane")
	for level, content := range map[string]string{"manifests": "every manifest", "blobs": "every manifest and layer", "deep": "every manifest and layer"} {
		r := tryRelocate(t, "verify", "--repo", repo, file, "--level", level)
		assert.Equal(t, statusMissing, r.status)
		assert.Contains(t, r.stderr, "hint: import the archive: that adds them")
		assert.True(t, strings.HasPrefix(r.stdout, "NOT OK: "+repo+" has "+content+", but not what an import adds: 10 tags and 5 locations images\n"), r.stdout)
		assertAll(t, r.stdout, "manifests         11 of 11 correct", "tags              0 of 10 correct", "locations images  0 of 5 correct")
		assert.NotContains(t, r.stdout, "MANIFEST_UNKNOWN")
	}
	assert.Contains(t, tryRelocate(t, "verify", "--repo", repo, file, "--no-tag").stdout, "9 tags and 5 locations images")

	report := filepath.Join(t.TempDir(), "report.json")
	mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--report", report)
	assert.Zero(t, readReport(t, report).Result.Blobs)
	mustRelocate(t, "verify", "--repo", repo, file, "--level", "deep")
}
