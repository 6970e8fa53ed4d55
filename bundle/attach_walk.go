package bundle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/digest"
	"relocate/oci"
)

// candidate is an attachment that may exist.
type candidate struct {
	Attachment
	ref    name.Reference
	listed bool   // a registry lists it
	found  *want  // nil when it is left out
	reason string // why it is left out
}

// attach adds to the graph what is attached to its nodes, and what is attached to that, level by level.
// Attachments are images and indexes, never bundles.
func (w *walk) attach(ctx context.Context) error {
	w.attaching = true
	w.graph.attached = map[v1.Hash][]Attachment{}
	for depth, from := 0, 0; from < len(w.graph.Nodes); depth++ {
		subjects := w.graph.Nodes[from:]
		from = len(w.graph.Nodes)
		list, err := w.candidates(ctx, subjects)
		if err != nil {
			return err
		}
		if len(list) > 0 && depth == maxAttachedDepth {
			return fmt.Errorf("%w: %s is attached to something that is attached, and so on, more than %d deep", oci.ErrMalformed, list[0].ref, maxAttachedDepth)
		}
		if err := w.each(ctx, len(list), func(ctx context.Context, i int) error { return w.readCandidate(ctx, list[i]) }); err != nil {
			return err
		}
		if err := w.registerAttached(ctx, list); err != nil {
			return err
		}
	}
	slices.SortFunc(w.graph.Unseen, Unseen.Compare)
	w.graph.Unseen = slices.Compact(w.graph.Unseen)
	return w.attachedToReplaced(ctx)
}

// attachedToReplaced lists what is attached directly to manifests in place of which others were made.
// What cannot be read there is nothing that the graph lacks.
func (w *walk) attachedToReplaced(ctx context.Context) error {
	unseen := w.graph.Unseen
	list, err := w.candidates(ctx, w.opt.Replaced)
	w.graph.Unseen = unseen
	if err != nil {
		return err
	}
	if err := w.each(ctx, len(list), func(ctx context.Context, i int) error {
		_, _, err := w.readAttached(ctx, list[i])
		return err
	}); err != nil {
		return err
	}
	for _, h := range list {
		if h.reason == "" && !slices.Contains(w.graph.Inapplicable, h.Attachment) {
			w.graph.Inapplicable = append(w.graph.Inapplicable, h.Attachment)
		}
	}
	return nil
}

// candidates returns what may be attached to the subjects, in graph order.
func (w *walk) candidates(ctx context.Context, subjects []*Node) ([]*candidate, error) {
	if w.opt.Closed {
		return w.recorded(subjects)
	}
	if w.opt.Discovery == nil {
		return nil, nil
	}
	if w.opt.Made != nil {
		subjects = slices.DeleteFunc(slices.Clone(subjects), func(n *Node) bool { return w.opt.Made(n.Descriptor.Digest) })
	}
	return w.discover(ctx, subjects)
}

// recorded returns the attachments in opt, without those whose tag does not fit.
func (w *walk) recorded(subjects []*Node) ([]*candidate, error) {
	if w.attachments == nil {
		w.attachments = map[v1.Hash][]Attachment{}
		for _, a := range w.opt.Attachments {
			if a.fits() {
				w.attachments[a.Subject] = append(w.attachments[a.Subject], a)
			}
		}
	}
	var list []*candidate
	for _, n := range subjects {
		attached := w.attachments[n.Descriptor.Digest]
		if len(attached) > maxAttached {
			return nil, tooMany(n)
		}
		slices.SortFunc(attached, Attachment.compare)
		for _, a := range slices.Compact(attached) {
			list = append(list, &candidate{Attachment: a, ref: n.From.Digest(a.Digest.String())})
		}
	}
	return list, nil
}

func tooMany(n *Node) error {
	return fmt.Errorf("%w: %s has more than %d attachments", oci.ErrMalformed, n.Name(), maxAttached)
}

