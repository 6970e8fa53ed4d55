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

// place is a repository that is searched for attachments. Its tags are listed once.
type place struct {
	repo    name.Repository
	tags    map[string]bool // names that attachments have
	hasAll  bool            // tags is complete
	hasAPI  bool            // the referrers API works
	first   *Node           // the node of the first request to the API
	answer  []v1.Hash       // the answer to that request
	refused []Unseen
}

// discover returns what may be attached to the subjects, from their registries.
func (w *walk) discover(ctx context.Context, subjects []*Node) ([]*candidate, error) {
	var places []*place // not seen before
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
		return w.listPlace(ctx, places[i], wanted[places[i].repo.Name()])
	})
	if err != nil {
		return nil, err
	}
	if s := w.opt.Signatures; s != nil && w.signatures == nil && len(subjects) > 0 {
		w.signatures = &place{repo: *s}
		if err := w.listTags(ctx, w.signatures, len(subjects)*len(oci.AttachmentTags(subjects[0].Descriptor.Digest))); err != nil {
			return nil, err
		}
	}
	for _, p := range places {
		w.graph.Unseen = append(w.graph.Unseen, p.refused...)
	}
	lists, unseen := make([][]*candidate, len(subjects)), make([][]Unseen, len(subjects))
	err = w.each(ctx, len(subjects), func(ctx context.Context, i int) (err error) {
		lists[i], unseen[i], err = w.search(ctx, w.places[subjects[i].From.Name()], subjects[i])
		return err
	})
	w.graph.Unseen = append(w.graph.Unseen, slices.Concat(unseen...)...)
	return slices.Concat(lists...), err
}

// listTags lists the tags of a repository. It stops when requests for the wanted tags, one by one, would
// take less time.
func (w *walk) listTags(ctx context.Context, p *place, wanted int) error {
	tags, all, err := w.opt.Discovery.Tags(ctx, p.repo, max(1, wanted/2))
	switch {
	case errors.Is(err, fs.ErrNotExist): // where it has a manifest, what it does not have is tags
		all = true
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
	return nil
}

// listPlace lists the tags of a repository and finds out whether it has the referrers API.
func (w *walk) listPlace(ctx context.Context, p *place, wanted int) (err error) {
	if err := w.listTags(ctx, p, wanted); err != nil {
		return err
	}
	p.answer, err = w.opt.Discovery.Referrers(ctx, p.repo.Digest(p.first.Descriptor.Digest.String()))
	switch {
	case err == nil:
		p.hasAPI = true
	case errors.Is(err, fs.ErrPermission):
		p.refused = append(p.refused, Unseen{p.repo.Name(), unseenReferrers, refused})
	case !errors.Is(err, errors.ErrUnsupported):
		return fmt.Errorf("list the referrers of %s: %w", p.first.Name(), err)
	}
	return nil
}

// search returns what may be attached to n, in order.
func (w *walk) search(ctx context.Context, p *place, n *Node) ([]*candidate, []Unseen, error) {
	d := n.Descriptor.Digest
	var list []*candidate
	for _, tag := range oci.AttachmentTags(d) {
		if p.tags[tag] || !p.hasAll {
			list = append(list, &candidate{Attachment: Attachment{Subject: d, Tag: tag}, ref: p.repo.Tag(tag), listed: p.tags[tag]})
		}
		if s := w.signatures; s != nil && s.repo.Name() != p.repo.Name() && (s.tags[tag] || !s.hasAll) {
			list = append(list, &candidate{Attachment: Attachment{Subject: d, Tag: tag}, ref: s.repo.Tag(tag), listed: s.tags[tag]})
		}
	}
	referrers, unseen, err := w.referrers(ctx, p, n)
	if err != nil {
		return nil, nil, fmt.Errorf("list the referrers of %s: %w", n.Name(), err)
	}
	slices.SortFunc(referrers, func(a, b v1.Hash) int { return strings.Compare(a.String(), b.String()) })
	for _, referrer := range slices.Compact(referrers) {
		list = append(list, &candidate{Attachment: Attachment{Subject: d, Digest: referrer}, ref: p.repo.Digest(referrer.String()), listed: true})
	}
	if len(list) > maxAttached {
		return nil, nil, tooMany(n)
	}
	return list, unseen, nil
}

// referrers returns the manifests whose subject is n: from the registry's API, and from the tag of the
// referrers tag schema (OCI distribution specification 1.1) if the tag exists or the API does not.
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

// askReferrers asks the registry's API, if it has one.
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
	case errors.Is(err, errors.ErrUnsupported): // no longer
		return list, nil, nil
	}
	return list, nil, err
}

// tagSchema reads the index of the referrers tag schema at ref. When the index cannot be used, the reason
// says why.
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
