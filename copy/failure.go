package copy

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Failure is a blob or manifest that could not be copied. The copy continued without it.
type Failure struct {
	Image  string  // reference
	Digest v1.Hash // of the blob or manifest
	Err    error
}

// PartialError says that everything was tried, and what failed. It wraps the errors of all
// failures.
type PartialError struct {
	Failures []Failure // at least one, in file order
}

func (e *PartialError) Error() string {
	if len(e.Failures) == 1 {
		return fmt.Sprintf("%s of %s could not be copied", e.Failures[0].Digest, e.Failures[0].Image)
	}
	return fmt.Sprintf("%d manifests and blobs could not be copied", len(e.Failures))
}

// Unwrap returns the causes.
func (e *PartialError) Unwrap() []error {
	var errs []error
	for _, f := range e.Failures {
		errs = append(errs, f.Err)
	}
	return errs
}

// partial returns a PartialError for the failures that are not nil; nil when all are nil.
func partial(list []*Failure) error {
	e := &PartialError{}
	for _, f := range list {
		if f != nil {
			e.Failures = append(e.Failures, *f)
		}
	}
	if len(e.Failures) == 0 {
		return nil
	}
	return e
}
