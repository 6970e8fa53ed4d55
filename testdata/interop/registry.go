package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/internal/digest"
	"relocate/internal/imgpkg"
)

// Registry is repositories in memory: a bundle.Source that looks where it is told to, and records
// what it was asked. The zero value is empty. Reading is safe concurrently, filling is not.
type Registry struct {
	repos map[string]*Repo
	mu    sync.Mutex
	calls []string
}

// Repo returns the repository name ("host/path"), which is made when it is new.
func (r *Registry) Repo(name string) *Repo {
	if r.repos == nil {
		r.repos = map[string]*Repo{}
	}
	if r.repos[name] == nil {
		r.repos[name] = &Repo{Name: name, Tags: map[string]v1.Hash{}, Manifests: map[v1.Hash]Manifest{}, Blobs: map[v1.Hash][]byte{}}
	}
	return r.repos[name]
}

// Manifest implements bundle.Source.
func (r *Registry) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	r.mu.Lock()
	r.calls = append(r.calls, ref.Name())
	r.mu.Unlock()
	repo, ok := r.repos[ref.Context().Name()]
	if !ok {
		return v1.Descriptor{}, nil, fmt.Errorf("%s: no such repository: %w", ref, fs.ErrNotExist)
	}
	return repo.Manifest(ctx, ref)
}

// Blob implements bundle.Source.
func (r *Registry) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	found, ok := r.repos[repo.Name()]
	if !ok {
		return nil, fmt.Errorf("%s: no such repository: %w", repo, fs.ErrNotExist)
	}
	return found.Blob(ctx, repo, d)
}

// Calls returns the references of the manifests that were asked for, sorted.
func (r *Registry) Calls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.calls))
}

// Manifest is a manifest as a repository serves it.
type Manifest struct {
	MediaType types.MediaType
	Raw       []byte
}

// Repo is a repository in memory. As a bundle.Source it is one place: it ignores the repository that
// a reference names. Blobs are served as they are; what is wrong with them shows while they are read.
type Repo struct {
	Name      string
	Tags      map[string]v1.Hash
	Manifests map[v1.Hash]Manifest
	Blobs     map[v1.Hash][]byte
	Fail      func(id string) error // for a tag or digest; nil, or a nil error, lets it pass
}

// PutManifest keeps a manifest, under tags also, and returns its digest.
func (r *Repo) PutManifest(mediaType types.MediaType, raw []byte, tags ...string) v1.Hash {
	d := digest.Of(raw)
	r.Manifests[d] = Manifest{mediaType, raw}
	for _, tag := range tags {
		r.Tags[tag] = d
	}
	return d
}

// PutBlob keeps a blob and returns its descriptor, without a media type.
func (r *Repo) PutBlob(b []byte) v1.Descriptor {
	d := digest.Of(b)
	r.Blobs[d] = b
	return v1.Descriptor{Digest: d, Size: int64(len(b))}
}

// PutImage keeps an image that was built, under tags also, and returns its reference.
func (r *Repo) PutImage(image *imgpkg.Image, tags ...string) name.Digest {
	r.PutBlob(image.Config)
	r.PutBlob(image.Layer)
	return r.Ref(r.PutManifest(image.Descriptor.MediaType, image.Manifest, tags...))
}

// PutBundle keeps a bundle of files, under tags also, and returns its reference.
func (r *Repo) PutBundle(files map[string]string, tags ...string) name.Digest {
	content := map[string][]byte{}
	for p, text := range files {
		content[p] = []byte(text)
	}
	image, err := imgpkg.Build(content, map[string]string{imgpkg.Label: "true"})
	if err != nil {
		panic(err) // of a test's own literal
	}
	return r.PutImage(image, tags...)
}

// PutJSON keeps doc as a manifest, under tags also, and returns its reference.
func (r *Repo) PutJSON(mediaType types.MediaType, doc any, tags ...string) name.Digest {
	raw, err := json.Marshal(doc)
	if err != nil {
		panic(err) // of a test's own literal
	}
	return r.Ref(r.PutManifest(mediaType, raw, tags...))
}

// PutPlain keeps an OCI image with the given layers and returns its reference. Media types of the
// layers default to OCI's.
func (r *Repo) PutPlain(config string, layers ...v1.Descriptor) name.Digest {
	c := r.PutBlob([]byte(config))
	c.MediaType = types.OCIConfigJSON
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: c, Layers: []v1.Descriptor{}}
	for _, layer := range layers {
		if layer.MediaType == "" {
			layer.MediaType = types.OCILayer
		}
		m.Layers = append(m.Layers, layer)
	}
	return r.PutJSON(types.OCIManifestSchema1, m)
}

// PutIndex keeps an OCI index of manifests that the repository has, and returns its reference.
func (r *Repo) PutIndex(children ...name.Digest) name.Digest {
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	for _, child := range children {
		index.Manifests = append(index.Manifests, r.Describe(child))
	}
	return r.PutJSON(types.OCIImageIndex, index)
}

// Describe returns the descriptor of a manifest that the repository has.
func (r *Repo) Describe(ref name.Digest) v1.Descriptor {
	d := Hash(ref)
	m := r.Manifests[d]
	return v1.Descriptor{MediaType: m.MediaType, Size: int64(len(m.Raw)), Digest: d}
}

// Ref returns the reference of d in the repository.
func (r *Repo) Ref(d v1.Hash) name.Digest {
	ref, err := name.NewDigest(r.Name + "@" + d.String())
	if err != nil {
		panic(err) // of a test's own literal
	}
	return ref
}

// Hash returns the digest of a reference.
func Hash(ref name.Digest) v1.Hash {
	algorithm, hex, _ := strings.Cut(ref.DigestStr(), ":")
	return v1.Hash{Algorithm: algorithm, Hex: hex}
}

// Manifest implements bundle.Source.
func (r *Repo) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	d, err := r.Resolve(ctx, ref.Identifier())
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	m := r.Manifests[d]
	if err := digest.Check(m.Raw, d); err != nil {
		return v1.Descriptor{}, nil, err
	}
	return v1.Descriptor{MediaType: m.MediaType, Size: int64(len(m.Raw)), Digest: d}, m.Raw, nil
}

// Blob implements bundle.Source.
func (r *Repo) Blob(ctx context.Context, _ name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	if err := r.fail(ctx, d.Digest.String()); err != nil {
		return nil, err
	}
	b, ok := r.Blobs[d.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s of %s: %w", d.Digest, r.Name, fs.ErrNotExist)
	}
	return io.NopCloser(digest.Reader(bytes.NewReader(b), d.Digest, d.Size)), nil
}

// Resolve returns the digest of the manifest that id, a tag or a digest, stands for.
func (r *Repo) Resolve(ctx context.Context, id string) (v1.Hash, error) {
	if err := r.fail(ctx, id); err != nil {
		return v1.Hash{}, err
	}
	d, isTag := r.Tags[id]
	if !isTag {
		d, _ = v1.NewHash(id)
	}
	if _, ok := r.Manifests[d]; !ok {
		return v1.Hash{}, fmt.Errorf("manifest %s of %s: %w", id, r.Name, fs.ErrNotExist)
	}
	return d, nil
}

// HasBlob reports whether the repository has the blob d, whatever its content.
func (r *Repo) HasBlob(ctx context.Context, d v1.Descriptor) (bool, error) {
	_, ok := r.Blobs[d.Digest]
	return ok, r.fail(ctx, d.Digest.String())
}

func (r *Repo) fail(ctx context.Context, id string) error {
	if r.Fail != nil {
		if err := r.Fail(id); err != nil {
			return err
		}
	}
	return ctx.Err()
}
