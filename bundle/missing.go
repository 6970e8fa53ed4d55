package bundle

import (
	"errors"
	"fmt"
	"strings"
)

// MissingError says that an image which the graph needs was found nowhere. It wraps fs.ErrNotExist,
// or fs.ErrPermission when some place did not show what it has.
type MissingError struct {
	Reference string   // as the one who wants it names it
	WantedBy  string   // reference of the bundle or index; empty for a root
	Platform  string   // of the child of an index, such as linux/arm64, where the index says one
	Package   string   // name and version of the Package that needs it; empty when there is none
	Tried     []string // references asked, in order
	err       error
}

func (e *MissingError) Error() string {
	s := "find " + e.Reference
	if e.WantedBy != "" {
		s += ", referenced by " + e.WantedBy
	}
	return fmt.Sprintf("%s%s: %v (tried: %s)", s, e.Purpose(), e.err, strings.Join(e.Tried, ", "))
}

// Purpose says what the image is for, as far as known: ", for linux/arm64, needed by the package a
// 1.0.0".
func (e *MissingError) Purpose() string {
	s := ""
	if e.Platform != "" {
		s += ", for " + e.Platform
	}
	if e.Package != "" {
		s += ", needed by the package " + e.Package
	}
	return s
}

// Unwrap returns the first fs.ErrPermission, or else the error of the last request.
func (e *MissingError) Unwrap() error { return e.err }

// maxMissing is the number of MissingErrors that an error joins.
const maxMissing = 1000

// missingErrors collects MissingErrors. The zero value is ready.
type missingErrors struct {
	first []error
	more  moreMissing
}

// add adds an error. neededBy finds the Package of the image; it is called only for errors that are kept.
func (m *missingErrors) add(err *MissingError, neededBy func() string) {
	if len(m.first) < maxMissing {
		err.Package = neededBy()
		m.first = append(m.first, err)
	} else {
		m.more++
	}
}

// join returns nil when nothing is missing.
func (m *missingErrors) join() error {
	if m.more > 0 {
		return errors.Join(append(m.first, m.more)...)
	}
	return errors.Join(m.first...)
}

// moreMissing is the number of missing images above maxMissing.
type moreMissing int

func (n moreMissing) Error() string { return fmt.Sprintf("and %d more are missing", int(n)) }

// Missing returns the MissingErrors that a Walk's error joins, at most 1,000, and the number of further
// missing images. It returns nil and 0 for any other error.
func Missing(err error) (list []*MissingError, more int) {
	var one *MissingError
	if !errors.As(err, &one) {
		return nil, 0
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []*MissingError{one}, 0
	}
	for _, err := range joined.Unwrap() {
		switch e := err.(type) {
		case *MissingError:
			list = append(list, e)
		case moreMissing:
			more = int(e)
		}
	}
	return list, more
}
