package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// manifest is what the walk needs of an image manifest or an index.
type manifest struct {
	isIndex  bool
	config   v1.Descriptor   // of an image
	layers   []v1.Descriptor // of an image
	children []v1.Descriptor // of an index
}

// blobs returns the config and the layers.
func (m *manifest) blobs() []v1.Descriptor {
	if m.isIndex {
		return nil
	}
	return append([]v1.Descriptor{m.config}, m.layers...)
}

// parseManifest reads an image manifest or an index, Docker's or OCI's. The media type of the
// descriptor, the one in the document and the form of the document must agree, so that no two
// readers can see two things in one digest (CVE-2021-41190). Errors wrap ErrMalformed.
func parseManifest(desc v1.Descriptor, raw []byte) (*manifest, error) {
	m, err := decodeManifest(desc, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return m, nil
}

func decodeManifest(desc v1.Descriptor, raw []byte) (*manifest, error) {
	var doc struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     types.MediaType `json:"mediaType"`
		Config        *v1.Descriptor  `json:"config"`
		Layers        []v1.Descriptor `json:"layers"`
		Manifests     []v1.Descriptor `json:"manifests"`
	}
	if desc.MediaType.IsSchema1() {
		return nil, fmt.Errorf("has the media type %q: Docker schema 1 cannot be copied with its digest; push the image again in a newer format", desc.MediaType)
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("is no manifest: %w", err)
	}
	if doc.MediaType != "" && doc.MediaType != desc.MediaType {
		return nil, fmt.Errorf("is served as %q but says that it is %q", desc.MediaType, doc.MediaType)
	}
	if doc.SchemaVersion != 2 {
		return nil, fmt.Errorf("has schemaVersion %d, want 2", doc.SchemaVersion)
	}
	m := &manifest{isIndex: desc.MediaType.IsIndex(), layers: doc.Layers, children: doc.Manifests}
	switch {
	case m.isIndex:
		if doc.Config != nil || doc.Layers != nil {
			return nil, errors.New("is an index with config or layers")
		}
	case desc.MediaType.IsImage():
		if doc.Manifests != nil {
			return nil, errors.New("is an image manifest with manifests")
		}
		if doc.Config == nil {
			return nil, errors.New("is an image manifest without config")
		}
		m.config = *doc.Config
	default:
		return nil, fmt.Errorf("has the media type %q, which is neither an image manifest nor an index", desc.MediaType)
	}
	for _, d := range append(m.blobs(), m.children...) {
		if d.Digest.Algorithm != "sha256" || d.Size < 0 {
			return nil, fmt.Errorf("has a descriptor with the digest %q and the size %d", d.Digest, d.Size)
		}
	}
	return m, nil
}

// isForeign reports whether a layer's registry may decline to serve it: its licence forbids
// distribution.
func isForeign(d v1.Descriptor) bool { return !d.MediaType.IsDistributable() }

// isBundle reports whether the image's config has the bundle label. A config that is no JSON object
// with labels, or too large for one, makes no bundle; it is an artifact's.
func isBundle(ctx context.Context, src Source, repo name.Repository, m *manifest) (bool, error) {
	if m.config.Size > maxDocument {
		return false, nil
	}
	r, err := src.Blob(ctx, repo, m.config)
	if err != nil {
		return false, fmt.Errorf("config %s: %w", m.config.Digest, err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r) // at most maxDocument: the source holds the descriptor's size
	if err != nil {
		return false, fmt.Errorf("config %s: %w", m.config.Digest, err)
	}
	var config struct {
		Config struct {
			Labels map[string]json.RawMessage `json:"Labels"`
		} `json:"config"`
	}
	if json.Unmarshal(raw, &config) != nil {
		return false, nil
	}
	_, ok := config.Config.Labels[Label]
	return ok, nil
}
