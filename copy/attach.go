package copy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/oci"
)

// referrers is a Repository that lists what refers to a manifest (distribution-spec 1.1, "Listing
// Referrers"). Without it, or with errors.ErrUnsupported, the list is an index under a tag.
type referrers interface {
	Referrers(ctx context.Context, subject v1.Hash) ([]v1.Hash, error)
}

// maxTries is how often an attachment is written while others change it.
const maxTries = 5

// ErrContended says that an attachment was replaced each time after it was written. It wraps
// oci.ErrConflict.
var ErrContended = fmt.Errorf("%w, and somebody else changes it at the same time", oci.ErrConflict)

// isReplaced reports whether err says that a tag was put, and somebody else has moved it since.
func isReplaced(err error) bool {
	var replaced interface{ Replaced() bool }
	return errors.As(err, &replaced) && replaced.Replaced()
}

// attach attaches everything that is complete to its subject, if that is complete: by its tag, or
// in the list of the subject's referrers, which one job at a time changes. A subject to which not
// everything could be attached is not complete. Attachments that are left out do not count.
func (c *filling) attach(ctx context.Context) error {
	for _, n := range c.plan.Graph.Nodes {
		var refer []*state
		for _, a := range c.plan.Graph.Attached(n.Descriptor.Digest) {
			s := c.nodes[a.Digest]
			switch {
			case !c.nodes[a.Subject].complete || !s.complete || c.opt.Attachments == AttachNothing:
			case a.Tag == "":
				refer = append(refer, s)
			default:
				c.add(c.attachJob(a, s))
			}
		}
		if len(refer) > 0 {
			c.add(c.referJob(c.nodes[n.Descriptor.Digest], refer))
		}
	}
	if err := c.run(ctx); err != nil {
		return err
	}
	for _, a := range c.plan.Graph.Attachments {
		if c.attached[a] {
			continue
		}
		if err := c.whyLeftOut(a); err != nil {
			c.leaveOut(a, err)
		} else {
			c.nodes[a.Subject].withdraw()
		}
	}
	return nil
}

// attachJob gives an attachment its tag.
func (c *filling) attachJob(a bundle.Attachment, s *state) job {
	var was written
	return c.tolerantOf(job{
		do: func(ctx context.Context) (err error) {
			if was, err = c.attachByTag(ctx, a, s); err != nil {
				return fmt.Errorf("attach it as %s: %w", a.Tag, err)
			}
			return nil
		},
		done: func() {
			c.attached[a] = true
			c.countAgain(was.again)
			c.result.Merged += was.merged
			c.countAttached(1, was.manifests == 0)
		},
		failed: c.failed(s.node, a.Digest),
	}, a)
}

// referJob makes sure that the list of referrers of subject has these.
func (c *filling) referJob(subject *state, list []*state) job {
	d := subject.node.Descriptor.Digest
	present := 0
	var all []bundle.Attachment
	for _, s := range list {
		all = append(all, bundle.Attachment{Subject: d, Digest: s.node.Descriptor.Digest})
	}
	return c.tolerantOf(job{
		do: func(ctx context.Context) (err error) {
			if present, err = c.refer(ctx, d, list); err != nil {
				return fmt.Errorf("list what refers to %s: %w", subject.node.Name(), err)
			}
			return nil
		},
		done: func() {
			for _, a := range all {
				c.attached[a] = true
			}
			c.countAttached(present, true)
			c.countAttached(len(list)-present, false)
		},
		failed: c.failed(subject.node, d),
	}, all...)
}

func (c *filling) countAttached(n int, present bool) {
	if present {
		c.result.AttachedPresent += n
	} else {
		c.result.Attached += n
	}
}

// refer lists the manifests as referrers of d, and returns how many were listed already. A registry
// with the referrers API lists a manifest when it is put, so it is only asked. Manifests that it
// has and does not list are put once more, because it may have had them before it had the API.
func (c *filling) refer(ctx context.Context, d v1.Hash, list []*state) (present int, err error) {
	api, ok := c.dst.(referrers)
	if !ok {
		return c.referByTag(ctx, d, list)
	}
	unlisted, err := c.unlisted(ctx, api, d, list)
	if errors.Is(err, errors.ErrUnsupported) {
		return c.referByTag(ctx, d, list)
	}
	for _, s := range list {
		if s.present && !slices.Contains(unlisted, s) {
			present++
		}
	}
	if err != nil || len(unlisted) == 0 {
		return present, err
	}
	for _, s := range unlisted {
		if _, err := c.putManifest(ctx, s, ""); err != nil {
			return 0, err
		}
	}
	if unlisted, err = c.unlisted(ctx, api, d, unlisted); err == nil && len(unlisted) > 0 {
		err = fmt.Errorf("the registry has %s but does not list it as a referrer", unlisted[0].node.Descriptor.Digest)
	}
	return present, err
}

// unlisted returns those of list that the registry's API does not name.
func (c *filling) unlisted(ctx context.Context, api referrers, d v1.Hash, list []*state) ([]*state, error) {
	listed, err := api.Referrers(ctx, d)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(list), func(s *state) bool { return slices.Contains(listed, s.node.Descriptor.Digest) }), nil
}

// referByTag adds the manifests to the index under the tag of the list of referrers
// (distribution-spec 1.1, "Referrers Tag Schema"), and returns how many it listed already. Its
// other entries stay.
//
// Errors: oci.ErrConflict, ErrContended.
func (c *filling) referByTag(ctx context.Context, d v1.Hash, list []*state) (present int, err error) {
	add, err := c.referrersOf(ctx, list)
	if err != nil {
		return 0, err
	}
	tag := oci.ReferrersTag(d)
	for try := range maxTries {
		added, err := c.mergeReferrers(ctx, tag, add)
		if err != nil {
			return 0, fmt.Errorf("tag %s: %w", tag, err)
		}
		if try == 0 {
			present = len(list) - added
		}
		if added == 0 {
			return present, nil
		}
	}
	return 0, fmt.Errorf("tag %s: %w", tag, ErrContended)
}

// referrersOf describes the manifests as a list of referrers does.
func (c *filling) referrersOf(ctx context.Context, list []*state) ([]v1.Descriptor, error) {
	var referrers []v1.Descriptor
	for _, s := range list {
		raw, err := manifest(ctx, c.src, s.blob)
		if err != nil {
			return nil, fmt.Errorf("read manifest of %s: %w", s.node.Name(), err)
		}
		referrer, err := oci.Referrer(s.node.Descriptor, raw)
		if err != nil {
			return nil, err
		}
		referrers = append(referrers, referrer)
	}
	return referrers, nil
}

// mergeReferrers puts the index under tag with what it does not list of add, and returns how many
// those are; 0 when nothing had to be put. When somebody replaced the index at the same time, that
// is no error.
func (c *filling) mergeReferrers(ctx context.Context, tag string, add []v1.Descriptor) (added int, err error) {
	desc, old, err := c.dst.Manifest(ctx, c.at.Tag(tag))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	merged, raw, added, err := oci.MergeReferrers(desc, old, add)
	if errors.Is(err, oci.ErrMalformed) {
		err = fmt.Errorf("%w: %w", oci.ErrConflict, err)
	}
	if err != nil || added == 0 {
		return 0, err
	}
	if err := c.put(ctx, merged, raw, tag); err != nil && !isReplaced(err) {
		return 0, fmt.Errorf("put: %w", err)
	}
	return added, nil
}
