package tarball

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/render"
)

// imgpkgText reads a manifest or config out of manifest.json.
func (a *Archive) imgpkgText(d v1.Hash) ([]byte, error) {
	at := a.imgpkg.texts[d]
	spelled := make([]byte, at.spelled) // at most maxImgpkgEntry
	if _, err := a.r.ReadAt(spelled, at.at); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s: %w", imgpkgDocument, err)
	}
	var text string
	if err := json.Unmarshal(spelled, &text); err != nil { // it was valid when the file was opened
		return nil, fmt.Errorf("%w: %s: %s can no longer be read", digest.ErrMismatch, imgpkgDocument, d)
	}
	return []byte(text), digest.Check([]byte(text), d)
}

// maxReading is how many texts are in memory at once.
const maxReading = 4

// spelled reads a text that is spelled as JSON in the file. It reads all of it for each part, so
// that nothing stays in memory.
type spelled struct {
	a *Archive
	d v1.Hash
}

func (s spelled) ReadAt(p []byte, at int64) (int, error) {
	s.a.reading <- struct{}{}
	defer func() { <-s.a.reading }()
	text, err := s.a.imgpkgText(s.d)
	if err = errors.Join(err, s.a.Unchanged()); err != nil {
		return 0, err
	}
	return bytes.NewReader(text).ReadAt(p, at)
}

// has reports whether the archive has what ref names.
func (a *Archive) has(ref name.Reference) bool {
	d, ok := a.pins[ref.Name()]
	if !ok {
		d, _ = v1.NewHash(ref.Identifier())
	}
	return a.mediaType[d] != ""
}

// imgpkgRoots returns what was exported: the entries with imgpkg's label or a tag; where none has
// the label, all. What is attached to others is not a root.
func (a *Archive) imgpkgRoots() []name.Reference {
	var roots []name.Reference
	labelled := slices.ContainsFunc(a.imgpkg.top, func(t imgpkgTop) bool { return t.isRoot })
	for _, t := range a.imgpkg.top {
		if t.attachments() == nil && (t.isRoot || t.tag != "" || (!labelled && t.pins == nil)) {
			roots = append(roots, t.reference())
		}
	}
	return roots
}

// imgpkgPlan walks the roots as Plan does. What no root needs is also a root, because imgpkg
// imports it.
func (a *Archive) imgpkgPlan(ctx context.Context, jobs int, r *render.Renderer) (*bundle.Plan, error) {
	roots := a.imgpkgRoots()
	g, err := a.imgpkgWalk(ctx, roots, jobs, r)
	if err != nil {
		return nil, err
	}
	n := len(roots)
	for _, t := range a.imgpkg.top {
		if g.Node(t.digest) == nil {
			roots = append(roots, t.ref)
		}
	}
	if len(roots) > n {
		if g, err = a.imgpkgWalk(ctx, roots, jobs, r); err != nil {
			return nil, err
		}
	}
	for d := range a.mediaType {
		if g.Node(d) == nil {
			return nil, fmt.Errorf("%w: %s has manifest %s in an index that does not name it", ErrDamaged, imgpkgDocument, d)
		}
	}
	for _, n := range g.Nodes {
		if n.From, err = name.NewRepository(a.imgpkg.from[n.Descriptor.Digest]); err != nil {
			return nil, err
		}
	}
	a.share(g)
	return a.imgpkgLayers(g)
}

func (a *Archive) imgpkgWalk(ctx context.Context, roots []name.Reference, jobs int, r *render.Renderer) (*bundle.Graph, error) {
	opt := bundle.WalkOptions{Jobs: jobs, Closed: true, Has: a.has, Renderer: r}
	for _, t := range a.imgpkg.top {
		opt.Attachments = append(opt.Attachments, t.attachments()...)
	}
	for ref, d := range a.pins {
		opt.Pins = append(opt.Pins, bundle.Pin{Reference: ref, Digest: d})
	}
	g, err := bundle.Walk(ctx, a, roots, opt)
	if errors.Is(err, fs.ErrNotExist) && !isMissing(err) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return g, err
}

// imgpkgLayers plans the graph. Layers that may not be distributed are omitted where the tar does
// not have them. Any other missing layer is damage.
func (a *Archive) imgpkgLayers(g *bundle.Graph) (*bundle.Plan, error) {
	without, err := bundle.NewPlan(g, bundle.PlanOptions{})
	if err != nil {
		return nil, err
	}
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{NonDistributable: true})
	if err != nil {
		return nil, err
	}
	left := map[v1.Hash]bool{}
	for _, o := range without.Omitted {
		if _, ok := a.index[o.Digest]; !ok {
			left[o.Digest] = true
			plan.Omitted = append(plan.Omitted, o)
		}
	}
	plan.Blobs = slices.DeleteFunc(plan.Blobs, func(b bundle.Blob) bool { return left[b.Descriptor.Digest] })
	for _, b := range plan.Blobs {
		d := b.Descriptor
		i, ok := a.index[d.Digest]
		_, isText := a.imgpkg.texts[d.Digest]
		switch {
		case ok && a.l.blobs[i].Size != d.Size:
			return nil, fmt.Errorf("%w: %s has %d bytes, %s says %d", ErrDamaged, imgpkgName(d.Digest), a.l.blobs[i].Size, b.Node.Name(), d.Size)
		case !ok && !isText:
			return nil, fmt.Errorf("%w: it does not hold %s, a layer of %s", ErrDamaged, imgpkgName(d.Digest), b.Node.Name())
		}
	}
	return imgpkgOrder(plan), nil
}

// Surplus returns how many members of a tar in imgpkg's format are neither its document nor layers,
// and how many layers plan does not need. imgpkg ignores both. An archive in relocate's format has
// neither.
func (a *Archive) Surplus(plan *bundle.Plan) (others, layers int) {
	if a.imgpkg == nil {
		return 0, 0
	}
	layers = len(a.l.blobs)
	for _, b := range plan.Blobs {
		if _, ok := a.index[b.Descriptor.Digest]; ok {
			layers--
		}
	}
	return a.members.others, layers
}
