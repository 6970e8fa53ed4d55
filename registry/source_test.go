package registry

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
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
		{"too large", "a", nil, strings.Repeat(" ", maxManifest+1), "the manifest has more than 4194304 bytes", false},
		{"no media type", "a", http.Header{"Content-Type": nil}, `{}`, `media type "": the content does not name its own`, false},
		{"a general media type", "a", http.Header{"Content-Type": {"application/json"}}, `no JSON`, `media type "application/json": the content is not a manifest`, false},
		{"both fields", "a", http.Header{"Content-Type": nil}, `{"schemaVersion":2,"config":{},"manifests":[]}`, "the content does not name its own", false},
		{"schema 1 without a type", "a", http.Header{"Content-Type": nil}, `{"schemaVersion":1}`, "Docker schema 1 cannot be copied", false},
		{"broken media type", "a", http.Header{"Content-Type": {"a/b; =\u00a0"}}, `{}`, `media type`, false},
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
				assert.Len(t, s.log(), 2, "once more")
			} else {
				assert.NotErrorIs(t, err, digest.ErrMismatch)
				assert.Len(t, s.log(), 1)
			}
			assert.Empty(t, waited.all())
		})
	}
}

// TestMediaType: the type of the header counts, unless it is a general one; then the manifest's own
// counts.
func TestMediaType(t *testing.T) {
	t.Parallel()
	const image, index = `{"schemaVersion":2,"config":{},"layers":[]}`, `{"schemaVersion":2,"manifests":[]}`
	docker := strings.Replace(image, "2,", `2,"mediaType":"`+string(types.DockerManifestSchema2)+`",`, 1)
	for _, c := range []struct {
		header, body string
		want         types.MediaType
	}{
		{"", docker, types.DockerManifestSchema2},
		{"application/json", docker, types.DockerManifestSchema2},
		{"text/plain; charset=utf-8", docker, types.DockerManifestSchema2},
		{"Application/Octet-Stream", docker, types.DockerManifestSchema2},
		{"binary/octet-stream", image, types.OCIManifestSchema1},
		{"", image, types.OCIManifestSchema1},
		{"application/json", index, types.OCIImageIndex},
		{string(types.OCIManifestSchema1) + "; charset=utf-8", docker, types.OCIManifestSchema1}, // bundle compares them
		{string(types.OCIImageIndex), image, types.OCIImageIndex},
		{"text/html", docker, "text/html"},
	} {
		t.Run(c.header+" "+c.body, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.Header()["Content-Type"] = []string{c.header}
				if c.header == "" {
					w.Header()["Content-Type"] = nil
				}
				_, _ = io.WriteString(w, c.body)
			})
			cl, _ := client(t, Options{})
			desc, raw, err := cl.Manifest(t.Context(), s.repo(t).Tag("a"))
			require.NoError(t, err)
			assert.Equal(t, c.want, desc.MediaType)
			assert.Equal(t, digest.Of([]byte(c.body)), desc.Digest)
			assert.Equal(t, c.body, string(raw))
		})
	}
}

// A registry may also know a manifest by the digest of another algorithm.
func TestTagOfSHA512(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Content-Type", string(manifestDesc.MediaType))
		w.Header().Set("Docker-Content-Digest", "sha512:"+strings.Repeat("0", 128))
		_, _ = w.Write(manifestRaw)
	})
	c, _ := client(t, Options{})
	desc, _, err := c.Manifest(t.Context(), s.repo(t).Tag("a"))
	require.NoError(t, err)
	assert.Equal(t, manifestDesc, desc)
	d, err := c.Reader(s.repo(t)).Resolve(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, manifestDesc.Digest, d)
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
