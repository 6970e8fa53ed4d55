package main

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/webserver"
)

// published is the sample's archive in a folder that servers may read, with what lies beside it.
type published struct {
	dir, file string
	bytes     []byte
}

func publish(t *testing.T) published {
	t.Helper()
	raw, _ := hostileSample(t)
	p := published{dir: t.TempDir(), bytes: raw}
	require.NoError(t, os.Chmod(filepath.Dir(p.dir), 0o755)) //nolint:gosec // a server of another user reads it
	p.file = filepath.Join(p.dir, "corp.tar")
	require.NoError(t, os.WriteFile(p.file, raw, 0o644)) //nolint:gosec // likewise
	return p
}

// TestArchiveURL: every command that reads an archive prints of a URL what it prints of the file. The link is
// signed for GET, so a HEAD, or a request without the query, would be refused.
func TestArchiveURL(t *testing.T) {
	skipShort(t)
	t.Parallel()
	p := publish(t)
	store := webserver.Presigned{Secret: "hush", Objects: http.FileServer(http.Dir(p.dir))}
	server := httptest.NewServer(store)
	defer server.Close()
	address := server.URL + "/corp.tar"
	link := store.Presign(address, time.Now(), 600)
	host := startMemory(t, nil)
	mustRelocate(t, "--from-tar", p.file, "--to-repo", host+"/file")
	for _, args := range [][]string{
		{"verify", "FILE"},
		{"verify", "FILE", "--strict", "-o", "json"},
		{"verify", "--repo", host + "/file", "FILE"},
		{"inspect", "FILE"},
		{"inspect", "FILE", "--tree", "-o", "json"},
		{"inspect", "FILE", "package", "guestbook.corp.com/1.1.0", "--values-schema"},
		{"inspect", "FILE", "--package", "guestbook.corp.com"},
		{"render", "FILE", "package", "guestbook.corp.com"},
		{"emit", "FILE", "--to-repo", host + "/file"},
		{"inventory", "FILE"},
		{"prune", "--repo", host + "/file", "--drop", "FILE"},
		{"rehearse", "FILE"},
		{"diff", "FILE", "FILE"},
		{"diff", "FILE", host + "/file:1.0.0"},
		{"plan", "-b", host + "/file:1.0.0", "--base", "FILE"},
	} {
		var of [2]result
		for i, archive := range []string{p.file, link} {
			words := make([]string, len(args))
			for at, word := range args {
				words[at] = strings.ReplaceAll(word, "FILE", archive)
			}
			of[i] = mustRelocate(t, words...)
		}
		shown := strings.NewReplacer(address, p.file)
		assert.Equal(t, of[0].stdout, shown.Replace(of[1].stdout), args)
		assert.Equal(t, of[0].stderr, shown.Replace(of[1].stderr), args)
	}
	imported := mustRelocate(t, "--from-tar", link, "--to-repo", host+"/url")
	assertAll(t, imported.stderr, "imported 3 versions", "verify with      relocate verify --repo "+host+"/url "+address)
	mustRelocate(t, "verify", "--repo", host+"/url", p.file, "--level", "deep")
}

// TestArchiveSecrets: what may be secret of a URL, its headers and its login is nowhere in what a command prints
// and writes, whatever becomes of it.
func TestArchiveSecrets(t *testing.T) {
	skipShort(t)
	t.Parallel()
	p := publish(t)
	var sent atomic.Int32 // requests with everything
	files := http.FileServer(http.Dir(p.dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user == "reader" && password == "SECRETpw" && r.Header.Get("Private-Token") == "SECRETtoken" && r.URL.Query().Get("X-Amz-Signature") == "SECRETsig" {
			sent.Add(1)
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	dir, home, host := t.TempDir(), t.TempDir(), startMemory(t, nil)
	headers, link := filepath.Join(dir, "headers"), server.URL+"/%s?X-Amz-Signature=SECRETsig&X-Amz-Expires=60"
	require.NoError(t, os.WriteFile(headers, []byte("PRIVATE-TOKEN: SECRETtoken\n\n"), 0o600))
	with := []string{"--from-tar-header-file", headers, "--src-registry-username", "reader", "--src-registry-password", "SECRETpw"}
	good, bad := fmt.Sprintf(link, "corp.tar"), fmt.Sprintf(link, "none.tar")
	built, err := program()
	require.NoError(t, err)
	for _, args := range [][]string{
		{"--from-tar", good, "--to-repo", host + "/a", "--report", dir + "/import.json", "--progress", "json"},
		{"--from-tar", good, "--to-repo", host + "/a", "--report", dir + "/import.html"},
		{"verify", good, "--report", dir + "/verify.html"},
		{"verify", good, "-o", "json", "--report", dir + "/verify.json"},
		{"inspect", good, "-o", "json"},
		{"diff", good, p.file, "--report", dir + "/diff.html"},
		{"--from-tar", bad, "--to-repo", host + "/a"},
		{"verify", bad},
		{"verify", good, "--seal", bad},
		{"verify", good, "--trust", "no.pub", "--signature", bad},
		{"sign", good, "--key", "k"},
		{"repair", good},
		{good, "--to-repo", host + "/a"},
		{"--from-tar", good},
		{"-b", host + "/a:1.0.0", "--to-tar", good},
		{"verify", good + "%zz"},
		{"render", good},
		{"inspect", good, "nothing"},
		{"emit", good},
	} {
		cmd := exec.CommandContext(t.Context(), built, append(slices.Clone(args), with...)...)
		cmd.Env = append(os.Environ(), "HOME="+home)
		text, _ := cmd.CombinedOutput() // also of commands that fail
		assert.NotContains(t, string(text), "SECRET", args)
		assert.NotEmpty(t, text)
	}
	assert.NotZero(t, sent.Load())
	for _, root := range []string{dir, home} {
		assert.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || path == headers {
				return err
			}
			text, err := os.ReadFile(path)
			assert.NotContains(t, string(text), "SECRET", path)
			return err
		}))
	}
}

