package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tokens is a registry that requires bearer tokens, and issues them below /token. Each is good for
// uses requests, and for the actions that were requested.
type tokens struct {
	*server
	uses   int
	silent bool // a refusal names no scope

	mu     sync.Mutex
	scopes []string
	left   map[string]int
}

func wantsTokens(t *testing.T, uses int, h handler) *tokens {
	tk := &tokens{uses: uses, left: map[string]int{}}
	tk.server = newServer(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if r.URL.Path == "/token" {
			tk.give(w, r)
			return
		}
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		tk.mu.Lock()
		tk.left[token]--
		good := tk.left[token] >= 0
		tk.mu.Unlock()
		if !good {
			challenge := fmt.Sprintf(`Bearer realm="http://%s/token",service="s"`, r.Host)
			if !tk.silent {
				challenge += `,scope="repository:repo:pull"`
			}
			w.Header().Set("WWW-Authenticate", challenge)
			w.WriteHeader(401)
			return
		}
		h(w, r, n)
	})
	tk.Start()
	tk.host = tk.Listener.Addr().String()
	return tk
}

func (tk *tokens) give(w http.ResponseWriter, r *http.Request) {
	tk.mu.Lock()
	defer tk.mu.Unlock()
	scope := strings.Join(r.URL.Query()["scope"], " ")
	tk.scopes = append(tk.scopes, r.Header.Get("Authorization")+" "+scope)
	token := fmt.Sprint("token-", len(tk.scopes))
	if scope != "" {
		tk.left[token] = tk.uses
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"access_token": token})
}

func TestToken(t *testing.T) {
	home(t)
	s := wantsTokens(t, 2, func(w http.ResponseWriter, _ *http.Request, _ int) { writeManifest(w) })
	c, waited := client(t, Options{Username: "u", Password: "p", Named: []string{s.host}})
	require.NoError(t, read(t, c, s.server))
	_, _, err := c.Writer(s.repo(t)).Manifest(t.Context(), s.repo(t).Tag("a"))
	require.NoError(t, err)
	assert.Equal(t, []string{basic("u", "p") + " repository:repo:pull", basic("u", "p") + " repository:repo:push,pull"}, s.scopes)
	for range 4 {
		require.NoError(t, read(t, c, s.server))
	}
	assert.Len(t, s.scopes, 4, "two new tokens, after two uses each")
	assert.Empty(t, waited.all())
}

// A registry whose refusal names no scope issues a token without permissions.
func TestExpiredTokenWithoutScope(t *testing.T) {
	home(t)
	var bodies [][]byte
	s := wantsTokens(t, 2, func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.Method == http.MethodPut {
			b, _ := io.ReadAll(r.Body)
			bodies = append(bodies, b)
			created(w, r)
			return
		}
		writeManifest(w)
	})
	s.silent = true
	c, waited := client(t, Options{Username: "u", Password: "p", Named: []string{s.host}})
	for range 5 {
		require.NoError(t, read(t, c, s.server))
	}
	const pull, push = "repository:repo:pull", "repository:repo:push,pull"
	login := basic("u", "p") + " "
	assert.Equal(t, []string{login + pull, login + pull, login + pull}, s.scopes)
	for range 3 {
		require.NoError(t, c.Writer(s.repo(t)).PutManifest(t.Context(), manifestDesc, manifestRaw, "a"))
	}
	assert.Equal(t, [][]byte{manifestRaw, manifestRaw, manifestRaw}, bodies)
	assert.Equal(t, []string{login + push, login + push, login + push}, s.scopes[3:], "each manifest is asked for once")
	assert.Empty(t, waited.all())

	s.uses = 0 // from now on no token is good: one more login tells
	before := len(s.scopes)
	for range 3 {
		err := read(t, c, s.server)
		for err == nil { // what was left of the last token
			err = read(t, c, s.server)
		}
		assert.ErrorIs(t, err, fs.ErrPermission)
	}
	assert.Equal(t, []string{login + pull, login}, s.scopes[before:], "one more token, one without a scope to see whether the login is right, then none")
}

// Of 40 requests, 30 are accepted with the first token, and the others with the second.
func TestExpiredTokenConcurrently(t *testing.T) {
	home(t)
	s := wantsTokens(t, 30, func(w http.ResponseWriter, _ *http.Request, _ int) { writeManifest(w) })
	s.silent = true
	c, _ := client(t, Options{})
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			for range 5 {
				assert.NoError(t, read(t, c, s.server))
			}
		})
	}
	g.Wait()
	logins := 0
	for _, scope := range s.scopes {
		logins += strings.Count(scope, "repository:repo:pull")
	}
	assert.Equal(t, 2, logins)
}

