package volume

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/reedsolomon"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var sealOf = "sha256:" + strings.Repeat("ab", 32)

func noProgress(int64) {}

// content returns n bytes that differ by seed.
func content(seed uint64, n int64) []byte {
	b := make([]byte, n)
	c := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = c.Read(b)
	return b
}

// write writes a set of text at path.
func write(t *testing.T, path string, text []byte, volume int64, parity int) Layout {
	t.Helper()
	l := Layout{Size: int64(len(text)), Volume: volume, Parity: parity}
	w, err := Create(path, sealOf, l)
	require.NoError(t, err)
	const piece = 3000 // which is in two volumes at times
	for i := (len(text) - 1) / piece; i >= 0; i-- {
		_, err := w.WriteAt(text[i*piece:min(len(text), (i+1)*piece)], int64(i*piece))
		require.NoError(t, err)
	}
	require.NoError(t, w.Sync())
	require.NoError(t, w.Protect(t.Context(), noProgress))
	require.NoError(t, w.Commit())
	return l
}

func open(t *testing.T, path string, folders ...string) *Set {
	t.Helper()
	s, err := Open(path, folders...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func all(s *Set) (list []int) {
	for i := range s.All() {
		list = append(list, i)
	}
	return list
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return list
}

// TestSet: the volumes are the file in pieces, and are read as if they were joined.
func TestSet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a.tar")
	text := content(1, 5*MinSize+Block)
	write(t, path, text, MinSize, 2)
	assert.Equal(t, []string{"a.tar.001", "a.tar.002", "a.tar.003", "a.tar.004", "a.tar.005", "a.tar.006", "a.tar.p001", "a.tar.p002", "a.tar.volumes"}, names(t, dir))
	var joined []byte
	for i := range 6 {
		part, err := os.ReadFile(fmt.Sprintf("%s.%03d", path, i+1))
		require.NoError(t, err)
		joined = append(joined, part...)
	}
	assert.True(t, bytes.Equal(text, joined))
	s := open(t, path)
	got, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size))
	require.NoError(t, err)
	assert.True(t, bytes.Equal(text, got))
	for range 100 {
		at, n := rand.IntN(len(text)), 1+rand.IntN(2*MinSize)
		p := make([]byte, n)
		m, err := s.ReadAt(p, int64(at))
		if at+n > len(text) {
			require.ErrorIs(t, err, io.EOF)
		} else {
			require.NoError(t, err)
		}
		assert.True(t, bytes.Equal(text[at:min(at+n, len(text))], p[:m]))
	}
	wrong, err := s.Check(t.Context(), all(s), noProgress)
	require.NoError(t, err)
	assert.Empty(t, wrong)
	assert.Empty(t, s.Missing())
	if program, err := exec.LookPath("sha256sum"); err == nil {
		cmd := exec.Command(program, "--check", "--strict", "a.tar.volumes")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

// TestRepair: any volumes, as many as there are for parity, are rebuilt byte for byte, whether they are
// lost, damaged or cut off; with one more, nothing is changed.
func TestRepair(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size, volume int64
		parity       int
	}{
		{MinSize, MinSize, 1},
		{MinSize - Block, MinSize, 2},
		{3 * MinSize, MinSize, 1},
		{7*MinSize + 3*Block, MinSize, 3},
		{5*MinSize + 3*Block, MinSize + Block, 7},
		{253 * MinSize, MinSize, 3},       // the most that rs8 has
		{254*MinSize - Block, MinSize, 3}, // leopard16
		{999*MinSize + Block, MinSize, 4},
		{40 * MinSize, MinSize, 300},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "a.tar")
			l := write(t, path, content(uint64(c.size), c.size), c.volume, c.parity)
			text := map[string][]byte{}
			for i := range l.All() {
				b, err := os.ReadFile(l.Name(path, i))
				require.NoError(t, err)
				text[l.Name(path, i)] = b
			}
			order := rand.Perm(l.All())
			hurt := func(i int) {
				name := l.Name(path, i)
				switch rand.IntN(3) {
				case 0:
					require.NoError(t, os.Remove(name))
				case 1:
					require.NoError(t, os.Truncate(name, rand.Int64N(l.SizeOf(i))))
				default:
					b := bytes.Clone(text[name])
					b[rand.IntN(len(b))] ^= 1 << rand.IntN(8)
					require.NoError(t, os.WriteFile(name, b, 0o600))
				}
			}
			for _, i := range order[:c.parity] {
				hurt(i)
			}
			s := open(t, path)
			wrong, err := s.Check(t.Context(), all(s), noProgress)
			require.NoError(t, err)
			var numbers []int
			for _, w := range wrong {
				numbers = append(numbers, w.Number)
			}
			assert.ElementsMatch(t, order[:c.parity], numbers)
			r, err := s.Rebuild(t.Context(), numbers, noProgress)
			require.NoError(t, err)
			require.NoError(t, r.Accept())
			for name, want := range text {
				got, err := os.ReadFile(name)
				require.NoError(t, err)
				assert.True(t, bytes.Equal(want, got), name)
			}
			assert.Len(t, names(t, filepath.Dir(path)), l.All()+1)
			if c.parity+1 > l.All() {
				return
			}
			_, err = s.Rebuild(t.Context(), order[:c.parity+1], noProgress)
			require.ErrorAs(t, err, new(*TooManyError))
			assert.Len(t, names(t, filepath.Dir(path)), l.All()+1)
		})
	}
}

