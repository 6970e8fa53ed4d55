package volume

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkProtect hashes the volumes of a file of 512 MiB, and computes parity: what parity costs is the
// difference to the first line.
func BenchmarkProtect(b *testing.B) {
	const size = 512 << 20
	text := content(1, 1<<20)
	for _, c := range []struct {
		volumes int64
		parity  int
	}{{8, 0}, {8, 1}, {8, 2}, {8, 4}, {64, 4}, {250, 6}, {1024, 0}, {1024, 2}, {1024, 8}} {
		b.Run(fmt.Sprintf("volumes=%d/parity=%d", c.volumes, c.parity), func(b *testing.B) {
			w, err := Create(filepath.Join(b.TempDir(), "f"), sealOf, Layout{size, pieces(size, c.volumes), c.parity})
			require.NoError(b, err)
			defer w.Close()
			for at := int64(0); at < size; at += int64(len(text)) {
				_, err := w.WriteAt(text, at)
				require.NoError(b, err)
			}
			b.SetBytes(size)
			for b.Loop() {
				require.NoError(b, w.Protect(b.Context(), noProgress))
			}
		})
	}
}

// pieces returns the size of that many volumes.
func pieces(size, volumes int64) int64 { return (size/volumes + Block - 1) / Block * Block }

// BenchmarkRebuild rebuilds as many volumes as there are for parity.
func BenchmarkRebuild(b *testing.B) {
	const size = 512 << 20
	for _, c := range []struct {
		volumes int64
		parity  int
	}{{8, 2}, {1024, 4}} {
		b.Run(fmt.Sprintf("volumes=%d/parity=%d", c.volumes, c.parity), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "f")
			w, err := Create(path, sealOf, Layout{size, pieces(size, c.volumes), c.parity})
			require.NoError(b, err)
			require.NoError(b, w.Each(func(f *os.File, size int64) error { return f.Truncate(size) }))
			require.NoError(b, w.Protect(b.Context(), noProgress))
			require.NoError(b, w.Commit())
			s, err := Open(path)
			require.NoError(b, err)
			defer s.Close()
			var numbers []int
			for i := range c.parity {
				numbers = append(numbers, i)
			}
			b.SetBytes(size)
			for b.Loop() {
				r, err := s.Rebuild(b.Context(), numbers, noProgress)
				require.NoError(b, err)
				require.NoError(b, r.Discard())
			}
		})
	}
}
