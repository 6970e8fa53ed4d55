package digest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
)

var errSource = errors.New("the source broke")

// wrappers are the ways in which a reader may hand out the same bytes.
var wrappers = map[string]func(io.Reader) io.Reader{
	"plain":         func(r io.Reader) io.Reader { return r },
	"one byte":      iotest.OneByteReader,
	"half":          iotest.HalfReader,
	"data with EOF": iotest.DataErrReader,
}

func TestReaderPassesRightContent(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 511, 512, 513, 1 << 16} {
		content := bytes.Repeat([]byte("x"), n)
		for name, wrap := range wrappers {
			t.Run(fmt.Sprintf("%d bytes, %s", n, name), func(t *testing.T) {
				t.Parallel()
				open := func() io.Reader {
					return digest.Reader(wrap(bytes.NewReader(content)), digest.Of(content), int64(n))
				}
				require.NoError(t, iotest.TestReader(open(), content))
				got, err := io.ReadAll(iotest.OneByteReader(open()))
				require.NoError(t, err)
				assert.Equal(t, len(content), len(got))
			})
		}
	}
}

// TestReaderRefuses also holds the reader to what it is for: whatever is wrong, a receiver that
// counts bytes never gets as many as were promised.
func TestReaderRefuses(t *testing.T) {
	t.Parallel()
	const content = "the content that was promised"
	want, size := digest.Of([]byte(content)), int64(len(content))
	text := func(s string) io.Reader { return strings.NewReader(s) }
	tests := []struct {
		name   string
		source func() io.Reader
		want   v1.Hash
		size   int64
		err    error
		says   string
	}{
		{"another digest", func() io.Reader { return text(strings.ToUpper(content)) }, want, size, digest.ErrMismatch, "has the digest sha256:"},
		{"last byte wrong", func() io.Reader { return text(content[:size-1] + "?") }, want, size, digest.ErrMismatch, "has the digest sha256:"},
		{"too short", func() io.Reader { return text(content[:size-1]) }, want, size, digest.ErrMismatch, "ends after 28 of 29 bytes"},
		{"nothing", func() io.Reader { return text("") }, want, size, digest.ErrMismatch, "ends after 0 of 29 bytes"},
		{"one byte too long", func() io.Reader { return text(content + "!") }, want, size, digest.ErrMismatch, "more than 29 bytes"},
		{"cut to a size too small", func() io.Reader { return text(content) }, want, size - 1, digest.ErrMismatch, "has the digest sha256:"},
		{"empty, of another digest", func() io.Reader { return text("") }, want, 0, digest.ErrMismatch, "has the digest sha256:"},
		{"empty, but bytes follow", func() io.Reader { return text("!") }, digest.Of(nil), 0, digest.ErrMismatch, "more than 0 bytes"},
		{"negative size", func() io.Reader { return text("") }, digest.Of(nil), -1, digest.ErrMismatch, "cannot have -1 bytes"},
		{"error at the start", func() io.Reader { return iotest.ErrReader(errSource) }, want, size, errSource, ""},
		{"error in the middle", func() io.Reader { return io.MultiReader(text(content[:9]), iotest.ErrReader(errSource)) }, want, size, errSource, ""},
		{"error in place of the end", func() io.Reader { return io.MultiReader(text(content), iotest.ErrReader(errSource)) }, want, size, errSource, ""},
		{"error with the last bytes", func() io.Reader { return &atOnce{content, errSource} }, want, size, errSource, ""},
		{"error with wrong last bytes", func() io.Reader { return &atOnce{strings.ToUpper(content), errSource} }, want, size, errSource, ""},
		{"error in place of an empty end", func() io.Reader { return iotest.ErrReader(errSource) }, digest.Of(nil), 0, errSource, ""},
		{"connection closed", func() io.Reader { return io.MultiReader(text(content[:9]), iotest.ErrReader(io.ErrUnexpectedEOF)) }, want, size, io.ErrUnexpectedEOF, ""},
		{"an error about an EOF is no EOF", func() io.Reader { return iotest.ErrReader(fmt.Errorf("dial: %w", io.EOF)) }, want, size, io.EOF, "dial: EOF"},
		{"such an error in place of the end", func() io.Reader {
			return io.MultiReader(text(content), iotest.ErrReader(fmt.Errorf("dial: %w", io.EOF)))
		}, want, size, io.EOF, "dial: EOF"},
		{"sha512", func() io.Reader { return text(content) }, v1.Hash{Algorithm: "sha512", Hex: strings.Repeat("0", 128)}, size, nil, "only sha256 is supported"},
		{"no digest", func() io.Reader { return text(content) }, v1.Hash{}, size, nil, "only sha256 is supported"},
	}
	for _, test := range tests {
		for name, wrap := range wrappers {
			if name == "data with EOF" && test.name == "error with the last bytes" {
				continue // it reads ahead
			}
			t.Run(test.name+", "+name, func(t *testing.T) {
				t.Parallel()
				r := digest.Reader(wrap(test.source()), test.want, test.size)
				got, err := io.ReadAll(r)
				require.Error(t, err)
				if test.err != nil {
					assert.ErrorIs(t, err, test.err)
				}
				assert.ErrorContains(t, err, test.says)
				if test.size > 0 {
					assert.Less(t, int64(len(got)), test.size, "the receiver can take wrong content for whole")
				}
				n, again := r.Read(make([]byte, 10))
				assert.Zero(t, n)
				assert.Equal(t, err, again, "the error stays")
			})
		}
	}
}

