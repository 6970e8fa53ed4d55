package cluster

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Limits on what is read.
const (
	maxObject  = 4 << 20   // bytes of one object's text; etcd keeps 1.5 MiB
	maxNodes   = 500_000   // keys, values and items of one object
	maxNesting = 200       // levels of one object: the schemas of CustomResourceDefinitions are deep
	maxHeld    = 64 << 20  // bytes of names, paths and references that are kept of all objects
	maxInput   = 16 << 30  // bytes
	maxObjects = 2_000_000 // a list of empty ones would fill the memory, too
)

// ErrNotObjects says that the input is not what kubectl prints.
var ErrNotObjects = errors.New("is no list of Kubernetes objects")

// Read reads what "kubectl get … -o yaml", or -o json, prints: objects, lists of them, or a stream of both.
// One object is in memory at a time. An input without any object is an error: it would prove nothing.
//
// Errors: ErrNotObjects, with the document and the line.
func Read(r io.Reader) (*Objects, error) {
	in := bufio.NewReaderSize(&io.LimitedReader{R: r, N: maxInput}, 64<<10)
	objects := &Objects{}
	first, err := skipBlank(in)
	if err == nil {
		switch first.next {
		case '{', '[':
			err = readJSON(in, first.line, objects)
		default:
			err = readYAML(in, first.line, objects)
		}
	}
	switch {
	case err == io.EOF:
		return nil, fmt.Errorf("the input %w: it is empty", ErrNotObjects)
	case err != nil:
		return nil, err
	case objects.count == 0:
		return nil, fmt.Errorf("the input %w: it has none", ErrNotObjects)
	}
	return objects, nil
}

// place is the next byte of the input and its line.
type place struct {
	next byte
	line int
}

// skipBlank passes over a byte order mark and blank lines. At the end the error is io.EOF.
func skipBlank(in *bufio.Reader) (place, error) {
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\ufeff")) {
		_, _ = in.Discard(3) // which were there
	}
	p := place{line: 1}
	for {
		b, err := in.ReadByte()
		switch {
		case err != nil:
			return p, err
		case b == '\n':
			p.line++
		case b != ' ' && b != '\t' && b != '\r':
			p.next = b
			return p, in.UnreadByte()
		}
	}
}

// document counts documents, and says where an error is.
type document struct {
	number int
	line   int // of its first line
}

// fail returns an error about the input.
func (d document) fail(line int, err error) error {
	return fmt.Errorf("document %d, line %d: %w: %w", d.number, line, ErrNotObjects, err)
}
