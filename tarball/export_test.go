package tarball

import (
	"context"
	"io"

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
