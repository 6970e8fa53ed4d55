// Package hostileregistry is a registry for tests that misbehaves as it is told.
//
// By itself it is strict and knows what the distribution spec (1.1) asks for: ranges, uploads in one PUT
// or in chunks, whose state it tells, and manifests, whose blobs and children must be there. A [Manner]
// stands before it and does, at any request, what a case is about. Requests are noted, so that a
// test can count them and look for credentials.
package hostileregistry

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Manner answers a request, or leaves it to the registry by next. It is the n-th (from 1) with its method
// and path; uploads that end count by their digest.
type Manner func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc)

// Registry is a running registry.
type Registry struct {
	Addr string // "127.0.0.1:PORT"

	door *door // nil for one that Start started

	mu       sync.Mutex
	behind   http.HandlerFunc // what answers when no manner does: this registry, or the one that it stands before
	manner   Manner
	count    map[string]int
	requests []*http.Request
	blobs    map[string][]byte   // by repository@digest
	files    map[string]manifest // by repository@digest and repository:tag
	uploads  map[string][]byte   // by path
	begun    int
}

type manifest struct {
	mediaType string
	raw       []byte
}

// Start runs a registry over plain HTTP until the test ends. It is well behaved until Behave is called.
func Start(t testing.TB) *Registry {
	r := newRegistry()
	server := httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	r.Addr = server.Listener.Addr().String()
	return r
}

func newRegistry() *Registry {
	r := &Registry{blobs: map[string][]byte{}, files: map[string]manifest{}, uploads: map[string][]byte{}}
	r.behind = r.behave
	return r
}

// Behave lets the registry begin to behave like that (nil: well), and forgets the requests so far.
func (r *Registry) Behave(m Manner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manner, r.count, r.requests = m, map[string]int{}, nil
}

// Requests returns the requests, each as "METHOD /path?query".
func (r *Registry) Requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, req := range r.requests {
		list = append(list, req.Method+" "+req.URL.RequestURI())
	}
	return list
}

// Header returns the values that the requests have in a header.
func (r *Registry) Header(key string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, req := range r.requests {
		list = append(list, req.Header.Values(key)...)
	}
	return list
}

// HasBlob reports whether a repository holds a blob.
func (r *Registry) HasBlob(repo, digest string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.blobs[repo+"@"+digest]
	return ok
}

// Forget lets the registry lose a blob.
func (r *Registry) Forget(repo, digest string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.blobs, repo+"@"+digest)
}

// ForgetUploads lets the registry lose the uploads that were begun, as one that keeps them in memory does when it
// restarts.
func (r *Registry) ForgetUploads() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.uploads)
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	key := req.Method + " " + req.URL.Path
	if digest := req.URL.Query().Get("digest"); digest != "" {
		key = req.Method + " " + digest
	}
	r.mu.Lock()
	note := *req // as it came: a manner may change it
	r.requests = append(r.requests, &note)
	manner, behind, n := r.manner, r.behind, 0
	if manner != nil {
		r.count[key]++
		n = r.count[key]
	}
	r.mu.Unlock()
	if manner != nil {
		manner(w, req, n, behind)
		return
	}
	behind(w, req)
}

var paths = regexp.MustCompile(`^/v2/(.+)/(blobs/uploads|blobs|manifests|tags)/(.*)$`)

func (r *Registry) behave(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == "/v2/" {
		return
	}
	m := paths.FindStringSubmatch(req.URL.Path)
	if m == nil {
		Fail(w, http.StatusNotFound, "UNSUPPORTED", "no such path")
		return
	}
	repo, id := m[1], m[3]
	switch m[2] {
	case "blobs":
		r.blob(w, req, repo, id)
	case "manifests":
		r.manifest(w, req, repo, id)
	case "tags":
		r.tags(w, repo)
	default:
		r.upload(w, req, repo)
	}
}

// Fail answers with an error in the form of the distribution spec.
func Fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

