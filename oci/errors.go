package oci

import "errors"

var (
	// ErrMalformed says that content is what its digest says, but not in the format that its readers expect.
	ErrMalformed = errors.New("malformed")

	// ErrUnsupported is the ErrMalformed of what others may carry: the form is a legal one.
	ErrUnsupported error = unsupported{}
)

type unsupported struct{}

func (unsupported) Error() string        { return "not supported" }
func (unsupported) Is(target error) bool { return target == ErrMalformed }
