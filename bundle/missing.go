package bundle

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnreadable says that a place has a manifest and cannot read it. A Walk takes it as missing; only a Source
// that is verified gives such an error.
var ErrUnreadable = errors.New("the registry has it and cannot read it")

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
		s += ", wanted by " + e.WantedBy
	}
	return fmt.Sprintf("%s%s: %v (asked: %s)", s, e.Purpose(), e.err, strings.Join(e.Tried, ", "))
}

// Purpose says what the image is for, as far as that is known: ", for linux/arm64, needed by the package a 1.0.0".
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

// Unwrap returns what a place answered: a refusal where there was one, else the last answer.
func (e *MissingError) Unwrap() error { return e.err }

// maxMissing is how many MissingErrors an error joins.
const maxMissing = 1000

// missingErrors collects MissingErrors. The zero value is ready.
type missingErrors struct {
	first []error
	more  moreMissing
}

// add takes an error of an image that neededBy tells the Package of: only what is named is looked for.
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

// moreMissing is how many images are missing beside those that are named.
type moreMissing int

func (n moreMissing) Error() string { return fmt.Sprintf("and %d more are missing", int(n)) }

// MoreMissing returns how many images a Walk's error counts as missing beside those of Missing.
func MoreMissing(err error) int {
	var more moreMissing
	errors.As(err, &more)
	return int(more)
}

// Missing returns the MissingErrors that a Walk's error joins, or nil when it is any other error.
func Missing(err error) []*MissingError {
	var one *MissingError
	if !errors.As(err, &one) {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []*MissingError{one}
	}
	var missing []*MissingError
	for _, err := range joined.Unwrap() {
		if m, ok := err.(*MissingError); ok {
			missing = append(missing, m)
		}
	}
	return missing
}
