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

// Checked is a repository for writing that asks what the registry allows, before it writes for the
// first time. If the registry refuses, every write fails with the error that Refused returns.
// Nothing is asked when nothing is written. Repository.Checked makes one.
type Checked struct {
	// Checked has its own version of every method of Repository that writes.
	*Repository
	types  []types.MediaType
	sparse []SparseIndex
	ready  first[[]string]
}

// Checked returns the repository for writing. manifests are the types that will be written, which
// the registry must accept.
func (r *Repository) Checked(manifests []types.MediaType) *Checked {
	return &Checked{Repository: r, types: manifests}
}

// PutBlob is Repository.PutBlob, after the checks.
func (c *Checked) PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context) (io.ReadCloser, error)) error {
	if err := c.check(ctx); err != nil {
		return err
	}
	return c.Repository.PutBlob(ctx, d, open)
}

// PutManifest is Repository.PutManifest, after the checks.
func (c *Checked) PutManifest(ctx context.Context, d v1.Descriptor, raw []byte, tag string) error {
	if err := c.check(ctx); err != nil {
		return err
	}
	return c.Repository.PutManifest(ctx, d, raw, tag)
}

// Resolve is Repository.Resolve. Content that a policy hides, such as an image that is not signed
// yet, is fs.ErrNotExist: it may be put again.
func (c *Checked) Resolve(ctx context.Context, id string) (v1.Hash, error) {
	d, err := c.Repository.Resolve(ctx, id)
	if errors.Is(err, ErrPolicy) {
		return d, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return d, err
}

func (c *Checked) check(ctx context.Context) error {
	_, err := c.ready.get(ctx, func() ([]string, error) { return c.preflight(ctx, c.types, c.sparse) })
	return err
}

// Refused returns why every write failed; nil if the registry allows writing, or was not asked.
func (c *Checked) Refused() error {
	c.ready.mu.Lock()
	defer c.ready.mu.Unlock()
	if !c.ready.known {
		return nil // not asked, or ended by a context
	}
	return c.ready.err
}

// Notes returns what the registry does not support, and no copy needs, in one line each.
func (c *Checked) Notes() []string {
	c.ready.mu.Lock()
	defer c.ready.mu.Unlock()
	return c.ready.value
}

// absent is a digest that no content has.
var absent = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}

// preflight asks what the registry allows, and changes nothing: it begins an upload and cancels it;
// puts manifests that cannot be stored, since they name missing blobs under a digest that is not
// theirs; and deletes what does not exist. Only an answer that can have no other reason counts as a
// refusal. Only sparse indexes are tried: one that is stored is deleted.
func (r *Repository) preflight(ctx context.Context, manifests []types.MediaType, sparse []SparseIndex) (notes []string, err error) {
	c, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	patient := ctx
	ctx = noRetry(ctx)
	if err := c.mayPush(ctx, r.name); err != nil {
		return nil, err
	}
	ctx = probing(ctx)
	for _, kind := range manifests {
		if err := c.acceptsType(ctx, kind); err != nil {
			return nil, err
		}
	}
	for _, index := range sparse {
		note, err := c.acceptsSparse(patient, index)
		if err != nil {
			return nil, err
		}
		if note != "" {
			notes = append(notes, note)
		}
	}
	if status := c.probe(ctx, http.MethodGet, "/referrers/"+absent.String()); refuses(status) || status == http.StatusNotFound {
		notes = append(notes, fmt.Sprintf("%s has no referrers API; attachments are found by tags", r.name.RegistryStr()))
	}
	if status := c.probe(ctx, http.MethodDelete, "/manifests/"+absent.String()); refuses(status) {
		notes = append(notes, fmt.Sprintf("%s does not allow deletes in %s (%d); ask its administrator to remove old versions", r.name.RegistryStr(), r.name.RepositoryStr(), status))
	}
	return notes, nil
}

// refuses reports whether a status refuses a request, whatever it was for.
func refuses(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}

// mayPush begins an upload and cancels it. If the registry refuses to cancel, the first blob uses
// the upload.
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
		r.begun.add(absent, probe)
	}
	return nil
}

// explainPush explains why an upload cannot begin; nil if the next attempt may succeed.
func explainPush(repo name.Repository, err error) error {
	var answer *Error
	switch {
	case errors.Is(err, ErrNotRegistry), errors.Is(err, ErrProxy):
		return err
	case !errors.As(err, &answer):
		return nil
	case answer.reason != nil:
		return explained{answer.reason, answer}
	case errors.Is(answer, fs.ErrPermission):
		return fmt.Errorf("no permission to push to %s: %w", repo.Name(), err)
	case answer.Status == http.StatusNotFound, answer.Code == "NAME_UNKNOWN":
		return explained{ErrPath, answer}
	case answer.Status == http.StatusMethodNotAllowed:
		return explained{ErrReadOnly, answer}
	}
	return nil
}

// explained is an answer with a meaning, which counts before that of its status.
type explained struct {
	meaning error
	answer  *Error
}

func (e explained) Error() string   { return fmt.Sprintf("%v: %v", e.meaning, e.answer) }
func (e explained) Unwrap() []error { return []error{e.meaning, e.answer} }

// acceptsType checks a type with a manifest that cannot be stored. If the registry stores it all the
// same, it is deleted.
func (r *repository) acceptsType(ctx context.Context, kind types.MediaType) error {
	raw, err := impossible(kind)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, r.base+"/manifests/"+absent.String(), bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", string(kind))
	res, err := r.do(req, http.StatusCreated, http.StatusOK, http.StatusAccepted)
	var answer *Error
	switch {
	case err == nil:
		drain(res)
		r.probe(ctx, http.MethodDelete, "/manifests/"+absent.String())
		r.probe(ctx, http.MethodDelete, "/manifests/"+digest.Of(raw).String())
	case errors.As(err, &answer) && answer.refusesType():
		return explained{ManifestError{MediaType: kind}, answer}
	}
	return nil
}

// impossible returns a manifest of a type that names content which no registry has.
func impossible(kind types.MediaType) ([]byte, error) {
	of := func(mediaType types.MediaType) v1.Descriptor {
		return v1.Descriptor{MediaType: mediaType, Size: 2, Digest: absent}
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

// probe sends a request and returns the status of the answer; 0 without an answer.
func (r *repository) probe(ctx context.Context, method, path string) int {
	req, err := r.request(ctx, method, path)
	if err != nil {
		return 0
	}
	res, err := r.doDirect(req, http.StatusOK)
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
