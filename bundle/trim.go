package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/carvel"
	"relocate/internal/digest"
	"relocate/internal/imgpkg"
	"relocate/oci"
)

// Trim adds to o, a source of what g names, an index without the children that are left out for each
// index that has some, and then a bundle for each bundle whose lock names what was changed, up to the
// roots. It returns the manifests that stand for others. opt are the options of the walk of g.
//
// A lock names what was made, and keeps its annotations. What a Package fetches and no lock covers is
// not changed.
//
// Errors: oci.ErrMalformed for a lock that cannot be changed; those of o.
func Trim(ctx context.Context, o *Overlay, g *Graph, opt WalkOptions) (map[v1.Hash]v1.Hash, error) {
	t := &trimming{overlay: o, graph: g, opt: opt, made: map[v1.Hash]v1.Descriptor{}, done: map[v1.Hash]bool{}}
	for _, n := range g.Nodes {
		if err := t.visit(ctx, n); err != nil {
			return nil, fmt.Errorf("derive from %s: %w", n.Name(), err)
		}
	}
	return t.changed(g.Nodes), nil
}

// trimming is a run of Trim.
type trimming struct {
	overlay *Overlay
	graph   *Graph
	opt     WalkOptions
	made    map[v1.Hash]v1.Descriptor // in place of others
	done    map[v1.Hash]bool
}

// visit makes what stands for n, after all that n names.
func (t *trimming) visit(ctx context.Context, n *Node) error {
	d := n.Descriptor.Digest
	if t.done[d] {
		return nil
	}
	t.done[d] = true
	var named []*Node // by digest, so that there is no circle
	switch n.Kind {
	case Index:
		for _, child := range n.Children {
			named = append(named, t.graph.Node(child))
		}
	case Bundle:
		for _, ref := range n.Locked {
			named = append(named, t.graph.Node(oci.HashOf(ref)))
		}
	}
	for _, child := range named {
		if err := t.visit(ctx, child); err != nil {
			return err
		}
	}
	changed := t.changed(named)
	switch {
	case n.Kind == Index && len(n.Without)+len(changed) > 0:
		return t.index(ctx, n)
	case n.Kind == Bundle && len(changed) > 0:
		return t.bundle(ctx, n, changed)
	}
	return nil
}

// changed returns what stands for nodes of a list.
func (t *trimming) changed(nodes []*Node) map[v1.Hash]v1.Hash {
	changed := map[v1.Hash]v1.Hash{}
	for _, n := range nodes {
		if to, ok := t.made[n.Descriptor.Digest]; ok {
			changed[n.Descriptor.Digest] = to.Digest
		}
	}
	return changed
}

// index makes an index without the children that are left out.
func (t *trimming) index(ctx context.Context, n *Node) error {
	_, raw, err := t.overlay.Manifest(ctx, n.reference())
	if err != nil {
		return err
	}
	without := map[v1.Hash]bool{}
	for _, child := range n.Without {
		without[child.Digest] = true
	}
	raw, err = oci.Trim(raw, func(d v1.Hash) bool { return without[d] }, t.made, imgpkg.LabelDerivedFrom, n.Descriptor.Digest.String())
	if err != nil {
		return err
	}
	return t.add(n, v1.Descriptor{MediaType: n.Descriptor.MediaType, Size: int64(len(raw)), Digest: digest.Of(raw)}, raw)
}

// bundle makes a bundle whose lock names what stands for what it named.
func (t *trimming) bundle(ctx context.Context, n *Node, changed map[v1.Hash]v1.Hash) error {
	config, err := t.read(ctx, n, n.Blobs[0])
	if err != nil {
		return err
	}
	r, err := t.overlay.Blob(ctx, n.From, n.Blobs[1])
	if err != nil {
		return fmt.Errorf("layer %s: %w", n.Blobs[1].Digest, err)
	}
	image, err := imgpkg.Repack(config, r, func(path string, data []byte) ([]byte, error) {
		if path != carvel.LockFile {
			return nil, nil
		}
		return carvel.Relock(data, changed)
	}, t.labels(n))
	if _, damaged := io.Copy(io.Discard, r); damaged != nil { // the digest is compared at the end
		return errors.Join(fmt.Errorf("layer %s: %w", n.Blobs[1].Digest, damaged), r.Close())
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("%w: %w", oci.ErrMalformed, err)
	}
	return t.add(n, image.Descriptor, image.Manifest, image.Config, image.Layer)
}

// labels are those of what stands for the bundle n. Where n was made of another one just now, they say that
// instead.
func (t *trimming) labels(n *Node) map[string]string {
	labels := map[string]string{imgpkg.LabelDerivedFrom: n.Descriptor.Digest.String(), imgpkg.LabelPlatforms: platformsText(t.opt.Platforms)}
	if n.Derived != nil && t.overlay.Has(n.Descriptor.Digest) {
		labels[imgpkg.LabelDerivedFrom] = n.Derived.From.String()
		if n.Derived.Choice != "" {
			labels[imgpkg.LabelChoice] = n.Derived.Choice
		}
	}
	return labels
}

// add adds what stands for n, where n was found.
func (t *trimming) add(n *Node, desc v1.Descriptor, raw []byte, blobs ...[]byte) error {
	t.made[n.Descriptor.Digest] = desc
	t.overlay.Add(desc, raw, n.Descriptor.Digest)
	if !t.opt.Closed {
		t.overlay.in(desc.Digest, n.From)
	}
	for _, b := range blobs {
		if err := t.overlay.keep(b); err != nil {
			return err
		}
	}
	return nil
}

// read reads a small blob.
func (t *trimming) read(ctx context.Context, n *Node, d v1.Descriptor) ([]byte, error) {
	r, err := t.overlay.Blob(ctx, n.From, d)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", d.Digest, err)
	}
	raw, err := io.ReadAll(r) // at most oci.MaxSize: the walk has checked it
	return raw, errors.Join(err, r.Close())
}

// reference names n where it was found.
func (n *Node) reference() name.Reference { return n.From.Digest(n.Descriptor.Digest.String()) }

// platformsText returns platforms for a label, sorted, each once.
func platformsText(platforms []v1.Platform) string {
	var list []string
	for _, p := range platforms {
		list = append(list, p.String())
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), " ")
}
