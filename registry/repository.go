package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"relocate/internal/digest"
)

// Repository reads and writes one repository, whatever repository a reference names. Client.Writer
// and Client.Reader make one. It follows no redirect to another host, except to
// Options.RedirectHosts. It is a bundle.Source and a copy.Repository, and safe for concurrent use.
type Repository struct {
	client *Client
	name   name.Repository
	action string
}

// Reader returns repo for reading only. It does not ask for the permission to push.
func (c *Client) Reader(repo name.Repository) *Repository {
	return &Repository{client: c, name: repo, action: transport.PullScope}
}

// Writer returns repo for reading and writing.
func (c *Client) Writer(repo name.Repository) *Repository {
	return &Repository{client: c, name: repo, action: transport.PushScope}
}

func (r *Repository) open(ctx context.Context) (*repository, error) {
	return r.client.repository(ctx, r.name, r.action, true)
}

// Manifest is Client.Manifest, from this repository.
func (r *Repository) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	c, err := r.open(ctx)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	return c.manifest(ctx, ref.Identifier())
}

// Resolve returns the digest of the manifest with the tag or digest id.
//
// Errors: fs.ErrNotExist; ErrUnreadable.
func (r *Repository) Resolve(ctx context.Context, id string) (v1.Hash, error) {
	c, err := r.open(ctx)
	if err != nil {
		return v1.Hash{}, err
	}
	d, err := c.resolve(ctx, id)
	if isInternal(err) && c.answersManifests(ctx) {
		err = fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return d, err
}

// answersManifests reports whether the registry can say that a manifest is missing. If it cannot, a
// 500 says nothing about the manifest that was requested.
func (r *repository) answersManifests(ctx context.Context) bool {
	_, err := r.resolve(noRetry(ctx), absent.String())
	return errors.Is(err, fs.ErrNotExist)
}

// isInternal matches a registry's 500.
func isInternal(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusInternalServerError
}

func (r *repository) resolve(ctx context.Context, id string) (v1.Hash, error) {
	if !r.noHead.Load() {
		req, err := r.request(ctx, http.MethodHead, "/manifests/"+id)
		if err != nil {
			return v1.Hash{}, err
		}
		req.Header.Set("Accept", acceptManifests)
		res, err := r.do(req, slices.Concat(refusesHead, []int{http.StatusOK})...)
		if hidesReason(err) {
			desc, _, reason := r.manifest(noRetry(ctx), id)
			return desc.Digest, reasonOf(err, reason)
		}
		if err != nil {
			return v1.Hash{}, err
		}
		drain(res)
		r.noHead.Store(res.StatusCode != http.StatusOK)
		d, err := v1.NewHash(res.Header.Get("Docker-Content-Digest"))
		if err == nil && d.Algorithm == "sha256" && res.StatusCode == http.StatusOK {
			return d, nil
		}
	}
	desc, _, err := r.manifest(ctx, id) // the registry gives no digest, or another algorithm's
	return desc.Digest, err
}

// refusesHead are the answers of registries that do not support HEAD.
var refusesHead = []int{http.StatusMethodNotAllowed, http.StatusNotImplemented}

// hidesReason reports whether err is a refused HEAD whose reason a GET can show: a HEAD has no
// body, and some registries answer 401, 400 or 412 to everything from a missing project to a
// missing signature.
func hidesReason(err error) bool {
	var answer *Error
	return errors.As(err, &answer) && answer.Method == http.MethodHead && answer.Status >= 400 && answer.Status < 500 &&
		answer.Status != http.StatusNotFound && answer.Status != http.StatusTooManyRequests && !errors.Is(err, ErrNoLogin)
}

// reasonOf returns the error of a GET that was sent to explain a refused HEAD; refused if the GET
// was not answered.
func reasonOf(refused, reason error) error {
	var answer *Error
	if reason == nil || errors.As(reason, &answer) && !isTemporaryStatus(answer.Status) {
		return reason
	}
	return refused
}

// redirects are the statuses of redirects.
var redirects = []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect}

