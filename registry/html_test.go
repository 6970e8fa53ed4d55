package registry

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
)

// TestNotRegistry: an HTML page instead of an answer of a registry is recognized, with or without
// its media type.
func TestNotRegistry(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]struct {
		status int
		header string
		body   string
	}{
		"login page":             {200, "text/html; charset=utf-8", "<html>login</html>"},
		"login page, no type":    {200, "", "\xef\xbb\xbf\n <!DOCTYPE html>"},
		"404 page":               {404, "text/html", "<html>not found</html>"},
		"404 text":               {404, "text/plain", "404 page not found"},
		"an error page":          {410, "text/html", "<html>gone</html>"},
		"a redirect of an index": {200, "application/json", "<html>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(w http.ResponseWriter, r *http.Request, _ int) {
				w.Header().Set("Content-Type", page.header)
				w.WriteHeader(page.status)
				_, _ = io.WriteString(w, page.body)
			})
			c, waited := client(t, Options{Anonymous: true})
			assert.ErrorIs(t, read(t, c, s), ErrNotRegistry)
			_, err := c.Writer(s.repo(t)).Resolve(t.Context(), "a")
			assert.ErrorIs(t, err, ErrNotRegistry)
			assert.NotErrorIs(t, err, fs.ErrNotExist, "nobody may take it for an absent tag")
			if page.header == "text/html" || page.status == 404 {
				err := c.Writer(s.repo(t)).Checked(nil).PutBlob(t.Context(), blobDesc, bytesOf(blobRaw))
				assert.ErrorIs(t, err, ErrNotRegistry)
			}
			assert.Empty(t, waited.all())
		})
	}
}

// TestPageForBlob: an HTML page instead of a blob is not reported as damage of the blob.
func TestPageForBlob(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		w.Header().Set("Content-Type", "text/html")
		if n == 1 {
			_, _ = io.WriteString(w, "<html>log in again</html>")
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(blobDesc.Size))
		_, _ = w.Write(blobRaw)
	})
	c, _ := client(t, Options{Anonymous: true})
	_, err := c.Blob(t.Context(), s.repo(t), blobDesc)
	assert.ErrorIs(t, err, ErrNotRegistry)
	assert.NotErrorIs(t, err, digest.ErrMismatch)
	blob, err := c.Blob(t.Context(), s.repo(t), blobDesc)
	require.NoError(t, err, "a server that gives everything the type of a page")
	raw, err := io.ReadAll(blob)
	require.NoError(t, err)
	require.NoError(t, blob.Close())
	assert.Equal(t, blobRaw, raw)
}
