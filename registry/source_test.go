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
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
)

func TestManifest(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) { writeManifest(w) })
	c, _ := client(t, Options{UserAgent: "relocate/test"})
	for _, ref := range []name.Reference{s.repo(t).Tag("a"), s.repo(t).Digest(manifestDesc.Digest.String())} {
		desc, raw, err := c.Manifest(t.Context(), ref)
		require.NoError(t, err)
		assert.Equal(t, manifestDesc, desc)
		assert.Equal(t, manifestRaw, raw)
	}
	assert.Equal(t, []string{"GET /manifests/a", "GET /manifests/" + manifestDesc.Digest.String()}, s.log())
	for _, accept := range s.headers("Accept")[2:] { // after the two for /v2/, by TLS and without
		assert.Equal(t, acceptManifests, accept)
	}
	assert.NotContains(t, acceptManifests, types.DockerManifestSchema1)
	assert.Contains(t, s.headers("User-Agent"), "relocate/test")
}

func TestManifestIsRefused(t *testing.T) {
	t.Parallel()
	other := digest.Of([]byte("other")).String()
	for _, c := range []struct {
		name, id string
		header   http.Header
		body     string
		want     string
		mismatch bool
	}{
		{"wrong digest", other, nil, `{}`, "content does not match its descriptor: " + other + " has the digest", true},
		{"wrong digest that the registry confirms", other, http.Header{"Docker-Content-Digest": {other}}, `{}`, "has the digest", true},
		{"lie about a tag", "a", http.Header{"Docker-Content-Digest": {other}}, `{}`, "the registry says " + other, true},
		{"nonsense about a tag", "a", http.Header{"Docker-Content-Digest": {"x"}}, `{}`, "the registry says x", true},
		{"too large", "a", nil, strings.Repeat(" ", maxManifest+1), "a manifest of more than 4194304 bytes", false},
		{"no media type", "a", http.Header{"Content-Type": nil}, `{}`, `the media type "": mime: no media type`, false},
		{"broken media type", "a", http.Header{"Content-Type": {"a/b; =\u00a0"}}, `{}`, `the media type`, false},
		{"schema 1", "a", http.Header{"Content-Type": {string(types.DockerManifestSchema1Signed)}}, `{}`, "Docker schema 1 cannot be copied", false},
		{"schema 1 by digest", other, http.Header{"Content-Type": {string(types.DockerManifestSchema1)}}, `{}`, "Docker schema 1 cannot be copied", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
				for key, values := range c.header {
					w.Header()[key] = values
				}
				_, _ = io.WriteString(w, c.body)
			})
			cl, waited := client(t, Options{})
			var ref name.Reference = s.repo(t).Tag(c.id)
			if c.id == other {
				ref = s.repo(t).Digest(c.id)
			}
			_, raw, err := cl.Manifest(t.Context(), ref)
			require.ErrorContains(t, err, c.want)
			assert.ErrorContains(t, err, "GET http://"+s.host+"/v2/repo/manifests/"+c.id+": ")
			assert.NotContains(t, err.Error(), "\x1b")
			assert.Empty(t, raw)
			if c.mismatch {
				assert.ErrorIs(t, err, digest.ErrMismatch)
			} else {
				assert.NotErrorIs(t, err, digest.ErrMismatch)
			}
			assert.Len(t, s.log(), 1)
			assert.Empty(t, waited.all())
		})
	}
}

func TestLargestManifest(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Content-Type", string(types.OCIManifestSchema1)+"; charset=utf-8")
		_, _ = w.Write(make([]byte, maxManifest))
	})
	c, _ := client(t, Options{})
	desc, raw, err := c.Manifest(t.Context(), s.repo(t).Tag("a"))
	require.NoError(t, err)
	assert.Len(t, raw, maxManifest)
	assert.Equal(t, types.OCIManifestSchema1, desc.MediaType, "without its parameter")
}

func TestManifestThatBreaksOff(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if strings.HasSuffix(r.URL.Path, "/never") || n <= 2 {
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			breakOff(w, 200, manifestRaw, n)
		}
		writeManifest(w)
	})
	c, waited := client(t, Options{})
	_, raw, err := c.Manifest(t.Context(), s.repo(t).Tag("a"))
	require.NoError(t, err)
	assert.Equal(t, manifestRaw, raw)
	assert.Len(t, waited.all(), 2)

	_, _, err = c.Manifest(t.Context(), s.repo(t).Tag("never"))
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.EqualError(t, err, "GET http://"+s.host+"/v2/repo/manifests/never: unexpected EOF (5 tries)")
}

// TestBlobThatBreaksOff breaks off three times, each time a little later.
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

// TestBlobGoesOnInVain tells of what a registry sends after a blob broke off.
func TestBlobGoesOnInVain(t *testing.T) {
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
		}, `, got the range "bytes 0-9/10"`, 2},
		{"no range", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(206) }, `, got the range ""`, 2},
		{"a refusal", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(416) }, "416 Requested Range Not Satisfiable", 2},
		{"a break at once, always", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", strings.Replace(strings.Replace(r.Header.Get("Range"), "=", " ", 1), "-", "-9/10", 1))
			breakOff(w, 206, blobRaw[half:], 0)
		}, ": unexpected EOF (5 tries)", 5},
		{"a start over that breaks before the place, always", func(w http.ResponseWriter, _ *http.Request) {
			breakOff(w, 200, blobRaw, 10)
		}, ": unexpected EOF (5 tries)", 5},
		{"other bytes", func(w http.ResponseWriter, r *http.Request) {
			var from int
			_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-", from))
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
}
