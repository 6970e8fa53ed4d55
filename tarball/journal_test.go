package tarball

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
)

// journaling is a journal of blobs of 100 MiB that begins in a folder of its own.
type journaling struct {
	*journal
	path    string
	written [4]int64
}

func newJournaling(t *testing.T) *journaling {
	t.Helper()
	f := &journaling{path: filepath.Join(t.TempDir(), "a.tar")}
	f.journal = newJournal(1, func(i int) int64 { return f.written[i] }, func(int) int64 { return 100 << 20 })
	require.NoError(t, f.create(f.path, journalHeader{Journal: journalVersion, Request: Request{Roots: []string{"r"}}, Seal: digest.Of(nil)}))
	data, err := os.Create(f.path + ".part")
	require.NoError(t, err)
	f.data = data
	t.Cleanup(func() { _ = f.end(); data.Close(); f.file.Close() })
	return f
}

// lines returns what the journal has after its header.
func (f *journaling) lines(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(journalName(f.path))
	require.NoError(t, err)
	_, lines, _ := strings.Cut(string(text), "\n")
	return lines
}

func (f *journaling) write(t *testing.T, blob int, n int64) {
	t.Helper()
	f.written[blob] += n
	require.NoError(t, f.wrote(t.Context(), blob, n))
}

// TestJournal: a line comes after the bytes that it counts were synced, and none when nothing changed.
func TestJournal(t *testing.T) {
	t.Parallel()
	f := newJournaling(t)
	f.write(t, 0, 5)
	require.NoError(t, f.ready())
	require.NoError(t, f.end()) // from here on this test syncs
	f.write(t, 2, 7)
	f.write(t, 1, 9)
	f.sync()
	f.sync()
	assert.Equal(t, "ready\n0 5\n1 9\n2 7\n", f.lines(t))
	f.written[2] = 0 // it was wrong
	f.written[1] = 100 << 20
	f.sync()
	assert.Equal(t, "ready\n0 5\n1 9\n2 7\n1 104857600\n2 0\n", f.lines(t))
	assert.Equal(t, map[int]int64{0: 5, 2: 0}, f.active, "what is whole is asked for no more")
}

// TestJournalFails: after a failure nothing is promised any more, and whoever writes hears of it. The system
// tells once of pages that it lost; and what follows half a line would be part of it.
func TestJournalFails(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*testing.T, *journaling) (mend func()){
		"data": func(t *testing.T, f *journaling) func() {
			data := f.data
			closed, err := os.Open(f.path + ".part")
			require.NoError(t, err)
			require.NoError(t, closed.Close())
			f.data = closed
			return func() { f.data = data }
		},
		"line": func(t *testing.T, f *journaling) func() {
			file := f.file
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Skip("needs /dev/full")
			}
			t.Cleanup(func() { full.Close() })
			f.file = full
			return func() { f.file = file }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newJournaling(t)
			require.NoError(t, f.ready())
			require.NoError(t, f.end())
			f.write(t, 0, 5)
			f.sync()
			f.write(t, 0, 6)
			mend := fail(t, f)
			f.sync()
			mend()
			f.written[0]++
			f.sync()
			assert.Equal(t, "ready\n0 5\n", f.lines(t))
			err := f.wrote(t.Context(), 0, 0)
			require.ErrorContains(t, err, "write journal ")
			assert.Equal(t, err, f.end())
			assert.Equal(t, name == "line", errors.Is(err, ErrNoSpace) && errors.Is(err, syscall.ENOSPC))

			f = newJournaling(t)
			mend = fail(t, f)
			require.Error(t, f.ready())
			mend()
			assert.False(t, f.began.Load())
			require.Error(t, f.wrote(t.Context(), 0, f.window), "and nobody waits")
		})
	}
}

// TestCommitAfterFailedSync: the archive's own sync says nothing of what an earlier one has lost.
func TestCommitAfterFailedSync(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.tar")
	w, err := Create(path, planOf(0), Request{}, 1)
	require.NoError(t, err)
	w.whole[0].Store(true)
	lost := errors.New("lost")
	w.journal.err = lost
	require.ErrorIs(t, w.Commit(), lost)
	require.NoFileExists(t, path)
}

