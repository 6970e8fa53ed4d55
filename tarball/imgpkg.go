package tarball

import (
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

// Format is the form of an archive.
type Format string

// The forms of an archive.
const (
	Relocate Format = ""       // that of the package comment
	Imgpkg   Format = "imgpkg" // that of imgpkg copy --to-tar
)

// String returns the name of the form.
func (f Format) String() string {
	if f == Relocate {
		return "relocate"
	}
	return string(f)
}

// Limits of imgpkg's form, beside those of the package comment.
const (
	maxImgpkgDocument = 256 << 20 // bytes of manifest.json
	maxImgpkgEntry    = 32 << 20  // bytes of one of its entries
	maxImgpkgConfig   = 4 << 20   // bytes of a config, which stands in manifest.json
	maxElsewhere      = 10_000    // manifests of which a journal says where they were found
	maxUnseen         = 10_000    // places and attachments of which a journal says that they were not seen
)

// ErrOneRoot says that several bundles were asked for: with more than one in a tar imgpkg's import panics.
var ErrOneRoot = errors.New("imgpkg's form holds one root bundle")

// imgpkgDocument is the name of the member that lists what imgpkg's form holds.
const imgpkgDocument = "manifest.json"

// rootLabel marks the bundle that was asked for. imgpkg ignores the others: pinsLabel has tags that a
// Package names, which stood for the entry; subjectsLabel has what the entry refers to, as OCI 1.1 referrers do.
const (
	rootLabel     = "dev.carvel.imgpkg.copy.root-bundle"
	pinsLabel     = "relocate.pins"
	subjectsLabel = "relocate.subjects"
)

// imgpkgEntry is an element of manifest.json: one of the two is there.
type imgpkgEntry struct {
	ImageIndex *imgpkgIndex
	Image      *imgpkgImage
}

type imgpkgIndex struct {
	Refs      []string // one: where it was found
	Images    []*imgpkgImage
	Indexes   []*imgpkgIndex
	MediaType types.MediaType
	Digest    string
	Raw       json.RawMessage // a string, of which this is the spelling
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

var imgpkgNameForm = regexp.MustCompile(`^sha256-([0-9a-f]{64})\.tar\.gz$`)

// attachedForm is the tag by which cosign attaches something to the image whose digest is in it.
var attachedForm = regexp.MustCompile(`^sha256-([0-9a-f]{64})\.(sig|att|sbom)$`)

// ImgpkgTar is a tar of imgpkg's form that is to be written: the same bytes that imgpkg writes for the same
// content, found in the same places; where imgpkg has several, entries of one digest are ordered by reference.
type ImgpkgTar struct {
	plan *bundle.Plan
	l    *layout
}

// NewImgpkgTar plans a tar of plan, whose manifests and configs src has. With noOrigins nothing says under
// which references locks name its entries, as imgpkg does for a BundleLock. What cannot stand in
// manifest.json, as it is too large or no text, is an error.
//
// Errors: ErrOneRoot.
func NewImgpkgTar(ctx context.Context, plan *bundle.Plan, src bundle.Source, noOrigins bool) (*ImgpkgTar, error) {
	e := newImgpkgEncoder(plan, src, noOrigins)
	if err := e.oneRoot(); err != nil {
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
	return &ImgpkgTar{imgpkgOrder(plan), l}, nil
}

// Size returns the exact size of the tar in bytes.
func (t *ImgpkgTar) Size() int64 { return t.l.size }

// Create begins the tar at path, as the function Create does an archive.
func (t *ImgpkgTar) Create(path string, request Request, jobs int) (*Writer, error) {
	return create(path, t.l, t.plan, request, jobs)
}

// Stream begins the tar on w, as NewStreamWriter does an archive.
func (t *ImgpkgTar) Stream(w io.Writer) (*StreamWriter, error) { return newStreamWriter(w, t.l) }

// Plan returns the plan with its blobs in the order in which to put them: what a later run could not go on
// without first, and then in file order.
func (t *ImgpkgTar) Plan() *bundle.Plan { return t.plan }

// StreamPlan returns the plan with its blobs in file order.
func (t *ImgpkgTar) StreamPlan() *bundle.Plan {
	isLayer := map[v1.Hash]bool{}
	for _, b := range t.l.blobs {
		isLayer[b.Digest] = true
	}
	plan := *t.plan
	plan.Blobs = slices.Clone(plan.Blobs)
	slices.SortStableFunc(plan.Blobs, func(a, b bundle.Blob) int {
		switch layer := isLayer[a.Descriptor.Digest]; {
		case layer && isLayer[b.Descriptor.Digest]:
			return strings.Compare(a.Descriptor.Digest.Hex, b.Descriptor.Digest.Hex)
		case layer:
			return 1
		case isLayer[b.Descriptor.Digest]:
			return -1
		}
		return 0
	})
	return &plan
}

// imgpkgOrder returns the plan with the blobs behind the small section in the order of imgpkg's form.
func imgpkgOrder(plan *bundle.Plan) *bundle.Plan {
	ordered := *plan
	ordered.Blobs = slices.Clone(plan.Blobs)
	slices.SortFunc(ordered.Blobs[plan.Small:], func(a, b bundle.Blob) int {
		return strings.Compare(a.Descriptor.Digest.Hex, b.Descriptor.Digest.Hex)
	})
	return &ordered
}

// layers returns the layers that the tar holds, by digest. A config is among them if it is a layer, too.
func (e *imgpkgEncoder) layers() ([]Blob, error) {
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
			return nil, fmt.Errorf("%s: its config has %d bytes; imgpkg's form, which has configs in manifest.json, is limited to %d here", n.Name(), config.Size, maxImgpkgConfig)
		}
		for _, d := range n.Blobs[1:] {
			if !left[d.Digest] {
				sizes[d.Digest] = d.Size
			}
		}
	}
	list := make([]Blob, 0, len(sizes))
	for _, d := range slices.SortedFunc(maps.Keys(sizes), func(a, b v1.Hash) int { return strings.Compare(a.Hex, b.Hex) }) {
		list = append(list, Blob{d, sizes[d]})
	}
	return list, nil
}
