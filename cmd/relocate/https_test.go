package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/rand/v2"
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

	"relocate/copy"
	"relocate/testdata/webserver"
)

// published is an archive with the sample and an image of 3 MB, in a folder that servers may read. The first request
// for it reads 1 MiB.
type published struct {
	dir, file string
	bytes     []byte
}

func publish(t *testing.T) published {
	t.Helper()
	src := site{t: t, host: startMemory(t, nil)}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // content that does not compress
	var layers []string
	for range 5 {
		layer := make([]byte, 600_000)
		for i := range layer {
			layer[i] = byte(random.Uint32())
		}
		layers = append(layers, string(layer))
	}
	src.image("corp/large", "1", layers...)
	p := published{dir: t.TempDir()}
	require.NoError(t, os.Chmod(filepath.Dir(p.dir), 0o755)) //nolint:gosec // a server of another user reads it
	p.file = filepath.Join(p.dir, "corp.tar")
	mustRelocate(t, "-b", pushSample(t, src.host), "-i", src.host+"/corp/large:1", "--to-tar", p.file)
	require.NoError(t, os.Chmod(p.file, 0o644)) //nolint:gosec // likewise
	raw, err := os.ReadFile(p.file)
	require.NoError(t, err)
	p.bytes = raw
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
		shown := strings.NewReplacer("; "+address+" was read from its server", "", address, p.file)
		assert.Equal(t, of[0].stdout, shown.Replace(of[1].stdout), args)
		assert.Equal(t, of[0].stderr, shown.Replace(of[1].stderr), args)
	}
	host = startMemory(t, nil)
	imported := mustRelocate(t, "--from-tar", link, "--to-repo", host+"/url")
	assertAll(t, imported.stderr, "imported 3 versions", "  read             3.1 MB in ", "verify with      relocate verify --repo "+host+"/url '"+address+"?…'")
	mustRelocate(t, "verify", "--repo", host+"/url", p.file, "--level", "deep")

	served := mustServe(t, link, "--as", "corp/all")
	assert.Equal(t, address, served.report.Archives[0].File)
	mustRelocate(t, "verify", "--repo", served.host+"/corp/all", p.file, "--level", "deep")
	assert.NotContains(t, served.stop().stderr, "X-Amz")

	for name, value := range map[string]string{archiveVariable: link, "NO": ""} {
		cmd := exec.CommandContext(t.Context(), mustBuild(t), "inspect", "--tree")
		cmd.Env = append(os.Environ(), name+"="+value)
		out, err := cmd.Output()
		assert.Equal(t, value == "", err != nil, "%v", err)
		assert.Equal(t, value != "", strings.Contains(string(out), "corp/large"))
	}
}

// mustBuild returns the program.
func mustBuild(t *testing.T) string {
	t.Helper()
	built, err := program()
	require.NoError(t, err)
	return built
}

// TestArchiveSignature: the signature, the seal and the receipts of an archive on a server are beside it, or where
// links say.
func TestArchiveSignature(t *testing.T) {
	skipShort(t)
	t.Parallel()
	p := publish(t)
	dir := t.TempDir()
	_, ops, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	_, stranger, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	name := pemKey(t, dir, "ops", ops)
	key, pub, other := name+".key", name+".pub", pemKey(t, dir, "other", stranger)+".pub"
	mustRelocate(t, "sign", p.file, "--key", key)
	mustRelocate(t, "verify", p.file, "--receipt-key", key)
	files := http.FileServer(http.Dir(p.dir))
	store := webserver.Presigned{Secret: "hush", Objects: files}
	plain, signed := httptest.NewServer(files), httptest.NewServer(store)
	defer plain.Close()
	defer signed.Close()
	link := func(ending string) string {
		return store.Presign(signed.URL+"/corp.tar"+ending, time.Now(), 600)
	}
	host := startMemory(t, nil)
	for _, args := range [][]string{
		{"verify", plain.URL + "/corp.tar", "--trust", pub},
		{"verify", link(""), "--trust", pub, "--signature", link(".seal.sigstore.json"), "--seal", link(".seal")},
		{"verify", link(""), "--trust", pub, "--signature", link(".seal.sigstore.json"), "--seal", p.file + ".seal"},
		{"--from-tar", link(""), "--to-repo", host + "/a", "--trust", pub, "--signature", link(".seal.sigstore.json"), "--seal", plain.URL + "/corp.tar.seal"},
	} {
		r := mustRelocate(t, args...)
		assert.Contains(t, r.stdout+r.stderr, "signed by ")
	}
	r := mustRelocate(t, "receipts", plain.URL+"/corp.tar", "--trust", pub)
	assert.Contains(t, r.stdout, "OK: 1 receipt of "+plain.URL+"/corp.tar")
	mustRelocate(t, "receipts", link(""), "--receipts", link(".receipts.jsonl"), "--trust", pub)

	assertFailed(t, tryRelocate(t, "verify", plain.URL+"/corp.tar", "--trust", other), statusUntrusted, "corp.tar.seal.sigstore.json")
	assertFailed(t, tryRelocate(t, "verify", link(""), "--trust", pub), statusUsage, "--trust needs --signature")
	assertFailed(t, tryRelocate(t, "verify", link(""), "--receipt-key", key), statusUsage, "--receipts")
	assertFailed(t, tryRelocate(t, "--from-tar", link(""), "--to-repo", host+"/b", "--seal", "sha256:"+strings.Repeat("0", 64)), statusMissing, "is another archive: its seal is sha256:")
	assertFailed(t, tryRelocate(t, "sign", plain.URL+"/corp.tar", "--key", key), statusUsage, "is a URL")
	require.NoError(t, os.Remove(p.file+".seal.sigstore.json"))
	assertFailed(t, tryRelocate(t, "verify", plain.URL+"/corp.tar", "--trust", pub), statusUntrusted, "is not signed")
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
	built := mustBuild(t)
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

// link is an archive behind a link that is accepted while it is the current one, and that stops being accepted
// after some bytes.
type link struct {
	files   http.Handler
	current atomic.Pointer[string] // value of the query's sig
	left    atomic.Int64           // bytes that the first link answers with
	renew   func()                 // called once they have been sent
}

func (l *link) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if l.left.Load() <= 0 && l.renew != nil {
		l.renew()
		l.renew = nil
	}
	if sig := r.URL.Query().Get("sig"); sig != *l.current.Load() || sig == "first" && l.left.Load() <= 0 {
		http.Error(w, "<Error><Code>ExpiredToken</Code><Message>"+r.URL.String()+"</Message></Error>", http.StatusForbidden)
		return
	}
	l.files.ServeHTTP(limited{w, &l.left}, r)
}

