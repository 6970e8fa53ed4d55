package copy

import (
	"context"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/text"
)

// AssumedError says that layers which a plan assumes are missing where they should be.
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
	fmt.Fprintf(&b, "missing: %d of the %s that the archive assumes", len(e.Missing), text.Count(e.Assumed, "layer"))
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

// Lacking returns an error that names what a plan assumes and a place does not have; nil for nothing.
//
// Errors: *AssumedError.
func Lacking(plan *bundle.Plan, missing []bundle.Assumed) error {
	if len(missing) == 0 {
		return nil
	}
	e := &AssumedError{Bases: plan.Bases, Missing: missing, Assumed: len(plan.Assumed)}
	users := map[v1.Hash]string{}
	for _, a := range missing {
		users[a.Digest] = ""
	}
	for _, n := range plan.Graph.Nodes {
		for _, d := range n.Blobs {
			if name, isMissing := users[d.Digest]; isMissing && name == "" {
				users[d.Digest] = n.Name()
			}
		}
	}
	for _, a := range missing {
		e.Images = append(e.Images, users[a.Digest])
	}
	return e
}

// askAssumed reads a byte of each layer that the plan assumes, before anything is written. A manifest
// that is present proves nothing here: what is missing could not be uploaded.
//
// Errors: *AssumedError.
func (c *filling) askAssumed(ctx context.Context) error {
	list := c.plan.Assumed
	missing, at := make([]bool, len(list)), 0
	c.rest = func() (job, bool) {
		for at < len(list) && c.skips(list[at].Digest) {
			at++
		}
		if at == len(list) {
			return job{}, false
		}
		i, a := at, list[at]
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
	if err := c.run(ctx); err != nil {
		return err
	}
	var lacks []bundle.Assumed
	for i, a := range list {
		if missing[i] {
			lacks = append(lacks, a)
		}
	}
	if err := Lacking(c.plan, lacks); err != nil {
		return fmt.Errorf("nothing was uploaded; %w", err)
	}
	return nil
}
