package selfimage

import (
	"bytes"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// index is a v1.ImageIndex with the bytes that skopeo would write: in the order of image-spec's structs, and
// without the artifactType that package mutate adds. It rewrites any other index, and the digest changes.
type index struct {
	images []v1.Image
	raw    []byte
}

type indexManifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     types.MediaType   `json:"mediaType"`
	Manifests     []descriptor      `json:"manifests"`
	Annotations   map[string]string `json:"annotations"`
}

type descriptor struct {
	MediaType types.MediaType `json:"mediaType"`
	Digest    v1.Hash         `json:"digest"`
	Size      int64           `json:"size"`
	Platform  *v1.Platform    `json:"platform"`
}

func newIndex(images []v1.Image, annotations map[string]string) (*index, error) {
	manifest := indexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Annotations: annotations}
	for _, image := range images {
		d, err := partial.Descriptor(image)
		if err != nil {
			return nil, err
		}
		config, err := image.ConfigFile()
		if err != nil {
			return nil, err
		}
		manifest.Manifests = append(manifest.Manifests, descriptor{d.MediaType, d.Digest, d.Size, config.Platform()})
	}
	raw, err := json.Marshal(manifest)
	if err != nil {
		return nil, err
	}
	return &index{images, raw}, nil
}

func (i *index) MediaType() (types.MediaType, error) { return types.OCIImageIndex, nil }
func (i *index) RawManifest() ([]byte, error)        { return i.raw, nil }
func (i *index) Digest() (v1.Hash, error)            { return partial.Digest(i) }
func (i *index) Size() (int64, error)                { return partial.Size(i) }
func (i *index) IndexManifest() (*v1.IndexManifest, error) {
	return v1.ParseIndexManifest(bytes.NewReader(i.raw))
}
func (i *index) ImageIndex(h v1.Hash) (v1.ImageIndex, error) {
	return nil, fmt.Errorf("no index %s", h)
}

func (i *index) Image(h v1.Hash) (v1.Image, error) {
	for _, image := range i.images {
		if digest, err := image.Digest(); err == nil && digest == h {
			return image, nil
		}
	}
	return nil, fmt.Errorf("no image %s", h)
}
