package oci

import "errors"

var (
	// ErrMalformed says that content matches its digest, but does not have the expected format.
	ErrMalformed = errors.New("malformed")

	// ErrUnsupported is an ErrMalformed for a valid format that this program does not read.
	ErrUnsupported error = unsupported{}

	// ErrUnreadable says that a registry has a manifest and cannot read it. A bundle.Walk treats the
	// manifest as missing.
	ErrUnreadable = errors.New("the registry has it and cannot read it")
)

type unsupported struct{}

func (unsupported) Error() string        { return "not supported" }
func (unsupported) Is(target error) bool { return target == ErrMalformed }
