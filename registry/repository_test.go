package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
	"relocate/testdata/hostileregistry"
)

func TestAnotherDigestIsStored(t *testing.T) {
	t.Parallel()
	u := takesBlobs(t)
	u.answer = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method == http.MethodPut {
			w.Header().Set("Docker-Content-Digest", digest.Of([]byte("x")).String())
			w.WriteHeader(201)
		}
		return r.Method == http.MethodPut
	}
	c, waited := client(t, Options{})
	repo := c.Writer(u.repo(t))
	want := digest.ErrMismatch.Error() + ": the registry stored " + digest.Of([]byte("x")).String()
	for _, err := range []error{
		repo.PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)),
		repo.PutManifest(t.Context(), manifestDesc, manifestRaw, "a"),
	} {
		assert.ErrorIs(t, err, digest.ErrMismatch)
		assert.ErrorContains(t, err, want)
	}
	assert.Empty(t, waited.all())
}

// If a registry does not say what it stored, the manifest is read.
func TestStoredInSilence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		manifest string // that it says it has
		blob     bool
		fails    bool
	}{
		{"stored", manifestDesc.Digest.String(), true, false},
		{"lost", "", false, true},
		{"another manifest", blobDesc.Digest.String(), false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
				_, _ = io.Copy(io.Discard, r.Body)
				switch {
				case r.Method == http.MethodPost:
					w.Header().Set("Location", "/v2/repo/blobs/uploads/1")
					w.WriteHeader(202)
				case r.Method == http.MethodPut:
					w.WriteHeader(201)
				case strings.HasPrefix(r.URL.Path, "/v2/repo/manifests/") && c.manifest != "":
					w.Header().Set("Docker-Content-Digest", c.manifest)
				case strings.HasPrefix(r.URL.Path, "/v2/repo/blobs/") && c.blob:
					w.Header().Set("Content-Length", fmt.Sprint(len(blobRaw)))
				default:
					w.WriteHeader(404)
				}
			})
			cl, waited := client(t, Options{})
			repo := cl.Writer(s.repo(t))
			const lost = "the registry accepted it, but does not have it"
			putErr, blobErr := repo.PutManifest(t.Context(), manifestDesc, manifestRaw, "a"), repo.PutBlob(t.Context(), blobDesc, bytesOf(blobRaw))
			asked := []string{"PUT /manifests/a", "HEAD /manifests/a"}
			switch {
			case !c.fails:
				assert.NoError(t, putErr)
				assert.NoError(t, blobErr)
			case c.manifest == "":
				assert.ErrorContains(t, putErr, lost)
				asked = append(asked, "GET /manifests/a") // some answer every HEAD with 404
				asked = append(asked, asked...)           // it is put once more
			default: // what somebody else has put there is not replaced
				assert.ErrorContains(t, putErr, "a now points to "+c.manifest)
				var moved interface{ Replaced() bool }
				assert.ErrorAs(t, putErr, &moved)
			}
			if c.fails {
				assert.ErrorContains(t, blobErr, lost)
			}
			assert.Equal(t, append(asked,
				"POST /blobs/uploads/", "PUT /blobs/uploads/1?digest=sha256%3A"+blobDesc.Digest.Hex, "HEAD /blobs/"+blobDesc.Digest.String(),
			), s.log())
			assert.Empty(t, waited.all())
		})
	}
}

// TestManifestDamagedOnItsWay: a manifest that a registry refuses as invalid is sent once more.
func TestManifestDamagedOnItsWay(t *testing.T) {
	t.Parallel()
	for code, damaged := range map[string]int{"DIGEST_INVALID": 1, "MANIFEST_INVALID": 2} {
		puts := 0
		s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			_, _ = io.Copy(io.Discard, r.Body)
			switch {
			case r.Method != http.MethodPut:
				w.Header().Set("Docker-Content-Digest", manifestDesc.Digest.String())
			case puts < damaged:
				puts++
				refuseWith(w, 400, code)
			default:
				created(w, r)
			}
		})
		cl, _ := client(t, Options{})
		err := cl.Writer(s.repo(t)).PutManifest(t.Context(), manifestDesc, manifestRaw, "a")
		if damaged == 1 {
			assert.NoError(t, err, code)
		} else {
			assert.ErrorContains(t, err, code)
		}
	}
}

