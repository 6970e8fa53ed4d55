package bundle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/oci"
)

// ReadDetails reads what the repository bundle ref says of a package and, when version is not empty, of that
// version of it. It reads manifest, config and bundle layer; of several documents alike, the first
// Package and the last PackageMetadata count.
func ReadDetails(ctx context.Context, src Source, ref name.Digest, pkg, version string) (*carvel.Details, error) {
	m, err := readBundleManifest(ctx, src, ref)
	if err != nil {
		return nil, fmt.Errorf("read bundle %s: %w", ref.Name(), err)
	}
	d := &carvel.Details{}
	var unread error // which does not make the bundle malformed
	err = readBundleLayer(ctx, src, ref.Context(), m, carvel.IsPackageFile, func(file string, data []byte) error {
		if err := d.AddFile(data, pkg, version); err != nil && unread == nil {
			unread = fmt.Errorf("%s: %w", text.Quote(file), err)
		}
		return nil
	})
	if err = cmp.Or(err, unread); err != nil {
		return nil, fmt.Errorf("read bundle %s: %w", ref.Name(), err)
	}
	return d, nil
}

// ErrNotBundle says that an image or an index is where a bundle is wanted.
var ErrNotBundle = errors.New("is not a bundle")

// readBundleManifest reads the manifest of a bundle.
//
// Errors: ErrNotBundle.
func readBundleManifest(ctx context.Context, src Source, ref name.Digest) (*oci.Manifest, error) {
	desc, raw, err := src.Manifest(ctx, ref)
	if err != nil {
		return nil, err
	}
	m, err := oci.ParseManifest(desc, raw)
	if err != nil {
		return nil, err
	}
	if !m.IsIndex {
		if is, err := isBundle(ctx, src, ref.Context(), m); is || err != nil {
			return m, err
		}
	}
	return nil, fmt.Errorf("it %w", ErrNotBundle)
}

// ReadBundle reads the bundle ref alone: its manifest, config and layer, and nothing that it names. The graph
// has one node, without children, and the bundle's packages.
//
// Errors: as Walk.
func ReadBundle(ctx context.Context, src Source, ref name.Reference) (*Graph, error) {
	w := &walk{src: src, graph: &Graph{byDigest: map[v1.Hash]*Node{}}, pinned: map[string]v1.Hash{}, seen: map[string]*want{}}
	x := w.add(&want{ref: ref, name: ref.Name(), tries: []name.Reference{ref}})
	desc, raw, err := w.manifest(ctx, ref)
	if isAbsent(err) {
		return nil, &MissingError{Reference: x.name, Tried: []string{ref.Name()}, err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", x.name, err)
	}
	w.opt.Closed = true // what the bundle names is not looked for, so neither is where it may be
	if err := w.open(ctx, x, ref.Context(), desc, raw); err != nil {
		return nil, err
	}
	if x.found.Kind != Bundle {
		return nil, fmt.Errorf("%s %w: its %s has no label %s", x.name, ErrNotBundle, x.found.Kind, carvel.Label)
	}
	if _, err := w.register([]*want{x}, nil); err != nil {
		return nil, err
	}
	x.next = nil
	return w.graph, w.finish([]name.Reference{ref})
}

// Versions returns the versions of a package, the newest first, each once.
func (g *Graph) Versions(pkg string) []carvel.Package {
	var list []carvel.Package
	for _, p := range g.Packages {
		if p.Name == pkg {
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b carvel.Package) int { return carvel.CompareVersions(b.Version, a.Version) })
	return slices.CompactFunc(list, func(a, b carvel.Package) bool { return a.Version == b.Version })
}
