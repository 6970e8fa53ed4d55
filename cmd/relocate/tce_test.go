package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTCE carries the repository of Tanzu Community Edition: its real bundles, locks and packages
// (154 versions), with layers that the lab generates at a small scale. RELOCATE_TEST_LAB is the lab's
// folder; what "genrepo tce" pushes to a registry is its input.
func TestTCE(t *testing.T) {
	lab := os.Getenv("RELOCATE_TEST_LAB")
	if lab == "" {
		t.Skip("RELOCATE_TEST_LAB does not name the folder with genrepo, which makes the input")
	}
	source, destination := startReal(t), startReal(t)
	ref := generate(t, lab, source.Addr)
	source.ResetRequests()
	archive := export(t, ref)
	requireFrugal(t, source.Requests())
	source.Stop()

	repo := destination.Addr + "/tce/main"
	mustRelocate(t, "--from-tar", archive, "--to-repo", repo)
	known := filepath.Join(t.TempDir(), "known.json")
	mustRelocate(t, "verify", archive, "--report", known)
	require.Equal(t, statusMissing, tryRelocate(t, "rehearse", archive).status, "its packages are not closed")
	destination.ResetRequests()
	mustRelocate(t, "verify", "--repo", repo, archive, "--accept", known)
	requireOnce(t, destination.Requests())
	rehearsed := rehearseCut(t, archive, "--accept", known)
	require.True(t, rehearsed.OK)
	require.Equal(t, 155, rehearsed.Import.Locations)
	require.Contains(t, mustRelocate(t, "inspect", archive).stdout, "154 versions of 30 packages, 155 bundles")

	served := mustServe(t, archive, "--as", "tce/main")
	imported, got := dumpRepositories(t, destination.Addr, "tce/main"), dumpRepositories(t, served.host, "tce/main")
	require.Equal(t, imported.tags, got.tags)
	require.Equal(t, imported.manifests, got.manifests)

	destination.ResetRequests()
	mustRelocate(t, "--from-tar", archive, "--to-repo", repo)
	for _, request := range destination.Requests() {
		method := strings.Fields(request)[1]
		require.Contains(t, []string{"HEAD", "GET"}, method, "a second import writes nothing")
	}
}

// generate pushes the repository and returns its reference.
func generate(t *testing.T, lab, host string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "genrepo")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = filepath.Join(lab, "genrepo")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd := exec.CommandContext(t.Context(), program, "tce", "--tce", filepath.Join(lab, "..", "tce"), "--scale", "0.005",
		"--registry", host, "--pool", "synth", "--pool-size", "16777216", "--pool-file", filepath.Join(t.TempDir(), "pool"))
	out, err = cmd.Output()
	require.NoError(t, err)
	return strings.Fields(string(out))[0]
}

// requireOnce checks that a verification got each of 675 manifests and 155 locations images once, and of their
// blobs the config of each image, which tells whether it is a bundle, and the layer of each bundle and locations image.
func requireOnce(t *testing.T, requests []string) {
	t.Helper()
	seen, manifests, blobs := map[string]bool{}, 0, 0
	for _, request := range requests {
		fields := strings.Fields(request)
		if fields[1] != "GET" || fields[2] == "/v2/" {
			continue
		}
		require.False(t, seen[fields[2]], "%s was asked for more than once", fields[2])
		seen[fields[2]] = true
		if strings.Contains(fields[2], "/manifests/") {
			manifests++
		} else {
			blobs++
		}
	}
	require.Equal(t, 675+155, manifests)
	require.LessOrEqual(t, blobs, 452+2*155+2*155)
}

// requireFrugal checks that an export asked for each manifest and blob once, and besides for one
// locations image a bundle and for the registry itself.
func requireFrugal(t *testing.T, requests []string) {
	t.Helper()
	seen := map[string]int{}
	probes := 0
	for _, request := range requests {
		fields := strings.Fields(request)
		id := fields[2][strings.LastIndex(fields[2], "/")+1:]
		if strings.Contains(fields[2], "/tags/list") || strings.Contains(fields[2], "/referrers/") { // what is attached
			id = fields[2]
		}
		switch {
		case fields[2] == "/v2/":
		case strings.HasSuffix(id, ".image-locations.imgpkg"):
			probes++
		default:
			require.Equal(t, "GET", fields[1], request)
			seen[id]++
			require.Equal(t, 1, seen[id], "%s was asked for more than once", id)
		}
	}
	require.Equal(t, 155, probes, "one locations probe a bundle")
}
