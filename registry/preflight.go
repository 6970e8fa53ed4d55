package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/internal/digest"
)

// Checked is a repository for writing that asks what the registry allows before it writes for the first
// time, and not at all when nothing is written. When that is refused, all writing fails with what Refused
// returns. Every method that writes has to be here.
type Checked struct {
	*Repository
	types []types.MediaType
	ready first[[]string]
}

// Checked returns the repository for writing, manifests of these types among others.
func (r *Repository) Checked(manifests []types.MediaType) *Checked {
	return &Checked{Repository: r, types: manifests}
}

// PutBlob is Repository.PutBlob.
func (c *Checked) PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context) (io.ReadCloser, error)) error {
	if err := c.check(ctx); err != nil {
		return err
	}
	return c.Repository.PutBlob(ctx, d, open)
}

// PutManifest is Repository.PutManifest.
func (c *Checked) PutManifest(ctx context.Context, d v1.Descriptor, raw []byte, tag string) error {
	if err := c.check(ctx); err != nil {
		return err
	}
	return c.Repository.PutManifest(ctx, d, raw, tag)
}

// Resolve is Repository.Resolve. What a policy hides, as from who wants what is not signed yet, is not there; to put it
// again is allowed.
func (c *Checked) Resolve(ctx context.Context, id string) (v1.Hash, error) {
	d, err := c.Repository.Resolve(ctx, id)
	if errors.Is(err, ErrPolicy) {
		return d, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return d, err
}

func (c *Checked) check(ctx context.Context) error {
	_, err := c.ready.get(ctx, func() ([]string, error) { return c.preflight(ctx, c.types) })
	return err
}

// Refused returns why nothing was written; nil when nothing was refused, or nothing asked.
func (c *Checked) Refused() error {
	c.ready.mu.Lock()
	defer c.ready.mu.Unlock()
	if !c.ready.known {
		return nil // nothing, or what a context ended
	}
	return c.ready.err
}

// Notes returns what the registry does not do that no copy needs, in a line each.
func (c *Checked) Notes() []string {
	c.ready.mu.Lock()
	defer c.ready.mu.Unlock()
	return c.ready.value
}

// nothing is a digest that no content has.
var nothing = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}

// preflight asks what the registry allows, and leaves nothing there: an upload is begun and given up;
// manifests are put that cannot be stored, since they name what does not exist under a digest that is not their
// own; what does not exist is deleted. Only an answer that can mean nothing else is a refusal: whatever else
// is wrong shows when it matters.
func (r *Repository) preflight(ctx context.Context, manifests []types.MediaType) (notes []string, err error) {
	c, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	ctx = once(ctx)
	if err := c.mayPush(ctx, r.name); err != nil {
		return nil, err
	}
	ctx = probing(ctx)
	for _, kind := range manifests {
		if err := c.takesType(ctx, kind); err != nil {
			return nil, err
		}
	}
	if status := c.probe(ctx, http.MethodGet, "/referrers/"+nothing.String()); refuses(status) || status == http.StatusNotFound {
		notes = append(notes, fmt.Sprintf("%s has no referrers API: what is attached to an image is found there by tags", r.name.RegistryStr()))
	}
	if status := c.probe(ctx, http.MethodDelete, "/manifests/"+nothing.String()); refuses(status) {
		notes = append(notes, fmt.Sprintf("%s does not allow deletes in %s (%d); ask its administrator to remove old versions", r.name.RegistryStr(), r.name.RepositoryStr(), status))
	}
	return notes, nil
}

// refuses reports whether a status refuses what was asked, whatever it was asked for.
func refuses(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}

