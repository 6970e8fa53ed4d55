package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/realregistry"
)

// TestTCEDelta carries the newest version of each package of the repository of Tanzu Community Edition to a
// destination that has all others.
func TestTCEDelta(t *testing.T) {
	if !isSoak() {
		t.Skip("takes minutes: RELOCATE_TEST_SOAK=1 runs it")
	}
	lab := os.Getenv("RELOCATE_TEST_LAB")
	if lab == "" {
		t.Skip("RELOCATE_TEST_LAB does not name the folder with genrepo, which makes the input")
	}
	source, destination := startReal(t), realregistry.StartDebian(t)
	ref := generate(t, lab, source.Addr, "0.03") // where the headers of the archive are within the 1%
	want := &reached{t: t, host: source.Addr, sizes: map[string]int{}}
	newest := want.newest(ref, "cert-manager.community.tanzu.vmware.com 1.6.1", "contour.community.tanzu.vmware.com 1.20.1", "knative-serving.community.tanzu.vmware.com 1.0.0")

	repo, older := destination.Addr+"/tce/main", []string{ref, "--no-dependencies"}
	for _, p := range versionsAt(t, ref) {
		if !slices.Contains(newest, p[0]+" "+p[1]) {
			older = append(older, "--package", p[0]+"@"+p[1])
		}
	}
	base := export(t, older...)
	mustRelocate(t, "--from-tar", base, "--to-repo", repo)
	had := dumpReal(t, destination, "tce/main")
	list := writeInventory(t, "--repo", repo)
	assumed := layersIn(t, had)
	carried := 0
	for digest, size := range want.sizes {
		if !assumed[digest] {
			carried += size
		}
	}
	require.Less(t, carried, want.sum()*3/4, "the destination has much of it")

	delta := export(t, ref, "--latest", "1", "--have", list)
	info, err := os.Stat(delta)
	require.NoError(t, err)
	t.Logf("%d bytes; %d are to be carried, of %d", info.Size(), carried, want.sum())
	assert.LessOrEqual(t, float64(info.Size()), 1.01*float64(carried), "of %d bytes", carried)
	source.Stop()

	mustRelocate(t, "--from-tar", delta, "--to-repo", repo)
	known := filepath.Join(t.TempDir(), "known.json")
	require.Contains(t, []int{0, statusMissing}, tryRelocate(t, "verify", delta, "--report", known).status)
	mustRelocate(t, "verify", "--repo", repo, delta, "--accept", known, "--level", "deep")
	assert.True(t, rehearseCut(t, delta, "--accept", known, "--base", base).OK)
	for digest := range had.manifests {
		assert.True(t, has(t, destination.Addr, "/v2/tce/main/manifests/"+digest), "what was there stays")
	}
}

// versionsAt returns name and version of all packages of a repository.
func versionsAt(t *testing.T, ref string) (list [][2]string) {
	t.Helper()
	var inside struct {
		Packages []struct {
			Name     string
			Versions []string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(mustRelocate(t, "inspect", "--repo", ref, "-o", "json").stdout), &inside))
	for _, p := range inside.Packages {
		for _, v := range p.Versions {
			list = append(list, [2]string{p.Name, v})
		}
	}
	return list
}

// layersIn returns the layers of images, apart from those of bundles and from configs.
func layersIn(t *testing.T, d dump) map[string]bool {
	t.Helper()
	set := map[string]bool{}
	for digest, m := range d.manifests {
		if !d.isBundle(t, digest) {
			for _, layer := range m.document(t).Layers {
				set[layer.Digest] = true
			}
		}
	}
	for digest, m := range d.manifests {
		doc := m.document(t)
		if doc.Config != nil {
			delete(set, doc.Config.Digest)
		}
		if d.isBundle(t, digest) {
			delete(set, doc.Layers[0].Digest)
		}
	}
	return set
}
