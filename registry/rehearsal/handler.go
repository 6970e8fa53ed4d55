package rehearsal

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/digest"
	"relocate/oci"
)

// refusal is an error that the client gets (distribution-spec 1.1, error codes).
type refusal struct {
	status        int
	code, message string
	missing       []v1.Hash // with MANIFEST_BLOB_UNKNOWN
}

func (e *refusal) Error() string { return e.message }

func refuse(status int, code, message string) error {
	return &refusal{status: status, code: code, message: message}
}

// ServeHTTP implements http.Handler.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	answer := r.route(req)
	if answer == nil {
		r.read.ServeHTTP(w, req)
		return
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	err := answer(w, req)
	var is *refusal
	switch {
	case err == nil:
		return
	case !errors.As(err, &is): // an error of reading the request's body
		is = &refusal{http.StatusBadRequest, "BLOB_UPLOAD_INVALID", err.Error(), nil}
	}
	if len(is.missing) > 0 {
		r.mu.Lock()
		r.refused++
		r.mu.Unlock()
	}
	is.write(w)
}

func (e *refusal) write(w http.ResponseWriter) {
	type one struct {
		Code    string   `json:"code"`
		Message string   `json:"message"`
		Detail  *v1.Hash `json:"detail,omitempty"`
	}
	list := []one{}
	for _, d := range e.missing {
		list = append(list, one{e.code, e.message, &d})
	}
	if len(list) == 0 {
		list = append(list, one{Code: e.code, Message: e.message})
	}
	body, _ := json.Marshal(map[string][]one{"errors": list}) // strings always marshal
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.status)
	_, _ = w.Write(body) // the client may have closed the connection
}

// route returns what answers a request that writes, or is about an upload; nil for all others.
func (r *Registry) route(req *http.Request) func(http.ResponseWriter, *http.Request) error {
	rest, ok := strings.CutPrefix(req.URL.Path, "/v2/")
	if !ok {
		return nil
	}
	if repo, id, ok := strings.Cut(rest, "/blobs/uploads/"); ok && oci.IsPath(repo) && len(repo) <= maxName {
		return func(w http.ResponseWriter, req *http.Request) error { return r.upload(w, req, repo, id) }
	}
	repo, id, ok := strings.Cut(rest, "/manifests/")
	if !ok || !oci.IsPath(repo) || len(repo) > maxName {
		return nil
	}
	switch req.Method {
	case http.MethodPut:
		return func(w http.ResponseWriter, req *http.Request) error { return r.putManifest(w, req, repo, id) }
	case http.MethodDelete:
		return func(w http.ResponseWriter, _ *http.Request) error { return r.deleteManifest(w, repo, id) }
	}
	return nil
}

// maxName is the longest path of a repository.
const maxName = 255

// parseDigest reads the digest that content is pushed under.
func parseDigest(s string) (digest.Sum, error) {
	d, err := v1.NewHash(s)
	key, ok := digest.SumOf(d)
	if err != nil || !ok {
		return key, refuse(http.StatusBadRequest, "DIGEST_INVALID", "not a sha256 digest")
	}
	return key, nil
}

// created answers that content is stored.
func created(w http.ResponseWriter, at string, key digest.Sum) {
	w.Header().Set("Location", at)
	w.Header().Set("Docker-Content-Digest", key.Hash().String())
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusCreated)
}
