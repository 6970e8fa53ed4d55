package registry

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// harbor is a registry that treats tokens as Harbor 2.15 does.
type harbor struct {
	*server
	read, write map[string]bool // repositories that u may read and push to
	noDelete    bool
}

func startHarbor(t *testing.T) *harbor {
	h := &harbor{read: map[string]bool{}, write: map[string]bool{}}
	h.server = start(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.URL.Path == "/service/token" {
			h.token(w, r)
			return
		}
		given, isToken := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !isToken {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/service/token",service="harbor-registry"`, r.Host))
			w.WriteHeader(401)
			return
		}
		if h.refuses(r, given) {
			w.Header().Set("WWW-Authenticate", `Basic realm="harbor"`)
			refuseWith(w, 401, "UNAUTHORIZED")
			return
		}
		if r.URL.Query().Get("mount") != "" {
			created(w, r)
			return
		}
		store(w, r)
	})
	return h
}

// token grants what is requested, as far as it is allowed; for a wrong password, a token without
// permissions.
func (h *harbor) token(w http.ResponseWriter, r *http.Request) {
	isRight := r.Header.Get("Authorization") == basic("u", "p")
	scopes := r.URL.Query()["scope"]
	if len(scopes) == 0 && !isRight {
		w.WriteHeader(401)
		return
	}
	var access []string
	for _, right := range rights(strings.Join(scopes, " ")) {
		repo, action, _ := strings.Cut(strings.TrimPrefix(right, "repository:"), ":")
		if isRight && (action == "pull" && h.read[repo] || action == "push" && h.write[repo]) {
			access = append(access, repo+":"+action)
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"token": strings.Join(access, " ") + " ", "expires_in": 1800})
}

func (h *harbor) refuses(r *http.Request, token string) bool {
	action := "push"
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		action = "pull"
	}
	has := func(repo, action string) bool { return slices.Contains(strings.Fields(token), repo+":"+action) }
	from := r.URL.Query().Get("from")
	return !has("repo", action) || from != "" && !has(from, "pull") || h.noDelete && r.Method == http.MethodDelete
}

// TestMountBetweenProjects: a mount has a token for both repositories.
func TestMountBetweenProjects(t *testing.T) {
	home(t)
	h := startHarbor(t)
	h.read["repo"], h.write["repo"], h.read["other/source"] = true, true, true
	c, _ := client(t, Options{Username: "u", Password: "p", Named: []string{h.host}})
	repo := c.Writer(h.repo(t))
	for range 16 {
		mounted, err := repo.Mount(t.Context(), blobDesc, parseRepo(t, h.host+"/other/source"))
		require.NoError(t, err)
		require.True(t, mounted)
	}
	tokens := slices.DeleteFunc(h.log(), func(line string) bool { return !strings.HasPrefix(line, "GET /service/token") })
	assert.Len(t, tokens, 2, "one for the repository, one for both")
}

// TestProbesAskOnce: a refused probe is not repeated with another token, and an upload that cannot
// be cancelled is used.
func TestProbesAskOnce(t *testing.T) {
	home(t)
	h := startHarbor(t)
	h.read["repo"], h.write["repo"], h.noDelete = true, true, true
	c, _ := client(t, Options{Username: "u", Password: "p", Named: []string{h.host}})
	repo := c.Writer(h.repo(t)).Checked(nil)
	_, err := repo.HasBlob(t.Context(), blobDesc) // so that the token is known to be good
	require.NoError(t, err)
	_, err = repo.Mount(t.Context(), blobDesc, parseRepo(t, h.host+"/closed/source"))
	require.ErrorIs(t, err, fs.ErrPermission)
	require.NoError(t, repo.PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)))

	count := map[string]int{}
	for _, line := range h.log() {
		method, path, _ := strings.Cut(line, " ")
		path, _, _ = strings.Cut(path, "?")
		count[method+" "+path]++
	}
	assert.Equal(t, map[string]int{
		"GET /service/token": 2, "HEAD /blobs/" + blobDesc.Digest.String(): 1,
		"POST /blobs/uploads/": 2, "DELETE /blobs/uploads/1": 1, "PUT /blobs/uploads/1": 1, // the preflight's upload and the mount
		"GET /referrers/" + absent.String(): 1, "DELETE /manifests/" + absent.String(): 1,
	}, count)
}

// TestDeclinedMountIsUsed: the blob is uploaded with the upload that a declined mount begins.
func TestDeclinedMountIsUsed(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) { store(w, r) })
	c, _ := client(t, Options{Anonymous: true})
	repo := c.Writer(s.repo(t))
	mounted, err := repo.Mount(t.Context(), blobDesc, parseRepo(t, s.host+"/other"))
	require.NoError(t, err)
	require.False(t, mounted)
	require.NoError(t, repo.PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)))
	require.NoError(t, repo.PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)))
	var methods []string
	for _, line := range s.log() {
		methods = append(methods, strings.Fields(line)[0])
	}
	assert.Equal(t, []string{"POST", "PUT", "POST", "PUT"}, methods)
}
