package registry

import (
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
)

// TestSparse: before the first write, an index of absent children is put under its own digest and deleted
// again, for each kind; what the answer means.
func TestSparse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		put, delete int
		code        string
		want        error // of the write; nil: none
		note        bool
	}{
		"taken and deleted":       {put: 201, delete: 202},
		"taken, never deleted":    {put: 201, delete: 405, note: true},
		"distribution and Harbor": {put: 400, code: "MANIFEST_BLOB_UNKNOWN", want: ErrSparse},
		"crane":                   {put: 404, code: "MANIFEST_UNKNOWN", want: ErrSparse},
		"zot":                     {put: 400, code: "MANIFEST_INVALID", want: ErrSparse},
		"ocimem":                  {put: 500, code: "UNKNOWN", want: ErrSparse},
		"no right":                {put: 403, code: "DENIED", want: fs.ErrPermission},
		"overloaded":              {put: 429, code: "TOOMANYREQUESTS", want: errAny},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var put []v1.IndexManifest
			s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
				own := strings.Contains(r.URL.Path, "/manifests/") && !strings.HasSuffix(r.URL.Path, absent.Hex)
				switch {
				case r.Method == http.MethodPost:
					w.Header().Set("Location", "/v2/repo/uploads/1")
					w.WriteHeader(http.StatusAccepted)
				case r.Method == http.MethodPut && own:
					raw, _ := io.ReadAll(r.Body)
					assert.Equal(t, digest.Of(raw).String(), r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
					var doc v1.IndexManifest
					assert.NoError(t, json.Unmarshal(raw, &doc))
					mu.Lock()
					put = append(put, doc)
					mu.Unlock()
					if c.put < 300 {
						w.WriteHeader(c.put)
						return
					}
					refuseWith(w, c.put, c.code)
				case r.Method == http.MethodDelete && own:
					w.WriteHeader(c.delete)
				case r.Method == http.MethodDelete:
					w.WriteHeader(http.StatusAccepted)
				default:
					w.WriteHeader(http.StatusNotFound)
				}
			})
			cl, _ := client(t, Options{})
			arm := v1.Platform{OS: "linux", Architecture: "arm64"}
			dst := cl.Writer(s.repo(t)).Checked(nil).Sparse([]SparseIndex{
				{types.OCIImageIndex, []v1.Platform{arm, {}}}, {types.DockerManifestList, []v1.Platform{arm}},
			})
			_ = dst.PutBlob(t.Context(), blobDesc, unreadable)
			if c.want != nil {
				require.Error(t, dst.Refused())
				if c.want != errAny {
					require.ErrorIs(t, dst.Refused(), c.want)
				}
				assert.Equal(t, c.want == ErrSparse, strings.Contains(dst.Refused().Error(), ErrSparse.Error()))
				return
			}
			require.NoError(t, dst.Refused())
			require.Len(t, put, 2)
			assert.Equal(t, types.OCIImageIndex, put[0].MediaType)
			assert.Equal(t, types.DockerManifestList, put[1].MediaType)
			var children []string
			for _, d := range put[0].Manifests {
				assert.Equal(t, absent, d.Digest)
				children = append(children, d.Platform.String())
			}
			assert.Equal(t, []string{"linux/arm64", "unknown/unknown"}, children)
			assert.Equal(t, types.DockerManifestSchema2, put[1].Manifests[0].MediaType)
			assert.Equal(t, c.note, strings.Contains(strings.Join(dst.Notes(), "\n"), "left"), dst.Notes())
		})
	}
}

// errAny stands for an error that has no meaning of its own.
var errAny = io.ErrUnexpectedEOF
