package copy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/oci"
)

// Attachments says which attachments to copy. The empty value copies all, but leaves out, and
// reports, what the destination refuses and what is in conflict.
type Attachments string

const (
	AttachAll     Attachments = "require" // a refusal or conflict ends the copy
	AttachNothing Attachments = "none"    // no attachment is copied
)

// LeftOut is an attachment that was not copied.
type LeftOut struct {
	Image string `json:"image"` // reference of the subject
	bundle.Attachment
	Reason   string `json:"reason"`
	Conflict bool   `json:"conflict,omitempty"` // something else has its tag
}

// errNotWanted is why AttachNothing leaves something out.
var errNotWanted = errors.New("not wanted")

// Unwanted reports whether AttachNothing left the attachment out.
func (l LeftOut) Unwanted() bool { return l.Reason == errNotWanted.Error() }

// Total returns how many blobs and bytes all steps of a copy of the plan have together.
func (o Options) Total(plan *bundle.Plan) (blobs int, bytes int64) {
	var skipped map[v1.Hash]bool
	if o.Attachments == AttachNothing {
		skipped = optional(plan.Graph)
	}
	for _, b := range plan.Blobs {
		if !skipped[b.Descriptor.Digest] {
			blobs, bytes = blobs+1, bytes+b.Descriptor.Size
		}
	}
	return blobs, bytes
}

// optional returns what only attachments need: manifests, configs and layers.
func optional(g *bundle.Graph) map[v1.Hash]bool {
	set := map[v1.Hash]bool{}
	core := g.Core()
	for _, n := range g.Nodes[core:] {
		set[n.Descriptor.Digest] = true
		for _, d := range n.Blobs {
			set[d.Digest] = true
		}
	}
	for _, n := range g.Nodes[:core] {
		for _, d := range n.Blobs {
			delete(set, d.Digest)
		}
	}
	return set
}

// findOptional notes what only attachments need.
func (c *filling) findOptional() {
	g := c.plan.Graph
	if g.Core() == len(g.Nodes) {
		return
	}
	c.optional, c.refused = optional(g), map[v1.Hash]bool{}
	if c.opt.Attachments == AttachNothing {
		for _, n := range g.Nodes[g.Core():] {
			c.nodes[n.Descriptor.Digest].leftOut = errNotWanted
		}
	}
}

// wanted returns how many of the graph's nodes are to be copied: the first ones.
func (c *filling) wanted() int {
	if c.opt.Attachments == AttachNothing {
		return c.plan.Graph.Core()
	}
	return len(c.plan.Graph.Nodes)
}

// skips reports whether the blob d is left out by choice.
func (c *filling) skips(d v1.Hash) bool { return c.opt.Attachments == AttachNothing && c.optional[d] }

// tolerates reports whether err is a refusal of something, d, that only attachments need.
func (c *filling) tolerates(d v1.Hash, err error) bool {
	return c.optional[d] && c.isRefusal(err)
}

// isRefusal reports whether err says that the destination refuses one thing, which is then left
// out.
func (c *filling) isRefusal(err error) bool {
	if err == nil || c.opt.Attachments == AttachAll {
		return false
	}
	if errors.As(err, new(sourceError)) {
		return errors.Is(err, fs.ErrNotExist)
	}
	var answer interface{ Refused() bool }
	return errors.As(err, &answer) && answer.Refused() || errors.Is(err, fs.ErrExist) || errors.Is(err, oci.ErrConflict)
}

// tolerant changes the job of d when only attachments need d: a refusal leaves out those that need
// it.
func (c *filling) tolerant(j job, d v1.Hash, users ...*state) job {
	if !c.optional[d] {
		return j
	}
	return c.orLeaveOut(j, func(err error) {
		c.refused[d] = true
		for _, s := range users {
			s.leftOut = err
		}
	})
}

// tolerantOf changes a job that attaches: a refusal leaves these attachments out.
func (c *filling) tolerantOf(j job, list ...bundle.Attachment) job {
	return c.orLeaveOut(j, func(err error) {
		for _, a := range list {
			c.leaveOut(a, err)
		}
	})
}

// orLeaveOut changes a job: a refusal does not fail it, but is passed to leaveOut.
func (c *filling) orLeaveOut(j job, leaveOut func(error)) job {
	do, done := j.do, j.done
	var refusal error
	j.do = func(ctx context.Context) error {
		err := do(ctx)
		if ctx.Err() == nil && c.isRefusal(err) {
			refusal, err = err, nil
		}
		return err
	}
	j.done = func() {
		if refusal != nil {
			leaveOut(refusal)
		} else {
			done()
		}
	}
	return j
}

// whyLeftOut returns why an attachment is left out; nil when it is not attached because of a
// failure.
func (c *filling) whyLeftOut(a bundle.Attachment) error {
	if c.opt.Attachments == AttachNothing {
		return errNotWanted
	}
	if c.isLeftOut(a) {
		return c.leftOut[a]
	}
	s := c.nodes[a.Digest]
	if err := c.leftOutBelow(s); err != nil {
		return err
	}
	if err := c.nodes[a.Subject].leftOut; err != nil {
		if s.leftOut == nil {
			s.leftOut = err
		}
		return fmt.Errorf("its subject is left out: %w", err)
	}
	return nil
}

// leftOutBelow returns why s is left out, which it is when a child is.
func (c *filling) leftOutBelow(s *state) error {
	for _, d := range s.node.Children {
		if s.leftOut != nil {
			break
		}
		if s.leftOut = c.leftOutBelow(c.nodes[d]); s.leftOut != nil {
			s.leftOut = fmt.Errorf("its child %s is left out: %w", d, s.leftOut)
		}
	}
	return s.leftOut
}

// isLeftOut reports whether an attachment was noted as left out.
func (c *filling) isLeftOut(a bundle.Attachment) bool { return c.leftOut[a] != nil }

func (c *filling) leaveOut(a bundle.Attachment, err error) { c.leftOut[a] = err }

// reportLeftOut counts and names the attachments that were left out.
func (c *filling) reportLeftOut() {
	for _, a := range c.plan.Graph.Attachments {
		err := c.leftOut[a]
		if err == nil {
			continue
		}
		isConflict := errors.Is(err, oci.ErrConflict)
		c.result.AttachmentsLeftOut++
		if isConflict {
			c.result.AttachmentConflicts++
		}
		image := c.plan.Graph.Node(a.Subject).Name()
		c.result.LeftOut = append(c.result.LeftOut, LeftOut{image, a, err.Error(), isConflict})
	}
}
