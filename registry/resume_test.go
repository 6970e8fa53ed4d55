package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
	"relocate/testdata/hostileregistry"
)

// largeRaw needs two chunks of the largest size.
var largeRaw = randomBytes(largestChunk + 1<<20)

// methods shortens a log to its methods: "POST PUT HEAD …".
func methods(requests []string) string {
	var list []string
	for _, r := range requests {
		if !strings.HasSuffix(r, " /v2/") {
			list = append(list, strings.Fields(r)[0])
		}
	}
	return strings.Join(list, " ")
}

// isUpload reports whether a request asks for the state of an upload.
func isUpload(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/uploads/")
}

// TestBrokenUpload: how an upload continues after an error, by what the registry reports.
func TestBrokenUpload(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		manner hostileregistry.Manner
		want   string
		opened int
	}{
		{"goes on where the registry says", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			if r.Method == http.MethodPut && n == 1 {
				hostileregistry.Take(300_000)(w, r, n, next)
			}
			next(w, r)
		}, "POST PUT HEAD GET PATCH PUT", 2},
		{"breaks in the chunk, too", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost && n == 1 {
				hostileregistry.Take(300_000)(w, r, n, next)
			}
			next(w, r)
		}, "POST PUT HEAD GET PATCH HEAD GET PATCH PUT", 3},
		{"503 in the middle", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			if r.Method == http.MethodPut && n == 1 {
				_, _ = io.ReadFull(r.Body, make([]byte, 1000))
				w.WriteHeader(503)
				return
			}
			next(w, r)
		}, "POST PUT HEAD GET POST PUT", 2},
		{"the upload is gone", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			switch {
			case r.Method == http.MethodPut && n == 1:
				hostileregistry.Take(300_000)(w, r, n, next)
			case isUpload(r):
				w.WriteHeader(404)
			default:
				next(w, r)
			}
		}, "POST PUT HEAD GET POST PUT", 2},
		{"the upload is gone when the PUT comes", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			if r.Method == http.MethodPut && n == 1 {
				w.WriteHeader(404)
				return
			}
			next(w, r)
		}, "POST PUT HEAD POST PUT", 2},
		{"more than was sent", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			switch {
			case r.Method == http.MethodPut && n == 1:
				hostileregistry.Take(300_000)(w, r, n, next)
			case isUpload(r):
				w.Header().Set("Range", "0-1048576")
				w.WriteHeader(204)
			default:
				next(w, r)
			}
		}, "POST PUT HEAD GET POST PUT", 2},
		{"more than there can be", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			switch {
			case r.Method == http.MethodPut && n == 1:
				hostileregistry.Take(300_000)(w, r, n, next)
			case isUpload(r):
				w.Header().Set("Range", "0-9223372036854775807")
				w.WriteHeader(204)
			default:
				next(w, r)
			}
		}, "POST PUT HEAD GET POST PUT", 2},
		{"another place than it is at", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			switch {
			case r.Method == http.MethodPut && n == 1:
				hostileregistry.Take(300_000)(w, r, n, next)
			case isUpload(r):
				w.Header().Set("Range", "0-99")
				w.WriteHeader(204)
			default:
				next(w, r)
			}
		}, "POST PUT HEAD GET PATCH HEAD POST PUT", 3},
		{"no PATCH", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			switch {
			case r.Method == http.MethodPut && n == 1:
				hostileregistry.Take(300_000)(w, r, n, next)
			case r.Method == http.MethodPatch:
				w.WriteHeader(405)
			default:
				next(w, r)
			}
		}, "POST PUT HEAD GET PATCH HEAD POST PUT", 3},
		{"the answer is lost, the blob is there", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			if r.Method == http.MethodPut {
				hostileregistry.Lose(w, r, n, next)
			}
			next(w, r)
		}, "POST PUT HEAD", 1},
		{"the answer is lost, the blob is not there", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			if r.Method == http.MethodPut && n == 1 {
				_, _ = io.Copy(io.Discard, r.Body)
				panic(http.ErrAbortHandler)
			}
			next(w, r)
		}, "POST PUT HEAD GET POST PUT", 2},
		{"a blob of another size is there", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			switch {
			case r.Method == http.MethodPut && n == 1:
				hostileregistry.Take(300_000)(w, r, n, next)
			case r.Method == http.MethodHead:
				w.Header().Set("Content-Length", "5")
			default:
				next(w, r)
			}
		}, "POST PUT HEAD GET PATCH PUT", 2},
		{"all is there but the end", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			if r.Method == http.MethodPut && n == 1 {
				r.Method = http.MethodPatch
				hostileregistry.Lose(w, r, n, next)
			}
			next(w, r)
		}, "POST PUT HEAD GET PUT", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := hostileregistry.Start(t)
			s.Behave(c.manner)
			cl, waited := client(t, Options{})
			opened, open := 0, 0
			require.NoError(t, cl.Writer(parseRepo(t, s.Addr+"/repo")).PutBlob(t.Context(), blobDesc, func(ctx context.Context) (io.ReadCloser, error) {
				assert.Zero(t, open, "one at a time")
				opened, open = opened+1, open+1
				r, err := bytesOf(blobRaw)(ctx)
				return closer{r, func() { open-- }}, err
			}))
			assert.True(t, s.HasBlob("repo", blobDesc.Digest.String()))
			assert.Equal(t, c.want, methods(s.Requests()))
			assert.Equal(t, c.opened, opened)
			assert.Zero(t, open)
			assert.Equal(t, strings.Count(c.want, "HEAD"), len(waited.all()), "a wait for each break")
		})
	}
}

