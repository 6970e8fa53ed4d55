package registry

import (
	"context"
	"errors"
	"io/fs"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ErrNoDelete says that a registry, as it is configured, deletes nothing, or nothing of that kind.
var ErrNoDelete = errors.New("the registry does not allow deletes")

// deleteScope asks for the permission to delete, and not for that to push.
const deleteScope = "pull,delete"

// Deleter returns repo for reading and deleting.
func (c *Client) Deleter(repo name.Repository) *Repository {
	return &Repository{client: c, name: repo, action: deleteScope}
}

// CanDelete asks the registry to delete a manifest that does not exist.
//
// Errors: ErrNoDelete; fs.ErrPermission.
func (r *Repository) CanDelete(ctx context.Context) error { return r.DeleteManifest(ctx, absent) }

// DeleteManifest deletes the manifest d. In most registries all its tags go with it. A manifest that
// is not there is no error. The registry may refuse one that an index needs.
//
// Errors: ErrNoDelete; fs.ErrPermission.
func (r *Repository) DeleteManifest(ctx context.Context, d v1.Hash) error {
	return r.delete(ctx, d.String())
}

// DeleteTag deletes a tag, and not its manifest. A tag that is not there is no error.
//
// Errors: ErrNoDelete, as by docker-registry 2.8, which deletes by digest only; fs.ErrPermission.
func (r *Repository) DeleteTag(ctx context.Context, tag string) error {
	err := r.delete(ctx, tag)
	var answer *Error
	if errors.As(err, &answer) && answer.Status == http.StatusBadRequest {
		return explained{ErrNoDelete, answer}
	}
	return err
}

func (r *Repository) delete(ctx context.Context, id string) error {
	c, err := r.open(ctx)
	if err != nil {
		return err
	}
	req, err := c.request(ctx, http.MethodDelete, "/manifests/"+id)
	if err != nil {
		return err
	}
	res, err := c.do(req, http.StatusAccepted, http.StatusOK, http.StatusNoContent)
	var answer *Error
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.As(err, &answer) && (answer.refusesMethod() || answer.Code == "UNSUPPORTED"):
		return explained{ErrNoDelete, answer}
	case err != nil:
		return err
	}
	drain(res)
	return nil
}

// refusesMethod reports whether the registry does not support the request's method here.
func (e *Error) refusesMethod() bool {
	return e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusNotImplemented
}
