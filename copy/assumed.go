package copy

import (
	"context"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/text"
)

// AssumedError says that a repository does not have layers that a plan assumes. Nothing was written.
type AssumedError struct {
	Bases   []bundle.Base    // of the plan
	Missing []bundle.Assumed // in graph order
	Images  []string         // the first image that needs each of them
	Assumed int              // all layers that the plan assumes
}

// mostMissing is how many layers an error names.
const mostMissing = 10

func (e *AssumedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "it does not have %d of the %s that the archive assumes; nothing was uploaded", len(e.Missing), text.Count(e.Assumed, "layer"))
	named := 0
	for i, base := range e.Bases {
		n, size := 0, int64(0)
		for _, a := range e.Missing {
			if a.Base == i {
				n, size = n+1, size+a.Size
			}
		}
		if n == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n  %s (%s) of %s:", text.Count(n, "layer"), text.Size(size), base)
		for at, a := range e.Missing {
			if a.Base == i && named < mostMissing {
				named++
				fmt.Fprintf(&b, "\n    %s (%s) of %s", a.Digest, text.Size(a.Size), e.Images[at])
			}
		}
	}
	if more := len(e.Missing) - named; more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	return b.String()
}

// askAssumed reads a byte of each layer that the plan assumes, before anything is written. A manifest
// that is present proves nothing here: what is missing could not be uploaded.
//
// Errors: *AssumedError.
func (c *filling) askAssumed(ctx context.Context) error {
	list := c.plan.Assumed
	missing := make([]bool, len(list))
	at := 0
	c.rest = func() (job, bool) {
		for ; at < len(list); at++ {
			i, a := at, list[at]
			if c.skips(a.Digest) {
				continue
			}
			at++
			return job{
				do: func(ctx context.Context) error {
					reads, err := c.dst.ReadsBlob(ctx, v1.Descriptor{Digest: a.Digest, Size: a.Size})
					if err != nil {
						return fmt.Errorf("ask for layer %s, which the archive assumes: %w", a.Digest, err)
					}
					missing[i] = !reads
					return nil
				},
				done: func() {
					c.result.Assumed++
					c.result.AssumedBytes += a.Size
				},
			}, true
		}
		return job{}, false
	}
	if err := c.run(ctx); err != nil {
		return err
	}
	return c.lacks(missing)
}

// lacks returns an error that names the assumed layers that are missing, by their index; nil without any.
func (c *filling) lacks(missing []bool) error {
	e := &AssumedError{Bases: c.plan.Bases, Assumed: len(missing)}
	users := map[v1.Hash]string{}
	for i, a := range c.plan.Assumed {
		if missing[i] {
			e.Missing = append(e.Missing, a)
			users[a.Digest] = ""
		}
	}
	if len(e.Missing) == 0 {
		return nil
	}
	for _, n := range c.plan.Graph.Nodes {
		for _, d := range n.Blobs {
			if name, isMissing := users[d.Digest]; isMissing && name == "" {
				users[d.Digest] = n.Name()
			}
		}
	}
	for _, a := range e.Missing {
		e.Images = append(e.Images, users[a.Digest])
	}
	return e
}
