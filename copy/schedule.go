package copy

import (
	"context"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/oci"
)

// schedule makes every manifest wait for its blobs and children, and queues the blobs in file
// order.
func (c *filling) schedule() {
	for _, n := range c.plan.Graph.Nodes {
		c.awaitManifests(n)
	}
	users := c.users()
	for i, b := range c.plan.Blobs {
		if c.sent[b.Descriptor.Digest] {
			continue
		}
		for _, s := range users[i] {
			s.waits++
		}
	}
	c.rest = c.blobJobs(users)
	var leaves []*state // complete before the first is put, because that may free others, which are put then
	for _, n := range c.plan.Graph.Nodes {
		if s := c.nodes[n.Descriptor.Digest]; s.waits == 0 && s.leftOut == nil {
			leaves = append(leaves, s)
		}
	}
	for _, s := range leaves {
		c.ready(s)
	}
}

// awaitManifests makes n wait for its children, but for those that may fetch it in turn, and for
// its subject.
func (c *filling) awaitManifests(n *bundle.Node) {
	s := c.nodes[n.Descriptor.Digest]
	circular := n.Circular // in the order of n.Children
	for _, d := range n.Children {
		child := c.nodes[d]
		if len(circular) > 0 && circular[0] == d {
			circular = circular[1:]
			child.circular = append(child.circular, s)
			continue
		}
		child.parents = append(child.parents, s)
		s.waits++
	}
	if subject := c.nodes[n.Subject]; subject != nil {
		subject.attached = append(subject.attached, s)
		s.waits++
	}
}

// users returns the manifests that wait for each of the plan's blobs, in the plan's order; nil for
// a manifest, and for a blob that a present manifest proves to be present.
func (c *filling) users() [][]*state {
	at := make(map[v1.Hash]int, len(c.plan.Blobs)-len(c.plan.Graph.Nodes))
	for i, b := range c.plan.Blobs {
		if !b.IsManifest {
			at[b.Descriptor.Digest] = i
		}
	}
	users := make([][]*state, len(c.plan.Blobs))
	for _, n := range c.plan.Graph.Nodes {
		s := c.nodes[n.Descriptor.Digest]
		if s.leftOut != nil {
			continue
		}
		vouched := s.present && c.trustsManifests()
		for _, d := range distinct(n.Blobs) {
			if i, planned := at[d.Digest]; planned && (!vouched || oci.IsForeign(d)) { // registries accept a manifest without its foreign layers
				users[i] = append(users[i], s)
			}
		}
	}
	return users
}

func (c *filling) trustsManifests() bool { return c.opt.Trust == "" || c.opt.Trust == TrustManifests }

// blobJobs returns a function that returns a job for each blob that a manifest waits for, in file
// order, and counts the others as present. A plan may have hundreds of thousands of blobs, so a job
// is made when its turn comes.
func (c *filling) blobJobs(users [][]*state) func() (job, bool) {
	at, n := 0, 0
	return func() (job, bool) {
		for ; at < len(c.plan.Blobs); at++ {
			b := c.plan.Blobs[at]
			if b.IsManifest || c.sent[b.Descriptor.Digest] {
				continue
			}
			if waiting := users[at]; waiting != nil {
				at, n = at+1, n+1
				return c.tolerant(c.blobJob(at-1, n-1, waiting), b.Descriptor.Digest, waiting...), true
			}
			if c.skips(b.Descriptor.Digest) {
				continue
			}
			c.countBlob(b, true)
			c.counted[at] = true
		}
		return job{}, false
	}
}

// blobJob uploads the blob at that index of the plan, the n-th for which there is a job, unless it
// is present.
func (c *filling) blobJob(at, n int, waiting []*state) job {
	b, present := c.plan.Blobs[at], false
	return job{
		do: func(ctx context.Context) (err error) {
			if err := c.lost[b.Descriptor.Digest]; err != nil {
				return err
			}
			if c.asksForBlob(n, b) {
				present, err = c.dst.HasBlob(ctx, *b.Descriptor)
				if err != nil {
					return fmt.Errorf("ask for blob %s of %s: %w", b.Descriptor.Digest, b.Node.Name(), err)
				}
				if present {
					c.fresh.Store(false)
					return nil
				}
			}
			if present = c.mount(ctx, b); present {
				return nil
			}
			return c.send(ctx, b)
		},
		done: func() {
			c.countBlob(b, present)
			c.counted[at] = true
			for _, s := range waiting {
				c.release(s)
			}
		},
		failed: c.failed(b.Node, b.Descriptor.Digest),
	}
}

// ready puts a manifest whose blobs and children are present, unless it is present itself.
func (c *filling) ready(s *state) {
	if s.present && c.opt.Trust != TrustNothing {
		c.result.ManifestsPresent++
		c.complete(s)
		return
	}
	tags := s.node.KeptTags(c.opt.RepoTags)
	if s.node.IsChild {
		tags = []string{""}
	}
	var again []bundle.Blob
	c.next(c.tolerant(job{
		do: func(ctx context.Context) error {
			for _, tag := range tags {
				blobs, err := c.putManifest(ctx, s, tag)
				if err != nil {
					return err
				}
				again = append(again, blobs...)
			}
			return nil
		},
		done: func() {
			c.countAgain(again)
			c.result.Manifests++
			c.complete(s)
		},
		failed: c.failed(s.node, s.node.Descriptor.Digest),
	}, s.node.Descriptor.Digest, s))
}

// complete notes that a manifest and everything below it is present, and continues with what waits
// for it.
func (c *filling) complete(s *state) {
	s.complete = true
	newTransfer(c.src, s.blob, c.opt.Progress).finish()
	if s.wantsLocations() {
		c.next(c.locationsJob(s))
	}
	for _, waiting := range slices.Concat(s.parents, s.attached) {
		c.release(waiting)
	}
}

// release notes that something for which a manifest waited is complete.
func (c *filling) release(s *state) {
	if s.waits--; s.waits == 0 && s.leftOut == nil {
		c.ready(s)
	}
}

// distinct drops descriptors whose digest occurred before.
func distinct(list []v1.Descriptor) []v1.Descriptor {
	seen := map[v1.Hash]bool{}
	var out []v1.Descriptor
	for _, d := range list {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			out = append(out, d)
		}
	}
	return out
}
