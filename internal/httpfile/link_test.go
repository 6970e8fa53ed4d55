package httpfile_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"relocate/internal/httpfile"
	"relocate/registry"
)

// TestExpired: a link that is refused after it was accepted is said to have expired. A new one in the file is taken,
// by all that read at the same time, and what broke off goes on.
func TestExpired(t *testing.T) {
	t.Parallel()
	file := content(3 << 20)
	var valid atomic.Value
	valid.Store("secret1")
	status := atomic.Int32{}
	status.Store(403)
	s := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("X-Amz-Signature") != valid.Load() {
			lie(headers("Content-Type", "application/xml"), int(status.Load()), "<Error><Code>AccessDenied</Code><Message>Request has expired.</Message></Error>")(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(file))
	})
	link := s.URL + "/a.tar?X-Amz-Date=20201130T090000Z&X-Amz-Expires=3600&X-Amz-Signature="
	f, err := open(t, link+"secret1", quick())
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "url")
	require.NoError(t, os.WriteFile(path, []byte(link+"secret1\n"), 0o600))
	renewable, err := httpfile.Open(t.Context(), httpfile.Source{File: path}, quick())
	require.NoError(t, err)
	defer renewable.Close()

	valid.Store("secret2")
	for _, code := range []int{401, 403, 410} {
		status.Store(int32(code))
		for _, file := range []*httpfile.File{f, renewable} {
			_, err = file.ReadAt(make([]byte, 1), 2<<20)
			require.ErrorIs(t, err, httpfile.ErrExpired)
			assert.ErrorContains(t, err, fmt.Sprintf("/a.tar: %d %s AccessDenied; the link may have expired: it was valid until 2020-11-30 10:00:00 UTC", code, http.StatusText(code)))
			assert.NotContains(t, err.Error(), "secret")
		}
	}
	assert.Zero(t, renewable.Counts().Renewed)
	require.NoError(t, os.WriteFile(path, []byte(link+"secret2\n"), 0o600))
	s.asked()
	var g errgroup.Group
	for i := range 16 {
		g.Go(func() error {
			p := make([]byte, 1000)
			_, err := renewable.ReadAt(p, 2<<20)
			assert.Equal(t, file[2<<20:][:1000], p, i)
			return err
		})
	}
	require.NoError(t, g.Wait())
	assert.Positive(t, renewable.Counts().Renewed)
	assert.LessOrEqual(t, len(s.asked()), 32)

	other := strings.Replace(link, "127.0.0.1", "localhost", 1)
	valid.Store("secret3")
	require.NoError(t, os.WriteFile(path, []byte(other+"secret3\n"), 0o600))
	_, err = renewable.ReadAt(make([]byte, 1), 2<<20)
	require.ErrorIs(t, err, httpfile.ErrExpired, "a link to another host, which would get the headers")
}

// TestNeverAccepted: a link that was never accepted is not said to have expired, unless it says itself when it did.
func TestNeverAccepted(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, lie(nil, 403, ""))
	_, err := open(t, s.URL+"/a.tar?sig=secret", quick())
	require.ErrorIs(t, err, fs.ErrPermission)
	require.NotErrorIs(t, err, httpfile.ErrExpired)
	_, err = open(t, s.URL+"/a.tar?sig=secret&se=9999-01-01T00:00:00Z", quick())
	require.NotErrorIs(t, err, httpfile.ErrExpired)
	_, err = open(t, s.URL+"/a.tar?sig=secret&se=2020-01-01T00:00:00Z", quick())
	require.ErrorIs(t, err, httpfile.ErrExpired)

	s = serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "bytes=0-1048575" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(make([]byte, 2<<20)))
	})
	f, err := open(t, s.URL+"/a.tar?md5=secret", quick())
	require.NoError(t, err)
	require.ErrorIs(t, f.Unchanged(), httpfile.ErrExpired)
	assert.Regexp(t, `403 Forbidden; the link may have expired: it was last accepted at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$`, f.Unchanged().Error())
}