// limited counts what is answered.
type limited struct {
	http.ResponseWriter
	left *atomic.Int64
}

func (l limited) Write(p []byte) (int, error) {
	n, err := l.ResponseWriter.Write(p)
	l.left.Add(int64(-n))
	return n, err
}

// TestLinkExpires: a link that expires in the middle of an import ends it with status 4. With a new one, what was
// uploaded is not uploaded again; and with a new one in its file, the import does not end at all.
func TestLinkExpires(t *testing.T) {
	skipShort(t)
	t.Parallel()
	p := publish(t)
	first, second := "first", "second"
	start := func(t *testing.T) (l *link, address string) {
		l = &link{files: http.FileServer(http.Dir(p.dir))}
		l.current.Store(&first)
		l.left.Store(int64(len(p.bytes)) / 2)
		server := httptest.NewServer(l)
		t.Cleanup(server.Close)
		return l, server.URL + "/corp.tar"
	}
	uploaded := func(t *testing.T, report string) *copy.Result {
		var r copyReport
		text, err := os.ReadFile(report)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &r))
		return r.Result
	}
	report := filepath.Join(t.TempDir(), "report.json")
	args := func(archive, host string) []string {
		return []string{"--from-tar", archive, "--to-repo", host + "/corp/repository", "--report", report, "--concurrency", "1"}
	}
	mustRelocate(t, args(p.file, startMemory(t, nil))...)
	all := uploaded(t, report)

	t.Run("new run", func(t *testing.T) {
		l, address := start(t)
		host := startMemory(t, nil)
		r := tryRelocate(t, args(address+"?sig=first&X-Amz-Date=20261130T090000Z&X-Amz-Expires=3600", host)...)
		assertFailed(t, r, statusPermission, address, "the link may have expired", "2026-11-30 10:00:00 UTC", "ExpiredToken", "hint: make a new link")
		assert.NotContains(t, r.stderr, "sig=")
		l.current.Store(&second)
		mustRelocate(t, args(address+"?sig=second", host)...)
		again := uploaded(t, report)
		assert.Positive(t, again.BlobsPresent)
		assert.Equal(t, all.Blobs, again.Blobs+again.BlobsPresent)
	})
	t.Run("renewed file", func(t *testing.T) {
		l, address := start(t)
		file := filepath.Join(t.TempDir(), "url")
		require.NoError(t, os.WriteFile(file, []byte(address+"?sig=first\n"), 0o600))
		l.renew = func() {
			l.current.Store(&second)
			assert.NoError(t, os.WriteFile(file, []byte(address+"?sig=second\n"), 0o600))
		}
		host := startMemory(t, nil)
		mustRelocate(t, "--from-tar-url-file", file, "--to-repo", host+"/corp/repository", "--report", report, "--concurrency", "1")
		assert.Equal(t, all.Blobs, uploaded(t, report).Blobs)
		assert.Nil(t, l.renew)
		mustRelocate(t, "verify", "--repo", host+"/corp/repository", p.file, "--level", "deep")
	})
}