// TestUnreadable: a registry whose disk was full may answer 201 to a manifest, and 500 to every
// later request for it.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodPut {
			created(w, r)
			return
		}
		w.WriteHeader(500)
	})
	cl, _ := client(t, Options{})
	err := cl.Writer(s.repo(t)).PutManifest(t.Context(), manifestDesc, manifestRaw, "a")
	require.ErrorIs(t, err, ErrUnreadable)
	require.ErrorContains(t, err, manifestDesc.Digest.String())
	require.ErrorContains(t, err, "500 Internal Server Error")
}

// TestResolveUnreadable: a 500 is about one manifest only if the registry can say that another is
// missing.
func TestResolveUnreadable(t *testing.T) {
	t.Parallel()
	for _, allFail := range []bool{false, true} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			if allFail || strings.HasSuffix(r.URL.Path, "/manifests/a") {
				w.WriteHeader(500)
				return
			}
			w.WriteHeader(404)
		})
		cl, _ := client(t, Options{})
		_, err := cl.Reader(s.repo(t)).Resolve(t.Context(), "a")
		require.ErrorContains(t, err, "500 Internal Server Error")
		assert.Equal(t, !allFail, errors.Is(err, ErrUnreadable), err)
	}
}

func TestMissingBlobs(t *testing.T) {
	t.Parallel()
	u := takesBlobs(t)
	u.answer = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		w.WriteHeader(400)
		_, _ = fmt.Fprintf(w, `{"errors":[
			{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry","detail":{"digest":%q}},
			{"code":"MANIFEST_BLOB_UNKNOWN","detail":%q},{"code":"MANIFEST_BLOB_UNKNOWN"},{"code":"MANIFEST_BLOB_UNKNOWN","detail":null},{"code":"MANIFEST_BLOB_UNKNOWN","detail":"text"},{"code":"MANIFEST_BLOB_UNKNOWN","detail":{"digest":"sha256:x"}},{"code":"DENIED","detail":%[1]q}]}`, blobDesc.Digest, manifestDesc.Digest)
		return true
	}
	c, _ := client(t, Options{})
	err := c.Writer(u.repo(t)).PutManifest(t.Context(), manifestDesc, manifestRaw, "")
	var answer *Error
	require.ErrorAs(t, err, &answer)
	named, missing := answer.MissingBlobs()
	assert.True(t, missing)
	assert.Equal(t, []v1.Hash{blobDesc.Digest, manifestDesc.Digest}, named)
	assert.ErrorContains(t, err, "400 Bad Request MANIFEST_BLOB_UNKNOWN (blob unknown to registry: ")
	assert.Equal(t, []string{"PUT /manifests/" + manifestDesc.Digest.String()}, u.log())
}

func TestHasBlob(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		size   string
		want   bool
		fails  bool
	}{
		{200, "1048576", true, false},
		{200, "1048575", false, false},
		{404, "", false, false},
		{403, "", false, true},
		{500, "", false, false},
		{503, "", false, true},
		{307, "", true, false},
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Location", "http://example.com/")
			if c.size != "" {
				w.Header().Set("Content-Length", c.size)
			}
			w.WriteHeader(c.status)
		})
		cl, _ := client(t, Options{})
		got, err := cl.Reader(s.repo(t)).HasBlob(t.Context(), blobDesc)
		assert.Equal(t, c.want, got, "%+v", c)
		assert.Equal(t, c.fails, err != nil, "%+v: %v", c, err)
	}
}

