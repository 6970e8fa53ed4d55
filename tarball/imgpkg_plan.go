package tarball

import (
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
)

// imgpkgText reads a manifest or config out of manifest.json.
func (a *Archive) imgpkgText(d v1.Hash) ([]byte, error) {
	at := a.imgpkg.texts[d]
	spelled := make([]byte, at.spelled) // at most maxImgpkgEntry
	if _, err := a.r.ReadAt(spelled, at.at); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s: %w", imgpkgDocument, err)
	}
	var text string
	if err := json.Unmarshal(spelled, &text); err != nil { // it was none when the file was opened
		return nil, fmt.Errorf("%w: %s: %s cannot be read any more", digest.ErrMismatch, imgpkgDocument, d)
	}
	return []byte(text), digest.Check([]byte(text), d)
}

// has reports whether the archive has what ref names.
func (a *Archive) has(ref name.Reference) bool {
	d, ok := a.pins[ref.Name()]
	if !ok {
		d, _ = v1.NewHash(ref.Identifier())
	}
	return a.mediaType[d] != ""
}

// imgpkgRoots returns what was asked for: the entries with imgpkg's label or a tag; where none has the label,
// all. What is attached to another entry was asked for by nobody, unless nothing else is there.
func (a *Archive) imgpkgRoots(attached map[v1.Hash]bool) []name.Reference {
	c := a.imgpkg
	labelled := slices.ContainsFunc(c.top, func(t imgpkgTop) bool { return t.isRoot })
	var roots, others []name.Reference
	for _, t := range c.top {
		switch ref := t.reference(); {
		case attachedForm.MatchString(t.tag), attached[t.digest] && t.tag == "":
			others = append(others, ref)
		case t.isRoot || t.tag != "" || (!labelled && len(t.pins) == 0):
			roots = append(roots, ref)
		}
	}
	if roots == nil { // somebody has asked for a signature
		return others
	}
	return roots
}

// imgpkgAttachments returns what entries may be attached to: by cosign's tag, or, without any, by what the
// manifest names as its subject.
func (a *Archive) imgpkgAttachments(ctx context.Context) (list []bundle.Attachment, attached map[v1.Hash]bool, err error) {
	attached = map[v1.Hash]bool{}
	for _, t := range a.imgpkg.top {
		subject := ""
		if form := attachedForm.FindStringSubmatch(t.tag); form != nil {
			subject = "sha256:" + form[1]
		} else if t.tag == "" && !t.isRoot {
			_, raw, err := a.Manifest(ctx, t.reference())
			if err != nil {
				return nil, nil, err
			}
			subject = bundle.Subject(raw)
		}
		if d, err := v1.NewHash(subject); err == nil && a.mediaType[d] != "" {
			list = append(list, bundle.Attachment{Subject: d, Digest: t.digest, Tag: t.tag})
			attached[t.digest] = true
		}
	}
	return list, attached, nil
}

// imgpkgPlan walks the roots as Plan does. What no root leads to, and what is attached to nothing, is a root,
// too: imgpkg imports it.
func (a *Archive) imgpkgPlan(ctx context.Context, jobs int) (*bundle.Plan, error) {
	opt := bundle.WalkOptions{Jobs: jobs}
	attachments, attached, err := a.imgpkgAttachments(ctx)
	if err != nil {
		return nil, err
	}
	opt.Attachments = attachments
	roots := a.imgpkgRoots(attached)
	g, err := a.imgpkgWalk(ctx, roots, opt)
	if err != nil {
		return nil, err
	}
	var left []name.Reference
	for _, t := range a.imgpkg.top {
		if g.Node(t.digest) == nil {
			left = append(left, t.reference())
		}
	}
	if left != nil {
		if g, err = a.imgpkgWalk(ctx, slices.Concat(roots, left), opt); err != nil {
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

func (a *Archive) imgpkgWalk(ctx context.Context, roots []name.Reference, opt bundle.WalkOptions) (*bundle.Graph, error) {
	opt.Closed, opt.Has = true, a.has
	for ref, d := range a.pins {
		opt.Pins = append(opt.Pins, bundle.Pin{Reference: ref, Digest: d})
	}
	g, err := bundle.Walk(ctx, a, roots, opt)
	if errors.Is(err, fs.ErrNotExist) && bundle.Missing(err) == nil {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return g, err
}

// imgpkgLayers plans the graph. Of layers that may not be distributed those are omitted that the tar does not
// have; any other that it does not have is damage.
func (a *Archive) imgpkgLayers(g *bundle.Graph) (*bundle.Plan, error) {
	without, err := bundle.NewPlan(g, false)
	if err != nil {
		return nil, err
	}
	plan, err := bundle.NewPlan(g, true)
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

// Surplus returns how many members of a file in imgpkg's form are no part of it, and how many are layers that
// plan does not need. imgpkg passes over both; our own form has neither.
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
