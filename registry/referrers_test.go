package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
)

// writeReferrers answers with a list of digests.
func writeReferrers(w http.ResponseWriter, list ...v1.Hash) {
	w.Header().Set("Content-Type", string(types.OCIImageIndex))
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	for _, d := range list {
		index.Manifests = append(index.Manifests, v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: d})
	}
	_ = json.NewEncoder(w).Encode(index)
}

func numbered(n int) v1.Hash { return digest.Of(fmt.Append(nil, n)) }

// TestReferrersProbe: the first request finds out whether a registry has the API; others wait for
// it.
func TestReferrersProbe(t *testing.T) {
	t.Parallel()
	html := func(w http.ResponseWriter, _ *http.Request, _ int) { _, _ = w.Write([]byte("<html>")) }
	for name, c := range map[string]struct {
		answer handler
		there  bool
	}{
		"there":        {func(w http.ResponseWriter, _ *http.Request, _ int) { writeReferrers(w) }, true},
		"not there":    {func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(404) }, false},
		"not allowed":  {func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(405) }, false},
		"another page": {html, false},
		"moved elsewhere": {func(w http.ResponseWriter, r *http.Request, _ int) {
			http.Redirect(w, r, "https://elsewhere.test/", http.StatusSeeOther)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.answer)
			client, _ := client(t, Options{Jobs: 8})
			var wait sync.WaitGroup
			for i := range 20 {
				wait.Go(func() {
					repo := parseRepo(t, s.host+"/repo"+fmt.Sprint(i%3))
					_, err := client.Referrers(t.Context(), repo.Digest(numbered(i).String()))
					assert.Equal(t, !c.there, errors.Is(err, errors.ErrUnsupported), "%v", err)
				})
			}
			wait.Wait()
			assert.Len(t, s.log(), map[bool]int{true: 20, false: 1}[c.there])
		})
	}
}

// TestReferrers: lists are read page by page, within limits.
func TestReferrers(t *testing.T) {
	t.Parallel()
	page := func(n int, link string) handler {
		return func(w http.ResponseWriter, r *http.Request, _ int) {
			if link != "" && r.URL.Query().Get("page") == "" {
				w.Header().Set("Link", link)
			}
			var list []v1.Hash
			for i := range n {
				list = append(list, numbered(i+len(r.URL.RawQuery)))
			}
			writeReferrers(w, list...)
		}
	}
	d := numbered(0)
	for name, c := range map[string]struct {
		answer handler
		want   int
		is     error
		says   string
	}{
		"one":       {page(1, ""), 1, nil, ""},
		"two pages": {page(2, `<?page=2>; rel="next"`), 4, nil, ""},
		"too many":  {page(maxReferrers+1, ""), 0, nil, "more than"},
		"endless pages": {func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Link", `<?last=x>; rel="next"`)
			writeReferrers(w, d)
		}, 0, nil, "endless pages"},
		"a link away": {page(1, `<https://elsewhere.test/v2/repo/referrers/x>; rel="next"`), 0, nil, "points to another host, elsewhere.test"},
		"refused":     {func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(403) }, 0, fs.ErrPermission, "403"},
		"broken":      {func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(500) }, 0, nil, "500"},
		"no index": {func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Content-Type", string(types.OCIImageIndex))
			_, _ = w.Write([]byte("{"))
		}, 0, nil, "malformed list of referrers"},
		"digests of no form": {func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Content-Type", string(types.OCIImageIndex))
			_, _ = w.Write([]byte(`{"manifests":[{"digest":"\u001b[31m"}]}`))
		}, 0, nil, "malformed list of referrers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.answer)
			client, _ := client(t, Options{Tries: 1})
			list, err := client.Referrers(t.Context(), s.repo(t).Digest(d.String()))
			if c.says == "" {
				require.NoError(t, err)
				assert.Len(t, list, c.want)
				again, err := client.Writer(s.repo(t)).Referrers(t.Context(), d)
				require.NoError(t, err)
				assert.Equal(t, list, again)
				return
			}
			require.ErrorContains(t, err, c.says)
			assert.NotContains(t, err.Error(), "\x1b")
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			assert.LessOrEqual(t, len(s.log()), maxPages)
		})
	}
}

// TestReferrersOfSome: a registry that has the API may not know a manifest.
func TestReferrersOfSome(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.URL.Path != "/v2/repo/referrers/"+numbered(0).String() {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		writeReferrers(w, numbered(7))
	})
	client, _ := client(t, Options{})
	for i, want := range [][]v1.Hash{{numbered(7)}, nil} {
		list, err := client.Referrers(t.Context(), s.repo(t).Digest(numbered(i).String()))
		require.NoError(t, err)
		assert.Equal(t, want, list)
	}
}
