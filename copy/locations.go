package copy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/digest"
	"relocate/internal/imgpkg"
)

// locationsJob puts the locations image of a bundle whose locked images are all present.
func (c *filling) locationsJob(s *state) job {
	n, present := s.node, false
	failed := c.failed(n, n.Descriptor.Digest)
	if failed != nil {
		note := failed
		failed = func(err error) { c.unlocated = append(c.unlocated, s); note(err) }
	}
	return job{
		do: func(ctx context.Context) (err error) {
			if present, err = c.putLocations(ctx, n); err != nil {
				return fmt.Errorf("put locations image of %s: %w", n.Name(), err)
			}
			return nil
		},
		done: func() {
			s.located = true
			if present {
				c.result.LocationsPresent++
			} else {
				c.result.Locations++
			}
		},
		failed: failed,
	}
}

// putLocations puts a locations image under its two tags and reports whether it was already
// present. One that lists the same stays as it is, even with other bytes: another compressor wrote
// it.
func (c *filling) putLocations(ctx context.Context, n *bundle.Node) (present bool, err error) {
	locations := c.plan.Graph.Locations(n)
	image, err := imgpkg.Locations(locations)
	if err != nil {
		return false, err
	}
	var has located
	if c.asks() {
		if has, err = c.findLocations(ctx, n, locations, image.Descriptor.Digest); err != nil || has.same {
			return has.same, err
		}
	}
	return has.tag && has.self, c.completeLocations(ctx, n, image, has)
}

// shared is a locations image, which bundles with the same images have in common.
type shared struct {
	mu  sync.Mutex // held while it is put: docker-registry 2.8 cannot read a manifest while it is put again
	put bool       // its blobs, and its own default tag
}

// completeLocations puts what the destination does not have of a locations image.
func (c *filling) completeLocations(ctx context.Context, n *bundle.Node, image *imgpkg.Image, has located) error {
	entry, _ := c.shared.LoadOrStore(image.Descriptor.Digest, &shared{})
	of := entry.(*shared)
	of.mu.Lock()
	defer of.mu.Unlock()
	has.self = has.self || of.put
	if !of.put && (!c.trustsManifests() || (!has.tag && !has.self)) {
		if err := c.putBytes(ctx, c.asks(), image.Layer, image.Config); err != nil {
			return err
		}
	}
	if !has.self {
		if err := c.putImage(ctx, image, imgpkg.DefaultTag(image.Descriptor.Digest)); err != nil {
			return err
		}
	}
	of.put = true
	if !has.tag { // last: imgpkg reads this tag
		if err := c.putImage(ctx, image, imgpkg.LocationsTag(n.Descriptor.Digest)); err != nil {
			return err
		}
	}
	return nil
}

// located is what a destination has of a locations image.
type located struct {
	tag, self bool // the image under the tag that imgpkg reads, and under its own default tag
	same      bool // another image under the first tag, which lists the same
}

// findLocations asks the destination for the locations image d of n.
func (c *filling) findLocations(ctx context.Context, n *bundle.Node, want *carvel.ImageLocations, d v1.Hash) (has located, err error) {
	got, err := c.dst.Resolve(ctx, imgpkg.LocationsTag(n.Descriptor.Digest))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return has, err
	case got == d:
		has.tag = true
	default:
		if has.same, err = c.sameLocations(ctx, n, want); err != nil || has.same {
			return has, err
		}
	}
	has.self, err = c.stands(ctx, imgpkg.DefaultTag(d), d)
	return has, err
}

// putImage puts the manifest of a locations image. Blobs that the repository turns out not
// to have are uploaded, once.
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
	got, err := n.ReadLocations(ctx, c.dst, c.at)
	if err != nil {
		return false, ctx.Err() // one that cannot be read is replaced
	}
	return got.Equal(want), nil
}

// putBytes puts blobs; with ask, only those that the repository says it does not have.
func (c *filling) putBytes(ctx context.Context, ask bool, blobs ...[]byte) error {
	for _, b := range blobs {
		d := v1.Descriptor{Digest: digest.Of(b), Size: int64(len(b))}
		if ask {
			present, err := c.dst.HasBlob(ctx, d)
			if err != nil {
				return err
			}
			if present {
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