// TestRedirect: another host is asked only where that is allowed, and gets nothing that was given for the first.
func TestRedirect(t *testing.T) {
	t.Parallel()
	file := content(2 << 20)
	var mu sync.Mutex
	var there []http.Header
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		there = append(there, r.Header.Clone())
		mu.Unlock()
		w.Header().Set("ETag", `"store"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
	}))
	defer store.Close()
	s := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"first"`)
		if r.Header.Get("If-Match") != "" {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		if r.URL.Path == "/a.tar" {
			http.Redirect(w, r, "/moved.tar", http.StatusMovedPermanently)
			return
		}
		http.Redirect(w, r, store.URL+"/stored?X-Amz-Signature=secret", http.StatusFound)
	})
	opt := quick()
	opt.Username, opt.Password = "user", "secret"
	opt.Header = headers("Private-Token", "secret", "X-Jfrog-Art-Api", "secret", "Cookie", "secret")
	_, err := open(t, s.URL+"/a.tar?key=secret", opt)
	require.ErrorIs(t, err, registry.ErrRedirected)
	assert.NotContains(t, err.Error(), "secret")
	assert.Empty(t, there)

	opt.RedirectHosts = []string{strings.TrimPrefix(store.URL, "http://")}
	f, err := open(t, s.URL+"/a.tar?key=secret", opt)
	require.NoError(t, err)
	p := make([]byte, 10)
	_, err = f.ReadAt(p, 1<<20)
	require.NoError(t, err)
	assert.Equal(t, file[1<<20:][:10], p)
	for _, h := range there {
		h.Del("Connection")
		h.Del("User-Agent")
	}
	assert.Equal(t, []http.Header{
		headers("Range", "bytes=0-1048575", "Accept-Encoding", "identity"),
		headers("Range", "bytes=1048576-1048585", "Accept-Encoding", "identity", "If-Match", `"store"`),
	}, there)
	for _, r := range s.requests {
		user, password, _ := r.BasicAuth()
		assert.Equal(t, []string{"user", "secret", "secret", "secret"}, []string{user, password, r.Header.Get("Private-Token"), r.Header.Get("Cookie")}, r.URL.Path)
		assert.Empty(t, r.Header.Get("Referer"))
	}
}

// TestLogin: by a user name, in the options or in the URL, by a token, or by a header, which counts first.
func TestLogin(t *testing.T) {
	t.Parallel()
	s := serve(t, content(10), nil)
	withUser := strings.Replace(s.URL, "http://", "http://a:b@", 1)
	for _, c := range []struct {
		url  string
		opt  registry.Options
		head http.Header
		want string
	}{
		{s.URL, registry.Options{}, nil, ""},
		{withUser, registry.Options{}, nil, "Basic YTpi"},
		{withUser, registry.Options{Username: "c", Password: "d"}, nil, "Basic Yzpk"},
		{s.URL, registry.Options{Token: "t"}, nil, "Bearer t"},
		{s.URL, registry.Options{Token: "t"}, headers("Authorization", "other"), "other"},
	} {
		_, err := open(t, c.url, httpfile.Options{Options: c.opt, Header: c.head})
		require.NoError(t, err)
		assert.Equal(t, c.want, s.requests[len(s.requests)-1].Header.Get("Authorization"))
	}
}

// TestURL: what cannot be read is said without the URL.
func TestURL(t *testing.T) {
	t.Parallel()
	for url, says := range map[string]string{
		"https://secret:x:y/":        "is not a URL that can be read",
		"https:///secret":            "is not a URL that can be read",
		"s3://bucket/secret":         "it must begin with https://",
		"https://a/a.tar?\x00secret": "is not a URL that can be read",
		"https://a/b?X-Amz-SignedHeaders=host%3Brange&s=secret": "https://a/b is signed for one range only; sign it without the header Range",
	} {
		_, err := open(t, url, quick())
		require.ErrorIs(t, err, httpfile.ErrURL, url)
		assert.ErrorContains(t, err, says)
		assert.NotContains(t, err.Error(), "secret")
	}
	_, err := open(t, "http://registry.example/a.tar?key=secret", quick())
	require.ErrorIs(t, err, registry.ErrPlainHTTP)
	assert.NotContains(t, err.Error(), "secret")
	_, err = httpfile.Open(t.Context(), httpfile.Source{File: filepath.Join(t.TempDir(), "none")}, quick())
	require.ErrorIs(t, err, fs.ErrNotExist)
	long := filepath.Join(t.TempDir(), "long")
	require.NoError(t, os.WriteFile(long, []byte("https://a/"+strings.Repeat("x", httpfile.MaxURL)), 0o600))
	_, err = httpfile.Open(t.Context(), httpfile.Source{File: long}, quick())
	require.ErrorIs(t, err, httpfile.ErrURL)
	assert.ErrorContains(t, err, "it has more than 65536 bytes")
}