// TestRebuiltIsCompared: what is rebuilt from volumes that were changed has no name.
func TestRebuiltIsCompared(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.tar")
	l := write(t, path, content(1, 4*MinSize), MinSize, 1)
	require.NoError(t, os.Remove(l.Name(path, 1)))
	require.NoError(t, os.WriteFile(l.Name(path, 2), content(9, MinSize), 0o600))
	s := open(t, path)
	before := names(t, filepath.Dir(path))
	_, err := s.Rebuild(t.Context(), []int{1}, noProgress)
	require.ErrorIs(t, err, ErrRebuilt)
	assert.Equal(t, before, names(t, filepath.Dir(path)))
	assert.Equal(t, []int{1}, s.Missing())
}

// TestCodes: parity volumes are what they were; other versions and machines must read them.
func TestCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		volumes int64
		parity  int
		sum     string
	}{
		{5, 2, "ef518da44c9b523706654a608b46ee64caa72b919dcd90f10506997ba2775892"},
		{300, 2, "2e9978f8520360caa8fe51d50ad54d1c52221e9320299aa3c3d1e20db1309719"},
	} {
		path := filepath.Join(t.TempDir(), "a.tar")
		l := write(t, path, content(7, c.volumes*MinSize), MinSize, c.parity)
		b, err := os.ReadFile(l.Name(path, l.All()-1))
		require.NoError(t, err)
		assert.Equal(t, c.sum, fmt.Sprintf("%x", sha256.Sum256(b)))
	}
}

// TestPadding: parity is computed as if all volumes had zeros up to the size of the largest.
func TestPadding(t *testing.T) {
	t.Parallel()
	const size = maxStripe * 5 / 2
	path := filepath.Join(t.TempDir(), "a.tar")
	text := content(1, 2*size+maxStripe*3/2) // the last volume ends within a stripe that is not its first
	l := write(t, path, text, size, 1)
	code, err := reedsolomon.New(3, 1)
	require.NoError(t, err)
	text = append(text, make([]byte, 4*size-len(text))...)
	shards := [][]byte{text[:size], text[size : 2*size], text[2*size : 3*size], text[3*size:]}
	require.NoError(t, code.Encode(shards))
	got, err := os.ReadFile(l.Name(path, 3))
	require.NoError(t, err)
	assert.True(t, bytes.Equal(shards[3], got))
}

// TestFolders: volumes may be in several folders; the first that has one counts.
func TestFolders(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	path := filepath.Join(one, "a.tar")
	text := content(3, 4*MinSize)
	l := write(t, path, text, MinSize, 1)
	for _, i := range []int{1, 4} {
		name := l.Name("a.tar", i)
		require.NoError(t, os.Rename(filepath.Join(one, name), filepath.Join(two, name)))
	}
	s := open(t, path)
	assert.Equal(t, []int{1, 4}, s.Missing())
	assert.False(t, s.Has(0, 2*MinSize))
	assert.False(t, s.Has(MinSize, 1))
	assert.True(t, s.Has(2*MinSize, 2*MinSize))
	_, err := s.ReadAt(make([]byte, 10), MinSize-5)
	var missing *MissingError
	require.ErrorAs(t, err, &missing)
	assert.EqualError(t, err, "a.tar.002 is missing")
	s = open(t, path, two)
	assert.Empty(t, s.Missing())
	got, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size))
	require.NoError(t, err)
	assert.True(t, bytes.Equal(text, got))

	require.NoError(t, os.WriteFile(l.Name(path, 1), []byte("cut off"), 0o600)) // and whole in the other folder
	assert.Empty(t, open(t, path, two).Missing())
	_, err = open(t, path).ReadAt(make([]byte, 1), MinSize)
	require.EqualError(t, err, "a.tar.002 has 7 bytes; it must have 4096")

	other := t.TempDir()
	write(t, filepath.Join(other, "a.tar"), content(4, 4*MinSize), MinSize, 1)
	_, err = Open(path, two, other)
	require.ErrorIs(t, err, ErrOther)
	require.ErrorContains(t, err, filepath.Join(other, "a.tar.volumes"))
}

// TestWrongVolume: a volume that is another one is named.
func TestWrongVolume(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.tar"), filepath.Join(dir, "b.tar")
	write(t, a, content(1, 8*MinSize), MinSize, 0)
	write(t, b, content(2, 8*MinSize), MinSize, 0)
	copyTo := func(from, to string) {
		text, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to, text, 0o600))
	}
	copyTo(b+".007", a+".007")
	copyTo(a+".001", a+".002")
	require.NoError(t, os.WriteFile(a+".003", content(5, MinSize), 0o600))
	s := open(t, a)
	wrong, err := s.Check(t.Context(), all(s), noProgress)
	require.NoError(t, err)
	assert.Equal(t, []Wrong{
		{1, false, "does not have the SHA-256 of the list: it is a.tar.001"},
		{2, false, "does not have the SHA-256 of the list"},
		{6, false, "does not have the SHA-256 of the list: it is b.tar.007, of another file (" + sealOf + ")"},
	}, wrong)
}

