package tarball_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/ownfile"
	"relocate/tarball"
)

var request = tarball.Request{Roots: []string{rootName}}

// cut writes the first n blobs of an archive and the beginning of the next, and leaves it.
func (m *memory) cut(t testing.TB, path string, n int) {
	t.Helper()
	plan := m.plan(t)
	w, err := tarball.Create(path, plan, request, 1)
	require.NoError(t, err)
	put(t, w, 1, plan.Blobs[:n], m)
	if n < len(plan.Blobs) {
		err := w.PutBlob(t.Context(), *plan.Blobs[n].Descriptor, func(context.Context, int64) (io.ReadCloser, error) {
			b := m.content(plan.Blobs[n].Descriptor.Digest)
			return io.NopCloser(io.MultiReader(bytes.NewReader(b[:len(b)*2/3]), iotest.ErrReader(errNetwork))), nil
		})
		require.ErrorIs(t, err, errNetwork)
	}
	require.NoError(t, w.Suspend())
}

// resume ends an archive as the program does: from where it was, or from the beginning when nothing is kept.
func (m *memory) resume(t testing.TB, path string, request tarball.Request) (fetched int64, err error) {
	t.Helper()
	w, plan, err := tarball.Resume(t.Context(), path, request, 2, nil)
	if errors.Is(err, fs.ErrNotExist) {
		plan = m.plan(t)
		w, err = tarball.Create(path, plan, request, 2)
	}
	if err != nil {
		return 0, err
	}
	for _, b := range plan.Blobs {
		require.NoError(t, w.PutBlob(t.Context(), *b.Descriptor, func(ctx context.Context, from int64) (io.ReadCloser, error) {
			fetched += b.Descriptor.Size - from
			return m.opener(*b.Descriptor)(ctx, from)
		}))
	}
	return fetched, w.Commit()
}

// TestResume goes on from every blob, and from within.
func TestResume(t *testing.T) {
	t.Parallel()
	m := repository(t, 1<<20, 2<<20-512, 2<<20-511)
	plan, want := m.plan(t), m.bytes(t)
	for n := range len(plan.Blobs) + 1 {
		path := filepath.Join(memoryDir(t), "a.tar")
		m.cut(t, path, n)
		if n < plan.Small {
			assertOnly(t, filepath.Dir(path))
		} else {
			assertOnly(t, filepath.Dir(path), "a.tar.part", "a.tar.part.journal")
		}
		fetched, err := m.resume(t, path, request)
		require.NoError(t, err)
		assertSame(t, want, path, "after %d blobs", n)
		assertOnly(t, filepath.Dir(path), "a.tar")
		var left int64
		for i, b := range plan.Blobs {
			switch {
			case n < plan.Small || i > n:
				left += b.Descriptor.Size
			case i == n: // what filled a buffer of 256 KiB, with the header, was written
				left += b.Descriptor.Size - max(0, (b.Descriptor.Size*2/3+512)>>18<<18-512)
			}
		}
		assert.Equal(t, left, fetched, "bytes fetched after %d blobs", n)
	}
}

// memoryDir is a folder without a disk below it, where there is such a thing.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "relocate-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func assertSame(t testing.TB, want []byte, path, format string, args ...any) {
	t.Helper()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	if !bytes.Equal(want, got) {
		t.Fatalf("%s: the archive is another", fmt.Sprintf(format, args...))
	}
}

// halves are the files of a cut archive.
type halves struct{ part, journal []byte }

func (m *memory) halves(t testing.TB, n int) halves {
	t.Helper()
	path := filepath.Join(memoryDir(t), "a.tar")
	m.cut(t, path, n)
	return halves{readAll(t, path+".part"), readAll(t, path+".part.journal")}
}