// TestUploadBreaksOften: as long as there is progress, an upload may break more often than a
// request is tried.
func TestUploadBreaksOften(t *testing.T) {
	t.Parallel()
	for bytes, through := range map[int64]bool{3 << 19: true, 1 << 10: false} {
		s := hostileregistry.Start(t)
		s.Behave(func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			if r.ContentLength > bytes {
				hostileregistry.Take(bytes)(w, r, n, next)
			}
			next(w, r)
		})
		c, waited := client(t, Options{})
		err := c.Writer(parseRepo(t, s.Addr+"/repo")).PutBlob(t.Context(), descOf(largeRaw), bytesOf(largeRaw))
		if through {
			assert.NoError(t, err)
			assert.Len(t, waited.all(), 5)
			continue
		}
		assert.ErrorContains(t, err, "(5 tries)")
	}
}

// tooLarge is a registry behind a proxy that limits the size of requests.
func tooLarge(limit int64) hostileregistry.Manner {
	return func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
		if r.ContentLength > limit {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			_, _ = io.WriteString(w, "<html>413 Request Entity Too Large</html>")
			return
		}
		next(w, r)
	}
}

// TestChunks: content that is too large for one request is sent in smaller pieces, also in later
// uploads.
func TestChunks(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int64]string{
		largestChunk:  "POST PUT POST PATCH PATCH PUT",
		5 << 20:       "POST PUT POST PATCH POST PATCH PATCH PATCH PUT",
		smallestChunk: "POST PUT POST PATCH POST PATCH POST PATCH POST PATCH POST PATCH POST" + strings.Repeat(" PATCH", 36) + " PUT",
	} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			s := hostileregistry.Start(t)
			s.Behave(tooLarge(limit))
			c, waited := client(t, Options{})
			repo := c.Writer(parseRepo(t, s.Addr+"/repo"))
			require.NoError(t, repo.PutBlob(t.Context(), descOf(largeRaw), bytesOf(largeRaw)))
			assert.True(t, s.HasBlob("repo", digest.Of(largeRaw).String()))
			assert.Equal(t, want, methods(s.Requests()))

			s.Behave(tooLarge(limit))
			other := largeRaw[1:]
			require.NoError(t, c.Writer(parseRepo(t, s.Addr+"/repo")).PutBlob(t.Context(), descOf(other), bytesOf(other)))
			require.NoError(t, repo.PutBlob(t.Context(), descOf(nil), bytesOf(nil)))
			assert.Equal(t, want[strings.LastIndex(want, "POST"):]+" POST PUT", methods(s.Requests()))
			assert.Empty(t, waited.all())
		})
	}
}

func TestChunksAreTooLarge(t *testing.T) {
	t.Parallel()
	s := hostileregistry.Start(t)
	s.Behave(tooLarge(smallestChunk - 1))
	c, waited := client(t, Options{})
	err := c.Writer(parseRepo(t, s.Addr+"/repo")).PutBlob(t.Context(), descOf(largeRaw), bytesOf(largeRaw))
	assert.ErrorContains(t, err, "413 Request Entity Too Large")
	assert.Equal(t, "POST PUT"+strings.Repeat(" POST PATCH", 6), methods(s.Requests()))
	assert.Empty(t, waited.all())
}