// mayPush begins an upload and cancels it. Where that is refused, the first blob uses it.
func (r *repository) mayPush(ctx context.Context, repo name.Repository) error {
	req, err := r.request(ctx, http.MethodPost, "/blobs/uploads/")
	if err != nil {
		return err
	}
	res, err := r.do(req, http.StatusAccepted)
	if err != nil {
		return explainPush(repo, err)
	}
	drain(res)
	at, err := location(res, r.rules.redirects)
	if err != nil {
		return err
	}
	probe := begunUpload{at, leastChunk(res)}
	if req, err = http.NewRequestWithContext(probing(ctx), http.MethodDelete, at, nil); err != nil {
		return err
	}
	if res, err := r.do(req, http.StatusNoContent, http.StatusOK, http.StatusAccepted); err == nil {
		drain(res)
	} else {
		r.begun.add(nothing, probe)
	}
	return nil
}

// explainPush explains why an upload cannot begin; nil where the answer may be another the next time.
func explainPush(repo name.Repository, err error) error {
	var answer *Error
	switch {
	case errors.Is(err, ErrNotRegistry), errors.Is(err, ErrProxy):
		return err
	case !errors.As(err, &answer):
		return nil
	case answer.says != nil:
		return errorAs{answer.says, answer}
	case errors.Is(answer, fs.ErrPermission):
		return fmt.Errorf("no right to push to %s: %w", repo.Name(), err)
	case answer.Status == http.StatusNotFound, answer.Code == "NAME_UNKNOWN":
		return errorAs{ErrPath, answer}
	case answer.Status == http.StatusMethodNotAllowed:
		return errorAs{ErrReadOnly, answer}
	}
	return nil
}

// errorAs is an answer with a meaning, which goes before that of its status.
type errorAs struct {
	meaning error
	answer  *Error
}

func (e errorAs) Error() string   { return fmt.Sprintf("%v: %v", e.meaning, e.answer) }
func (e errorAs) Unwrap() []error { return []error{e.meaning, e.answer} }

// takesType puts a manifest that cannot be stored. A registry that stores it all the same has it deleted.
func (r *repository) takesType(ctx context.Context, kind types.MediaType) error {
	raw, err := impossible(kind)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, r.base+"/manifests/"+nothing.String(), bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", string(kind))
	res, err := r.do(req, http.StatusCreated, http.StatusOK, http.StatusAccepted)
	var answer *Error
	switch {
	case err == nil:
		drain(res)
		r.probe(ctx, http.MethodDelete, "/manifests/"+nothing.String())
		r.probe(ctx, http.MethodDelete, "/manifests/"+digest.Of(raw).String())
	case errors.As(err, &answer) && answer.refusesType():
		return errorAs{ManifestError{MediaType: kind}, answer}
	}
	return nil
}

// impossible returns a manifest of a type that names what no registry has.
func impossible(kind types.MediaType) ([]byte, error) {
	of := func(mediaType types.MediaType) v1.Descriptor {
		return v1.Descriptor{MediaType: mediaType, Size: 2, Digest: nothing}
	}
	switch kind {
	case types.DockerManifestList:
		return json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: kind, Manifests: []v1.Descriptor{of(types.DockerManifestSchema2)}})
	case types.OCIImageIndex:
		return json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: kind, Manifests: []v1.Descriptor{of(types.OCIManifestSchema1)}})
	case types.DockerManifestSchema2:
		return json.Marshal(v1.Manifest{SchemaVersion: 2, MediaType: kind, Config: of(types.DockerConfigJSON), Layers: []v1.Descriptor{of(types.DockerLayer)}})
	}
	return json.Marshal(v1.Manifest{SchemaVersion: 2, MediaType: kind, Config: of(types.OCIConfigJSON), Layers: []v1.Descriptor{of(types.OCILayer)}})
}

// probe sends a request and returns the status of its answer; 0 when there is none.
func (r *repository) probe(ctx context.Context, method, path string) int {
	req, err := r.request(ctx, method, path)
	if err != nil {
		return 0
	}
	res, err := r.stay(req, http.StatusOK)
	var answer *Error
	switch {
	case err == nil:
		drain(res)
		return res.StatusCode
	case errors.As(err, &answer):
		return answer.Status
	}
	return 0
}
