package tarball_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/tarball"
)

// inRanges is a file in memory that is read in ranges, all of which must lie in it.
type inRanges struct {
	*bytes.Reader
	t    testing.TB
	size int64
}

func (r inRanges) Size() int64      { return r.size }
func (r inRanges) Name() string     { return "the archive" }
func (r inRanges) Unchanged() error { return nil }
func (r inRanges) Close() error     { return nil }

func (r inRanges) Range(_ context.Context, at, n int64) (io.ReadCloser, error) {
	if at < 0 || n < 0 || at+n > r.size || at+n < at {
		r.t.Errorf("%d bytes from byte %d of %d", n, at, r.size)
		return nil, errors.New("no such range")
	}
	return io.NopCloser(io.NewSectionReader(r.Reader, at, n)), nil
}

// TestLargeHead: a head that is too large to keep is read in pieces, and right wherever it is read.
func TestLargeHead(t *testing.T) {
	skipShort(t)
	t.Parallel()
	file := noise(20 << 20)
	counted := &counting{inRanges: inRanges{bytes.NewReader(file), t, int64(len(file))}}
	end := int64(len(file) - 1<<20 - 100)
	h := tarball.NewHead(counted, end)
	read := func(at, n int64) {
		p := make([]byte, n)
		_, err := h.ReadAt(p, at)
		require.NoError(t, err)
		require.True(t, bytes.Equal(file[at:at+n], p), "%d bytes from %d", n, at)
	}
	for at := int64(0); at+70_000 <= end; at += 70_000 {
		read(at, 70_000)
		read(max(0, at-2<<20), 1000) // another reader, a little behind
	}
	assert.LessOrEqual(t, counted.reads, 6)
	read(5, 10<<20)
	read(end-10, 10)
	before := counted.bytes
	read(end-10, 11)
	read(end+5, 2000)
	assert.Equal(t, before+2011, counted.bytes, "behind the head, what is asked for is read")
}

// counting counts reads.
type counting struct {
	inRanges
	reads, bytes int
}

func (c *counting) ReadAt(p []byte, at int64) (int, error) {
	c.reads++
	c.bytes += len(p)
	return c.inRanges.ReadAt(p, at)
}

// FuzzRanged: whatever the bytes are, reading them in ranges finds what reading them as a file finds.
func FuzzRanged(f *testing.F) {
	good := tiny(f).bytes(f)
	f.Add(good)
	f.Add(repository(f, 3000, 70).bytes(f))
	f.Add(append(slices.Clone(good), make([]byte, 700)...))
	for at := 0; at < len(good); at += 500 {
		bad := slices.Clone(good)
		bad[at] ^= 0x10
		f.Add(bad)
		f.Add(good[:at])
	}
	f.Add(tamper(f, good, func(inv *relocateJSON, _ *[]member) { inv.Blobs[0].Size = 1 << 40 }))
	imgpkg, err := os.ReadFile(filepath.Join("..", "testdata", "interop", "tar", "repository.tar"))
	require.NoError(f, err)
	f.Add(imgpkg)
	f.Add(imgpkg[:len(imgpkg)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		want, wantErr := open(b)
		got, err := tarball.OpenRanged(inRanges{bytes.NewReader(b), t, int64(len(b))})
		if wantErr != nil {
			require.Error(t, err)
			require.Equal(t, isOfFile(wantErr), isOfFile(err))
			return
		}
		require.NoError(t, err)
		require.Equal(t, want.Seal(), got.Seal())
		wantDamage, wantErr := want.Check(t.Context(), 2, nil)
		damage, err := got.Check(t.Context(), 2, nil)
		require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(err))
		require.Equal(t, wantDamage, damage)
		wantPlan, wantErr := want.Plan(t.Context(), 2, nil)
		plan, err := got.Plan(t.Context(), 2, nil)
		require.Equal(t, wantErr == nil, err == nil)
		if err == nil {
			require.Equal(t, wantPlan.Blobs, plan.Blobs)
		}
	})
}

func isOfFile(err error) bool {
	return errors.Is(err, tarball.ErrNotArchive) || errors.Is(err, tarball.ErrTruncated) || errors.Is(err, tarball.ErrDamaged)
}
