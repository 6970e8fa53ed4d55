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

// referrers is a Repository that tells what refers to a manifest by the referrers API. Without it, or where
// it is errors.ErrUnsupported, the list is an index under a tag.
type referrers interface {
	Referrers(ctx context.Context, subject v1.Hash) ([]v1.Hash, error)
}

// maxTries is how often an attachment is written that others change at the same time.
const maxTries = 5

// ErrContended says that an attachment that was written was gone each time it was read again. It is a
// bundle.ErrConflict.
var ErrContended = fmt.Errorf("%w, and somebody else changes it at the same time", oci.ErrConflict)

// isReplaced reports whether err says that a tag was put, and stands for what somebody else has put since.
func isReplaced(err error) bool {
	var replaced interface{ Replaced() bool }
	return errors.As(err, &replaced) && replaced.Replaced()
}

// attach makes everything that is attached, and is there with its subject, hang on it: by its tag, or by
// the list of the subject's referrers, which one job at a time changes. A subject to which not everything
// could be attached is not complete, but for what is left out.
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

// referJob makes sure that the list of what refers to a manifest has these.
func (c *filling) referJob(subject *state, list []*state) job {
	d := subject.node.Descriptor.Digest
	had := 0
	var all []bundle.Attachment
	for _, s := range list {
		all = append(all, bundle.Attachment{Subject: d, Digest: s.node.Descriptor.Digest})
	}
	return c.tolerantOf(job{
		do: func(ctx context.Context) (err error) {
			if had, err = c.refer(ctx, d, list); err != nil {
				return fmt.Errorf("list what refers to %s: %w", subject.node.Name(), err)
			}
			return nil
		},
		done: func() {
			for _, a := range all {
				c.attached[a] = true
			}
			c.countAttached(had, true)
			c.countAttached(len(list)-had, false)
		},
		failed: c.failed(subject.node, d),
	}, all...)
}

func (c *filling) countAttached(n int, had bool) {
	if had {
		c.result.AttachedPresent += n
	} else {
		c.result.Attached += n
	}
}

// refer lists the manifests as referrers of d, and returns how many were listed. A registry with the
// referrers API has done so when they were put: it is asked. One that has them and does not list them gets
// them once more, as it may have had them before it had the API.
func (c *filling) refer(ctx context.Context, d v1.Hash, list []*state) (had int, err error) {
	api, ok := c.dst.(referrers)
	if !ok {
		return c.referByTag(ctx, d, list)
	}
	unlisted, err := c.unlisted(ctx, api, d, list)
	if errors.Is(err, errors.ErrUnsupported) {
		return c.referByTag(ctx, d, list)
	}
	for _, s := range list {
		if s.there && !slices.Contains(unlisted, s) {
			had++
		}
	}
	if err != nil || len(unlisted) == 0 {
		return had, err
	}
	for _, s := range unlisted {
		if _, err := c.putManifest(ctx, s, ""); err != nil {
			return 0, err
		}
	}
	if unlisted, err = c.unlisted(ctx, api, d, unlisted); err == nil && len(unlisted) > 0 {
		err = fmt.Errorf("the registry has %s, and does not list it", unlisted[0].node.Descriptor.Digest)
	}
	return had, err
}

// unlisted returns those of list that the registry's API does not name.
func (c *filling) unlisted(ctx context.Context, api referrers, d v1.Hash, list []*state) ([]*state, error) {
	there, err := api.Referrers(ctx, d)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(list), func(s *state) bool { return slices.Contains(there, s.node.Descriptor.Digest) }), nil
}

// referByTag adds the manifests to the index under the tag that stands for a list of referrers, and returns
// how many it had. What else it lists stays.
func (c *filling) referByTag(ctx context.Context, d v1.Hash, list []*state) (had int, err error) {
	tag := oci.ReferrersTag(d)
	var add []v1.Descriptor
	for _, s := range list {
		raw, err := manifest(ctx, c.src, s.blob)
		if err != nil {
			return 0, fmt.Errorf("read manifest of %s: %w", s.node.Name(), err)
		}
		one, err := oci.Referrer(s.node.Descriptor, raw)
		if err != nil {
			return 0, err
		}
		add = append(add, one)
	}
	for try := range maxTries {
		desc, old, err := c.dst.Manifest(ctx, c.at.Tag(tag))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("tag %s: %w", tag, err)
		}
		merged, raw, added, err := oci.MergeReferrers(desc, old, add)
		if errors.Is(err, oci.ErrMalformed) {
			err = fmt.Errorf("%w: %w", oci.ErrConflict, err)
		}
		if err != nil {
			return 0, fmt.Errorf("tag %s: %w", tag, err)
		}
		if try == 0 {
			had = len(list) - added
		}
		if added == 0 {
			return had, nil
		}
		if err := c.put(ctx, merged, raw, tag); err != nil && !isReplaced(err) {
			return 0, fmt.Errorf("put tag %s: %w", tag, err)
		}
	}
	return 0, fmt.Errorf("tag %s: %w", tag, ErrContended)
}
