package bundle

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/imgpkg"
	"relocate/oci"
)

// readConfig reads the labels of an image's config, which say whether it is a bundle. The config of an
// artifact may be of any format and size, and has no label. An image's config above the limit is an
// error, because it may have the label.
func readConfig(ctx context.Context, src Source, repo name.Repository, m *oci.Manifest) (config imgpkg.Config, err error) {
	if m.Config().Size > oci.MaxSize {
		if m.Config().MediaType.IsConfig() {
			return config, fmt.Errorf("%w: has a config of %d bytes, more than the limit of %d", oci.ErrMalformed, m.Config().Size, oci.MaxSize)
		}
		return config, nil
	}
	r, err := src.Blob(ctx, repo, m.Config())
	if err != nil {
		return config, fmt.Errorf("config %s: %w", m.Config().Digest, err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r) // a source returns at most the size in the descriptor, which is within oci.MaxSize
	if err != nil {
		return config, fmt.Errorf("config %s: %w", m.Config().Digest, err)
	}
	return imgpkg.ReadConfig(raw), nil
}

// Derivation says what relocate derived a bundle or an index from. It is what the bundle's config, or the
// index, says.
type Derivation struct {
	From   v1.Hash // the bundle or index
	Choice string  // of packages, as JSON; empty for all

	Platforms string // of images, with blanks between; empty for all
}

// derivation returns what a config says; nil for nothing.
func derivation(config imgpkg.Config) *Derivation {
	from, err := v1.NewHash(config.DerivedFrom)
	if err != nil {
		return nil
	}
	if !json.Valid([]byte(config.Choice)) {
		config.Choice = ""
	}
	return &Derivation{From: from, Choice: config.Choice, Platforms: config.Platforms}
}

// indexDerivation returns what an index says; nil for nothing.
func indexDerivation(m *oci.Manifest) *Derivation {
	var list map[string]json.RawMessage
	var from string
	if len(m.Annotations) == 0 || json.Unmarshal(m.Annotations, &list) != nil || json.Unmarshal(list[imgpkg.LabelDerivedFrom], &from) != nil {
		return nil
	}
	return derivation(imgpkg.Config{DerivedFrom: from})
}