// TestWebServers reads the archive from the servers of Debian as from the file. Those that send whole files only
// are refused after the first answer, and a stream reads them.
func TestWebServers(t *testing.T) {
	t.Parallel()
	skipShort(t)
	p := publish(t)
	host := startMemory(t, nil)
	verified := mustRelocate(t, "verify", p.file, "-o", "json").stdout
	inspected := mustRelocate(t, "inspect", p.file, "--tree").stdout
	imported := mustRelocate(t, "--from-tar", p.file, "--to-repo", host+"/file").stdout
	whole := func(t *testing.T, address string) {
		for _, args := range [][]string{{"inspect", address}, {"--from-tar", address, "--to-repo", host + "/none"}} {
			assertFailed(t, tryRelocate(t, args...), statusFailed, address+": the server answers without ranges", "curl -fsS URL | relocate")
		}
	}
	parts := func(t *testing.T, address string) {
		as := func(r result) string { return strings.ReplaceAll(r.stdout, address, p.file) }
		assert.Equal(t, verified, as(mustRelocate(t, "verify", address, "-o", "json")))
		assert.Equal(t, inspected, as(mustRelocate(t, "inspect", address, "--tree")))
		repo := host + "/" + strings.ToLower(strings.ReplaceAll(filepath.Base(t.Name()), "_", "-"))
		assert.Equal(t, imported, strings.ReplaceAll(mustRelocate(t, "--from-tar", address, "--to-repo", repo).stdout, repo, host+"/file"))
	}
	for name, server := range map[string]struct {
		start func(t *testing.T) string
		read  func(t *testing.T, address string)
	}{
		"nginx":           {func(t *testing.T) string { return webserver.Nginx(t, p.dir) }, parts},
		"nginx gzip":      {func(t *testing.T) string { return webserver.Nginx(t, p.dir, "gzip on; gzip_types application/x-tar;") }, parts},
		"nginx no ranges": {func(t *testing.T) string { return webserver.Nginx(t, p.dir, "max_ranges 0;") }, whole},
		"apache":          {func(t *testing.T) string { return webserver.Apache(t, p.dir, false) }, parts},
		"apache gzip":     {func(t *testing.T) string { return webserver.Apache(t, p.dir, true) }, parts},
		"caddy":           {func(t *testing.T) string { return webserver.Caddy(t, p.dir) }, parts},
		"python":          {func(t *testing.T) string { return webserver.Python(t, p.dir) }, whole},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server.read(t, server.start(t)+"/corp.tar")
		})
	}
}

// TestCompressingProxy: a proxy that asks for compressed answers and passes them on is refused, and nothing of
// them is taken for content.
func TestCompressingProxy(t *testing.T) {
	t.Parallel()
	skipShort(t)
	p := publish(t)
	behind, err := url.Parse(webserver.Nginx(t, p.dir, "gzip on; gzip_types application/x-tar;"))
	require.NoError(t, err)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind)
		r.Out.Header.Set("Accept-Encoding", "gzip")
	}})
	defer proxy.Close()
	assertFailed(t, tryRelocate(t, "verify", proxy.URL+"/corp.tar"), statusFailed, "without ranges")
}
