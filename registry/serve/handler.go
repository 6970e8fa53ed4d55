package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/oci"
)

// Options are callbacks of a Handler. The zero value works.
type Options struct {
	// Health returns an error if not all content can be served; /healthz answers with it. Nil means
	// always healthy.
	Health func() error

	// Fault is called with errors of the server: damaged content, or a Store that fails. request is
	// the client's address and request, in printable text. It may be called concurrently. Nil
	// ignores them.
	Fault func(request string, err error)
}

// Handler returns the API over the store, at /v2/, and /healthz.
func Handler(store Store, opt Options) http.Handler {
	if opt.Health == nil {
		opt.Health = func() error { return nil }
	}
	if opt.Fault == nil {
		opt.Fault = func(string, error) {}
	}
	return &handler{store: store, opt: opt, heavy: make(chan struct{}, maxHeavy)}
}

type handler struct {
	store Store
	opt   Options
	heavy chan struct{} // one entry for each list of referrers that is being made
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.Header().Set("X-Content-Type-Options", "nosniff") // content is foreign: a browser must not show it as a page
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "this registry is read-only")
		return
	}
	if err := h.route(w, r); err != nil {
		h.refuse(w, r, err)
	}
}

// route answers a reading request, or returns an error before anything was sent.
func (h *handler) route(w http.ResponseWriter, r *http.Request) error {
	path := r.URL.Path
	switch {
	case strings.Contains(strings.ToLower(r.URL.EscapedPath()), "%2f"):
		return refusal{http.StatusNotFound, "NAME_INVALID", "a slash must not be escaped"}
	case path == "/healthz":
		return h.health(w, r)
	case path == "/v2" || path == "/v2/":
		write(w, r, "application/json", []byte("{}"))
		return nil
	case path == "/v2/_catalog":
		return h.catalog(w, r)
	}
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return refusal{http.StatusNotFound, "UNSUPPORTED", "path not found; the API is at /v2/"}
	}
	if repo, ok := strings.CutSuffix(rest, "/tags/list"); ok {
		return named(repo, func() error { return h.tags(w, r, repo) })
	}
	rest, last := cutLast(rest)
	repo, kind := cutLast(rest)
	switch kind {
	case "manifests":
		return named(repo, func() error { return h.manifest(w, r, repo, last) })
	case "blobs":
		return named(repo, func() error { return h.blob(w, r, repo, last) })
	case "referrers":
		return named(repo, func() error { return h.referrers(w, r, repo, last) })
	}
	return refusal{http.StatusNotFound, "UNSUPPORTED", "path not found"}
}

// cutLast splits a path at its last slash.
func cutLast(path string) (before, last string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// maxName is the longest path of a repository.
const maxName = 255

// named answers if repo is a valid path of a repository.
func named(repo string, answer func() error) error {
	if len(repo) > maxName || !oci.IsPath(repo) {
		return refusal{http.StatusBadRequest, "NAME_INVALID", "not a repository: write lower-case names between single slashes"}
	}
	return answer()
}

var (
	sha256Format = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	digestFormat = regexp.MustCompile(`^[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$`) // OCI image-spec 1.1, descriptor.md
	knownFormats = map[string]*regexp.Regexp{"sha256": sha256Format, "sha512": regexp.MustCompile(`^sha512:[0-9a-f]{128}$`)}
)

// digestOf reads a digest in a path. A valid one of another algorithm than sha256 is
// fs.ErrNotExist.
func digestOf(s string) (v1.Hash, error) {
	algorithm, hex, _ := strings.Cut(s, ":")
	if format := knownFormats[algorithm]; !digestFormat.MatchString(s) || (format != nil && !format.MatchString(s)) {
		return v1.Hash{}, refusal{http.StatusBadRequest, "DIGEST_INVALID", "not a digest"}
	}
	if algorithm != "sha256" {
		return v1.Hash{}, fs.ErrNotExist
	}
	return v1.Hash{Algorithm: algorithm, Hex: hex}, nil
}

func (h *handler) health(w http.ResponseWriter, r *http.Request) error {
	if err := h.opt.Health(); err != nil {
		return err
	}
	write(w, r, "text/plain; charset=utf-8", []byte("ok\n"))
	return nil
}

// refusal is an error that the client gets.
type refusal struct {
	status        int
	code, message string // distribution-spec 1.1, error codes
}

func (e refusal) Error() string { return e.message }

// AmbiguousError says that a tag points to different manifests at several registries with the same
// path.
type AmbiguousError struct {
	Tag   string
	Hosts []string // sorted
}

func (e AmbiguousError) Error() string {
	return fmt.Sprintf("the tag %s points to different manifests at %s: pull by digest, or name the registry with ?ns=, as containerd does for a mirror", e.Tag, strings.Join(e.Hosts, " and "))
}

// namespace returns the registry that a client of a mirror wants (ns, of containerd), in the
// spelling of package name.
func namespace(r *http.Request) string {
	registry, err := name.NewRegistry(r.URL.Query().Get("ns"))
	if err != nil || r.URL.Query().Get("ns") == "" {
		return ""
	}
	return registry.RegistryStr()
}

// unknown turns fs.ErrNotExist into a refusal with a code for the kind of content.
func unknown(err error, code, message string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return refusal{http.StatusNotFound, code, message}
	}
	return err
}

// refuse answers with an error. Errors of the server go to Fault; the client does not see their
// text.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var is refusal
	var ambiguous AmbiguousError
	switch {
	case errors.As(err, &is):
	case errors.As(err, &ambiguous):
		is = refusal{http.StatusNotFound, "MANIFEST_UNKNOWN", ambiguous.Error()}
	default:
		is = refusal{http.StatusServiceUnavailable, "UNAVAILABLE", "the content cannot be read, or is damaged; see the server's log"}
		if r.Context().Err() == nil {
			h.fault(r, err)
		}
	}
	fail(w, is.status, is.code, is.message)
}

func (h *handler) fault(r *http.Request, err error) {
	h.opt.Fault(r.RemoteAddr+" "+quote(r.Method+" "+r.URL.EscapedPath()), err)
}

// fail answers with one OCI error (distribution-spec 1.1, error codes).
func fail(w http.ResponseWriter, status int, code, message string) {
	type one struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, _ := json.Marshal(map[string][]one{"errors": {{code, message}}}) // strings always marshal
	for _, key := range []string{"Docker-Content-Digest", "Etag", "Accept-Ranges", "Link", "Oci-Filters-Applied"} {
		w.Header().Del(key)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have closed the connection
}

// write answers with a small body.
func write(w http.ResponseWriter, r *http.Request, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = pacing(w).Write(body) // the client may have closed the connection
	}
}

// maxHeavy is how many lists of referrers are made at once. heavyWait is how long a request waits
// for that.
const (
	maxHeavy  = 4
	heavyWait = 10 * time.Second
)

// turn waits until a list of referrers may be made. done admits the next one.
func (h *handler) turn(ctx context.Context) (done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, heavyWait)
	defer cancel()
	select {
	case h.heavy <- struct{}{}:
		return func() { <-h.heavy }, nil
	case <-ctx.Done():
		return nil, refusal{http.StatusTooManyRequests, "TOOMANYREQUESTS", "too many requests for referrers; try again"}
	}
}