// readAttached reads the manifest of an attachment. When it must be left out, h.reason says why.
func (w *walk) readAttached(ctx context.Context, h *candidate) (desc v1.Descriptor, m *oci.Manifest, err error) {
	desc, raw, err := w.manifest(ctx, h.ref)
	if h.reason = w.skipReason(err); h.reason != "" {
		return desc, nil, nil
	}
	if err != nil {
		return desc, nil, fmt.Errorf("find %s, attached to %s: %w", h.ref.Name(), h.Subject, err)
	}
	h.listed = true
	m, err = oci.ParseManifest(desc, raw)
	switch {
	case err != nil:
		h.reason = unreadable
		return desc, nil, nil
	case h.Tag == "" && m.Subject != h.Subject.String():
		h.reason = otherSubject
		return desc, nil, nil
	}
	h.Digest = desc.Digest
	return desc, m, nil
}

// readCandidate reads an attachment. When it must be left out, h.reason says why.
func (w *walk) readCandidate(ctx context.Context, h *candidate) error {
	desc, m, err := w.readAttached(ctx, h)
	if h.reason != "" || err != nil {
		return err
	}
	if err := w.count(len(m.Blobs) + edgeWeight*(1+len(m.Children))); err != nil {
		return fmt.Errorf("read %s: %w", h.ref.Name(), err)
	}
	if !w.opt.Closed { // a plan is not fixed yet, so the attachment can be left out
		if h.reason, err = w.checkParts(ctx, h.ref.Context(), m, 0); h.reason != "" || err != nil {
			return err
		}
	}
	h.found = &want{ref: h.ref, name: h.ref.Name()}
	h.found.openPlain(h.ref.Context(), desc, m, Attached)
	h.found.found.Subject = h.Subject
	return nil
}

// skipReason returns why an attachment is left out when reading its manifest gave err; empty when err
// does not allow that.
func (w *walk) skipReason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return gone
	case errors.Is(err, oci.ErrUnreadable):
		return unreadable
	case errors.Is(err, fs.ErrPermission) && !w.opt.Closed:
		return refused
	}
	return ""
}

// maxRead is the size in bytes of the largest blob of an attachment, such as a signature, that is read
// to check it. The registry is asked whether it has larger ones.
const maxRead = 1 << 20

// checkParts checks the blobs and children of an attachment with the manifest m. It returns why the
// attachment must be left out, or an empty reason.
func (w *walk) checkParts(ctx context.Context, repo name.Repository, m *oci.Manifest, depth int) (reason string, err error) {
	if reason, err = w.checkBlobs(ctx, repo, m.Blobs); reason != "" || err != nil {
		return reason, err
	}
	if depth > maxAttachedDepth {
		return unreadable, nil
	}
	for _, d := range m.Children {
		desc, raw, err := w.manifest(ctx, repo.Digest(d.Digest.String()))
		if reason = partReason(err); reason != "" {
			return reason, nil
		}
		if err != nil {
			return "", fmt.Errorf("read a part of an attachment in %s: %w", repo.Name(), err)
		}
		child, err := oci.ParseManifest(desc, raw)
		if err != nil || desc.Size != d.Size || desc.MediaType != d.MediaType {
			return unreadable, nil
		}
		if reason, err = w.checkParts(ctx, repo, child, depth+1); reason != "" || err != nil {
			return reason, err
		}
	}
	return "", nil
}

// partReason returns why an attachment is left out when reading a part of it gave err; empty when err
// does not allow that.
func partReason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, digest.ErrMismatch):
		return incomplete
	case errors.Is(err, fs.ErrPermission):
		return refused
	}
	return ""
}