// atOnce returns its bytes and its error in one call, if they fit.
type atOnce struct {
	s   string
	err error
}

func (a *atOnce) Read(p []byte) (int, error) {
	n := copy(p, a.s)
	a.s = a.s[n:]
	if a.s != "" {
		return n, nil
	}
	return n, a.err
}

func TestReaderReadsNothingBeforeItIsAsked(t *testing.T) {
	t.Parallel()
	source := strings.NewReader("abc")
	r := digest.Reader(source, digest.Of([]byte("abc")), 3)
	n, err := r.Read(nil)
	assert.Zero(t, n)
	require.NoError(t, err)
	n, err = r.Read(make([]byte, 2))
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	assert.Equal(t, 1, source.Len())
}

func TestCheck(t *testing.T) {
	t.Parallel()
	empty := v1.Hash{Algorithm: "sha256", Hex: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
	assert.Equal(t, empty, digest.Of(nil))
	require.NoError(t, digest.Check(nil, empty))
	require.ErrorIs(t, digest.Check([]byte("x"), empty), digest.ErrMismatch)
	require.ErrorIs(t, digest.Check(nil, v1.Hash{Algorithm: "sha512", Hex: empty.Hex}), digest.ErrMismatch)
}

// FuzzReader: all of the content arrives and no error, or an error and less than was promised. The
// former exactly when the content is what was promised.
func FuzzReader(f *testing.F) {
	f.Add([]byte("content"), []byte("content"), int64(7), uint8(3))
	f.Add([]byte("content"), []byte("cOntent"), int64(7), uint8(1))
	f.Add([]byte("content"), []byte("content!"), int64(7), uint8(8))
	f.Add([]byte("content"), []byte("conten"), int64(7), uint8(0))
	f.Add([]byte(""), []byte(""), int64(0), uint8(0))
	f.Add([]byte(""), []byte(""), int64(-5), uint8(0))
	f.Fuzz(func(t *testing.T, promised, sent []byte, size int64, step uint8) {
		r := digest.Reader(bytes.NewReader(sent), digest.Of(promised), size)
		var got []byte
		var err error
		for buf := make([]byte, int(step)+1); err == nil; {
			var n int
			n, err = r.Read(buf)
			got = append(got, buf[:n]...)
		}
		right := bytes.Equal(promised, sent) && size == int64(len(sent))
		switch {
		case right && (err != io.EOF || !bytes.Equal(got, sent)):
			t.Errorf("right content: got %q and %v, want %q and EOF", got, err, sent)
		case !right && !errors.Is(err, digest.ErrMismatch):
			t.Errorf("wrong content: got the error %v, want ErrMismatch", err)
		case !right && size > 0 && int64(len(got)) >= size:
			t.Errorf("wrong content: %d bytes of %d arrived", len(got), size)
		}
	})
}