func (r *Registry) blob(w http.ResponseWriter, req *http.Request, repo, digest string) {
	r.mu.Lock()
	b, ok := r.blobs[repo+"@"+digest]
	r.mu.Unlock()
	if !ok {
		Fail(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", digest)
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(b))
}

func (r *Registry) manifest(w http.ResponseWriter, req *http.Request, repo, id string) {
	sep := ":"
	if strings.HasPrefix(id, "sha256:") {
		sep = "@"
	}
	if req.Method == http.MethodPut {
		r.putManifest(w, req, repo, sep+id)
		return
	}
	r.mu.Lock()
	m, ok := r.files[repo+sep+id]
	r.mu.Unlock()
	if !ok {
		Fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	w.Header().Set("Content-Type", m.mediaType)
	w.Header().Set("Docker-Content-Digest", digestOf(m.raw))
	w.Header().Set("Content-Length", strconv.Itoa(len(m.raw)))
	_, _ = w.Write(m.raw)
}

// tags lists the tags of a repository, on one page.
func (r *Registry) tags(w http.ResponseWriter, repo string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	tags := []string{}
	for name := range r.files {
		if tag, ok := strings.CutPrefix(name, repo+":"); ok {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	_ = json.NewEncoder(w).Encode(map[string]any{"name": repo, "tags": tags})
}

func (r *Registry) putManifest(w http.ResponseWriter, req *http.Request, repo, id string) {
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return // the client left
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	digest := digestOf(raw)
	if id[0] == '@' && id[1:] != digest {
		Fail(w, http.StatusBadRequest, "DIGEST_INVALID", "provided digest did not match uploaded content")
		return
	}
	var missing []string
	for _, d := range named(raw) {
		_, isBlob := r.blobs[repo+"@"+d]
		_, isManifest := r.files[repo+"@"+d]
		if !isBlob && !isManifest {
			missing = append(missing, fmt.Sprintf(`{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry","detail":{"Digest":%q}}`, d))
		}
	}
	if len(missing) > 0 {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"errors":[%s]}`, strings.Join(missing, ","))
		return
	}
	m := manifest{req.Header.Get("Content-Type"), raw}
	r.files[repo+"@"+digest], r.files[repo+id] = m, m
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

// named returns the digests that a manifest names.
func named(raw []byte) []string {
	type descriptor struct {
		Digest string
		URLs   []string
	}
	var doc struct {
		Config            descriptor
		Layers, Manifests []descriptor
	}
	if json.Unmarshal(raw, &doc) != nil {
		return nil
	}
	var list []string
	for _, d := range slices.Concat([]descriptor{doc.Config}, doc.Layers, doc.Manifests) {
		if d.Digest != "" && len(d.URLs) == 0 {
			list = append(list, d.Digest)
		}
	}
	return list
}

func (r *Registry) upload(w http.ResponseWriter, req *http.Request, repo string) {
	if req.Method == http.MethodPost {
		r.mu.Lock()
		r.begun++
		at := fmt.Sprintf("/v2/%s/blobs/uploads/%d", repo, r.begun)
		r.uploads[at] = nil
		r.mu.Unlock()
		w.Header().Set("Location", at+"?_state=s")
		w.WriteHeader(http.StatusAccepted)
		return
	}
	at := req.URL.Path
	r.mu.Lock()
	have, ok := r.uploads[at]
	r.mu.Unlock()
	if !ok {
		Fail(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
		return
	}
	w.Header().Set("Location", at+"?_state=s")
	from, _, ranged := strings.Cut(req.Header.Get("Content-Range"), "-")
	if ranged && from != strconv.Itoa(len(have)) {
		w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, len(have)-1)))
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	have = append(have, body...)
	r.uploads[at] = have
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, len(have)-1)))
	switch {
	case err != nil: // the client left; what came is kept
	case req.Method == http.MethodGet:
		w.WriteHeader(http.StatusNoContent)
	case req.Method == http.MethodPatch:
		w.WriteHeader(http.StatusAccepted)
	case digestOf(have) != req.URL.Query().Get("digest"):
		Fail(w, http.StatusBadRequest, "DIGEST_INVALID", "provided digest did not match uploaded content")
	default:
		delete(r.uploads, at)
		r.blobs[repo+"@"+digestOf(have)] = have
		w.Header().Set("Docker-Content-Digest", digestOf(have))
		w.WriteHeader(http.StatusCreated)
	}
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
