package registry

import (
	"context"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// refuseWith answers with an error of the distribution spec.
func refuseWith(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"errors":[{"code":"` + code + `"}]}`))
}

// TestPreflightTypes: each type is checked with a manifest that cannot be stored. If it is stored
// all the same, it is deleted.
func TestPreflightTypes(t *testing.T) {
	t.Parallel()
	kinds := []types.MediaType{types.DockerManifestSchema2, types.DockerManifestList, types.OCIManifestSchema1, types.OCIImageIndex}
	for _, refused := range append(kinds, "") {
		t.Run(string(refused), func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
				switch {
				case r.Method == http.MethodPost:
					w.Header().Set("Location", "/v2/repo/uploads/1")
					w.WriteHeader(http.StatusAccepted)
				case r.Method == http.MethodPut && r.Header.Get("Content-Type") == string(refused):
					refuseWith(w, 415, "MANIFEST_INVALID")
				case r.Method == http.MethodPut:
					created(w, r) // as crane's registry does, whatever the digest
				case r.Method == http.MethodDelete:
					w.WriteHeader(http.StatusAccepted)
				}
			})
			c, _ := client(t, Options{})
			dst := c.Writer(s.repo(t)).Checked(kinds)
			_ = dst.PutBlob(t.Context(), blobDesc, unreadable)
			if refused == "" {
				require.NoError(t, dst.Refused())
				deletes := 0
				for _, request := range s.log() {
					if strings.HasPrefix(request, "DELETE /manifests/") {
						deletes++
					}
				}
				assert.Equal(t, 2*len(kinds)+1, deletes)
				return
			}
			require.ErrorIs(t, dst.Refused(), ManifestError{MediaType: refused})
			assert.NotContains(t, strings.Join(s.log(), "\n"), "PUT /uploads")
		})
	}
}

// unreadable is content that cannot be read.
func unreadable(context.Context) (io.ReadCloser, error) { return nil, io.ErrUnexpectedEOF }

// TestPreflight: which requests are sent, what their answers mean, and that nothing is written
// after a refusal.
func TestPreflight(t *testing.T) {
	t.Parallel()
	zero := "/manifests/" + absent.String()
	for name, c := range map[string]struct {
		request string // that is refused; empty: none
		status  int
		code    string
		want    error  // of the write
		note    string // for who reads
	}{
		"all is allowed":        {},
		"no right":              {"POST /blobs/uploads/", 403, "DENIED", fs.ErrPermission, ""},
		"no login":              {"POST /blobs/uploads/", 401, "UNAUTHORIZED", fs.ErrPermission, ""},
		"no project":            {"POST /blobs/uploads/", 404, "NAME_UNKNOWN", ErrPath, ""},
		"no name":               {"POST /blobs/uploads/", 400, "NAME_INVALID", ErrPath, ""},
		"read-only":             {"POST /blobs/uploads/", 405, "UNSUPPORTED", ErrReadOnly, ""},
		"it fails for a while":  {"POST /blobs/uploads/", 503, "", nil, ""},
		"no cancelling":         {"DELETE /uploads/1", 405, "UNSUPPORTED", nil, ""},
		"no index":              {"PUT " + zero, 415, "", ManifestError{MediaType: types.OCIImageIndex}, ""},
		"no index, in words":    {"PUT " + zero, 400, "UNSUPPORTED", ManifestError{MediaType: types.OCIImageIndex}, ""},
		"no project, of Harbor": {"POST /blobs/uploads/", 401, `UNAUTHORIZED","message":"project nosuch not found: project nosuch not found`, ErrPath, ""},
		"a full project":        {"POST /blobs/uploads/", 403, `DENIED","message":"adding 2.6 MiB of storage resource, which when updated to current usage of 8.3 KiB will exceed the configured upper limit of 1.0 MiB.`, ErrNoSpace, ""},
		"a proxy project":       {"POST /blobs/uploads/", 403, `DENIED","message":"can not push artifact to a proxy project: proxy`, ErrReadOnly, ""},
		"an index of no child":  {"PUT " + zero, 400, "MANIFEST_INVALID", nil, ""},
		"no referrers":          {"GET /referrers/" + absent.String(), 404, "", nil, "has no referrers API"},
		"no right to referrers": {"GET /referrers/" + absent.String(), 403, "", nil, "has no referrers API"},
		"no deletes":            {"DELETE " + zero, 405, "UNSUPPORTED", nil, "does not allow deletes in repo (405)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
				request := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/v2/repo")
				switch {
				case request == c.request && n == 1:
					refuseWith(w, c.status, c.code)
				case r.Method == http.MethodPost:
					w.Header().Set("Location", "/v2/repo/uploads/1")
					w.WriteHeader(http.StatusAccepted)
				case r.Method == http.MethodPut && strings.HasSuffix(request, zero):
					refuseWith(w, 400, "DIGEST_INVALID")
				case r.Method == http.MethodPut:
					created(w, r)
				case r.Method == http.MethodHead && strings.HasSuffix(request, "/manifests/1"):
					writeManifest(w)
				case r.Method == http.MethodDelete && strings.HasSuffix(request, zero):
					refuseWith(w, 404, "MANIFEST_UNKNOWN")
				}
			})
			cl, waits := client(t, Options{})
			dst := cl.Writer(s.repo(t)).Checked([]types.MediaType{types.OCIImageIndex})
			_, _ = dst.HasBlob(t.Context(), blobDesc)
			require.Len(t, s.log(), 1, "reading asks nothing")
			require.NoError(t, dst.Refused())
			for range 2 {
				err := dst.PutManifest(t.Context(), manifestDesc, manifestRaw, "1")
				if c.want == nil {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, c.want)
					require.ErrorIs(t, dst.Refused(), c.want)
				}
			}
			if c.status == http.StatusServiceUnavailable {
				assert.Len(t, waits.all(), 1, "before the next request")
			} else {
				assert.Empty(t, waits.all())
			}
			if c.note == "" {
				assert.Empty(t, dst.Notes())
			} else {
				require.Len(t, dst.Notes(), 1)
				assert.Contains(t, dst.Notes()[0], c.note)
			}
			all := []string{
				"HEAD /blobs/" + blobDesc.Digest.String(), "POST /blobs/uploads/", "DELETE /uploads/1", "PUT " + zero,
				"GET /referrers/" + absent.String(), "DELETE " + zero, "PUT /manifests/1", "HEAD /manifests/1", "PUT /manifests/1", "HEAD /manifests/1",
			}
			if c.want == nil && c.status != 503 {
				assert.Equal(t, all, s.log())
			} else if c.want != nil {
				assert.NotContains(t, s.log(), "PUT /manifests/1")
			}
		})
	}
}
