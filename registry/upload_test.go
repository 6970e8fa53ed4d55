package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
)

// uploads is a registry that accepts blobs. answer, if not nil, is called before each request, and
// has answered it if it returns true.
type uploads struct {
	*server
	answer func(w http.ResponseWriter, r *http.Request, n int) bool
	at     string // Location, if not the usual

	mu      sync.Mutex
	patched []byte            // by the last PATCH, to any upload
	stored  map[string][]byte // by digest
}

func takesBlobs(t *testing.T) *uploads {
	u := &uploads{stored: map[string][]byte{}}
	u.server = serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		body, err := io.ReadAll(r.Body)
		if u.answer != nil && u.answer(w, r, n) {
			return
		}
		if err != nil {
			return // the client left
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		location := "/v2/repo/blobs/uploads/1?_state=a%2Fb;c"
		if u.at != "" {
			location = u.at
		}
		switch r.Method {
		case http.MethodPost:
			w.Header().Set("Location", location)
			w.WriteHeader(202)
		case http.MethodPatch:
			u.patched = body
			w.Header().Set("Location", location)
			w.WriteHeader(202)
		case http.MethodPut:
			if len(body) == 0 {
				body = u.patched
			}
			if said := r.URL.Query().Get("digest"); digest.Of(body).String() != said {
				w.WriteHeader(400)
				return
			}
			u.stored[digest.Of(body).String()] = body
			w.Header().Set("Docker-Content-Digest", digest.Of(body).String())
			w.WriteHeader(201)
		}
	})
	return u
}

func (u *uploads) has(b []byte) bool {
	_, ok := u.stored[digest.Of(b).String()]
	return ok
}

func descOf(b []byte) v1.Descriptor { return v1.Descriptor{Digest: digest.Of(b), Size: int64(len(b))} }

const query = "?_state=a%2Fb;c&digest=sha256%3A"

func TestPutBlob(t *testing.T) {
	t.Parallel()
	u := takesBlobs(t)
	c, waited := client(t, Options{})
	repo := c.Writer(u.repo(t))
	for _, b := range [][]byte{blobRaw, {}, []byte("x")} {
		require.NoError(t, repo.PutBlob(t.Context(), descOf(b), bytesOf(b)))
		assert.True(t, u.has(b))
	}
	var want []string
	for _, b := range [][]byte{blobRaw, {}, []byte("x")} {
		want = append(want, "POST /blobs/uploads/", "PUT /blobs/uploads/1"+query+digest.Of(b).Hex)
	}
	assert.Equal(t, want, u.log())
	var lengths []int64
	for _, r := range u.requests {
		if r.Method == http.MethodPut {
			lengths = append(lengths, r.ContentLength)
			assert.Empty(t, r.TransferEncoding)
		}
	}
	assert.Equal(t, []int64{1 << 20, 0, 1}, lengths)
	assert.Empty(t, waited.all())
}

// After a registry refused an upload in one PUT, all blobs are sent with PATCH, also those whose
// PUT was under way.
func TestPatchIsRemembered(t *testing.T) {
	t.Parallel()
	for _, status := range wantsPatch {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			const jobs = 4
			u := takesBlobs(t)
			var arrived sync.WaitGroup
			arrived.Add(jobs)
			u.answer = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if r.Method != http.MethodPut || r.ContentLength == 0 {
					return false
				}
				arrived.Done()
				arrived.Wait()
				w.WriteHeader(status)
				return true
			}
			c, waited := client(t, Options{Jobs: jobs})
			repo := c.Writer(u.repo(t))
			var g sync.WaitGroup
			for range jobs {
				g.Go(func() { assert.NoError(t, repo.PutBlob(t.Context(), blobDesc, bytesOf(blobRaw))) })
			}
			g.Wait()
			assert.True(t, u.has(blobRaw))
			assert.Empty(t, waited.all(), "no time is lost")

			before := len(u.log())
			other := []byte("another")
			require.NoError(t, repo.PutBlob(t.Context(), descOf(other), bytesOf(other)))
			assert.True(t, u.has(other))
			assert.Equal(t, []string{"POST /blobs/uploads/", "PATCH /blobs/uploads/1?_state=a%2Fb;c", "PUT /blobs/uploads/1" + query + digest.Of(other).Hex}, u.log()[before:])
		})
	}
}

