package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/digest"
	"relocate/oci"
)

// place is a repository in which attachments are looked for. What it shows is asked for once.
type place struct {
	repo    name.Repository
	tags    map[string]bool // those that are made of digests
	hasAll  bool            // it has no others
	hasAPI  bool            // of referrers, and shows them
	first   *Node           // of which the API was asked
	answer  []v1.Hash       // what it said
	refused []Unseen
}

// discover asks registries what is attached to the subjects.
func (w *walk) discover(ctx context.Context, subjects []*Node) ([]*hanging, error) {
	var places []*place // that are new
	wanted := map[string]int{}
	for _, n := range subjects {
		repo := n.From.Name()
		if w.places[repo] == nil {
			w.places[repo] = &place{repo: n.From, first: n}
			places = append(places, w.places[repo])
		}
		wanted[repo] += len(oci.AttachmentTags(n.Descriptor.Digest))
	}
	err := w.each(ctx, len(places), func(ctx context.Context, i int) error {
		return w.enter(ctx, places[i], wanted[places[i].repo.Name()])
	})
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		w.graph.Unseen = append(w.graph.Unseen, p.refused...)
	}
	lists, unseen := make([][]*hanging, len(subjects)), make([][]Unseen, len(subjects))
	err = w.each(ctx, len(subjects), func(ctx context.Context, i int) (err error) {
		lists[i], unseen[i], err = w.search(ctx, w.places[subjects[i].From.Name()], subjects[i])
		return err
	})
	w.graph.Unseen = append(w.graph.Unseen, slices.Concat(unseen...)...)
	return slices.Concat(lists...), err
}

// enter asks a repository for its tags, and whether it has the referrers API. The listing is given up
// where it would take longer than to ask for the tags that are wanted.
func (w *walk) enter(ctx context.Context, p *place, wanted int) error {
	tags, all, err := w.opt.Discovery.Tags(ctx, p.repo, max(1, wanted/2))
	switch {
	case errors.Is(err, fs.ErrPermission):
		p.refused = append(p.refused, Unseen{p.repo.Name(), unseenTags, refused})
	case err != nil:
		return fmt.Errorf("list the tags of %s: %w", p.repo.Name(), err)
	}
	p.tags, p.hasAll = map[string]bool{}, all
	for _, tag := range tags {
		if oci.IsAttachmentTag(tag) {
			p.tags[strings.Clone(tag)] = true
		}
	}
	if err := w.count(len(p.tags)); err != nil {
		return fmt.Errorf("list the tags of %s: %w", p.repo.Name(), err)
	}
	p.answer, err = w.opt.Discovery.Referrers(ctx, p.repo.Digest(p.first.Descriptor.Digest.String()))
	switch {
	case err == nil:
		p.hasAPI = true
	case errors.Is(err, fs.ErrPermission):
		p.refused = append(p.refused, Unseen{p.repo.Name(), unseenReferrers, refused})
	case !errors.Is(err, errors.ErrUnsupported):
		return fmt.Errorf("ask for the referrers of %s: %w", p.first.Name(), err)
	}
	return nil
}

// search returns what may be attached to n, in its order.
func (w *walk) search(ctx context.Context, p *place, n *Node) ([]*hanging, []Unseen, error) {
	d := n.Descriptor.Digest
	var list []*hanging
	for _, tag := range oci.AttachmentTags(d) {
		if p.tags[tag] || !p.hasAll {
			list = append(list, &hanging{Attachment: Attachment{Subject: d, Tag: tag}, ref: p.repo.Tag(tag), listed: p.tags[tag]})
		}
		if s := w.opt.Signatures; s != nil && s.Name() != p.repo.Name() {
			list = append(list, &hanging{Attachment: Attachment{Subject: d, Tag: tag}, ref: s.Tag(tag)})
		}
	}
	referrers, unseen, err := w.referrers(ctx, p, n)
	if err != nil {
		return nil, nil, fmt.Errorf("ask for the referrers of %s: %w", n.Name(), err)
	}
	slices.SortFunc(referrers, func(a, b v1.Hash) int { return strings.Compare(a.String(), b.String()) })
	for _, referrer := range slices.Compact(referrers) {
		list = append(list, &hanging{Attachment: Attachment{Subject: d, Digest: referrer}, ref: p.repo.Digest(referrer.String()), listed: true})
	}
	if len(list) > maxAttached {
		return nil, nil, tooMany(n)
	}
	return list, unseen, nil
}

// referrers returns what refers to n by the registry's API, or by the tag schema where there is no API, or
// such a tag.
func (w *walk) referrers(ctx context.Context, p *place, n *Node) (list []v1.Hash, unseen []Unseen, err error) {
	list, unseen, err = w.askReferrers(ctx, p, n)
	tag := oci.ReferrersTag(n.Descriptor.Digest)
	if err != nil || !p.tags[tag] && (p.hasAll || p.hasAPI) {
		return list, unseen, err
	}
	more, reason, err := w.tagSchema(ctx, p.repo.Tag(tag))
	switch {
	case reason == refused && !p.tags[tag]:
		unseen = append(unseen, Unseen{p.repo.Name(), unseenTags, refused})
	case reason != "" && p.tags[tag]:
		unseen = append(unseen, Unseen{p.repo.Tag(tag).Name(), unseenManifest, reason})
	}
	return append(list, more...), unseen, err
}

// askReferrers asks the registry's API, where there is one.
func (w *walk) askReferrers(ctx context.Context, p *place, n *Node) ([]v1.Hash, []Unseen, error) {
	switch {
	case n == p.first:
		return slices.Clone(p.answer), nil, nil
	case !p.hasAPI:
		return nil, nil, nil
	}
	list, err := w.opt.Discovery.Referrers(ctx, p.repo.Digest(n.Descriptor.Digest.String()))
	switch {
	case errors.Is(err, fs.ErrPermission):
		return list, []Unseen{{p.repo.Name(), unseenReferrers, refused}}, nil
	case errors.Is(err, errors.ErrUnsupported): // no more
		return list, nil, nil
	}
	return list, nil, err
}

// tagSchema reads the index that lists what refers to a manifest. The reason says why there is none.
func (w *walk) tagSchema(ctx context.Context, ref name.Tag) (list []v1.Hash, reason string, err error) {
	desc, raw, err := w.manifest(ctx, ref)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, gone, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, refused, nil
	case err != nil && !errors.Is(err, digest.ErrMismatch):
		return nil, "", err
	}
	if err == nil {
		list, err = oci.Referrers(desc, raw)
	}
	if err != nil {
		return nil, unreadable, nil
	}
	return list, "", w.count(edgeWeight * len(list))
}
