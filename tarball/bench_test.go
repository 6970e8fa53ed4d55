package tarball_test

import (
	"os"
	"path/filepath"
	"testing"

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
		damage, err := a.Check(b.Context(), tarball.CheckOptions{Blobs: true, Jobs: 2})
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