// HasBlob reports whether the repository has the blob d, with d's size if the registry gives one. A
// redirect to another host, which is not followed, means yes. A 500 to every try means no: on a
// full disk, docker-registry 2.8 leaves an empty link to a blob, which only another upload repairs.
func (r *Repository) HasBlob(ctx context.Context, d v1.Descriptor) (bool, error) {
	c, err := r.open(ctx)
	if err != nil {
		return false, err
	}
	has, err := c.hasBlob(ctx, d)
	if isInternal(err) {
		return false, nil
	}
	return has, err
}

func (r *repository) hasBlob(ctx context.Context, d v1.Descriptor) (bool, error) {
	want := slices.Concat(redirects, []int{http.StatusOK, http.StatusNotFound})
	if r.noHead.Load() {
		return r.hasBlobBy(ctx, http.MethodGet, d, want)
	}
	has, err := r.hasBlobBy(ctx, http.MethodHead, d, want)
	var answer *Error
	switch {
	case errors.As(err, &answer) && slices.Contains(refusesHead, answer.Status):
		r.noHead.Store(true)
		return r.hasBlobBy(ctx, http.MethodGet, d, want)
	case hidesReason(err):
		has, reason := r.hasBlobBy(noRetry(ctx), http.MethodGet, d, want)
		return has, reasonOf(err, reason)
	}
	return has, err
}

// hasBlobBy is hasBlob by one method. The body of a GET is not read, so its redirects are not
// followed.
func (r *repository) hasBlobBy(ctx context.Context, method string, d v1.Descriptor, want []int) (bool, error) {
	send := r.do
	if method == http.MethodGet {
		send = r.doDirect
	}
	req, err := r.request(ctx, method, "/blobs/"+d.Digest.String())
	if err != nil {
		return false, err
	}
	res, err := send(req, want...)
	if err != nil {
		return false, err
	}
	_ = res.Body.Close()
	if res.StatusCode == http.StatusOK {
		return res.ContentLength < 0 || res.ContentLength == d.Size, nil
	}
	return res.StatusCode != http.StatusNotFound, nil
}

// ReadsBlob reports whether the blob d, with d's size, can be read from the repository: it reads the
// first byte. HasBlob is no proof, because zot says yes for a blob that only another repository has. A
// redirect to another host, which is not followed, means yes; a 500 to every try means no.
func (r *Repository) ReadsBlob(ctx context.Context, d v1.Descriptor) (bool, error) {
	c, err := r.open(ctx)
	if err != nil {
		return false, err
	}
	a := c.attempt(http.MethodGet)
	for {
		reads, broke, err := c.readsBlob(ctx, d)
		switch {
		case isInternal(err):
			return false, nil
		case broke == nil:
			return reads, err
		}
		if err := c.rules.again(ctx, a, broke); err != nil {
			return false, fmt.Errorf("GET %s/blobs/%s: %w", c.base, d.Digest, err)
		}
	}
}

