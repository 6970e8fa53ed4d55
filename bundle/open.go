package bundle

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/carvel"
	"relocate/oci"
)

// open sets x.found to the node of a manifest that was found in repo.
func (w *walk) open(ctx context.Context, x *want, repo name.Repository, desc v1.Descriptor, raw []byte) error {
	m, err := oci.ParseManifest(desc, raw)
	if err == nil {
		err = w.count(1 + len(m.Blobs) + edgeWeight*len(m.Children))
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", x.name, err)
	}
	if w.attaching {
		x.openPlain(repo, desc, m, Attached)
		return nil
	}
	x.openPlain(repo, desc, m, Plain)
	if m.IsIndex {
		if err := w.leaveOut(x, m); err != nil {
			return fmt.Errorf("read %s: %w", x.name, err)
		}
		return nil
	}
	config, err := readConfig(ctx, w.src, repo, m)
	if err != nil {
		return fmt.Errorf("read %s: %w", x.name, err)
	}
	if config.IsBundle {
		x.found.Kind, x.found.Derived, x.found.Manifests = Bundle, derivation(config), config.Manifests
		if err := w.count((len(config.Choice) + len(config.Manifests)) / heldText); err != nil {
			return fmt.Errorf("read %s: %w", x.name, err)
		}
		if err := w.openBundle(ctx, x, m); err != nil {
			return fmt.Errorf("read bundle %s: %w", x.name, err)
		}
	}
	return nil
}

// openPlain sets x.found to the node of an index, or of a manifest of the kind k.
func (x *want) openPlain(repo name.Repository, desc v1.Descriptor, m *oci.Manifest, k Kind) {
	x.found = &Node{Descriptor: desc, Kind: k, From: repo, Blobs: m.Blobs}
	if !m.IsIndex {
		return
	}
	x.found.Kind, x.found.Derived = Index, indexDerivation(m)
	for i := range m.Children {
		child := &m.Children[i]
		ref := repo.Digest(child.Digest.String())
		x.next = append(x.next, &want{ref: ref, name: ref.Name(), by: x, tries: []name.Reference{ref}, desc: child, platform: m.Platforms[i]})
	}
}

// openBundle reads the lock and the Packages of a bundle.
func (w *walk) openBundle(ctx context.Context, x *want, m *oci.Manifest) error {
	repo := x.found.From
	var lock *carvel.ImagesLock
	packages := w.opt.Renderer.Packages(x.found.Descriptor.Digest, func(d carvel.PackageDocument) bool { return x.packages.add(d) })
	findings, err := readPackages(ctx, w.src, repo, m, packages, func(data []byte) (err error) {
		if lock == nil { // the first one counts
			lock, err = carvel.ParseImagesLock(data)
		}
		return err
	})
	if err != nil {
		return err
	}
	x.packages.findings, x.found.HasPackages = findings, packages.Any()
	if err := w.count(x.packages.size); err != nil {
		return err
	}
	if lock == nil {
		return carvel.ImgpkgError{Err: fmt.Errorf("%w: has no %s", oci.ErrMalformed, carvel.LockFile)}
	}
	wanted := len(lock.Images)
	for _, p := range x.packages.packages {
		wanted += len(p.Fetches)
	}
	if wanted > maxChildren {
		return fmt.Errorf("%w: names %d images, more than the limit of %d", oci.ErrMalformed, wanted, maxChildren)
	}
	if err := w.count(edgeWeight * len(lock.Images)); err != nil {
		return err
	}
	var local map[string]bool
	elsewhere := func(e carvel.LockEntry) bool { return e.Image.Context().Name() != repo.Name() }
	if !w.opt.Closed && slices.ContainsFunc(lock.Images, elsewhere) {
		if local, err = w.locations(ctx, x.found); err != nil {
			return err
		}
	}
	x.wantLocked(lock, local)
	x.wantFetched(lock, w.opt.Has)
	return nil
}

// locations returns the digests that, according to its locations image, the bundle n has in its own
// repository; nil when it has no such image. It has none that matters when its lock names no other
// repository.
func (w *walk) locations(ctx context.Context, n *Node) (map[string]bool, error) {
	l, err := n.ReadLocations(ctx, w.src, n.From)
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	local := map[string]bool{}
	for _, image := range l.Images {
		local[image.Image.DigestStr()] = true
	}
	return local, nil
}

// edgeWeight is the number of descriptors that an entry of a lock, a fetch or a child of an index counts
// as. It takes about a kilobyte of memory.
const edgeWeight = 4

// count adds n to the size of what the walk holds in memory. The unit is one descriptor.
func (w *walk) count(n int) error {
	if w.held.Add(int64(n)) > maxDescriptors {
		return fmt.Errorf("%w: the graph has more than %d descriptors and documents", oci.ErrMalformed, maxDescriptors)
	}
	return nil
}