// TestJournalWaits: who writes too much waits for a sync, also for the first, but not when it is told to end.
func TestJournalWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newJournaling(t)
		f.write(t, 0, f.window) // before anything is promised, nobody waits: the small section may be large
		f.limited = true        // as while a first sync takes its time
		ended := map[string]error{}
		write := func(name string, ctx context.Context) {
			go func() { ended[name] = f.wrote(ctx, 1, 1) }()
		}
		ctx, cancel := context.WithCancel(t.Context())
		write("cancelled", ctx)
		write("waiting", t.Context())
		synctest.Wait()
		require.Empty(t, ended)
		cancel()
		synctest.Wait()
		require.Equal(t, map[string]error{"cancelled": context.Canceled}, ended)
		require.NoError(t, f.ready())
		synctest.Wait()
		require.Contains(t, ended, "waiting")
		require.NoError(t, ended["waiting"])
		require.NoError(t, f.end())
	})
}

// TestJournalCutAnywhere: a journal cut at any byte promises what its whole lines say.
func TestJournalCutAnywhere(t *testing.T) {
	t.Parallel()
	f := newJournaling(t)
	require.NoError(t, f.ready())
	require.NoError(t, f.end())
	for i := range 12 {
		f.write(t, i%3, int64(1000+i))
		f.sync()
	}
	text, err := os.ReadFile(journalName(f.path))
	require.NoError(t, err)
	for n := range len(text) + 1 {
		p, err := readJournal(strings.NewReader(string(text[:n])))
		require.NoError(t, err)
		checkPromised(t, string(text[:n]), p)
		assert.Equal(t, strings.LastIndex(string(text[:n]), "\n")+1, int(p.end), "cut at %d", n)
	}
}

// checkPromised holds what was read of a journal to its text: nothing but whole lines that make sense, up to
// the first that does not, and of each blob the last.
func checkPromised(t *testing.T, text string, p *promised) {
	t.Helper()
	if p.end < 0 || p.end > int64(len(text)) || (p.end > 0 && text[p.end-1] != '\n') {
		t.Fatalf("%d bytes of %q", p.end, text)
	}
	want := map[int]int64{}
	lines := strings.Split(text[:p.end], "\n")
	for i, line := range lines[:len(lines)-1] {
		var blob int
		var n int64
		switch {
		case i == 0:
		case i == 1:
			assert.Equal(t, "ready", line)
		default:
			_, err := fmt.Sscanf(line, "%d %d", &blob, &n)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("%d %d", blob, n), line)
			want[blob] = n
		}
	}
	assert.Equal(t, want, p.durable)
	assert.Equal(t, len(lines) > 2, p.ready)
	if p.end == 0 {
		return
	}
	again, err := readJournal(strings.NewReader(text[:p.end]))
	require.NoError(t, err)
	assert.Equal(t, p, again)
}

// endless is a journal without an end, whose lines each name another blob.
type endless struct {
	read, blob int64
	left       string
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == "" {
		e.left = fmt.Sprintf("%d 1\n", e.blob)
		e.blob++
	}
	n := copy(p, e.left)
	e.left = e.left[n:]
	e.read += int64(n)
	return n, nil
}

// TestJournalLimits: neither a journal that does not end nor one of too many blobs takes more memory than a
// plan's.
func TestJournalLimits(t *testing.T) {
	t.Parallel()
	header, err := json.Marshal(journalHeader{Journal: journalVersion, Request: Request{Roots: []string{"r"}}, Seal: digest.Of(nil)})
	require.NoError(t, err)
	begin := string(header) + "\n" + readyLine
	r := &endless{left: begin}
	p, err := readJournal(r)
	require.NoError(t, err)
	assert.True(t, p.ready)
	assert.Len(t, p.durable, maxJournalBlobs)

	r = &endless{left: begin + strings.Repeat("0 4611686018427387903\n", maxJournal/20)}
	p, err = readJournal(r)
	require.NoError(t, err)
	assert.LessOrEqual(t, r.read, int64(maxJournal))
	assert.LessOrEqual(t, p.end, int64(maxJournal))
	assert.Equal(t, map[int]int64{0: 1<<62 - 1}, p.durable)
}