// readsBlob is one try of ReadsBlob. broke is why the answer broke off.
func (r *repository) readsBlob(ctx context.Context, d v1.Descriptor) (reads bool, broke, err error) {
	req, err := r.request(ctx, http.MethodGet, "/blobs/"+d.Digest.String())
	if err != nil {
		return false, nil, err
	}
	want := slices.Concat(redirects, []int{http.StatusOK, http.StatusNotFound})
	if d.Size > 0 {
		req.Header.Set("Range", "bytes=0-0")
		want = append(want, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable)
	}
	res, err := r.doDirect(req, want...)
	if err != nil {
		return false, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	switch size := res.ContentLength; res.StatusCode {
	case http.StatusNotFound, http.StatusRequestedRangeNotSatisfiable: // it is empty
		return false, nil, nil
	case http.StatusPartialContent:
		if said := res.Header.Get("Content-Range"); said != fmt.Sprintf("bytes 0-0/%d", d.Size) && said != "bytes 0-0/*" {
			return false, nil, nil
		}
	case http.StatusOK:
		if size >= 0 && size != d.Size {
			return false, nil, nil
		}
	default: // a redirect
		return true, nil, nil
	}
	if d.Size > 0 {
		_, broke = io.ReadFull(res.Body, make([]byte, 1))
	}
	return broke == nil, broke, nil
}

// PutManifest puts the manifest raw, which d describes, under tag; without a tag, under its digest.
// If blobs are missing, the error is an *Error whose MissingBlobs returns them.
//
// Afterwards the manifest is read once, and put once more if the registry does not have it:
// docker-registry 2.8 accepts manifests that it does not store on a full disk, and olareg 0.2.2
// loses manifests that are put at the same time. A manifest that is refused as invalid may have
// been damaged on its way, and is put once more, too.
//
// Errors: ErrUnreadable; ManifestError; an error with a method Replaced if somebody else moved the
// tag right after.
func (r *Repository) PutManifest(ctx context.Context, d v1.Descriptor, raw []byte, tag string) error {
	c, err := r.open(ctx)
	if err != nil {
		return err
	}
	if tag == "" {
		tag = d.Digest.String()
	}
	err = c.putManifest(ctx, d, raw, tag)
	if errors.Is(err, errNotKept) || mayBeDamage(err) {
		err = c.putManifest(ctx, d, raw, tag)
	}
	return err
}

// mayBeDamage reports whether a registry refused a manifest that may have been damaged on its way.
func mayBeDamage(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Code == "DIGEST_INVALID" || e.Code == "MANIFEST_INVALID")
}

func (r *repository) putManifest(ctx context.Context, d v1.Descriptor, raw []byte, tag string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, r.base+"/manifests/"+tag, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", string(d.MediaType))
	res, err := r.do(req, http.StatusCreated, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return explainManifest(d.MediaType, raw, err)
	}
	drain(res)
	return checkStored(res, d.Digest, true, func() (bool, error) { return r.hasManifest(ctx, tag, d.Digest) })
}

// hasManifest reports whether id points to the manifest want, which was just put.
func (r *repository) hasManifest(ctx context.Context, id string, want v1.Hash) (bool, error) {
	got, err := r.resolve(ctx, id)
	if errors.Is(err, fs.ErrNotExist) { // some registries answer every HEAD so
		var desc v1.Descriptor
		desc, _, err = r.manifest(ctx, id)
		got = desc.Digest
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.Is(err, ErrPolicy): // a policy applies to present content only
		return true, nil
	case isInternal(err):
		err = fmt.Errorf("put manifest %s: accepted, but %w: %w", want, ErrUnreadable, err)
	}
	if err == nil && got != want { // somebody else moved the tag meanwhile: that stays
		err = refusal{replaced{fmt.Errorf("put manifest %s: %s now points to %s", want, id, got)}}
	}
	return err == nil, err
}

// replaced is the error of a PUT after which somebody else moved the tag.
type replaced struct{ error }

// Replaced marks the error for package copy.
func (replaced) Replaced() bool { return true }

// ErrUnreadable says that a registry cannot read a manifest that it has accepted: its file is empty
// or damaged.
var ErrUnreadable = errors.New("the registry cannot read the manifest")

// errNotKept says that a registry does not have what it accepted.
var errNotKept = errors.New("the registry accepted it, but does not have it")

// checkStored compares want with the digest that the registry says it stored. Without that digest,
// or if always is set, it calls present, which reports whether the registry has what was sent.
func checkStored(res *http.Response, want v1.Hash, always bool, present func() (bool, error)) error {
	fail := func(err error) error {
		return refusal{fmt.Errorf("%s %s: %w", res.Request.Method, plainURL(res.Request.URL), err)}
	}
	said := res.Header.Get("Docker-Content-Digest")
	if said != "" && said != want.String() {
		return fail(fmt.Errorf("%w: the registry stored %s", digest.ErrMismatch, oneLine(said)))
	}
	if said != "" && !always {
		return nil
	}
	has, err := present()
	if err == nil && !has {
		err = fail(errNotKept)
	}
	return err
}
