package registry

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestProxyRefuses: the error names the proxy, and a request that it forbids is sent once.
func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	for status, tries := range map[int]int32{403: 1, 407: 1, 404: 1, 502: 5, 503: 5} {
		var asked atomic.Int32
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.WriteHeader(status)
		}))
		t.Cleanup(proxy.Close)
		at, err := url.Parse("http://user:hunter2@" + proxy.Listener.Addr().String())
		require.NoError(t, err)
		c, _ := client(t, Options{Anonymous: true})
		c.base.inner.(*http.Transport).Proxy = http.ProxyURL(at)
		_, _, err = c.Manifest(t.Context(), parseRepo(t, "registry.example.com/repo").Tag("a"))
		assert.ErrorIs(t, err, ErrProxy, status)
		assert.ErrorContains(t, err, fmt.Sprintf("the proxy %s refused to connect to registry.example.com:443: %d ", at.Host, status))
		assert.NotContains(t, err.Error(), "hunter2")
		assert.Equal(t, tries, asked.Load(), status)
	}
	c, _ := client(t, Options{Anonymous: true, Insecure: true})
	c.base.inner.(*http.Transport).Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "127.0.0.1:1"})
	_, _, err := c.Manifest(t.Context(), parseRepo(t, "registry.example.com/repo").Tag("a"))
	assert.ErrorIs(t, err, ErrProxy)
	assert.ErrorContains(t, err, "the proxy cannot be reached")
}
