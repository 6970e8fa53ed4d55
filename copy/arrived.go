package copy

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
)

// Arrived uploads the blobs of the plan that src has so far, and nothing that makes them visible: no
// manifest and no tag. It returns what neither src nor the destination has; when that is nothing,
// ToRepository finds everything else. A registry may remove blobs that no manifest names; then they are
// uploaded again.
//
// The plan can be a shard of another one. Unless opt.Trust is TrustManifests, the destination is asked for each blob,
// and for no manifest.
//
// Errors: as ToRepository.
func Arrived(ctx context.Context, plan *bundle.Plan, src bundle.Source, has func(v1.Hash) bool, dst Repository, at name.Repository, opt Options) (*Result, []v1.Descriptor, error) {
	c := newFilling(plan, src, dst, at, opt)
	ask := c.askAssumed
	if c.trustsManifests() {
		ask = c.ask
	}
	if err := ask(ctx); err != nil {
		return nil, nil, err
	}
	var waits []v1.Descriptor
	users, next := c.users(), 0
	c.rest = func() (job, bool) {
		for ; next < len(plan.Blobs); next++ {
			if users[next] != nil {
				next++
				return c.arrivedJob(plan.Blobs[next-1], has, &waits), true
			}
		}
		return job{}, false
	}
	if err := c.run(ctx); err != nil {
		return nil, nil, err
	}
	return &c.result, waits, partial(c.inFileOrder(c.failures))
}

// arrivedJob uploads a blob, unless it is present or has not arrived.
func (c *filling) arrivedJob(b bundle.Blob, has func(v1.Hash) bool, waits *[]v1.Descriptor) job {
	d := *b.Descriptor
	present, missing := false, false
	return job{
		do: func(ctx context.Context) (err error) {
			if c.opt.Trust != TrustNothing {
				if present, err = c.dst.HasBlob(ctx, d); err != nil {
					return fmt.Errorf("ask for blob %s of %s: %w", d.Digest, b.Node.Name(), err)
				}
			}
			if missing = !present && !has(d.Digest); present || missing {
				return nil
			}
			err = c.send(ctx, b)
			if c.tolerates(d.Digest, err) { // its attachment is left out when everything has arrived
				err = nil
			}
			return err
		},
		done: func() {
			if missing {
				*waits = append(*waits, d)
			} else {
				c.countBlob(b, present)
			}
		},
		failed: c.failed(b.Node, d.Digest),
	}
}