func readAll(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// finish holds what becomes of files that were tampered with: the same archive, or a refusal that leaves
// them alone, after which the same archive can be had from the beginning.
func (h halves) finish(t testing.TB, m *memory, want []byte, what string) (refusal error) {
	t.Helper()
	path := filepath.Join(memoryDir(t), "a.tar")
	require.NoError(t, os.WriteFile(path+".part", h.part, 0o600))
	require.NoError(t, os.WriteFile(path+".part.journal", h.journal, 0o600))
	_, refusal = m.resume(t, path, request)
	if refusal != nil {
		require.ErrorIs(t, refusal, tarball.ErrCannotResume, what)
		require.ErrorContains(t, refusal, "resume "+path, what)
		require.Equal(t, h.journal, readAll(t, path+".part.journal"), what)
		require.NoError(t, tarball.Discard(path))
		_, err := m.resume(t, path, request)
		require.NoError(t, err, what)
	}
	assertSame(t, want, path, "%s", what)
	assertOnly(t, filepath.Dir(path), "a.tar")
	return refusal
}

// TestResumeTampered changes what was kept, in all places.
func TestResumeTampered(t *testing.T) {
	t.Parallel()
	m := repository(t, 1<<20+1<<19+1000)
	plan, want := m.plan(t), m.bytes(t)
	base := m.halves(t, len(plan.Blobs)-1)
	require.NoError(t, base.finish(t, m, want, "nothing changed"))
	a, err := open(want)
	require.NoError(t, err)
	layer := len(want) - int(plan.Blobs[len(plan.Blobs)-1].Descriptor.Size)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var places []int
	for i := range 120 {
		switch {
		case i < 40: // the documents and their headers
			places = append(places, rnd.IntN(len(want)-layer)%8000)
		case i < 90: // the small section and small layers
			places = append(places, 8000+rnd.IntN(layer-8000))
		default:
			places = append(places, layer+rnd.IntN(1<<20+1<<19))
		}
	}
	refused := 0
	for _, at := range places {
		h := halves{bytes.Clone(base.part), base.journal}
		if at >= len(h.part) {
			continue
		}
		h.part[at] ^= 1 << rnd.IntN(8)
		if h.finish(t, m, want, fmt.Sprintf("byte %d flipped", at)) != nil {
			refused++
		}
	}
	assert.Positive(t, refused, "some of these are in the inventory")
	assert.Less(t, refused, len(places)/2)
	for _, n := range []int{0, 1, 511, 512, 1023, 2048, 9000, layer / 2, layer, len(base.part) - 1<<20, len(base.part) - 1} {
		base := halves{base.part[:n], base.journal}
		base.finish(t, m, want, fmt.Sprintf("cut at %d", n)) //nolint:errcheck // either is right
	}
	longer := halves{append(bytes.Clone(base.part), "and more"...), base.journal}
	require.NoError(t, longer.finish(t, m, want, "longer"))
	zero := halves{make([]byte, len(base.part)), base.journal}
	require.Error(t, zero.finish(t, m, want, "zeroed"))
	zeroed := halves{bytes.Clone(base.part), base.journal}
	clear(zeroed.part[layer:])
	require.NoError(t, zeroed.finish(t, m, want, "layers zeroed"))
	require.NoError(t, a.Close())
}

// TestResumeWithAnotherJournal: cut anywhere, garbled anywhere, or one that lies, is newer, or of another
// archive.
func TestResumeWithAnotherJournal(t *testing.T) {
	t.Parallel()
	m := repository(t, 1<<20+1<<19+1000)
	plan, want := m.plan(t), m.bytes(t)
	base := m.halves(t, len(plan.Blobs)-1)
	for n := 0; n < len(base.journal); n += stride {
		h := halves{base.part, base.journal[:n]}
		require.NoError(t, h.finish(t, m, want, fmt.Sprintf("journal cut at %d", n)))
	}
	for n := 0; n < len(base.journal); n += 7 * stride {
		h := halves{base.part, bytes.Clone(base.journal)}
		h.journal[n] ^= 1 + byte(n%7)
		h.finish(t, m, want, fmt.Sprintf("byte %d of the journal changed", n)) //nolint:errcheck // either is right
	}
	header, _, _ := strings.Cut(string(base.journal), "ready\n")
	all := header + "ready\n"
	for i, b := range plan.Blobs {
		all += fmt.Sprintf("%d %d\n", i, b.Descriptor.Size)
	}
	last := len(plan.Blobs) - 1
	for name, text := range map[string]string{
		"claims everything":     all,
		"claims more than that": all + fmt.Sprintf("%d %d\n", last, 9<<20) + fmt.Sprintf("%d 1\n", last+7),
		"claims odd bytes":      header + "ready\n" + fmt.Sprintf("%d %d\n", last, 1034567),
		"claims nothing":        header,
		"is no journal":         "precious\n",
	} {
		h := halves{base.part, []byte(text)}
		require.NoError(t, h.finish(t, m, want, name))
	}
	newer := halves{base.part, bytes.Replace(base.journal, []byte(`"journal":1`), []byte(`"journal":2,"more":[]`), 1)}
	require.ErrorContains(t, newer.finish(t, m, want, "newer"), "its journal has version 2, this program writes 1")

	other := repository(t, 2<<20)
	theirs := other.halves(t, len(plan.Blobs)-1)
	require.Error(t, halves{theirs.part, base.journal}.finish(t, m, want, "another's .part"))
	require.Error(t, halves{base.part, theirs.journal}.finish(t, m, want, "another's journal"))
}

// TestResumeAnother: what was begun for other references or with other flags is refused and stays.
func TestResumeAnother(t *testing.T) {
	t.Parallel()
	m := repository(t, 3<<20)
	plan, want := m.plan(t), m.bytes(t)
	path := filepath.Join(memoryDir(t), "a.tar")
	m.cut(t, path, len(plan.Blobs)-1)
	for says, other := range map[string]tarball.Request{
		"it was begun for " + rootName + ", not for other:1":      {Roots: []string{"other:1"}},
		"it was begun without b:1":                                {Roots: []string{rootName, "b:1"}},
		"it was begun without --include-non-distributable-layers": {Roots: []string{rootName}, NonDistributable: true},
	} {
		_, err := m.resume(t, path, other)
		require.ErrorIs(t, err, tarball.ErrCannotResume)
		require.ErrorContains(t, err, says)
	}
	_, err := m.resume(t, path, request)
	require.NoError(t, err)
	assertSame(t, want, path, "in the end")
}

// TestResumeLinks: what stands in the place of the two files and is none is not followed.
func TestResumeLinks(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	base := m.halves(t, m.plan(t).Small)
	for _, name := range []string{".part", ".part.journal"} {
		dir := memoryDir(t)
		path := filepath.Join(dir, "a.tar")
		require.NoError(t, os.WriteFile(path+".part", base.part, 0o600))
		require.NoError(t, os.WriteFile(path+".part.journal", base.journal, 0o600))
		require.NoError(t, os.Rename(path+name, filepath.Join(dir, "target")))
		before := readAll(t, filepath.Join(dir, "target"))
		require.NoError(t, os.Symlink("target", path+name))
		_, err := m.resume(t, path, request)
		require.ErrorIs(t, err, ownfile.ErrUnsafe)
		require.ErrorContains(t, err, path+name)
		assert.Equal(t, before, readAll(t, filepath.Join(dir, "target")))
	}
}

// TestResumeCancelled ends at once, and changes nothing.
func TestResumeCancelled(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	path := filepath.Join(memoryDir(t), "a.tar")
	m.cut(t, path, m.plan(t).Small)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := tarball.Resume(ctx, path, request, 1, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, tarball.ErrCannotResume)
	_, err = m.resume(t, path, request)
	require.NoError(t, err)
}

// TestDiscard removes what is this program's.
func TestDiscard(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	path := filepath.Join(memoryDir(t), "a.tar")
	require.NoError(t, tarball.Discard(path))
	m.cut(t, path, m.plan(t).Small)
	require.NoError(t, tarball.Discard(path))
	assertOnly(t, filepath.Dir(path))
}
