package copy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/digest"
	"relocate/internal/imgpkg"
)

// locationsJob puts the locations image of a bundle all of whose locked images are there.
func (c *filling) locationsJob(s *state) job {
	n, had := s.node, false
	failed := c.failed(n, n.Descriptor.Digest)
	if failed != nil {
		note := failed
		failed = func(err error) { c.unlocated = append(c.unlocated, s); note(err) }
	}
	return job{
		do: func(ctx context.Context) (err error) {
			if had, err = c.putLocations(ctx, n); err != nil {
				return fmt.Errorf("put locations image of %s: %w", n.Name(), err)
			}
			return nil
		},
		done: func() {
			s.located = true
			if had {
				c.result.LocationsPresent++
			} else {
				c.result.Locations++
			}
		},
		failed: failed,
	}
}

// putLocations puts a locations image under its two tags and reports whether it was there. One that
// lists the same is left alone, whatever its bytes: another compressor wrote it.
func (c *filling) putLocations(ctx context.Context, n *bundle.Node) (had bool, err error) {
	locations := c.plan.Graph.Locations(n)
	image, err := imgpkg.Locations(locations)
	if err != nil {
		return false, err
	}
	d := image.Descriptor.Digest
	tag, self := imgpkg.LocationsTag(n.Descriptor.Digest), imgpkg.DefaultTag(d)
	hasTag, hasSelf := false, false
	if c.opt.Trust != TrustNothing {
		there, err := c.dst.Resolve(ctx, tag)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if hasTag = err == nil && there == d; err == nil && !hasTag {
			if same, err := c.sameLocations(ctx, n, locations); err != nil || same {
				return true, err
			}
		}
		if hasSelf, err = c.stands(ctx, self, d); err != nil {
			return false, err
		}
	}
	if !c.trustsManifests() || (!hasTag && !hasSelf) {
		if err := c.putBytes(ctx, c.opt.Trust != TrustNothing, image.Layer, image.Config); err != nil {
			return false, err
		}
	}
	if !hasSelf {
		if err := c.putImage(ctx, image, self); err != nil {
			return false, err
		}
	}
	if !hasTag { // last: it is the tag that imgpkg believes
		if err := c.putImage(ctx, image, tag); err != nil {
			return false, err
		}
	}
	return hasTag && hasSelf, nil
}

// putImage puts the manifest of a locations image. Blobs that the repository turns out to miss are
// sent, once.
func (c *filling) putImage(ctx context.Context, image *imgpkg.Image, tag string) error {
	err := c.put(ctx, image.Descriptor, image.Manifest, tag)
	if _, missing := missingBlobs(err); !missing {
		return err
	}
	if err := c.putBytes(ctx, false, image.Layer, image.Config); err != nil {
		return err
	}
	return c.put(ctx, image.Descriptor, image.Manifest, tag)
}

// sameLocations reports whether the locations image at the destination lists the same.
func (c *filling) sameLocations(ctx context.Context, n *bundle.Node, want *carvel.ImageLocations) (bool, error) {
	got, err := bundle.ReadLocations(ctx, c.dst, c.at, n.Descriptor.Digest)
	if err != nil {
		return false, ctx.Err() // one that cannot be read is replaced
	}
	return got.Equal(want), nil
}

// putBytes puts blobs; with ask, those that the repository says it has not.
func (c *filling) putBytes(ctx context.Context, ask bool, blobs ...[]byte) error {
	for _, b := range blobs {
		d := v1.Descriptor{Digest: digest.Of(b), Size: int64(len(b))}
		if ask {
			had, err := c.dst.HasBlob(ctx, d)
			if err != nil {
				return err
			}
			if had {
				continue
			}
		}
		open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
		if err := twice(func() error { return c.dst.PutBlob(ctx, d, open) }, func() {}); err != nil {
			return err
		}
	}
	return nil
}
