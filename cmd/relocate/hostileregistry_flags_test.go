package main

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"

	"relocate/testdata/hostileregistry"
)

// TestRegistryLimits: times, tries and hosts that cannot be meant.
func TestRegistryLimits(t *testing.T) {
	t.Parallel()
	s := hostileregistry.Start(t)
	for _, c := range []struct{ flag, value, says string }{
		{"--registry-connect-timeout", "0s", "must be more than 0"},
		{"--registry-connect-timeout", "10", "--registry-connect-timeout"},
		{"--registry-response-header-timeout", "-1s", "must be more than 0"},
		{"--registry-idle-timeout", "0", "must be more than 0"},
		{"--registry-idle-timeout", "long", "--registry-idle-timeout"},
		{"--registry-retry-wait", "-5ms", "must be more than 0"},
		{"--registry-retry-count", "0", "between 1 and 100"},
		{"--registry-retry-count", "101", "between 1 and 100"},
		{"--token-host", "https://auth.example.com", "write a host, or host:port"},
		{"--token-host", "auth.example.com/token", "write a host, or host:port"},
		{"--redirect-host", ":5000", "write a host, or host:port"},
		{"--redirect-host", "user@example.com", "write a host, or host:port"},
	} {
		r := tryRelocate(t, "plan", "-b", s.Addr+"/a/b:1", c.flag, c.value)
		assertFailed(t, r, statusUsage, c.flag, c.says)
	}
	assert.Empty(t, s.Requests())
}

// TestNamedHosts: what is refused by itself is done where the operator named the host.
func TestNamedHosts(t *testing.T) {
	t.Parallel()
	content := hostileregistry.Start(t)
	ref, root := pushHostile(t, content.Addr)
	archive := filepath.Join(t.TempDir(), "repository.tar")
	tokens := startStranger(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"token":"registry-token-x"}`)) })
	content.Behave(tokenManner("http://"+tokens.addr+"/token", 1000))
	mustRelocate(t, "-b", ref, "--to-tar", archive, "--token-host", tokens.addr)
	mustRelocate(t, "verify", archive, "--root", root)

	// A destination that keeps its content elsewhere.
	storage := hostileregistry.Start(t)
	storage.Behave(nil)
	dst := hostileregistry.Start(t)
	mustRelocate(t, "--from-tar", archive, "--to-repo", dst.Addr+"/all")
	mustRelocate(t, "--from-tar", archive, "--to-repo", storage.Addr+"/all")
	dst.Behave(hostileregistry.On("GET blobs", hostileregistry.Redirect(307, func(r *http.Request) string { return "http://" + storage.Addr + r.URL.Path })))
	verify := []string{"verify", "--repo", dst.Addr + "/all", archive, "--level", "deep"}
	assertFailed(t, tryRelocate(t, verify...), statusUsage, "redirected to "+storage.Addr, "--redirect-host")
	mustRelocate(t, append(verify, "--redirect-host", storage.Addr)...)
}

// TestTries: as often as the flag says.
func TestTries(t *testing.T) {
	t.Parallel()
	s := hostileregistry.Start(t)
	ref, _ := pushHostile(t, s.Addr)
	s.Behave(hostileregistry.On("GET manifests", hostileregistry.Answer(500, "")))
	r := tryRelocate(t, "plan", "-b", ref, "--registry-retry-count", "2", "--registry-retry-wait", "1ms")
	assertFailed(t, r, statusFailed, "500 Internal Server Error (2 tries)")
}