// TestReadsBlob: only content that comes, of the right size, is a blob that can be read.
func TestReadsBlob(t *testing.T) {
	t.Parallel()
	whole := fmt.Sprintf("bytes 0-0/%d", len(blobRaw))
	for name, c := range map[string]struct {
		status       int
		size, ranged string
		sends        int // bytes
		want, fails  bool
	}{
		"a byte":                       {206, "1", whole, 1, true, false},
		"a byte of an unknown size":    {206, "1", "bytes 0-0/*", 1, true, false},
		"a byte of another blob":       {206, "1", "bytes 0-0/7", 1, false, false},
		"another byte":                 {206, "1", "bytes 1-1/1048576", 1, false, false},
		"no support for ranges":        {200, "1048576", "", 1 << 20, true, false},
		"all of another blob":          {200, "1048575", "", 1<<20 - 1, false, false},
		"all of an empty one":          {416, "", "", 0, false, false},
		"missing":                      {404, "", "", 0, false, false},
		"forbidden":                    {403, "", "", 0, false, true},
		"unreadable":                   {500, "", "", 0, false, false},
		"out of order":                 {503, "", "", 0, false, true},
		"elsewhere":                    {307, "", "", 0, true, false},
		"promised, and does not come":  {206, "1", whole, 0, false, true},
		"promised, and never finished": {200, "1048576", "", 0, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
				assert.Equal(t, "GET", r.Method)
				assert.Equal(t, "bytes=0-0", r.Header.Get("Range"))
				w.Header().Set("Location", "http://example.com/")
				for key, value := range map[string]string{"Content-Length": c.size, "Content-Range": c.ranged} {
					if value != "" {
						w.Header().Set(key, value)
					}
				}
				w.WriteHeader(c.status)
				_, _ = w.Write(blobRaw[:c.sends])
			})
			cl, _ := client(t, Options{})
			got, err := cl.Reader(s.repo(t)).ReadsBlob(t.Context(), blobDesc)
			assert.Equal(t, c.want, got)
			assert.Equal(t, c.fails, err != nil, "%v", err)
		})
	}
	empty := v1.Descriptor{Digest: digest.Of(nil)}
	s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		assert.Empty(t, r.Header.Get("Range"))
	})
	cl, _ := client(t, Options{})
	got, err := cl.Reader(s.repo(t)).ReadsBlob(t.Context(), empty)
	require.NoError(t, err)
	assert.True(t, got, "an empty blob has no first byte")
}

// If a registry gives no digest to HEAD, the manifest is read.
func TestResolveWithoutHeader(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Content-Type", string(manifestDesc.MediaType))
		_, _ = w.Write(manifestRaw)
	})
	c, _ := client(t, Options{})
	got, err := c.Reader(s.repo(t)).Resolve(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, manifestDesc.Digest, got)
}

// TestHeadIsRefused: a registry without HEAD gets GET, and from the second request on only GET.
func TestHeadIsRefused(t *testing.T) {
	t.Parallel()
	for _, status := range refusesHead {
		s := hostileregistry.Start(t)
		c, waited := client(t, Options{})
		repo := c.Writer(parseRepo(t, s.Addr+"/repo"))
		require.NoError(t, repo.PutBlob(t.Context(), descOf(largeRaw), bytesOf(largeRaw)))
		require.NoError(t, repo.PutManifest(t.Context(), manifestDesc, manifestRaw, "a"))
		s.Behave(func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
			if r.Method == http.MethodHead {
				w.WriteHeader(status)
				return
			}
			next(w, r)
		})
		for range 2 {
			has, err := repo.HasBlob(t.Context(), descOf(largeRaw))
			assert.NoError(t, err)
			assert.True(t, has)
			has, err = repo.HasBlob(t.Context(), blobDesc)
			assert.NoError(t, err)
			assert.False(t, has)
			got, err := repo.Resolve(t.Context(), "a")
			assert.NoError(t, err)
			assert.Equal(t, manifestDesc.Digest, got)
		}
		assert.Equal(t, "HEAD GET GET GET GET GET GET", methods(s.Requests()))
		assert.Empty(t, waited.all())
		c, _ = client(t, Options{})
		s.Behave(func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
			if r.Method == http.MethodHead {
				w.WriteHeader(status)
				return
			}
			next(w, r)
		})
		got, err := c.Reader(parseRepo(t, s.Addr+"/repo")).Resolve(t.Context(), "a")
		assert.NoError(t, err)
		assert.Equal(t, manifestDesc.Digest, got)
		assert.Equal(t, "HEAD GET", methods(s.Requests()))
	}
}

// TestLostOnce: a manifest that the registry lost is put once more.
func TestLostOnce(t *testing.T) {
	t.Parallel()
	s := hostileregistry.Start(t)
	c, waited := client(t, Options{})
	repo := c.Writer(parseRepo(t, s.Addr+"/repo"))
	require.NoError(t, repo.PutBlob(t.Context(), descOf([]byte("{}")), bytesOf([]byte("{}"))))
	s.Behave(hostileregistry.First(1, hostileregistry.On("PUT manifests", hostileregistry.Answer(201, ""))))
	image := []byte(`{"schemaVersion":2,"config":{"size":2,"digest":"` + descOf([]byte("{}")).Digest.String() + `"},"layers":[]}`)
	d := descOf(image)
	d.MediaType = types.OCIManifestSchema1
	require.NoError(t, repo.PutManifest(t.Context(), d, image, ""))
	got, err := repo.Resolve(t.Context(), d.Digest.String())
	require.NoError(t, err)
	assert.Equal(t, d.Digest, got)
	assert.Empty(t, waited.all())
}