// TestVerifyWithURL: an import from a server says how to verify it: with the same flags for servers, but nothing secret.
func TestVerifyWithURL(t *testing.T) {
	t.Parallel()
	p := publish(t)
	server := httptest.NewTLSServer(http.FileServer(http.Dir(p.dir)))
	defer server.Close()
	dir := t.TempDir()
	ca, file, repo := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "url"), startMemory(t, nil)+"/a"
	address := server.URL + "/corp.tar?sig=secret"
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	require.NoError(t, os.WriteFile(file, []byte(address), 0o600))
	trusts := []string{"--to-repo", repo, "--src-registry-ca-cert-path", ca}
	said := mustRelocate(t, append(trusts, "--from-tar-url-file", file)...).stderr
	command := verifyWith.FindStringSubmatch(said)
	require.NotNil(t, command, said)
	mustRelocate(t, asWords(command[1])...)
	r := tryRelocate(t, append(asWords(command[1]), p.file)...)
	assertFailed(t, r, statusUsage, "got 2 arguments; one archive is that of --from-tar-url-file")

	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), mustBuild(t), args...)
		cmd.Env = append(os.Environ(), archiveVariable+"="+address)
		text, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", text)
		return string(text)
	}
	said = run(trusts...)
	command = verifyWith.FindStringSubmatch(said)
	require.NotNil(t, command, said)
	assert.Equal(t, "verify --repo "+repo+" --src-registry-ca-cert-path "+ca, command[1])
	assert.Contains(t, run(asWords(command[1])...), server.URL+"/corp.tar")
}

// TestArchiveReplaced: an archive that is replaced while it is imported, by a rename or in place, ends the import
// before a manifest is uploaded, also where size, time and ETag stay the same.
func TestArchiveReplaced(t *testing.T) {
	t.Parallel()
	p := publish(t)
	other := bytes.Clone(p.bytes)
	for i := len(other) / 3; i < len(other)-4096; i += 512 { // in every layer that comes after it
		other[i] ^= 1
	}
	for name, headers := range map[string]func(w http.ResponseWriter, changed bool){
		"other ETag": func(w http.ResponseWriter, changed bool) {
			w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprint(changed)))
		},
		"same ETag": func(w http.ResponseWriter, _ bool) { w.Header().Set("ETag", `"one"`) },
		"no ETag":   func(http.ResponseWriter, bool) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				changed, content := requests.Add(1) > 2, p.bytes
				if changed {
					content = other
				}
				headers(w, changed)
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
			}))
			defer server.Close()
			dst := startNoting(t)
			r := tryRelocate(t, "--from-tar", server.URL+"/corp.tar", "--to-repo", dst.host+"/a")
			assertFailed(t, r, statusDamage)
			for _, request := range dst.requests() {
				assert.False(t, strings.HasPrefix(request, "PUT /v2/a/manifests/"), request)
			}
		})
	}
}

// TestArchiveRedirect: a redirect to another host is refused unless it is named, and then nothing that was given for
// the first host goes along.
func TestArchiveRedirect(t *testing.T) {
	t.Parallel()
	p := publish(t)
	var seen atomic.Int32
	files := http.FileServer(http.Dir(p.dir))
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		for name := range r.Header {
			assert.Contains(t, []string{"Range", "Accept-Encoding", "User-Agent", "If-Match"}, name)
		}
		files.ServeHTTP(w, r)
	}))
	defer store.Close()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, []string{"glpat"}, r.Header["Private-Token"])
		assert.Equal(t, []string{"key"}, r.Header["X-Jfrog-Art-Api"])
		user, _, _ := r.BasicAuth()
		assert.Equal(t, "reader", user)
		http.Redirect(w, r, store.URL+r.URL.Path+"?sig=1", http.StatusFound)
	}))
	defer front.Close()
	headers := filepath.Join(t.TempDir(), "headers")
	require.NoError(t, os.WriteFile(headers, []byte("PRIVATE-TOKEN: glpat\nX-JFrog-Art-Api: key\nCookie: a=b\n"), 0o600))
	args := []string{"verify", front.URL + "/corp.tar", "--from-tar-header-file", headers, "--src-registry-username", "reader", "--src-registry-password", "word"}
	other := strings.TrimPrefix(store.URL, "http://")
	assertFailed(t, tryRelocate(t, args...), statusUsage, "redirected to "+other, "allow it with --redirect-host HOST")
	assert.Zero(t, seen.Load())
	mustRelocate(t, append(args, "--redirect-host", other)...)
	assert.NotZero(t, seen.Load())

	config := filepath.Join(filepath.Dir(headers), "crossing.yml")
	require.NoError(t, os.WriteFile(config, []byte("apiVersion: relocate/v1alpha1\nkind: Crossing\narchiveHeaderFile: headers\n"), 0o600))
	mustRelocate(t, append([]string{"verify", front.URL + "/corp.tar", "--config", config, "--redirect-host", other}, args[4:]...)...)
}