// TestList: a list that was changed anywhere is not read, unless another copy is whole.
func TestList(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	path := filepath.Join(one, "a.tar")
	write(t, path, content(1, 3*MinSize), MinSize, 2)
	text, err := os.ReadFile(ListName(path))
	require.NoError(t, err)
	l, err := ParseList(text)
	require.NoError(t, err)
	assert.Equal(t, string(text), string(l.encode()))
	for i := range text {
		b := bytes.Clone(text)
		b[i] ^= 1
		_, err := ParseList(b)
		require.ErrorIs(t, err, ErrList, i)
		_, err = ParseList(text[:i])
		require.ErrorIs(t, err, ErrList, i)
	}
	require.NoError(t, os.WriteFile(filepath.Join(two, "a.tar.volumes"), text, 0o600))
	require.NoError(t, os.WriteFile(ListName(path), text[:100], 0o600))
	_, err = Open(path)
	require.ErrorIs(t, err, ErrList)
	s := open(t, path, two)
	assert.Len(t, s.Notes, 1)
	require.NoError(t, s.WriteList())
	again, err := os.ReadFile(ListName(path))
	require.NoError(t, err)
	assert.Equal(t, text, again)
	require.NoError(t, os.Remove(ListName(path)))
	_, err = Open(path)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// TestReplace: a set replaces another one. At no time is there a list with volumes that are not its own.
func TestReplace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.tar")
	write(t, path, content(1, 9*MinSize), MinSize, 2)
	text := content(2, 3*MinSize)
	write(t, path, text, MinSize, 1)
	assert.Equal(t, []string{"a.tar.001", "a.tar.002", "a.tar.003", "a.tar.p001", "a.tar.volumes"}, names(t, filepath.Dir(path)))
	s := open(t, path)
	wrong, err := s.Check(t.Context(), all(s), noProgress)
	require.NoError(t, err)
	assert.Empty(t, wrong)
}

// TestContinue: what was cut off before, or within, the commit is continued or discarded.
func TestContinue(t *testing.T) {
	t.Parallel()
	text := content(1, 4*MinSize)
	l := Layout{Size: 4 * MinSize, Volume: MinSize, Parity: 1}
	for renamed := range l.All() + 1 {
		for _, discard := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "a.tar")
			write(t, path, text, MinSize, 1)
			require.NoError(t, os.Rename(ListName(path), ListName(path)+partSuffix))
			for i := renamed; i < l.All(); i++ {
				require.NoError(t, os.Rename(l.Name(path, i), l.Name(path, i)+partSuffix))
			}
			found, err := Unfinished(path)
			require.NoError(t, err)
			assert.Len(t, found, l.All()-renamed+1)
			if discard {
				require.NoError(t, Discard(path))
				assert.Empty(t, names(t, filepath.Dir(path)))
				continue
			}
			w, err := Continue(path, sealOf, l)
			require.NoError(t, err)
			require.NoError(t, w.Protect(t.Context(), noProgress))
			require.NoError(t, w.Commit())
			s := open(t, path)
			wrong, err := s.Check(t.Context(), all(s), noProgress)
			require.NoError(t, err)
			assert.Empty(t, wrong)
		}
	}
}

// TestLayout refuses what cannot be cut.
func TestLayout(t *testing.T) {
	t.Parallel()
	for want, l := range map[string]Layout{
		"a file of 0 bytes cannot be cut into volumes":                                                                  {0, MinSize, 0},
		"a file cannot be cut into volumes of 100 bytes: use a multiple of 512, at least 4096":                          {Block, 100, 0},
		"a file of 1024000000 bytes cannot be cut into volumes of 4096 bytes with 2 for parity: a set has at most 2000": {1024000000, MinSize, 2},
		"a file cannot be cut into volumes with -1 parity volumes":                                                      {Block, MinSize, -1},
	} {
		err := l.Check()
		require.ErrorIs(t, err, ErrLayout)
		assert.EqualError(t, err, want)
	}
	require.ErrorIs(t, CheckName("a\nb"), ErrLayout)
	require.ErrorIs(t, CheckName(strings.Repeat("a", 241)), ErrLayout)
	l := Layout{Size: 1000 * MinSize, Volume: MinSize, Parity: 2}
	assert.Equal(t, []string{"a.0001", "a.1000", "a.p0001"}, []string{l.Name("a", 0), l.Name("a", 999), l.Name("a", 1000)})
	for i := range l.All() {
		assert.Equal(t, i, l.number("a", l.Name("a", i)))
	}
	for _, name := range []string{"a.001", "a.0000", "a.1001", "a.p0003", "b.0001", "a.+001", "a.", "a"} {
		assert.Equal(t, -1, l.number("a", name), name)
	}
}
