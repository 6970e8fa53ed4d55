package copy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
)

// putManifest puts a manifest under tag, or by its digest when tag is empty. Blobs that the
// repository turns out not to have are uploaded again, once, and returned.
func (c *filling) putManifest(ctx context.Context, s *state, tag string) (again []bundle.Blob, err error) {
	raw, err := manifest(ctx, c.src, s.blob)
	if err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", s.node.Name(), err)
	}
	err = c.put(ctx, s.node.Descriptor, raw, tag)
	if again = c.missing(s, err); len(again) > 0 {
		for _, b := range again {
			if err := c.dst.PutBlob(ctx, *b.Descriptor, newTransfer(c.src, b, nil).open); err != nil {
				return nil, fmt.Errorf("copy blob %s of %s again: %w", b.Descriptor.Digest, s.node.Name(), err)
			}
		}
		err = c.put(ctx, s.node.Descriptor, raw, tag)
	}
	if err != nil {
		return nil, fmt.Errorf("put manifest of %s: %w", s.node.Name(), err)
	}
	return again, nil
}

// put puts a manifest under tag, or by its digest when tag is empty. When the tag may not be moved,
// and stands for the manifest, that is no error.
func (c *filling) put(ctx context.Context, d v1.Descriptor, raw []byte, tag string) error {
	err := c.dst.PutManifest(ctx, d, raw, tag)
	if errors.Is(err, fs.ErrExist) {
		if present, askErr := c.stands(ctx, cmp.Or(tag, d.Digest.String()), d.Digest); askErr == nil && present {
			return nil
		}
	}
	return err
}

func (c *filling) inFileOrder(list []*Failure) []*Failure {
	at := make(map[v1.Hash]int, len(c.plan.Blobs))
	for i, b := range c.plan.Blobs {
		at[b.Descriptor.Digest] = i
	}
	slices.SortStableFunc(list, func(a, b *Failure) int { return at[a.Digest] - at[b.Digest] })
	return list
}

// missingBlobs reports whether a manifest was refused because blobs are missing, and returns those
// that the refusal names.
func missingBlobs(err error) (named []v1.Hash, missing bool) {
	var refused interface{ MissingBlobs() ([]v1.Hash, bool) }
	if !errors.As(err, &refused) {
		return nil, false
	}
	return refused.MissingBlobs()
}

// missing returns the blobs that the repository does not have when it refused the manifest of s
// with err: those that the refusal names or, where it names none, all that the manifest needs.
func (c *filling) missing(s *state, err error) []bundle.Blob {
	named, missing := missingBlobs(err)
	if !missing {
		return nil
	}
	wanted := map[v1.Hash]bool{}
	for _, d := range named {
		wanted[d] = true
	}
	if len(named) == 0 {
		for _, d := range s.node.Blobs {
			wanted[d.Digest] = true
		}
	}
	var blobs []bundle.Blob
	for _, b := range c.plan.Blobs {
		if !b.IsManifest && wanted[b.Descriptor.Digest] {
			blobs = append(blobs, b)
		}
	}
	return blobs
}

// putTag gives a root its tag, unless it has it. The tag promises that everything is present, so it
// is read back: some registries have accepted a tag and not stored it.
func (c *filling) putTag(ctx context.Context, tag Tag) error {
	if c.opt.Trust != TrustNothing {
		present, err := c.stands(ctx, tag.Name, tag.Digest)
		if err != nil {
			return err
		}
		if present {
			c.result.TagsPresent++
			return nil
		}
	}
	again, err := c.putManifest(ctx, c.nodes[tag.Digest], tag.Name)
	if err != nil {
		return fmt.Errorf("put tag %s: %w", tag.Name, err)
	}
	desc, _, err := c.dst.Manifest(ctx, c.at.Tag(tag.Name))
	if err == nil && desc.Digest != tag.Digest {
		err = fmt.Errorf("the registry accepted it, but shows %s", desc.Digest)
	}
	if err != nil {
		return fmt.Errorf("put tag %s: read it back: %w", tag.Name, err)
	}
	c.countAgain(again)
	c.result.Tags++
	return nil
}
