package registry

import (
	"io"
	"io/fs"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestNotRegistry: a page in place of a registry's answer is recognized, with or without its media type.
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
