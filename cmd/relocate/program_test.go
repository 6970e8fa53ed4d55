package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/realregistry"
	"relocate/testdata/sample"
)

var update = flag.Bool("update", false, "write the golden files in testdata again")

// TestMain keeps the settings of the machine out of the tests: docker's configuration and proxies.
// What renders is the program itself, built once.
func TestMain(m *testing.M) {
	executable = program // not the test binary, which the race detector slows down
	flag.Parse()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"} {
		os.Unsetenv(name)
		os.Unsetenv(strings.ToLower(name))
	}
	home, err := os.MkdirTemp("", "relocate-home-")
	if err != nil {
		log.Fatal(err)
	}
	os.Setenv("DOCKER_CONFIG", home)
	build = exec.Command("go", "build", "-o", filepath.Join(home, "relocate.exe"), ".")
	build.Env = os.Environ()
	if build.Dir, err = os.Getwd(); err != nil {
		log.Fatal(err)
	}
	status := m.Run()
	os.RemoveAll(home)
	os.Exit(status)
}

// skipShort leaves a test out of make check's run with the race detector, which sees nothing of processes of
// their own, and is slow. make test runs all.
func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short is given")
	}
}

// result is what one run of the program left.
type result struct {
	status         int
	stdout, stderr string
}

// tryRelocate runs the program.
func tryRelocate(t testing.TB, args ...string) result {
	t.Helper()
	return relocateContext(t.Context(), args...)
}

func relocateContext(ctx context.Context, args ...string) result {
	var stdout, stderr bytes.Buffer
	status := run(ctx, args, &stdout, &stderr)
	return result{status, stdout.String(), stderr.String()}
}

// mustRelocate runs the program, which must succeed.
func mustRelocate(t testing.TB, args ...string) result {
	t.Helper()
	r := tryRelocate(t, args...)
	require.Zero(t, r.status, "relocate %s\nstdout:\n%s\nstderr:\n%s", strings.Join(args, " "), r.stdout, r.stderr)
	return r
}

// export exports references to a new archive and returns its path. Arguments that are no reference
// are passed on: those from the first that begins with "-".
func export(t *testing.T, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "repository.tar")
	all := []string{"--to-tar", file}
	for i, arg := range args {
		if strings.HasPrefix(arg, "-") {
			all = append(all, args[i:]...)
			break
		}
		all = append(all, "-b", arg)
	}
	mustRelocate(t, all...)
	return file
}

// readReport reads what --report wrote.
func readReport(t *testing.T, path string) copyReport {
	t.Helper()
	var r copyReport
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &r))
	return r
}

// pushSample pushes the sample to a registry and returns the reference of the package repository.
func pushSample(t *testing.T, host string) string {
	t.Helper()
	root, err := sample.Push(t.Context(), host, sample.Tiny)
	require.NoError(t, err)
	return root.Name()
}

// realRegistries are the registries that a crossing is tested over.
var realRegistries = map[string]func(*testing.T) *realregistry.Registry{
	"distribution": startReal,
	"debian":       func(t *testing.T) *realregistry.Registry { return realregistry.StartDebian(t) },
}

func startReal(t *testing.T) *realregistry.Registry {
	t.Helper()
	return realregistry.Start(t, realregistry.Options{})
}

// startMemory starts a registry in this process, behind what wrap makes of it (nil: nothing), and
// returns its host and port.
func startMemory(t *testing.T, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return strings.TrimPrefix(server.URL, "http://")
}

// canary listens at addr and counts who connects. It never answers.
type canary struct {
	addr  string
	count atomic.Int32
}

func startCanary(t *testing.T, addr string) *canary {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	c := &canary{addr: listener.Addr().String()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			c.count.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return c
}

// assertSilent fails when anyone connected.
func (c *canary) assertSilent(t *testing.T) {
	t.Helper()
	assert.Zero(t, c.count.Load(), "connections to %s", c.addr)
}

// noWrites fails when a registry was asked to store something.
func noWrites(t *testing.T, requests []string) {
	t.Helper()
	for _, r := range requests {
		method := strings.Fields(r)[1]
		assert.NotContains(t, []string{"PUT", "POST", "PATCH", "DELETE"}, method, r)
	}
}

// assertAll fails for each part that s lacks.
func assertAll(t *testing.T, s string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		assert.Contains(t, s, part)
	}
}
