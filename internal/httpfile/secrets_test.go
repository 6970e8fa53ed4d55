package httpfile_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/httpfile"
	"relocate/registry"
)

// raw answers with bytes that net/http's server would not send.
func raw(w http.ResponseWriter, format string, args ...any) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_, _ = fmt.Fprintf(conn, format, args...)
		_ = conn.Close()
	}
}

// echoes are answers that repeat what a request said, each in another place.
var echoes = map[string]func(w http.ResponseWriter, said string, n int32){
	"status line": func(w http.ResponseWriter, said string, _ int32) {
		raw(w, "GARBAGE %s\r\n\r\n", strings.ReplaceAll(said, " ", "_"))
	},
	"transfer encoding": func(w http.ResponseWriter, said string, _ int32) {
		raw(w, "HTTP/1.1 206 X\r\nTransfer-Encoding: %s\r\n\r\n", said)
	},
	"header": func(w http.ResponseWriter, said string, _ int32) { raw(w, "HTTP/1.1 206 X\r\n%s\r\n\r\n", said) },
	"trailer": func(w http.ResponseWriter, said string, _ int32) {
		raw(w, "HTTP/1.1 206 X\r\nContent-Range: bytes 0-9/10\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n%s\r\n\r\n", said)
	},
	"Content-Range": func(w http.ResponseWriter, said string, _ int32) {
		lie(headers("Content-Range", said), 206, "")(w, nil)
	},
	"encoding": func(w http.ResponseWriter, said string, _ int32) {
		lie(headers("Content-Encoding", said), 206, "")(w, nil)
	},
	"cut": func(w http.ResponseWriter, said string, _ int32) { // text.Quote leaves 200 bytes
		lie(headers("Content-Range", strings.Repeat("x", 190-strings.Index(said, "SECRET"))+said), 206, "")(w, nil)
	},
	"ETag": func(w http.ResponseWriter, said string, n int32) {
		lie(headers("Content-Range", "bytes 0-0/2097152", "Etag", fmt.Sprintf(`"%d %s"`, n, said)), 206, "x")(w, nil)
	},
	"ETag of the first": func(w http.ResponseWriter, said string, n int32) {
		header, size := headers("Content-Range", "bytes 0-1048575/2097152", "Etag", fmt.Sprintf(`"%s"`, said)), 1<<20
		if n > 1 {
			header, size = headers("Content-Range", "bytes 0-0/2097152", "Etag", `"other"`), 1
		}
		lie(header, 206, strings.Repeat("x", size))(w, nil)
	},
	"page":         func(w http.ResponseWriter, said string, _ int32) { lie(nil, 503, said)(w, nil) },
	"error's code": func(w http.ResponseWriter, _ string, _ int32) { lie(nil, 404, "<Code>SECRETkey</Code>")(w, nil) },
	"redirect": func(w http.ResponseWriter, said string, _ int32) {
		lie(headers("Location", "/x/"+url.PathEscape(said)), 302, "")(w, nil)
	},
	"redirect host": func(w http.ResponseWriter, _ string, _ int32) {
		lie(headers("Location", "http://SECRETkey.example/"), 302, "")(w, nil)
	},
}

// TestEchoes: what was secret in a request is in no error, and nobody who observes waits is told, wherever the answer
// repeats it: of the link, of one before it, and of a redirect.
func TestEchoes(t *testing.T) {
	t.Parallel()
	for name, echo := range echoes {
		for _, redirects := range []bool{false, true} {
			t.Run(fmt.Sprint(name, redirects), func(t *testing.T) {
				t.Parallel()
				var n atomic.Int32
				s := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
					if redirects && r.URL.Path == "/a.tar" {
						http.Redirect(w, r, "/b.tar?there=SECRET%2Fthere&"+r.URL.RawQuery, http.StatusFound)
						return
					}
					user, password, _ := r.BasicAuth()
					query := r.URL.Query()
					echo(w, fmt.Sprint(r.RequestURI, " ", query["sig"], query["there"], user, password, r.Header["Authorization"], r.Header["Cookie"]), n.Add(1))
				})
				opt := quick()
				opt.Header = headers("Cookie", "a=SECRETcookie; b=2")
				var mu sync.Mutex
				var said strings.Builder
				ctx := registry.Observe(t.Context(), registry.Observer{Retrying: func(_ string, cause error, _ time.Duration) {
					mu.Lock()
					defer mu.Unlock()
					fmt.Fprintln(&said, cause)
				}})
				link := strings.Replace(s.URL, "http://", "http://SECRETuser:SECRET%2Fpassword@", 1) + "/a.tar?sig=SECRETsig%2F%22&key=SECRETkey"
				f, err := httpfile.Open(ctx, httpfile.Source{URL: link}, opt)
				if err == nil {
					assert.NotContains(t, f.Validator(), "SECRET")
					err = f.Unchanged()
					_ = f.Close()
				}
				require.Error(t, err)
				mu.Lock()
				defer mu.Unlock()
				fmt.Fprintln(&said, err)
				assert.NotContains(t, said.String(), "SECRET")
				assert.NotContains(t, said.String(), "U0VDUkVU", "Base64 of it")
				assert.Contains(t, said.String(), s.URL[len("http://"):])
			})
		}
	}
}

// TestEchoedAfterRenewal: the link before a new one stays secret.
func TestEchoedAfterRenewal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "url")
	var link string
	s := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("sig") == "SECRETold" {
			assert.NoError(t, os.WriteFile(path, []byte(link+"SECRETnew"), 0o600))
			w.WriteHeader(http.StatusForbidden)
			return
		}
		raw(w, "GARBAGE SECRETold-SECRETnew\r\n\r\n")
	})
	link = s.URL + "/a.tar?sig="
	require.NoError(t, os.WriteFile(path, []byte(link+"SECRETold"), 0o600))
	_, err := httpfile.Open(t.Context(), httpfile.Source{File: path}, quick())
	require.ErrorContains(t, err, `status code "…-…"`)
	assert.NotContains(t, err.Error(), "SECRET")
}

// TestPutEchoed: an upload repeats nothing secret, either.
func TestPutEchoed(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		raw(w, "GARBAGE %s\r\n\r\n", r.RequestURI)
	})
	ctx := registry.Observe(t.Context(), registry.Observer{Retrying: func(_ string, cause error, _ time.Duration) {
		assert.NotContains(t, cause.Error(), "SECRET")
	}})
	err := httpfile.Put(ctx, httpfile.Source{URL: s.URL + "/r?sig=SECRETsig"}, quick(), []byte("text"))
	require.ErrorContains(t, err, `status code "/r…"`)
}
