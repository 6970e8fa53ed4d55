package generated

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"relocate/testdata/sample"
)

// Repository is what Push has pushed.
type Repository struct {
	Root      name.Digest
	Bundles   int
	Images    int // an index counts as one
	Manifests int
	Blobs     []Blob // layers and configs, each digest once
	Bytes     int64  // of the blobs
}

// Blob is a layer or config, and a repository that has it.
type Blob struct {
	Repository string // without the registry
	Digest     string
	Size       int64
}

// Push pushes a repository of shape s to the registry at host ("host:port", plain HTTP on loopback).
func Push(ctx context.Context, host string, s Shape) (*Repository, error) {
	pusher, err := remote.NewPusher(remote.WithJobs(4))
	if err != nil {
		return nil, err
	}
	p := &pushing{shape: s, host: host, pusher: pusher, seen: map[string]bool{}}
	for range s.Bases * s.Shared {
		p.bases = append(p.bases, p.newLayer())
	}
	var bundles []lockEntry
	files := map[string][]byte{}
	for i := range s.Packages {
		for version := range s.Versions {
			bundle, err := p.version(ctx, i, version)
			if err != nil {
				return nil, err
			}
			bundles = append(bundles, lockEntry{bundle.Name(), bundle.Name()})
			files[fmt.Sprintf("packages/p%d.bench.test/%d.0.0.yml", i, version)] = packageOf(i, version, bundle)
		}
	}
	root, err := p.bundle(ctx, "repository", files, bundles)
	if err != nil {
		return nil, err
	}
	p.done.Root = root
	slices.SortFunc(p.done.Blobs, func(a, b Blob) int { return strings.Compare(a.Digest, b.Digest) })
	return &p.done, nil
}

// pushing is one Push.
type pushing struct {
	shape  Shape
	host   string
	pusher *remote.Pusher
	bases  []v1.Layer
	layers uint64 // made so far
	images int

	mu   sync.Mutex
	seen map[string]bool
	done Repository
}

// newLayer returns a layer that no other image has.
func (p *pushing) newLayer() v1.Layer {
	p.layers++
	return newLayer(p.layers, p.shape.size(p.layers))
}

// version pushes the images of a version of a package, and its bundle.
func (p *pushing) version(ctx context.Context, pkg, version int) (name.Digest, error) {
	images := make([]lockEntry, p.shape.Images[pkg%len(p.shape.Images)])
	g, groupCtx := errgroup.WithContext(ctx)
	for i := range images {
		repository := fmt.Sprintf("images/p%d-%d", pkg, i)
		image, err := p.image()
		if err != nil {
			return name.Digest{}, err
		}
		g.Go(func() error {
			ref, err := p.push(groupCtx, repository, image)
			images[i] = lockEntry{fmt.Sprintf("registry.bench.test/%s:%d.0.0", repository, version), ref.Name()}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return name.Digest{}, err
	}
	repository := fmt.Sprintf("packages/p%d", pkg)
	bundle, err := p.bundle(ctx, repository, configOf(version, images), images)
	for depth := 0; depth < p.shape.Nested && err == nil; depth++ {
		files := configOf(version, nil)
		files["config/depth"] = fmt.Append(nil, depth)
		bundle, err = p.bundle(ctx, repository, files, []lockEntry{{bundle.Name(), bundle.Name()}})
	}
	return bundle, err
}

// image returns an image of new layers and those of a base, or an index of two.
func (p *pushing) image() (remote.Taggable, error) {
	p.images++
	if p.shape.Indexes == 0 || p.images%p.shape.Indexes != 0 {
		return p.imageFor("amd64")
	}
	var index v1.ImageIndex = empty.Index
	for _, arch := range []string{"amd64", "arm64"} {
		child, err := p.imageFor(arch)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        child,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return index, nil
}

func (p *pushing) imageFor(arch string) (v1.Image, error) {
	config := &v1.ConfigFile{OS: "linux", Architecture: arch, RootFS: v1.RootFS{Type: "layers"}}
	image, err := mutate.ConfigFile(empty.Image, config)
	if err != nil {
		return nil, err
	}
	image = mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
	var layers []v1.Layer
	if p.shape.Shared > 0 {
		base := p.images % p.shape.Bases * p.shape.Shared
		layers = append(layers, p.bases[base:base+p.shape.Shared]...)
	}
	for len(layers) < p.shape.Layers {
		layers = append(layers, p.newLayer())
	}
	return mutate.AppendLayers(image, layers...)
}

// bundle pushes a bundle of files and a lock. The package repository's has a tag.
func (p *pushing) bundle(
	ctx context.Context, repository string, files map[string][]byte, images []lockEntry,
) (ref name.Digest, err error) {
	files[".imgpkg/images.yml"] = lockOf(images)
	bundle, err := sample.Bundle(files)
	if err != nil {
		return ref, err
	}
	p.done.Bundles++
	p.done.Images-- // as one of which push counts it
	if ref, err = p.push(ctx, repository, bundle); err != nil || repository != "repository" {
		return ref, err
	}
	return ref, p.pusher.Push(ctx, ref.Tag("1.0.0"), bundle)
}

// push pushes an image or index by its digest, and counts what it has.
func (p *pushing) push(ctx context.Context, repository string, t remote.Taggable) (ref name.Digest, err error) {
	content := t.(interface{ Digest() (v1.Hash, error) })
	digest, err := content.Digest()
	if err != nil {
		return ref, err
	}
	if ref, err = name.NewDigest(p.host + "/bench/" + repository + "@" + digest.String()); err != nil {
		return ref, err
	}
	if err := p.pusher.Push(ctx, ref, t); err != nil {
		return ref, fmt.Errorf("push %s: %w", ref, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done.Images++
	if index, ok := t.(v1.ImageIndex); ok {
		p.done.Manifests++
		manifest, err := index.IndexManifest()
		if err != nil {
			return ref, err
		}
		for _, child := range manifest.Manifests {
			image, err := index.Image(child.Digest)
			if err == nil {
				err = p.count(ref.RepositoryStr(), image)
			}
			if err != nil {
				return ref, err
			}
		}
		return ref, nil
	}
	return ref, p.count(ref.RepositoryStr(), t.(v1.Image))
}

// count notes the blobs of an image; p.mu is held.
func (p *pushing) count(repository string, image v1.Image) error {
	manifest, err := image.Manifest()
	if err != nil {
		return err
	}
	p.done.Manifests++
	for _, blob := range append(manifest.Layers, manifest.Config) {
		id := blob.Digest.String()
		if p.seen[id] {
			continue
		}
		p.seen[id] = true
		p.done.Blobs = append(p.done.Blobs, Blob{repository, id, blob.Size})
		p.done.Bytes += blob.Size
	}
	return nil
}

// lockEntry is an image in a lock: what the configuration calls it, and where it is.
type lockEntry struct{ id, ref string }

func lockOf(images []lockEntry) []byte {
	var lock strings.Builder
	lock.WriteString("---\napiVersion: imgpkg.carvel.dev/v1alpha1\nimages:\n")
	for _, image := range images {
		fmt.Fprintf(&lock, "- annotations:\n    kbld.carvel.dev/id: %s\n  image: %s\n", image.id, image.ref)
	}
	lock.WriteString("kind: ImagesLock\n")
	return []byte(lock.String())
}
