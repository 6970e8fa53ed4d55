package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
)

// TestBlobThatBreaksOff: a download that breaks off three times continues each time.
func TestBlobThatBreaksOff(t *testing.T) {
	t.Parallel()
	for _, ranges := range []bool{true, false} {
		t.Run(fmt.Sprintf("ranges %v", ranges), func(t *testing.T) {
			t.Parallel()
			var asked []string
			s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
				from, rest, status := 0, blobRaw, 200
				asked = append(asked, r.Header.Get("Range"))
				if n > 1 {
					_, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
					assert.NoError(t, err)
				}
				if ranges && n > 1 {
					w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(blobRaw)-1, len(blobRaw)))
					rest, status = blobRaw[from:], 206
				}
				if n <= 3 {
					breakOff(w, status, rest, len(rest)/2)
				}
				w.WriteHeader(status)
				_, _ = w.Write(rest)
			})
			c, waited := client(t, Options{})
			r, err := c.Blob(t.Context(), s.repo(t), blobDesc)
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			assert.Equal(t, digest.Of(blobRaw), digest.Of(got))
			assert.Empty(t, asked[0])
			assert.Contains(t, asked[1], "bytes=")
			assert.GreaterOrEqual(t, len(waited.all()), 3)
		})
	}
}

// TestBlobCannotContinue: wrong answers to a request for the rest of a blob.
func TestBlobCannotContinue(t *testing.T) {
	t.Parallel()
	half := len(blobRaw) / 2
	for _, c := range []struct {
		name  string
		again func(w http.ResponseWriter, r *http.Request)
		want  string
		asked int
	}{
		{"another range", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-9/10")
			w.WriteHeader(206)
		}, ": 206 Partial Content", 3},
		{"no range", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(206) }, ": 206 Partial Content", 3},
		{"a refusal", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(416) }, "416 Requested Range Not Satisfiable", 3},
		{"a break at once, always", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", strings.Replace(r.Header.Get("Range"), "=", " ", 1)+fmt.Sprintf("%d/*", len(blobRaw)-1))
			breakOff(w, 206, blobRaw[half:], 0)
		}, ": unexpected EOF (5 tries)", 5},
		{"a start over that breaks before the place, always", func(w http.ResponseWriter, _ *http.Request) {
			breakOff(w, 200, blobRaw, 10)
		}, ": unexpected EOF (5 tries)", 5},
		{"other bytes", func(w http.ResponseWriter, r *http.Request) {
			var from int
			_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/*", from, len(blobRaw)-1))
			w.WriteHeader(206)
			_, _ = w.Write(make([]byte, len(blobRaw)-from))
		}, digest.ErrMismatch.Error(), 2},
		{"a shorter blob", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(blobRaw[:10]) }, digest.ErrMismatch.Error(), 2},
		{"5 times an error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "500 Internal Server Error (5 tries)", 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
				if n == 1 {
					breakOff(w, 200, blobRaw, half)
				}
				c.again(w, r)
			})
			cl, _ := client(t, Options{})
			r, err := cl.Blob(t.Context(), s.repo(t), blobDesc)
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			assert.ErrorContains(t, err, c.want)
			assert.Less(t, len(got), len(blobRaw))
			assert.Len(t, s.log(), c.asked)
			assert.NoError(t, r.Close())
		})
	}
}

func TestDamagedBlob(t *testing.T) {
	t.Parallel()
	flipped := append([]byte{}, blobRaw...)
	flipped[len(flipped)-1] ^= 1
	for what, body := range map[string][]byte{
		"another digest": flipped, "too short": blobRaw[:len(blobRaw)-1], "too long": append(append([]byte{}, blobRaw...), 0), "empty": {},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, chunked %v", what, chunked), func(t *testing.T) {
				t.Parallel()
				s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
					if !chunked {
						w.Header().Set("Content-Length", fmt.Sprint(len(body)))
					}
					_ = http.NewResponseController(w).Flush()
					_, _ = w.Write(body)
				})
				c, waited := client(t, Options{})
				for _, open := range []func(context.Context, name.Repository, v1.Descriptor) (io.ReadCloser, error){c.Blob, c.Reader(s.repo(t)).Blob} {
					r, err := open(t.Context(), s.repo(t), blobDesc)
					require.NoError(t, err)
					got, err := io.ReadAll(r)
					assert.NoError(t, r.Close())
					assert.ErrorIs(t, err, digest.ErrMismatch)
					assert.Less(t, len(got), len(blobRaw), "never handed out whole")
				}
				assert.Len(t, s.log(), 2)
				assert.Empty(t, waited.all())
			})
		}
	}
}

func TestEmptyBlobIsRead(t *testing.T) {
	t.Parallel()
	s := serve(t, func(http.ResponseWriter, *http.Request, int) {})
	c, _ := client(t, Options{})
	empty := blobDesc
	empty.Digest, empty.Size = digest.Of(nil), 0
	r, err := c.Blob(t.Context(), s.repo(t), empty)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	assert.NoError(t, err)
	assert.Empty(t, got)
	assert.NoError(t, r.Close())
}

// ranged answers a request for a range of a blob.
func ranged(w http.ResponseWriter, r *http.Request, b []byte) {
	var from int
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(b)-1, len(b)))
		w.Header().Set("Content-Length", fmt.Sprint(len(b)-from))
		w.WriteHeader(206)
	}
	_, _ = w.Write(b[from:])
}

func TestBlobFrom(t *testing.T) {
	t.Parallel()
	whole := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(blobRaw) }
	rangeOf := func(header string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "" {
				whole(w, r)
				return
			}
			w.Header().Set("Content-Range", header)
			w.WriteHeader(206)
			_, _ = w.Write(make([]byte, 10))
		}
	}
	from, size := int64(1000), int64(len(blobRaw))
	for _, c := range []struct {
		name   string
		from   int64
		answer func(w http.ResponseWriter, r *http.Request)
		asked  int
	}{
		{"by range", from, func(w http.ResponseWriter, r *http.Request) { ranged(w, r, blobRaw) }, 1},
		{"the last byte", size - 1, func(w http.ResponseWriter, r *http.Request) { ranged(w, r, blobRaw) }, 1},
		{"the start", 0, func(w http.ResponseWriter, r *http.Request) { ranged(w, r, blobRaw) }, 1},
		{"nothing", size, nil, 0},
		{"ranges are not known", from, whole, 1},
		{"ranges are refused", from, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(416)
			}
			whole(w, r)
		}, 2},
		{"another start", from, rangeOf("bytes 0-9/10"), 2},
		{"another size", from, rangeOf(fmt.Sprintf("bytes %d-%d/%d", from, size-1, size+1)), 2},
		{"another end", from, rangeOf(fmt.Sprintf("bytes %d-%d/%d", from, size-2, size)), 2},
		{"no range", from, rangeOf(""), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) { c.answer(w, r) })
			cl, waited := client(t, Options{})
			for i, open := range []func(context.Context, name.Repository, v1.Descriptor, int64) (io.ReadCloser, error){cl.BlobFrom, cl.Reader(s.repo(t)).BlobFrom} {
				r, err := open(t.Context(), s.repo(t), blobDesc, c.from)
				require.NoError(t, err)
				got, err := io.ReadAll(r)
				require.NoError(t, err)
				require.NoError(t, r.Close())
				assert.Equal(t, digest.Of(blobRaw[c.from:]), digest.Of(got))
				assert.Len(t, s.log(), (i+1)*c.asked)
			}
			assert.Empty(t, waited.all())
		})
	}
}

// TestBlobFromContinues: BlobFrom continues after each of three breaks.
func TestBlobFromContinues(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n > 3 {
			ranged(w, r, blobRaw)
			return
		}
		var from int
		_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/*", from, len(blobRaw)-1))
		breakOff(w, 206, blobRaw[from:], 1000)
	})
	c, waited := client(t, Options{})
	r, err := c.BlobFrom(t.Context(), s.repo(t), blobDesc, 5000)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	assert.Equal(t, digest.Of(blobRaw[5000:]), digest.Of(got))
	assert.Len(t, waited.all(), 3)
}

// TestDownloadBreaksOften: tries are counted again from zero after enough bytes, and not after fewer.
func TestDownloadBreaksOften(t *testing.T) {
	t.Parallel()
	for piece, through := range map[int]bool{progress: true, progress / 4: true, progress / 8: false, 1: false} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			var from int
			_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/*", from, len(largeRaw)-1))
			rest := largeRaw[from:]
			breakOff(w, map[bool]int{true: 206, false: 200}[from > 0], rest, min(piece, len(rest)))
		})
		c, _ := client(t, Options{})
		r, err := c.Blob(t.Context(), s.repo(t), descOf(largeRaw))
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, r)
		if through {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, "(5 tries)")
			assert.Len(t, s.log(), 5)
		}
		assert.NoError(t, r.Close())
	}
}

// The content of BlobFrom has the promised size, or ends with an error.
func TestBlobFromOfAnotherSize(t *testing.T) {
	t.Parallel()
	for name, body := range map[string][]byte{"short": blobRaw[:len(blobRaw)-1], "long": append(append([]byte{}, blobRaw...), 0), "shorter than the start": blobRaw[:10]} {
		for _, from := range []int64{0, 1000} {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) { _, _ = w.Write(body) })
			c, _ := client(t, Options{})
			r, err := c.BlobFrom(t.Context(), s.repo(t), blobDesc, from)
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			assert.ErrorIs(t, err, digest.ErrMismatch, "%s, from %d", name, from)
			assert.LessOrEqual(t, int64(len(got)), blobDesc.Size-from)
			assert.NoError(t, r.Close())
		}
	}
	c, _ := client(t, Options{})
	for _, from := range []int64{-1, blobDesc.Size + 1} {
		_, err := c.BlobFrom(t.Context(), parseRepo(t, "127.0.0.1:1/repo"), blobDesc, from)
		assert.Error(t, err)
	}
}
