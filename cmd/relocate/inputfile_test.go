//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/httpfile"
)

// TestFilesFIFO: small files may be FIFOs, whose writers may take long: an interrupt ends the wait for them.
func TestFilesFIFO(t *testing.T) {
	t.Parallel()
	root := pushPackages(t, startMemory(t, nil))
	for _, args := range [][]string{
		{"inspect", "--repo", root, "package", contour + "/1.20.1", "--check-values"},
		{"render", "--repo", root, "package", contour + "/1.20.1", "--values-file"},
		{"verify", "--from-tar-url-file"},
		{"verify", "http://127.0.0.1:1/a.tar", "--from-tar-header-file"},
		{"verify", "a.tar", "--trust"},
		{"plan", "-b", root, "--installed"},
		{"key", "show"},
		{"image", "--to-tar", "-", "--binary"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			pipe := fifo(t, nil)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan result, 1)
			go func() { done <- relocateContext(ctx, append(args, pipe)...) }()
			w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits until it is opened for reading
			require.NoError(t, err)
			defer w.Close()
			cancel()
			r := <-done
			assert.Equal(t, statusInterrupted, r.status, r.stderr)
		})
	}
	values := fifo(t, func(w io.Writer) { fmt.Fprintln(w, "contour: {replicas: 3}") })
	mustRelocate(t, "inspect", "--repo", root, "package", contour+"/1.20.1", "--check-values", values)
}

// TestURLFileFIFO: a FIFO with a URL is read once; a file with more than a URL is refused, not cut.
func TestURLFileFIFO(t *testing.T) {
	t.Parallel()
	good, _ := hostileSample(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(good))
	}))
	defer server.Close()
	mustRelocate(t, "verify", "--from-tar-url-file", fifo(t, func(w io.Writer) { fmt.Fprintln(w, server.URL+"/a.tar?sig=secret") }))

	long := filepath.Join(t.TempDir(), "url")
	text := server.URL + "/a.tar?sig=" + strings.Repeat("x", httpfile.MaxURL)
	require.NoError(t, os.WriteFile(long, []byte(text), 0o600))
	assertFailed(t, tryRelocate(t, "verify", "--from-tar-url-file", long), statusUsage, "it has more than 65536 bytes: a URL is shorter")
}
