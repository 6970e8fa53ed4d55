package registry_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/registry"
)

// TestOnly: with Only, a host is connected to at the address given for it. All others are refused
// at once, a token server, a redirect and a proxy among them.
func TestOnly(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked elsewhere") }))
	defer elsewhere.Close()
	t.Setenv("HTTP_PROXY", elsewhere.URL)
	t.Setenv("HTTPS_PROXY", elsewhere.URL)
	t.Setenv("NO_PROXY", "")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/v2/login/"):
			w.WriteHeader(http.StatusForbidden)
		case strings.HasPrefix(r.URL.Path, "/v2/away/"):
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}
	}))
	defer server.Close()
	var mu sync.Mutex
	var dialed []string
	address := strings.TrimPrefix(server.URL, "http://")
	client, err := registry.New(registry.Options{
		Anonymous: true, Insecure: true, Jobs: 1, Only: map[string]string{"Registry.airgap.test": address, "with-port.test:5000": address},
		Dialed: func(host string) {
			mu.Lock()
			defer mu.Unlock()
			dialed = append(dialed, host)
		},
	})
	require.NoError(t, err)
	ask := func(ref string) error {
		parsed, err := name.ParseReference(ref)
		require.NoError(t, err)
		_, _, err = client.Manifest(t.Context(), parsed)
		return err
	}
	require.ErrorContains(t, ask("registry.airgap.test/x:1"), "media type", "it answered")
	require.ErrorContains(t, ask("with-port.test:5000/x:1"), "media type", "it answered")
	for _, ref := range []string{"quay.io/x:1", "with-port.test/x:1", "with-port.test:5001/x:1", address + "/x:1", "registry.airgap.test/away/x:1"} {
		err := ask(ref)
		require.ErrorIs(t, err, registry.ErrNotAllowed, ref)
		assert.NotContains(t, err.Error(), "tries", ref)
	}
	assert.Contains(t, dialed, "quay.io:443")
	assert.Contains(t, dialed, "with-port.test:5000")
}
