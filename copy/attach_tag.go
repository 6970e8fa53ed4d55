package copy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"relocate/bundle"
	"relocate/oci"
)

// written is what was put for an attachment under its tag.
type written struct {
	manifests int           // 0 when the tag had all of it already
	merged    int           // 1 when it was merged with what others had put
	again     []bundle.Blob // that were uploaded once more, and configs of merged lists
}

// attachByTag puts an attachment under its tag. Nothing that others put there is lost: lists of
// signatures and attestations are merged, and anything else under the tag stays. What was written
// is read again, because others may have written at the same time.
//
// Errors: oci.ErrConflict, ErrContended.
func (c *filling) attachByTag(ctx context.Context, a bundle.Attachment, s *state) (was written, err error) {
	for range maxTries + 1 {
		got, err := c.dst.Resolve(ctx, a.Tag)
		isAbsent := errors.Is(err, fs.ErrNotExist)
		switch {
		case isAbsent, err == nil && got == a.Digest && c.opt.Trust == TrustNothing && was.manifests == 0:
			err = c.putUnder(ctx, a.Tag, s, &was)
		case err != nil:
			err = fmt.Errorf("ask for %s: %w", a.Tag, err)
		case got == a.Digest:
			return was, nil
		default:
			var isIn bool
			if isIn, err = c.mergeUnder(ctx, a.Tag, s, &was); isIn {
				return was, nil
			}
		}
		if err != nil && !isReplaced(err) {
			return was, err
		}
	}
	return was, ErrContended
}

// putUnder puts an attachment under its tag as it is.
func (c *filling) putUnder(ctx context.Context, tag string, s *state, was *written) error {
	again, err := c.putManifest(ctx, s, tag)
	was.again = append(was.again, again...)
	was.manifests++
	return err
}

// mergeUnder reports whether the list under the tag has all that the attachment has. If not, it
// puts the two together: the attachment itself, when it has all of the other.
func (c *filling) mergeUnder(ctx context.Context, tag string, s *state, was *written) (isIn bool, err error) {
	desc, raw, err := c.dst.Manifest(ctx, c.at.Tag(tag))
	if errors.Is(err, fs.ErrNotExist) { // deleted since Resolve
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", tag, err)
	}
	theirs, err := oci.ParseLayerList(tag, desc, raw)
	if err != nil {
		return false, fmt.Errorf("%s: %w", tag, err)
	}
	if raw, err = manifest(ctx, c.src, s.blob); err != nil {
		return false, fmt.Errorf("read manifest of %s: %w", s.node.Name(), err)
	}
	ours, err := oci.ParseLayerList(tag, s.node.Descriptor, raw)
	switch {
	case err != nil:
		return false, fmt.Errorf("%s: %w: it cannot be merged with %s", tag, oci.ErrConflict, desc.Digest)
	case theirs.Contains(ours):
		return true, nil
	case ours.Contains(theirs):
		return false, c.putUnder(ctx, tag, s, was)
	}
	return false, c.putMerged(ctx, tag, theirs, ours, was)
}

// putMerged puts the union of two lists under their tag.
func (c *filling) putMerged(ctx context.Context, tag string, theirs, ours *oci.LayerList, was *written) error {
	old, err := c.configOf(ctx, theirs)
	if err != nil {
		return fmt.Errorf("%s: %w", tag, err)
	}
	desc, raw, config, text, err := theirs.Merge(ours, old)
	if err != nil {
		return fmt.Errorf("%s: %w", tag, err)
	}
	open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
	if err := c.dst.PutBlob(ctx, config, open); err != nil {
		return fmt.Errorf("put the config of %s: %w", tag, err)
	}
	was.again = append(was.again, bundle.Blob{Descriptor: &config})
	if err := c.put(ctx, desc, raw, tag); err != nil {
		return fmt.Errorf("put %s: %w", tag, err)
	}
	was.manifests++
	was.merged = 1
	return nil
}

// maxConfig is the size in bytes of the largest config that is merged. cosign's have 100 bytes for
// each layer.
const maxConfig = 4 << 20

// configOf reads the config of a list at the destination.
//
// Errors: oci.ErrConflict when it is missing or too large.
func (c *filling) configOf(ctx context.Context, list *oci.LayerList) ([]byte, error) {
	d := list.Config()
	if d.Size > maxConfig {
		return nil, fmt.Errorf("%w: its config has %d bytes", oci.ErrConflict, d.Size)
	}
	var text []byte
	at := newTransfer(c.dst, bundle.Blob{Descriptor: &d}, c.opt.Progress)
	err := at.twice(func() error {
		r, err := c.dst.Blob(ctx, c.at, d)
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }() // it was read only
		text, err = io.ReadAll(r)        // at most d.Size
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: its config is missing: %w", oci.ErrConflict, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read config %s: %w", d.Digest, err)
	}
	return text, nil
}
