package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/inventory"
	"relocate/tarball"
	"relocate/testdata/realregistry"
)

// BenchmarkDelta compares the export of a delta with a plan and with an export of everything, in one run: of
// the repository of Tanzu Community Edition, for a destination that has everything but one package. A delta
// takes the time of the plan, and of the layers in proportion to what it carries.
//
//	RELOCATE_TEST_LAB=DIR go test ./cmd/relocate -run '^$' -bench Delta -benchtime 3x
func BenchmarkDelta(b *testing.B) {
	lab := os.Getenv("RELOCATE_TEST_LAB")
	if lab == "" {
		b.Skip("RELOCATE_TEST_LAB does not name the folder with genrepo, which makes the input")
	}
	scale := os.Getenv("RELOCATE_TEST_SCALE")
	if scale == "" {
		scale = "0.15"
	}
	source := realregistry.Start(b, realregistry.Options{})
	ref := generate(b, lab, source.Addr, scale)
	whole, delta, list := filepath.Join(b.TempDir(), "whole.tar"), filepath.Join(b.TempDir(), "delta.tar"), filepath.Join(b.TempDir(), "inventory.txt")
	best := map[string]time.Duration{}
	timed := func(what string, args ...string) {
		begin := time.Now()
		mustRelocate(b, args...)
		took := time.Since(begin)
		b.Logf("%s: %.2f s", what, took.Seconds())
		if best[what] == 0 || took < best[what] {
			best[what] = took
		}
	}
	for b.Loop() {
		timed("plan", "plan", "-b", ref)
		timed("whole", "-b", ref, "--to-tar", whole)
		if _, err := os.Stat(list); err != nil {
			writeAllBut(b, whole, list, "velero.community.tanzu.vmware.com")
		}
		timed("delta", "-b", ref, "--to-tar", delta, "--have", list)
	}
	share := float64(layerBytes(b, delta)) / float64(layerBytes(b, whole))
	most := best["plan"] + time.Duration(1.3*share*float64(best["whole"]-best["plan"]))
	b.ReportMetric(best["plan"].Seconds(), "plan-s")
	b.ReportMetric(best["whole"].Seconds(), "whole-s")
	b.ReportMetric(best["delta"].Seconds(), "delta-s")
	b.ReportMetric(most.Seconds(), "most-s")
	b.ReportMetric(100*share, "%-of-layers")
}

// layerBytes returns how many bytes of layers an archive carries.
func layerBytes(tb testing.TB, file string) (n int64) {
	tb.Helper()
	plan := planIn(tb, file)
	for _, blob := range plan.Blobs[plan.Small:] {
		n += blob.Descriptor.Size
	}
	return n
}

func planIn(tb testing.TB, file string) *bundle.Plan {
	tb.Helper()
	a, err := tarball.Open(file)
	require.NoError(tb, err)
	defer a.Close()
	plan, err := a.Plan(tb.Context(), 1, nil)
	require.NoError(tb, err)
	return plan
}

// writeAllBut writes the inventory of an archive without the layers that only one of its packages needs.
func writeAllBut(tb testing.TB, file, to, pkg string) {
	tb.Helper()
	plan := planIn(tb, file)
	needs := map[bool]map[v1.Hash]bool{true: {}, false: {}} // by whether it is of that package
	for _, p := range plan.Graph.Packages {
		var follow func(d v1.Hash)
		seen := needs[p.Name == pkg]
		follow = func(d v1.Hash) {
			n := plan.Graph.Node(d)
			if n == nil || seen[d] {
				return
			}
			seen[d] = true
			for _, blob := range n.Blobs {
				seen[blob.Digest] = true
			}
			for _, child := range n.Children {
				follow(child)
			}
		}
		for _, f := range p.Fetches {
			follow(f.Digest)
		}
	}
	all, err := inventory.Of(plan)
	require.NoError(tb, err)
	entries := slices.DeleteFunc(slices.Collect(all.All()), func(e inventory.Entry) bool { return needs[true][e.Digest] && !needs[false][e.Digest] })
	require.Less(tb, len(entries), all.Len(), "%s has layers of its own", pkg)
	rest, err := inventory.New(slices.Values(entries))
	require.NoError(tb, err)
	f, err := os.Create(to)
	require.NoError(tb, err)
	require.NoError(tb, rest.Write(f))
	require.NoError(tb, f.Close())
}