// TestLargerChunks: a registry may require chunks of a minimal size (distribution-spec 1.1, pushing
// a blob in chunks).
func TestLargerChunks(t *testing.T) {
	t.Parallel()
	s := hostileregistry.Start(t)
	var puts atomic.Int32
	s.Behave(func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
		w.Header().Set("OCI-Chunk-Min-Length", fmt.Sprint(9<<20))
		if r.Method == http.MethodPut && puts.Add(1) == 1 {
			w.WriteHeader(413)
			return
		}
		next(w, r)
	})
	c, _ := client(t, Options{})
	require.NoError(t, c.Writer(parseRepo(t, s.Addr+"/repo")).PutBlob(t.Context(), descOf(largeRaw), bytesOf(largeRaw)))
	assert.Equal(t, "POST PUT POST PATCH PUT", methods(s.Requests()))
}

// TestChunksContinue: if a registry reports less of a chunk than was sent, it gets the rest again;
// without progress the upload fails.
func TestChunksContinue(t *testing.T) {
	t.Parallel()
	for _, stuck := range []bool{false, true} {
		s := hostileregistry.Start(t)
		s.Behave(func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			if r.Method == http.MethodPatch && (stuck || n == 2) {
				left := io.LimitReader(r.Body, map[bool]int64{false: 1000, true: 0}[stuck])
				rest := r.Body
				r.Body = io.NopCloser(left)
				next(w, r)
				_, _ = io.Copy(io.Discard, rest)
				return
			}
			tooLarge(largestChunk)(w, r, n, next)
		})
		c, _ := client(t, Options{})
		err := c.Writer(parseRepo(t, s.Addr+"/repo")).PutBlob(t.Context(), descOf(largeRaw), bytesOf(largeRaw))
		if !stuck {
			require.NoError(t, err)
			assert.Equal(t, "POST PUT POST PATCH PATCH PATCH PUT", methods(s.Requests()))
			continue
		}
		assert.Error(t, err)
		assert.Less(t, len(s.Requests()), 60)
	}
}

// TestBadContentIsNeverCompleted: the PUT that completes an upload is not sent for wrong content,
// even if the registry has all of its bytes.
func TestBadContentIsNeverCompleted(t *testing.T) {
	t.Parallel()
	bad := append(append([]byte{}, largeRaw[:len(largeRaw)-1]...), 0)
	want := descOf(largeRaw)
	for name, manner := range map[string]hostileregistry.Manner{
		"one PUT": nil,
		"chunks":  tooLarge(largestChunk),
		"all but the end": func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			if r.Method == http.MethodPut && r.ContentLength > 0 {
				r.Body = io.NopCloser(bytes.NewReader(largeRaw)) // whatever was sent
				r.Method = http.MethodPatch
				hostileregistry.Lose(w, r, n, next)
			}
			next(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := hostileregistry.Start(t)
			s.Behave(manner)
			c, _ := client(t, Options{})
			err := c.Writer(parseRepo(t, s.Addr+"/repo")).PutBlob(t.Context(), want, func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(digest.Reader(bytes.NewReader(bad), want.Digest, want.Size)), nil
			})
			assert.ErrorIs(t, err, digest.ErrMismatch)
			assert.False(t, s.HasBlob("repo", want.Digest.String()))
			for i, r := range s.Requests() {
				if strings.HasPrefix(r, "PUT ") {
					assert.LessOrEqual(t, i, 3, "no PUT but the first, which never ended")
				}
			}
		})
	}
}

// TestExpiredInUpload: a token that is refused in the middle of a chunk is replaced, and the chunk
// is sent again.
func TestExpiredInUpload(t *testing.T) {
	home(t)
	s := hostileregistry.Start(t)
	var tokens, used atomic.Int32
	s.Behave(func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
		switch {
		case r.URL.Path == "/token":
			used.Store(0)
			_, _ = fmt.Fprintf(w, `{"token":"t%d"}`, tokens.Add(1))
		case r.Header.Get("Authorization") != fmt.Sprint("Bearer t", tokens.Load()) || used.Add(1) > 2:
			_, _ = io.ReadFull(r.Body, make([]byte, min(100_000, max(0, r.ContentLength))))
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token"`)
			w.WriteHeader(401)
		default:
			tooLarge(largestChunk)(w, r, n, next)
		}
	})
	c, waited := client(t, Options{})
	require.NoError(t, c.Writer(parseRepo(t, s.Addr+"/repo")).PutBlob(t.Context(), descOf(largeRaw), bytesOf(largeRaw)))
	assert.True(t, s.HasBlob("repo", digest.Of(largeRaw).String()))
	assert.Greater(t, tokens.Load(), int32(2))
	assert.Empty(t, waited.all())
}
