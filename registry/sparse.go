package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/internal/digest"
)

// ErrSparse says that a registry does not take an index of which children are absent.
var ErrSparse = errors.New("the registry refuses an index of which images are left out")

// SparseIndex is a kind of index that a copy sends without some of its children.
type SparseIndex struct {
	MediaType types.MediaType
	Platforms []v1.Platform // of the children that are left out; the zero value for attestations
}

// Sparse makes c ask, too, whether the registry takes such indexes.
//
// Errors of a write: ErrSparse.
func (c *Checked) Sparse(indexes []SparseIndex) *Checked {
	c.sparse = indexes
	return c
}

// Nothing is the digest of the child that such a question names. No content has it.
func Nothing() v1.Hash { return absent }

// acceptsSparse pushes an index that names only absent children, one for each platform: a registry can
// be configured to require some platforms. The index is pushed by digest. If the registry accepts it,
// it is deleted again; if that is refused, note says what was left behind.
func (r *repository) acceptsSparse(ctx context.Context, index SparseIndex) (note string, err error) {
	raw, err := absentOnly(index)
	if err != nil {
		return "", err
	}
	id := digest.Of(raw).String()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, r.base+"/manifests/"+id, bytes.NewReader(raw))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", string(index.MediaType))
	res, err := r.do(req, http.StatusCreated, http.StatusOK, http.StatusAccepted)
	var answer *Error
	switch {
	case err == nil:
		drain(res)
		if status := r.probe(ctx, http.MethodDelete, "/manifests/"+id); status >= 300 {
			note = fmt.Sprintf("the check for indexes without some images left %s behind (%d bytes): nothing names it, and the registry does not delete it (%d)", id, len(raw), status)
		}
		return note, nil
	case errors.As(err, &answer) && answer.refusesContent():
		return "", explained{ErrSparse, answer}
	}
	return "", err
}

// refusesContent reports whether a manifest was refused for what it names, and not for who sends it or
// when.
func (e *Error) refusesContent() bool {
	switch {
	case isPermission(e.Status), e.Status == http.StatusTooManyRequests, e.reason != nil:
		return false
	}
	return e.Status/100 == 4 || e.Status == http.StatusInternalServerError
}

// absentOnly returns an index of absent children.
func absentOnly(index SparseIndex) ([]byte, error) {
	child := types.OCIManifestSchema1
	if index.MediaType == types.DockerManifestList {
		child = types.DockerManifestSchema2
	}
	doc := v1.IndexManifest{SchemaVersion: 2, MediaType: index.MediaType}
	for _, p := range index.Platforms {
		if p.OS == "" {
			p = v1.Platform{OS: "unknown", Architecture: "unknown"}
		}
		doc.Manifests = append(doc.Manifests, v1.Descriptor{MediaType: child, Size: 2, Digest: absent, Platform: &p})
	}
	return json.Marshal(doc)
}
