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

// hanging is an attachment that is looked for.
type hanging struct {
	Attachment
	ref    name.Reference
	listed bool   // a registry says that it is there
	found  *want  // nil when it is not carried
	reason string // why not
}

// attach takes into the graph what is attached to its nodes, and what is attached to that, level by level.
// Attachments are read as images and indexes; none makes a bundle.
func (w *walk) attach(ctx context.Context) error {
	w.attaching = true
	w.graph.attached = map[v1.Hash][]Attachment{}
	for depth, from := 0, 0; from < len(w.graph.Nodes); depth++ {
		subjects := w.graph.Nodes[from:]
		from = len(w.graph.Nodes)
		list, err := w.hanging(ctx, subjects)
		if err != nil {
			return err
		}
		if len(list) > 0 && depth == maxAttachedDepth {
			return fmt.Errorf("%w: %s is attached to something that is attached, and so on, more than %d deep", oci.ErrMalformed, list[0].ref, maxAttachedDepth)
		}
		if err := w.each(ctx, len(list), func(ctx context.Context, i int) error { return w.hang(ctx, list[i]) }); err != nil {
			return err
		}
		if err := w.registerAttached(ctx, list); err != nil {
			return err
		}
	}
	slices.SortFunc(w.graph.Unseen, Unseen.Compare)
	w.graph.Unseen = slices.Compact(w.graph.Unseen)
	return nil
}

// hanging returns what may be attached to the subjects, in graph order.
func (w *walk) hanging(ctx context.Context, subjects []*Node) ([]*hanging, error) {
	if w.opt.Closed {
		return w.recorded(subjects)
	}
	if w.opt.Discovery == nil {
		return nil, nil
	}
	return w.discover(ctx, subjects)
}

// recorded returns the attachments that opt knows. What cannot be attached is left out.
func (w *walk) recorded(subjects []*Node) ([]*hanging, error) {
	if w.attachments == nil {
		w.attachments = map[v1.Hash][]Attachment{}
		for _, a := range w.opt.Attachments {
			if a.fits() {
				w.attachments[a.Subject] = append(w.attachments[a.Subject], a)
			}
		}
	}
	var list []*hanging
	for _, n := range subjects {
		attached := w.attachments[n.Descriptor.Digest]
		if len(attached) > maxAttached {
			return nil, tooMany(n)
		}
		slices.SortFunc(attached, Attachment.compare)
		for _, a := range slices.Compact(attached) {
			list = append(list, &hanging{Attachment: a, ref: n.From.Digest(a.Digest.String())})
		}
	}
	return list, nil
}

func tooMany(n *Node) error {
	return fmt.Errorf("%w: %s has more than %d attachments", oci.ErrMalformed, n.Name(), maxAttached)
}

// hang reads the manifest of an attachment. That it cannot be carried is left in h.
func (w *walk) hang(ctx context.Context, h *hanging) error {
	desc, raw, err := w.manifest(ctx, h.ref)
	if h.reason = w.whyUnread(err); h.reason != "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find %s, attached to %s: %w", h.ref.Name(), h.Subject, err)
	}
	h.listed = true
	m, err := oci.ParseManifest(desc, raw)
	switch {
	case err != nil:
		h.reason = unreadable
		return nil
	case h.Tag == "" && m.Subject != h.Subject.String():
		h.reason = otherSubject
		return nil
	}
	if err := w.count(len(m.Blobs) + edgeWeight*(1+len(m.Children))); err != nil {
		return fmt.Errorf("read %s: %w", h.ref.Name(), err)
	}
	if !w.opt.Closed { // what is known here can be left out; later the plan is fixed
		if h.reason, err = w.lacksPart(ctx, h.ref.Context(), m, 0); h.reason != "" || err != nil {
			return err
		}
	}
	h.Digest = desc.Digest
	h.found = &want{ref: h.ref, name: h.ref.Name()}
	h.found.openPlain(h.ref.Context(), desc, m, Attached)
	h.found.found.Subject = h.Subject
	return nil
}

// whyUnread returns for which reason an attachment is left out whose manifest could not be read with err; empty when
// it is not left out.
func (w *walk) whyUnread(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return gone
	case errors.Is(err, ErrUnreadable):
		return unreadable
	case errors.Is(err, fs.ErrPermission) && !w.opt.Closed:
		return refused
	}
	return ""
}

// maxRead is the size of the largest blob of an attachment that is read to see whether it is whole: a signature, or
// an attestation. For a larger one the registry is asked.
const maxRead = 1 << 20

