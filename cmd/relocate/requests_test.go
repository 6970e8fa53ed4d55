package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestExportRequests counts what an export asks of the source: each manifest and each distinct blob
// once, a locations image for each bundle, and one ping. For attachments, of which there are none, it asks each
// repository for its tags, and the registry once whether it has the referrers API.
func TestExportRequests(t *testing.T) {
	t.Parallel()
	src := startReal(t)
	root := pushSample(t, src.Addr)
	source := dumpReal(t, src, "")
	want := []string{"200 GET /v2/"}
	for digest := range source.manifests {
		if digest == source.tags["corp/repository:1.0.0"] {
			digest = "1.0.0"
		}
		want = append(want, "200 GET manifests/"+digest)
	}
	for digest := range source.blobs {
		want = append(want, "200 GET blobs/"+digest)
	}
	for _, digest := range source.bundles(t) {
		want = append(want, "404 GET manifests/"+locationsTag(digest))
	}
	assert.Len(t, want, 1+11+21+5)
	repositories := map[string]bool{}
	for tag := range source.tags {
		repositories[tag[:strings.LastIndex(tag, ":")]] = true
	}
	for repo := range repositories {
		want = append(want, "200 GET /v2/"+repo+"/tags/list?n=1000")
	}
	want = append(want, "404 GET referrers")
	assert.Len(t, want, 1+11+21+5+7+1)

	for _, jobs := range []string{"1", "16"} {
		src.ResetRequests()
		export(t, root, "--concurrency", jobs)
		assert.ElementsMatch(t, want, withoutRepositories(src.Requests()), "concurrency %s", jobs)
	}
}

// TestPlanRequests: a plan asks for what the walk reads, and for no layer of an image.
func TestPlanRequests(t *testing.T) {
	t.Parallel()
	src := startReal(t)
	root := pushSample(t, src.Addr)
	source := dumpReal(t, src, "")
	layers := map[string]bool{}
	for digest, manifest := range source.manifests {
		if source.isBundle(t, digest) {
			continue
		}
		for _, layer := range manifest.document(t).Layers {
			layers["200 GET blobs/"+layer.Digest] = true
		}
	}
	require.Len(t, layers, 6)
	src.ResetRequests()
	mustRelocate(t, "plan", "-b", root)
	requests := withoutRepositories(src.Requests())
	for _, r := range requests {
		assert.False(t, layers[r], "fetched a layer: %s", r)
	}
	assert.Len(t, requests, 1+11+21+5-len(layers)+7+1)

	src.ResetRequests()
	mustRelocate(t, "plan", "-b", root, "--attachments", "none")
	assert.Len(t, src.Requests(), 1+11+21+5-len(layers))
}

// withoutRepositories shortens "200 GET /v2/a/b/blobs/sha256:…" to "200 GET blobs/sha256:…": where a
// blob of two images is asked for is the walk's affair, and by what the referrers API is found.
func withoutRepositories(requests []string) []string {
	var list []string
	for _, r := range requests {
		at := strings.Index(r, "/v2/")
		for _, kind := range []string{"manifests/", "blobs/"} {
			if i := strings.Index(r, "/"+kind); i > 0 {
				r = r[:at] + r[i+1:]
			}
		}
		if i := strings.Index(r, "/referrers/"); i > 0 {
			r = r[:at] + "referrers"
		}
		list = append(list, r)
	}
	return list
}

// TestSameBytes: the number of requests at once does not show in the archive, and neither does a
// file that was there before.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	host := startMemory(t, func(h http.Handler) http.Handler { return h })
	root := pushSample(t, host)
	first, err := os.ReadFile(export(t, root, "--concurrency", "1"))
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "old.tar")
	for _, old := range []string{"", "old", string(first) + "more"} {
		if old != "" {
			require.NoError(t, os.WriteFile(file, []byte(old), 0o600))
		}
		mustRelocate(t, "-b", root, "--to-tar", file, "--concurrency", "16")
		again, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, digestOf(first), digestOf(again))
		assert.Equal(t, []string{"old.tar", "old.tar.seal"}, namesIn(t, filepath.Dir(file)))
	}
}

// namesIn lists a folder.
func namesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