// A registry that accepts neither is given up.
func TestNeitherPutNorPatch(t *testing.T) {
	t.Parallel()
	u := takesBlobs(t)
	u.answer = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method != http.MethodPost {
			w.WriteHeader(405)
		}
		return r.Method != http.MethodPost
	}
	c, waited := client(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // not for ever
	defer cancel()
	err := c.Writer(u.repo(t)).PutBlob(ctx, blobDesc, bytesOf(blobRaw))
	assert.ErrorContains(t, err, ": PATCH http://"+u.host+"/v2/repo/blobs/uploads/1: 405 Method Not Allowed")
	assert.Len(t, u.log(), 4)
	assert.Empty(t, waited.all())
}

func TestUploadIsBegunAgain(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(w http.ResponseWriter){
		"503":   func(w http.ResponseWriter) { w.WriteHeader(503) },
		"break": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		for _, method := range []string{"POST", "PUT"} {
			t.Run(name+" to "+method, func(t *testing.T) {
				t.Parallel()
				u := takesBlobs(t)
				u.answer = func(w http.ResponseWriter, r *http.Request, n int) bool {
					if failing := r.Method == method && (n <= 2 || strings.Contains(r.URL.RawQuery, digest.Of(nil).Hex)); failing {
						fail(w)
						return true
					}
					return false
				}
				c, waited := client(t, Options{})
				require.NoError(t, c.Writer(u.repo(t)).PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)))
				assert.True(t, u.has(blobRaw))
				assert.Len(t, waited.all(), 2)
				posts, puts := 0, 0
				for _, line := range u.log() {
					posts += strings.Count(line, "POST ")
					puts += strings.Count(line, "PUT ")
				}
				assert.Equal(t, 3, posts)
				assert.Equal(t, map[string]int{"POST": 1, "PUT": 3}[method], puts)
			})
		}
	}
}

func TestUploadFiveTimes(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"POST", "PUT"} {
		u := takesBlobs(t)
		u.answer = func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if r.Method == method {
				w.WriteHeader(500)
			}
			return r.Method == method
		}
		c, _ := client(t, Options{})
		err := c.Writer(u.repo(t)).PutBlob(t.Context(), blobDesc, bytesOf(blobRaw))
		assert.ErrorContains(t, err, "upload blob "+blobDesc.Digest.String()+": "+method+" http://"+u.host+"/v2/repo/blobs/uploads/")
		assert.ErrorContains(t, err, ": 500 Internal Server Error (5 tries)")
		assert.Len(t, u.log(), map[string]int{"POST": 5, "PUT": 10 + 5 + 4}[method], "after each PUT, whether the blob is there, and how much of it")
	}
}

func TestLocation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ at, want string }{
		{"/v2/repo/blobs/uploads/1", "/v2/repo/blobs/uploads/1?digest=sha256%3A"},
		{"1?a=%2f", "/v2/repo/blobs/uploads/1?a=%2f&digest=sha256%3A"},
		{"http://HOST/elsewhere?_state=x==", "/elsewhere?_state=x==&digest=sha256%3A"},
		{"https://HOST/elsewhere", "/elsewhere?digest=sha256%3A"},
		{"//HOST/elsewhere#x", "/elsewhere?digest=sha256%3A"},
	} {
		t.Run(c.at, func(t *testing.T) {
			t.Parallel()
			u := takesBlobs(t)
			u.at = strings.Replace(c.at, "HOST", u.host, 1)
			cl, _ := client(t, Options{})
			require.NoError(t, cl.Writer(u.repo(t)).PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)))
			assert.True(t, u.has(blobRaw))
			assert.Equal(t, c.want+blobDesc.Digest.Hex, u.requests[len(u.requests)-1].RequestURI)
		})
	}
}

