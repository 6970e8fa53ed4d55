// Package yamlnode reads YAML, and JSON, of others with one set of limits: on size, nesting,
// documents, and what aliases come to.
//
// Decode fills a struct. Documents cuts a file into its documents; of one document, Node returns
// the tree as the parser made it, and Tree a tree that every reader must understand in the same
// way. Get, Pairs, Items and Text navigate trees. A document that is refused is an error that says
// what is wrong with it: "is nested more than 200 deep".
package yamlnode

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"
)

// Limits on what is read.
const (
	// MaxSize is the size of the largest file, in bytes: far more than any real one has, and little
	// enough to be held in memory by every worker.
	MaxSize = 4 << 20

	// MaxDocuments is how many documents of a file are read.
	MaxDocuments = 10_000

	// maxNesting is how many levels a document may have: the schemas of CustomResourceDefinitions
	// are deep.
	maxNesting = 200

	// maxNodes is how many keys, values and items a document may have. Before it is parsed they are
	// estimated by its line breaks and its flow style: the parser needs up to 500 bytes for each.
	maxNodes   = 500_000
	largeNodes = 20_000 // from here on, one document at a time is parsed
)

// ErrLimit says that a document exceeds a limit. It may be valid.
var ErrLimit = errors.New("more than the limit")

// limitError is an ErrLimit with its own message.
type limitError string

func (e limitError) Error() string        { return string(e) }
func (e limitError) Is(target error) bool { return target == ErrLimit }

var errNesting = limitError(fmt.Sprintf("is nested more than %d deep", maxNesting))

// parsing is held while a large document is parsed: one for each job at once could need more memory
// than the program may have.
var parsing sync.Mutex

// reserve refuses a document that would take too much memory. For a large document it waits until
// no other large one is parsed. Callers always call release.
func reserve(data []byte) (release func(), err error) {
	n := 3*bytes.Count(data, []byte("\n")) + 2*(bytes.Count(data, []byte(","))+bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")))
	switch {
	case n > maxNodes:
		return func() {}, limitError(fmt.Sprintf("has about %d keys, values and items, more than the limit of %d", n, maxNodes))
	case n <= largeNodes:
		return func() {}, nil
	}
	parsing.Lock()
	return parsing.Unlock, nil
}

// IsUTF16 reports whether text is UTF-16 for YAML, which this package does not read.
func IsUTF16(text []byte) bool {
	return bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff"))
}

// Check refuses a document above MaxSize, or one that is not UTF-8.
func Check(data []byte) error {
	if len(data) > MaxSize {
		return fmt.Errorf("has %d bytes, more than the limit of %d", len(data), MaxSize)
	}
	if !utf8.Valid(data) {
		return errors.New("is not UTF-8")
	}
	return nil
}

// HiddenBreak returns the line, as editors count, that has a line break for YAML but not for most
// editors: a document can hide behind it. 0 means that no line has one.
func HiddenBreak(text string) int {
	line := 1
	for i, r := range text {
		switch r {
		case '\n':
			line++
		case '\u0085', '\u2028', '\u2029':
			return line
		case '\r':
			if !strings.HasPrefix(text[i+1:], "\n") {
				return line
			}
		}
	}
	return 0
}

// HasEscapes reports whether text may have characters that its bytes do not show: an escape of a
// character or a line break in a string, or a line break that is none for most editors.
func HasEscapes(text []byte) bool {
	for _, hidden := range []string{"\r", "\u0085", "\u2028", "\u2029"} {
		if bytes.Contains(text, []byte(hidden)) {
			return true
		}
	}
	for {
		_, after, found := bytes.Cut(text, []byte(`\`))
		if !found {
			return false
		}
		if len(after) > 0 && strings.IndexByte("xuU\n", after[0]) >= 0 {
			return true
		}
		text = after
	}
}