// checkBlobs is checkParts for blobs.
func (w *walk) checkBlobs(ctx context.Context, repo name.Repository, blobs []v1.Descriptor) (reason string, err error) {
	for _, d := range blobs {
		if oci.IsForeign(d) {
			continue
		}
		if d.Size <= maxRead {
			err = w.readBlob(ctx, repo, d)
		} else if has, askErr := w.opt.Discovery.HasBlob(ctx, repo, d); askErr != nil || !has {
			err = cmp.Or[error](askErr, fs.ErrNotExist)
		}
		if reason = partReason(err); reason != "" {
			return reason, nil
		}
		if err != nil {
			return "", fmt.Errorf("read blob %s of an attachment in %s: %w", d.Digest, repo.Name(), err)
		}
	}
	return "", nil
}

func (w *walk) readBlob(ctx context.Context, repo name.Repository, d v1.Descriptor) error {
	r, err := w.src.Blob(ctx, repo, d)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

// attachedByTag returns the digest of the attachment that already has the tag of h and its subject.
func (w *walk) attachedByTag(h *candidate) (v1.Hash, bool) {
	for _, a := range w.graph.attached[h.Subject] {
		if h.Tag != "" && a.Tag == h.Tag {
			return a.Digest, true
		}
	}
	return v1.Hash{}, false
}

// registerAttached adds a level of attachments, and the children of their indexes, to the graph.
func (w *walk) registerAttached(ctx context.Context, list []*candidate) error {
	var next []*want
	for _, h := range list {
		if !w.skip(h) {
			next = append(next, w.addAttachment(h)...)
		}
	}
	return w.levels(ctx, next)
}

// skip reports whether an attachment is left out of the graph, and notes why.
func (w *walk) skip(h *candidate) bool {
	first, isTagged := w.attachedByTag(h)
	switch {
	case h.found != nil && w.isBelow(h.Subject, h.Digest):
		h.found, h.reason = nil, circular
	case h.reason == otherSubject && w.isAttached(h): // Harbor lists cosign's tags among referrers
		return true
	case isTagged && h.found != nil && first == h.Digest: // WalkOptions.Signatures has it too
		return true
	case isTagged && h.found != nil:
		h.found, h.listed, h.reason = nil, true, second
	}
	if h.found != nil {
		return false
	}
	w.noteUnseen(h)
	return true
}

// addAttachment adds an attachment to the graph. It returns the children that the graph does not have.
func (w *walk) addAttachment(h *candidate) (next []*want) {
	g := w.graph
	g.Attachments = append(g.Attachments, h.Attachment)
	g.attached[h.Subject] = append(g.attached[h.Subject], h.Attachment)
	n := g.byDigest[h.Digest]
	if n == nil {
		n = h.found.found
		g.byDigest[h.Digest], w.seen[h.Digest.String()] = n, h.found
		g.Nodes = append(g.Nodes, n)
		for _, child := range h.found.next {
			if added := w.add(child); added != nil {
				next = append(next, added)
			}
		}
	}
	if h.Tag != "" {
		n.Tags = append(n.Tags, h.Tag)
	}
	return next
}

// isAttached reports whether the same manifest is attached to the subject by a tag.
func (w *walk) isAttached(h *candidate) bool {
	return slices.ContainsFunc(w.graph.attached[h.Subject], func(a Attachment) bool { return a.Tag != "" && a.Digest == h.Digest })
}

// isBelow reports whether subject is d, or is attached to d directly or through others.
func (w *walk) isBelow(subject, d v1.Hash) bool {
	for subject != d {
		if subject = w.graph.byDigest[subject].Subject; subject == (v1.Hash{}) {
			return false
		}
	}
	return true
}

// noteUnseen records an attachment that exists or may exist, and is left out. A Closed walk records
// nothing: its graph shows which recorded attachments are missing.
func (w *walk) noteUnseen(h *candidate) {
	switch {
	case w.opt.Closed:
	case h.reason == refused && !h.listed: // a tag that was requested by name
		w.graph.Unseen = append(w.graph.Unseen, Unseen{h.ref.Context().Name(), unseenTags, refused})
	case h.listed:
		w.graph.Unseen = append(w.graph.Unseen, Unseen{h.ref.Name(), unseenManifest, h.reason})
	}
}
