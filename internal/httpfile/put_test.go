package httpfile_test

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/httpfile"
	"relocate/registry"
)

// TestPut: what is uploaded arrives with login and headers. What a server refuses is said without what is secret.
func TestPut(t *testing.T) {
	t.Parallel()
	var got []byte
	s := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/no":
			lie(nil, http.StatusForbidden, "<Error><Code>AccessDenied</Code><Resource>secret</Resource></Error>")(w, r)
		case "/full":
			lie(nil, http.StatusServiceUnavailable, "<Error><Code>SlowDown</Code><Resource>secret</Resource></Error>")(w, r)
		case "/moved":
			http.Redirect(w, r, "/receipt", http.StatusTemporaryRedirect)
		default:
			var err error
			got, err = io.ReadAll(r.Body)
			assert.NoError(t, err)
			w.WriteHeader(http.StatusCreated)
		}
	})
	opt := quick()
	opt.Header = headers("Private-Token", "secret")
	at := func(path string) httpfile.Source {
		return httpfile.Source{URL: strings.Replace(s.URL, "http://", "http://user:secret@", 1) + path + "?sig=secret"}
	}
	require.NoError(t, httpfile.Put(t.Context(), at("/receipt"), opt, []byte("text")))
	assert.Equal(t, "text", string(got))
	r := s.requests[0]
	assert.Equal(t, []string{"PUT", "secret", "secret"}, []string{r.Method, r.Header.Get("Private-Token"), r.URL.Query().Get("sig")})
	user, _, _ := r.BasicAuth()
	assert.Equal(t, "user", user)
	for path, says := range map[string]string{"/no": "403 Forbidden AccessDenied", "/full": "503 Service Unavailable SlowDown", "/moved": "307 Temporary Redirect"} {
		err := httpfile.Put(t.Context(), at(path), opt, []byte("text"))
		require.ErrorAs(t, err, new(*registry.Error))
		assert.Equal(t, path == "/no", errors.Is(err, fs.ErrPermission))
		assert.ErrorContains(t, err, says)
		assert.NotContains(t, err.Error(), "secret")
		assert.NotContains(t, err.Error(), "user")
	}
}
