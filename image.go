package relocate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"

	"relocate/registry"
)

// PushImage uploads an index with the images in it, and points the tag at it. What the repository has
// already is not uploaded again.
//
// Errors: those of registry.Client.
func PushImage(ctx context.Context, client *registry.Client, index v1.ImageIndex, tag name.Tag) error {
	p := pushing{client.Writer(tag.Context())}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, child := range manifest.Manifests {
		image, err := index.Image(child.Digest)
		if err != nil {
			return err
		}
		if err := p.image(ctx, image); err != nil {
			return fmt.Errorf("upload image %s to %s: %w", child.Digest, tag.Context().Name(), err)
		}
	}
	if err := p.manifest(ctx, index, tag.TagStr()); err != nil {
		return fmt.Errorf("upload index to %s: %w", tag.Name(), err)
	}
	return nil
}

type withManifest interface {
	partial.Describable
	RawManifest() ([]byte, error)
}

// pushing is an image on its way to a repository.
type pushing struct{ to *registry.Repository }

// image uploads what an image names, then its manifest.
func (p pushing) image(ctx context.Context, image v1.Image) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	config, err := partial.ConfigLayer(image)
	if err != nil {
		return err
	}
	for _, layer := range append(layers, config) {
		if err := p.blob(ctx, layer); err != nil {
			return err
		}
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	return p.manifest(ctx, image, digest.String())
}

func (p pushing) blob(ctx context.Context, layer v1.Layer) error {
	d, err := partial.Descriptor(layer)
	if err != nil {
		return err
	}
	if has, err := p.to.HasBlob(ctx, *d); has || err != nil {
		return err
	}
	return p.to.PutBlob(ctx, *d, func(context.Context) (io.ReadCloser, error) { return layer.Compressed() })
}

// manifest puts the manifest of an image or index under a tag or its digest, unless it is there.
func (p pushing) manifest(ctx context.Context, of withManifest, id string) error {
	d, err := partial.Descriptor(of)
	if err != nil {
		return err
	}
	there, err := p.to.Resolve(ctx, id)
	if err == nil && there == d.Digest {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	raw, err := of.RawManifest()
	if err != nil {
		return err
	}
	return p.to.PutManifest(ctx, *d, raw, id)
}