func TestLocationIsRefused(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{
		"http://example.com/x": "the upload was redirected to another host, example.com",
		"//127.0.0.1:1/x":      "the upload was redirected to another host, 127.0.0.1:1",
		"none":                 "the answer has no Location header",
		"http://a b/?_state=s": `the answer's Location "http://a b/" is not a URL`,
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			u := takesBlobs(t)
			u.answer = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if at != "none" {
					w.Header().Set("Location", at)
				}
				w.WriteHeader(202)
				return true
			}
			c, waited := client(t, Options{})
			err := c.Writer(u.repo(t)).PutBlob(t.Context(), blobDesc, bytesOf(blobRaw))
			assert.EqualError(t, err, "upload blob "+blobDesc.Digest.String()+": POST http://"+u.host+"/v2/repo/blobs/uploads/: "+want)
			assert.Equal(t, []string{"POST /blobs/uploads/"}, u.log())
			assert.Empty(t, waited.all())
		})
	}
}

// An error of reading is returned unchanged, and the blob is not stored.
func TestSourceFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, patch := range []bool{false, true} {
		for name, open := range map[string]func(context.Context) (io.ReadCloser, error){
			"open":  func(context.Context) (io.ReadCloser, error) { return nil, broken },
			"start": func(context.Context) (io.ReadCloser, error) { return io.NopCloser(failing{broken}), nil },
			"end": func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(strings.NewReader(string(blobRaw[1:])), failing{broken})), nil
			},
		} {
			t.Run(fmt.Sprintf("%s, patch %v", name, patch), func(t *testing.T) {
				t.Parallel()
				u := takesBlobs(t)
				c, waited := client(t, Options{})
				repo := c.Writer(u.repo(t))
				if patch {
					r, err := repo.open(t.Context())
					require.NoError(t, err)
					r.most.Store(onePatch)
				}
				assert.Equal(t, broken, repo.PutBlob(t.Context(), blobDesc, open))
				u.Close() // after the last request
				assert.Empty(t, u.stored)
				assert.Empty(t, waited.all())
			})
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A registry may answer before it has read the body, and read on slowly or not at all: no body is
// read when the next is opened, nor when PutBlob returns.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	puts := 0
	u := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		w.Header().Set("Location", "/v2/repo/blobs/uploads/1")
		switch {
		case r.Method == http.MethodPost:
			w.WriteHeader(202)
		case n == 1:
			puts++
			_, _ = io.ReadFull(r.Body, make([]byte, 1000))
			w.WriteHeader(503) // while the client still sends
		default:
			puts++
			w.WriteHeader(403)
		}
	})
	c, _ := client(t, Options{})
	var open sync.Mutex
	endless := v1.Descriptor{Digest: blobDesc.Digest, Size: 1 << 40}
	err := c.Writer(u.repo(t)).PutBlob(t.Context(), endless, func(context.Context) (io.ReadCloser, error) {
		assert.True(t, open.TryLock(), "one body at a time")
		return closer{io.NopCloser(zeros{}), open.Unlock}, nil
	})
	assert.ErrorContains(t, err, ": 403 Forbidden")
	assert.True(t, open.TryLock(), "closed on return")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestCancelledUpload(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	u := takesBlobs(t)
	c, waited := client(t, Options{})
	err := c.Writer(u.repo(t)).PutBlob(ctx, blobDesc, func(ctx context.Context) (io.ReadCloser, error) {
		return io.NopCloser(readFunc(func([]byte) (int, error) {
			cancel()
			<-ctx.Done()
			return 0, ctx.Err()
		})), nil
	})
	assert.ErrorIs(t, err, context.Canceled)
	u.Close()
	assert.Empty(t, u.stored)
	assert.Empty(t, waited.all())
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
