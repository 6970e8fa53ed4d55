package tarball

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/bundle"
)

// Format is the format of an archive. Its zero value is the one that the package comment specifies.
type Format string

// Imgpkg is the format of imgpkg copy --to-tar.
const Imgpkg Format = "imgpkg"

// String returns the name of the format.
func (f Format) String() string {
	if f == "" {
		return "relocate"
	}
	return string(f)
}

// Limits of imgpkg's format, beside those of the package comment.
const (
	maxImgpkgDocument = 256 << 20 // bytes of manifest.json
	maxImgpkgEntry    = 32 << 20  // bytes of one of its entries
	maxImgpkgConfig   = 4 << 20   // bytes of a config, which manifest.json holds
	maxElsewhere      = 10_000    // places of manifests in a journal
	maxUnseen         = 10_000    // entries of unseen in a journal
)

// ErrOneRoot says that a tar in imgpkg's format would have several root bundles, with which
// imgpkg's import panics.
var ErrOneRoot = errors.New("imgpkg's format holds one root bundle")

// ErrSparse says that children of an index are left out, which imgpkg's import needs.
var ErrSparse = errors.New("imgpkg's format holds all children of an index")

// imgpkgDocument is the name of the member that lists what a tar in imgpkg's format holds.
const imgpkgDocument = "manifest.json"

// Labels of entries. rootLabel marks the root bundle. imgpkg ignores the others: pinsLabel has tags
// in Packages that stood for the entry; subjectsLabel has the digests that the entry refers to as
// an OCI 1.1 referrer.
const (
	rootLabel     = "dev.carvel.imgpkg.copy.root-bundle"
	pinsLabel     = "relocate.pins"
	subjectsLabel = "relocate.subjects"
)

// imgpkgEntry is an element of manifest.json. One of the two is set.
type imgpkgEntry struct {
	ImageIndex *imgpkgIndex
	Image      *imgpkgImage
}

type imgpkgIndex struct {
	Refs      []string // one reference: where it was found
	Images    []*imgpkgImage
	Indexes   []*imgpkgIndex
	MediaType types.MediaType
	Digest    string
	Raw       json.RawMessage // a string, as it is spelled in JSON
	Tag       string
	OrigRef   string
	Labels    map[string]string
}

type imgpkgImage struct {
	Refs   []string
	Layers []imgpkgLayer
	Config struct {
		Digest string
		Raw    json.RawMessage
	}
	Manifest struct {
		MediaType types.MediaType
		Digest    string
		Raw       json.RawMessage
	}
	Tag     string
	OrigRef string
	Labels  map[string]string
}

type imgpkgLayer struct {
	MediaType types.MediaType
	Digest    string
	DiffID    string
	Size      int64
}

// imgpkgName returns the name of a layer's member, whatever its type.
func imgpkgName(d v1.Hash) string { return d.Algorithm + "-" + d.Hex + ".tar.gz" }

var imgpkgNamePattern = regexp.MustCompile(`^sha256-([0-9a-f]{64})\.tar\.gz$`)

// attachedTag is the tag by which cosign attaches something to the image whose digest it has.
var attachedTag = regexp.MustCompile(`^sha256-([0-9a-f]{64})\.(sig|att|sbom)$`)

// imgpkgOrder returns the plan with the blobs after the small section in the order of imgpkg's
// format.
func imgpkgOrder(plan *bundle.Plan) *bundle.Plan {
	ordered := *plan
	ordered.Blobs = slices.Clone(plan.Blobs)
	slices.SortFunc(ordered.Blobs[plan.Small:], func(a, b bundle.Blob) int {
		return strings.Compare(a.Descriptor.Digest.Hex, b.Descriptor.Digest.Hex)
	})
	return &ordered
}

// layers returns the layers that the tar holds, by digest. A config is among them if it is also a
// layer.
func (e *imgpkgEncoder) layers() ([]blobEntry, error) {
	left := map[v1.Hash]bool{}
	for _, o := range e.plan.Omitted {
		left[o.Digest] = true
	}
	sizes := map[v1.Hash]int64{}
	for _, n := range e.plan.Graph.Nodes {
		if n.Kind == bundle.Index {
			continue
		}
		if config := n.Blobs[0]; config.Size > maxImgpkgConfig {
			return nil, fmt.Errorf("%s: its config has %d bytes; imgpkg's format, which has configs in manifest.json, is limited to %d here", n.Name(), config.Size, maxImgpkgConfig)
		}
		for _, d := range n.Blobs[1:] {
			if !left[d.Digest] {
				sizes[d.Digest] = d.Size
			}
		}
	}
	list := make([]blobEntry, 0, len(sizes))
	for _, d := range slices.SortedFunc(maps.Keys(sizes), func(a, b v1.Hash) int { return strings.Compare(a.Hex, b.Hex) }) {
		list = append(list, blobEntry{d, sizes[d]})
	}
	return list, nil
}

// newImgpkgLayout lays out imgpkg's format. With noOrigins no entry says under which reference a
// lock names it, as imgpkg does for a BundleLock.
//
// Errors: ErrOneRoot, ErrSparse.
func newImgpkgLayout(ctx context.Context, plan *bundle.Plan, src bundle.Source, noOrigins bool) (*layout, error) {
	e := newImgpkgEncoder(plan, src, noOrigins)
	if err := cmp.Or(e.oneRoot(), e.whole()); err != nil {
		return nil, err
	}
	layers, err := e.layers()
	if err != nil {
		return nil, err
	}
	l := &layout{name: imgpkgName, blobs: layers, within: map[v1.Hash]int64{}, docs: []document{{
		name: imgpkgDocument, limit: maxImgpkgDocument, encode: func(w io.Writer) error { return e.encode(ctx, w) },
	}}}
	for _, n := range plan.Graph.Nodes {
		l.within[n.Descriptor.Digest] = n.Descriptor.Size
		if n.Kind != bundle.Index {
			l.within[n.Blobs[0].Digest] = n.Blobs[0].Size
		}
	}
	if len(layers) > maxBlobs {
		return nil, overLimit("blobs", maxBlobs)
	}
	if err := l.place(); err != nil {
		return nil, err
	}
	l.elsewhere = e.elsewhere()
	l.unseen = plan.Graph.Unseen[:min(len(plan.Graph.Unseen), maxUnseen)]
	return l, nil
}
