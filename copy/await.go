package copy

import (
	"context"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
)

// Lacked is what others had not uploaded when a copy no longer waited for them.
type Lacked struct {
	Blobs int    `json:"blobs"` // layers and configs
	Bytes int64  `json:"bytes"`
	Shard string `json:"shard,omitempty"` // such as 2/4, when that is what is missing; see bundle.Plan.Shards
}

// Waits between two rounds of questions. A wait is also a few times as long as the round took, so that the
// questions do not slow down the uploads that they are about.
const (
	firstWait   = time.Second
	longestWait = time.Minute
	waitPerAsk  = 4
)

// await asks for the blobs that are missing, again and again, until all are present, or until none has appeared for
// opt.AwaitBlobs. Those that are present are counted. The last round is at the end of that time.
func (c *filling) await(ctx context.Context) error {
	users, missing := c.users(), []int(nil)
	for i := range users {
		if users[i] != nil {
			missing = append(missing, i)
		}
	}
	appeared, wait := time.Now(), firstWait
	for {
		start := time.Now()
		still, err := c.askFor(ctx, missing)
		if err != nil {
			return err
		}
		if len(still) < len(missing) {
			appeared, wait = time.Now(), firstWait
		}
		missing = still
		left := c.opt.AwaitBlobs - time.Since(appeared)
		if len(missing) == 0 || left <= 0 {
			c.lacks(missing)
			return nil
		}
		wait = min(max(wait, waitPerAsk*time.Since(start)), longestWait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(wait, left)):
		}
		wait *= 2
	}
}

// askFor asks for the blobs at these indexes of the plan. It returns those that are missing, and counts the others.
func (c *filling) askFor(ctx context.Context, list []int) (missing []int, err error) {
	present, at := make([]bool, len(list)), 0
	c.rest = func() (job, bool) {
		if at == len(list) {
			return job{}, false
		}
		n, b := at, c.plan.Blobs[list[at]]
		at++
		return job{
			do: func(ctx context.Context) (err error) {
				present[n], err = c.dst.HasBlob(ctx, *b.Descriptor)
				if err != nil && !c.tolerates(b.Descriptor.Digest, err) {
					return fmt.Errorf("ask for blob %s of %s: %w", b.Descriptor.Digest, b.Node.Name(), err)
				}
				return nil
			},
			done: func() {
				if present[n] {
					c.sent[b.Descriptor.Digest] = true
					c.countBlob(b, true)
				}
			},
		}, true
	}
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	for n, i := range list {
		if !present[n] {
			missing = append(missing, i)
		}
	}
	return missing, nil
}

// lacks notes what is missing, if anything is.
func (c *filling) lacks(missing []int) {
	if len(missing) == 0 {
		return
	}
	l, set := &Lacked{Blobs: len(missing)}, make(map[v1.Hash]bool, len(missing))
	for _, i := range missing {
		d := c.plan.Blobs[i].Descriptor
		l.Bytes += d.Size
		set[d.Digest] = true
	}
	l.Shard = c.shardOf(set)
	c.result.Lacked = l
}

// mostGuessed is the largest number of shards of which one is recognised.
const mostGuessed = 16

// shardOf names the shard that has these blobs, of which none is present, and no others that were awaited; empty
// where there is none.
func (c *filling) shardOf(missing map[v1.Hash]bool) string {
	for n := 2; n <= mostGuessed; n++ {
		for i, shard := range c.plan.Shards(n) {
			if c.isMissing(shard, missing) {
				return fmt.Sprintf("%d/%d", i, n)
			}
		}
	}
	return ""
}

func (c *filling) isMissing(shard *bundle.Plan, missing map[v1.Hash]bool) bool {
	n := 0
	for _, b := range shard.Blobs {
		switch d := b.Descriptor.Digest; {
		case c.sent[d]:
			return false
		case missing[d]:
			n++
		}
	}
	return n == len(missing)
}
