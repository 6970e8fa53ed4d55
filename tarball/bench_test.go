package tarball_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"relocate/tarball"
)

// large is a repository whose blobs have 64 MiB.
func large(b *testing.B) *memory {
	var sizes []int
	for i := range 16 {
		sizes = append(sizes, 4<<20+i)
	}
	return repository(b, sizes...)
}

func BenchmarkWrite(b *testing.B) {
	m := large(b)
	plan := m.plan(b)
	path := filepath.Join(b.TempDir(), "a.tar")
	b.SetBytes(plan.Size())
	for b.Loop() {
		w, err := tarball.Create(path, plan, tarball.Request{}, 1)
		require.NoError(b, err)
		put(b, w, 2, plan.Blobs, m)
		require.NoError(b, w.Commit())
	}
}

func BenchmarkCheck(b *testing.B) {
	a, err := tarball.Open(large(b).write(b))
	require.NoError(b, err)
	defer a.Close()
	b.SetBytes(a.Size())
	for b.Loop() {
		damage, err := a.Check(b.Context(), 2, nil)
		require.NoError(b, err)
		require.Empty(b, damage)
	}
}

// BenchmarkOpen opens an archive of many blobs.
func BenchmarkOpen(b *testing.B) {
	m := newMemory()
	var locked []string
	for i := range 2000 {
		locked = append(locked, "registry.example/app@"+m.image(b, m.layer(i)).Digest.String())
	}
	m.bundle(b, rootName, nil, locked...)
	path := m.write(b)
	info, err := os.Stat(path)
	require.NoError(b, err)
	b.SetBytes(info.Size())
	for b.Loop() {
		a, err := tarball.Open(path)
		require.NoError(b, err)
		require.NoError(b, a.Close())
	}
}

// BenchmarkMany takes 100,000 blobs of 1 KiB, and twice as many, through every step of an archive but the
// network, and reports how much longer each step takes for twice as many: 2 is linear.
func BenchmarkMany(b *testing.B) {
	if testing.Short() {
		b.Skip("takes a minute")
	}
	for b.Loop() {
		once, twice := manySteps(b, 100_000), manySteps(b, 200_000)
		for step, took := range once {
			b.ReportMetric(twice[step].Seconds()/took.Seconds(), step+"-2n/n")
			b.ReportMetric(twice[step].Seconds(), step+"-2n-s")
		}
	}
}

// manySteps says how long each step takes for n blobs.
func manySteps(b *testing.B, n int) map[string]time.Duration {
	b.Helper()
	m := newMemory()
	var locked []string
	for i := 0; i < n; i += 100 {
		var layers []v1.Descriptor
		for j := range 100 {
			layers = append(layers, m.blob(types.OCILayer, append(noise(1000), fmt.Sprintf("%24d", i+j)...)))
		}
		locked = append(locked, fmt.Sprintf("registry.example/app%d@%s", i, m.image(b, layers...).Digest))
	}
	m.bundle(b, rootName, nil, locked...)
	took := map[string]time.Duration{}
	start := time.Now()
	lap := func(step string) {
		took[step] = time.Since(start)
		start = time.Now()
	}
	plan := m.plan(b)
	lap("walk")
	path := filepath.Join(b.TempDir(), "many.tar")
	w, err := tarball.Create(path, plan, tarball.Request{}, 1)
	require.NoError(b, err)
	lap("create")
	put(b, w, 2, plan.Blobs, m)
	require.NoError(b, w.Commit())
	lap("write")
	a, err := tarball.Open(path)
	require.NoError(b, err)
	defer a.Close()
	lap("open")
	damage, err := a.Check(b.Context(), 2, nil)
	require.NoError(b, err)
	require.Empty(b, damage)
	lap("check")
	again, err := a.Plan(b.Context(), 2, nil)
	require.NoError(b, err)
	require.Len(b, again.Blobs, len(plan.Blobs))
	lap("plan")
	return took
}
