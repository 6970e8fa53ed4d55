package tarball

import (
	"context"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
)

// Tests write archives in relocate's format, unless they say otherwise.

func Create(path string, plan *bundle.Plan, request Request, jobs int) (*Writer, error) {
	d, err := New(context.Background(), plan, nil, request)
	if err != nil {
		return nil, err
	}
	return d.Create(path, jobs)
}

func NewStreamWriter(w io.Writer, plan *bundle.Plan) (*StreamWriter, error) {
	d, err := New(context.Background(), plan, nil, Request{})
	if err != nil {
		return nil, err
	}
	return d.Stream(w)
}

// ReadSealFrom is ReadSeal of an archive in relocate's format.
func ReadSealFrom(r io.ReaderAt) (v1.Hash, error) { return readSeal(r) }

// NewHead reads what comes before end in r, which the inventory says.
func NewHead(r Ranged, end int64) io.ReaderAt { return &head{r: r, end: end, known: true} }
