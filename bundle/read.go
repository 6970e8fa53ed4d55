package bundle

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/carvel"
	"relocate/internal/imgpkg"
	"relocate/oci"
	"relocate/render"
)

// ErrNotBundle says that a reference names an image or an index instead of a bundle.
var ErrNotBundle = errors.New("is not a bundle")

// ReadBundle reads the manifest, config and layer of the bundle ref, but none of the images that it
// names. The graph has one node without children, and the bundle's packages, for which r runs templates;
// without r, the files are read as they are.
//
// Errors: as Walk; ErrNotBundle.
func ReadBundle(ctx context.Context, src Source, ref name.Reference, r *render.Renderer) (*Graph, error) {
	w := &walk{src: src, opt: WalkOptions{Renderer: r}, graph: &Graph{byDigest: map[v1.Hash]*Node{}}, pinned: map[string]v1.Hash{}, seen: map[string]*want{}}
	x := w.add(&want{ref: ref, name: ref.Name(), tries: []name.Reference{ref}})
	desc, raw, err := w.manifest(ctx, ref)
	if isAbsent(err) {
		return nil, &MissingError{Reference: x.name, Tried: []string{ref.Name()}, err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", x.name, err)
	}
	w.opt.Closed = true // the locations image is not needed
	if err := w.open(ctx, x, ref.Context(), desc, raw); err != nil {
		return nil, err
	}
	if x.found.Kind != Bundle {
		return nil, fmt.Errorf("%s %w: its %s has no label %s", x.name, ErrNotBundle, x.found.Kind, imgpkg.Label)
	}
	if _, err := w.register([]*want{x}, nil); err != nil {
		return nil, err
	}
	x.next = nil
	return w.graph, w.finish([]name.Reference{ref})
}

// ReadNode reads the manifest ref and the config of an image, which says whether it is a bundle. It does
// not read the images that a bundle names, so only an index has Children.
//
// Errors: as Source.Manifest; oci.ErrMalformed. When only the config cannot be read, it returns both a
// node and an error.
func ReadNode(ctx context.Context, src Source, ref name.Digest) (*Node, error) {
	desc, raw, err := (&walk{src: src}).manifest(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ref.Name(), err)
	}
	m, err := oci.ParseManifest(desc, raw)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ref.Name(), err)
	}
	x := &want{ref: ref, name: ref.Name()}
	x.openPlain(ref.Context(), desc, m, Plain)
	x.found.References = []string{x.name}
	for _, child := range x.next {
		x.found.Children = append(x.found.Children, child.desc.Digest)
	}
	if m.IsIndex {
		return x.found, nil
	}
	config, err := readConfig(ctx, src, ref.Context(), m)
	if err != nil {
		return x.found, fmt.Errorf("read %s: %w", ref.Name(), err)
	}
	if config.IsBundle {
		x.found.Kind, x.found.Derived, x.found.Manifests = Bundle, derivation(config), config.Manifests
	}
	return x.found, nil
}

// Versions returns the versions of the package with the name pkg, newest first, each once.
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
