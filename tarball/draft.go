package tarball

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
)

// Draft is an archive to write, in either format. Its size, its seal and the place of every blob
// are known; the content of the blobs follows.
type Draft struct {
	plan    *bundle.Plan
	request Request
	l       *layout
}

// New prepares the archive of plan. The request is what the export was asked for; its Format and
// NoOrigins decide what is written. For imgpkg's format src must have all manifests and configs of
// the plan, because manifest.json holds them; one that is too large or not UTF-8 is an error.
// Otherwise src may be nil.
//
// The same plan gives the same bytes. In imgpkg's format they are the bytes that imgpkg writes for
// the same content, found in the same places; where imgpkg has several orders, entries of one
// digest are ordered by reference.
//
// Errors: ErrOneRoot, ErrSparse, ErrNoDelta, ErrNoSeal; a limit of the format; those of src.
func New(ctx context.Context, plan *bundle.Plan, src bundle.Source, request Request) (*Draft, error) {
	if request.Format == Imgpkg {
		if request.VolumeSize > 0 {
			return nil, fmt.Errorf("an archive in volumes %w", ErrNoSeal)
		}
		if len(plan.Assumed) > 0 {
			return nil, ErrNoDelta
		}
		l, err := newImgpkgLayout(ctx, plan, src, request.NoOrigins)
		if err != nil {
			return nil, err
		}
		return &Draft{imgpkgOrder(plan), request, l}, nil
	}
	l, err := newLayout(newInventory(plan))
	if err != nil {
		return nil, err
	}
	return &Draft{plan, request, l}, nil
}

// Size returns the exact size of the archive in bytes.
func (d *Draft) Size() int64 { return d.l.size }

// Create begins the archive at path. It checks the free space and writes all that comes before the
// blobs. Nothing appears under path before Writer.Commit; a file with that name stays until then.
// An unfinished archive of an earlier run is removed. jobs is how many blobs will be put at once;
// it limits how much is lost when the run is cut off.
//
// Errors: ErrNoSpace; as CheckTarget.
func (d *Draft) Create(path string, jobs int) (*Writer, error) { return create(path, d, jobs) }

// Stream begins the archive on w and writes all that comes before the blobs. They must be put in
// the order of StreamPlan, some at once at most.
//
// Errors: ErrNoSpace; those of w.
func (d *Draft) Stream(w io.Writer) (*StreamWriter, error) { return newStreamWriter(w, d.l) }

// Plan returns the plan with its blobs in the order in which to put them into a Writer: first what
// Resume needs, then file order.
func (d *Draft) Plan() *bundle.Plan { return d.plan }

// StreamPlan returns the plan with its blobs in file order.
func (d *Draft) StreamPlan() *bundle.Plan {
	if d.request.Format != Imgpkg {
		return d.plan
	}
	isLayer := map[v1.Hash]bool{}
	for _, b := range d.l.blobs {
		isLayer[b.Digest] = true
	}
	plan := *d.plan
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