// TestAnswerWithoutToken: the answer of a token server is not in the error, since it may be secret.
func TestAnswerWithoutToken(t *testing.T) {
	home(t)
	for _, answer := range []string{`{"refresh_token":"s3cret"}`, `{"token":["s3cret"]}`, `s3cret`, strings.Repeat("s3cret", 1<<20)} {
		good := false
		s := newServer(t, func(w http.ResponseWriter, r *http.Request, n int) {
			switch {
			case r.URL.Path != "/token" && r.Header.Get("Authorization") == "Bearer first" && good:
				good = false
				writeManifest(w)
			case r.URL.Path != "/token":
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token"`, r.Host))
				w.WriteHeader(401)
			case good:
				_, _ = io.WriteString(w, `{"token":"first"}`)
			default:
				_, _ = io.WriteString(w, answer)
			}
		})
		s.Start()
		s.host = s.Listener.Addr().String()
		c, waited := client(t, Options{Username: "u", Password: "p", Named: []string{s.host}})
		err := read(t, c, s)
		assert.EqualError(t, err, "log in to "+s.host+": the token server's answer has no token")

		good = true
		c, _ = client(t, Options{Username: "u", Password: "p", Named: []string{s.host}})
		require.NoError(t, read(t, c, s))
		err = read(t, c, s)
		assert.EqualError(t, err, "GET http://"+s.host+"/v2/repo/manifests/a: the token server's answer has no token")
		err = c.Writer(s.repo(t)).PutBlob(t.Context(), blobDesc, bytesOf(blobRaw))
		assert.EqualError(t, err, "log in to "+s.host+": the token server's answer has no token")
		assert.Empty(t, waited.all())
	}
}

// The error says what is wrong with the challenge.
func TestRefusedRealm(t *testing.T) {
	home(t)
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://10.0.0.1/token"`)
		w.WriteHeader(401)
	})
	s.Start()
	s.host = s.Listener.Addr().String()
	c, _ := client(t, Options{})
	assert.ErrorContains(t, read(t, c, s), "10.0.0.1")
}

func TestRegistryToken(t *testing.T) {
	home(t)
	s := wantsTokens(t, 0, func(w http.ResponseWriter, _ *http.Request, _ int) { writeManifest(w) })
	s.left["mine"] = 5
	other := wantsTokens(t, 0, nil)
	c, _ := client(t, Options{Token: "mine", Named: []string{s.host}})
	require.NoError(t, read(t, c, s.server))
	assert.Empty(t, s.scopes, "no token was asked for")
	assert.ErrorIs(t, read(t, c, other.server), fs.ErrPermission)
	assert.NotContains(t, other.headers("Authorization"), "Bearer mine")
}

func TestRefusedLogin(t *testing.T) {
	home(t)
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token?secret=s3cret"`, r.Host))
		w.WriteHeader(401)
	})
	s.Start()
	s.host = s.Listener.Addr().String()
	c, _ := client(t, Options{Username: "u", Password: "pa55", Named: []string{s.host}})
	err := read(t, c, s)
	assert.ErrorIs(t, err, fs.ErrPermission)
	assert.ErrorContains(t, err, s.host+" refused this login: GET http://"+s.host+"/token: 401 Unauthorized")
	assert.NotContains(t, err.Error(), "s3cret")
	assert.NotContains(t, err.Error(), "pa55")
}

// A PUT whose token was refused, after some of its body was read, is sent again with all of it.
func TestPutIsSentAgainWithNewToken(t *testing.T) {
	home(t)
	var got []byte
	s := wantsTokens(t, 1, func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.Method == http.MethodPost {
			w.Header().Set("Location", r.URL.Path+"1?a=b")
			w.WriteHeader(202)
			return
		}
		if r.Method == http.MethodHead {
			writeManifest(w)
			return
		}
		got, _ = io.ReadAll(r.Body)
		created(w, r)
	})
	c, _ := client(t, Options{})
	var open, opened int
	err := c.Writer(s.repo(t)).PutBlob(t.Context(), blobDesc, func(ctx context.Context) (io.ReadCloser, error) {
		assert.Zero(t, open, "one body at a time")
		open++
		opened++
		r, err := bytesOf(blobRaw)(ctx)
		return closer{r, func() { open-- }}, err
	})
	require.NoError(t, err)
	assert.Zero(t, open)
	assert.Equal(t, 2, opened)
	assert.Equal(t, blobRaw, got)
	require.NoError(t, c.Writer(s.repo(t)).PutManifest(t.Context(), manifestDesc, manifestRaw, "a"))
	assert.Equal(t, manifestRaw, got)
}

type closer struct {
	io.ReadCloser
	closed func()
}

func (c closer) Close() error {
	c.closed()
	return c.ReadCloser.Close()
}