// lacksPart returns why an attachment cannot be carried whose manifest m can: a blob is missing, or a child, or a
// part of one. What was read is kept by the source.
func (w *walk) lacksPart(ctx context.Context, repo name.Repository, m *oci.Manifest, depth int) (reason string, err error) {
	if reason, err = w.lacksBlob(ctx, repo, m.Blobs); reason != "" || err != nil {
		return reason, err
	}
	if depth > maxAttachedDepth {
		return unreadable, nil
	}
	for _, d := range m.Children {
		desc, raw, err := w.manifest(ctx, repo.Digest(d.Digest.String()))
		if reason = whyIncomplete(err); reason != "" {
			return reason, nil
		}
		if err != nil {
			return "", fmt.Errorf("read a part of an attachment in %s: %w", repo.Name(), err)
		}
		child, err := oci.ParseManifest(desc, raw)
		if err != nil || desc.Size != d.Size || desc.MediaType != d.MediaType {
			return unreadable, nil
		}
		if reason, err = w.lacksPart(ctx, repo, child, depth+1); reason != "" || err != nil {
			return reason, err
		}
	}
	return "", nil
}

// whyIncomplete returns for which reason an attachment is left out of which a part could not be read with err; empty
// when it is not left out.
func whyIncomplete(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, digest.ErrMismatch):
		return incomplete
	case errors.Is(err, fs.ErrPermission):
		return refused
	}
	return ""
}

// lacksBlob does so for blobs.
func (w *walk) lacksBlob(ctx context.Context, repo name.Repository, blobs []v1.Descriptor) (reason string, err error) {
	for _, d := range blobs {
		if oci.IsForeign(d) {
			continue
		}
		if d.Size <= maxRead {
			err = w.readBlob(ctx, repo, d)
		} else if has, askErr := w.opt.Discovery.HasBlob(ctx, repo, d); askErr != nil || !has {
			err = cmp.Or[error](askErr, fs.ErrNotExist)
		}
		if reason = whyIncomplete(err); reason != "" {
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

// tagged returns what is attached already by the tag of h, to the same subject.
func (w *walk) tagged(h *hanging) (v1.Hash, bool) {
	for _, a := range w.graph.attached[h.Subject] {
		if h.Tag != "" && a.Tag == h.Tag {
			return a.Digest, true
		}
	}
	return v1.Hash{}, false
}

// registerAttached takes a level of attachments into the graph, and the children of indexes among them.
func (w *walk) registerAttached(ctx context.Context, list []*hanging) error {
	var next []*want
	for _, h := range list {
		if !w.leaveOut(h) {
			next = append(next, w.keep(h)...)
		}
	}
	return w.levels(ctx, next)
}

// leaveOut reports whether an attachment is not taken into the graph, and notes why not.
func (w *walk) leaveOut(h *hanging) bool {
	first, isTagged := w.tagged(h)
	switch {
	case h.found != nil && w.hangsOn(h.Subject, h.Digest):
		h.found, h.reason = nil, circular
	case h.reason == otherSubject && w.isAttached(h): // Harbor lists cosign's tags among referrers
		return true
	case isTagged && h.found != nil && first == h.Digest: // WalkOptions.Signatures has it, too
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

// keep takes an attachment into the graph, and returns what it needs and the graph does not have.
func (w *walk) keep(h *hanging) (next []*want) {
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

// isAttached reports whether the same manifest hangs on the subject by its tag.
func (w *walk) isAttached(h *hanging) bool {
	return slices.ContainsFunc(w.graph.attached[h.Subject], func(a Attachment) bool { return a.Tag != "" && a.Digest == h.Digest })
}

// hangsOn reports whether subject is d, or hangs on it.
func (w *walk) hangsOn(subject, d v1.Hash) bool {
	for subject != d {
		if subject = w.graph.byDigest[subject].Subject; subject == (v1.Hash{}) {
			return false
		}
	}
	return true
}

// noteUnseen reports what is listed, or there, and not carried. A Closed walk reports nothing: what is
// recorded and not carried is missing from its graph.
func (w *walk) noteUnseen(h *hanging) {
	switch {
	case w.opt.Closed:
	case h.reason == refused && !h.listed: // the tags that were asked for one by one
		w.graph.Unseen = append(w.graph.Unseen, Unseen{h.ref.Context().Name(), unseenTags, refused})
	case h.listed:
		w.graph.Unseen = append(w.graph.Unseen, Unseen{h.ref.Name(), unseenManifest, h.reason})
	}
}
