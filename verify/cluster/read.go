package cluster

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Limits on the input.
const (
	maxObject  = 4 << 20   // bytes of one object's text; etcd keeps 1.5 MiB
	maxHeld    = 64 << 20  // bytes of names, paths and references kept from all objects
	maxInput   = 16 << 30  // bytes; a longer input is an error, because an object would be cut
	maxObjects = 2_000_000 // a list of empty objects would fill the memory, too
)

// ErrNotObjects is the error for input that kubectl does not print.
var ErrNotObjects = errors.New("is no list of Kubernetes objects")

// Read reads the output of "kubectl get … -o yaml" or "-o json": objects, lists of objects, or a
// stream of both. It holds one object in memory at a time. Input without an object is an error,
// because it would prove nothing.
//
// Errors: ErrNotObjects, with the document and the line.
func Read(r io.Reader) (*Objects, error) {
	in := bufio.NewReaderSize(&io.LimitedReader{R: r, N: maxInput}, 64<<10)
	objects := &Objects{}
	start, err := in.Peek(in.Size())
	if err != nil && err != io.EOF {
		return nil, err
	}
	if bytes.HasPrefix(start, []byte("\ufeff")) {
		_, _ = in.Discard(3) // already peeked
		start = start[3:]
	}
	blank := err == io.EOF
	start = bytes.TrimLeft(start, " \t\r\n")
	switch {
	case len(start) == 0 && blank:
		err = nil
	case len(start) > 0 && (start[0] == '{' || start[0] == '['):
		err = readJSON(in, objects)
	default:
		err = readYAML(in, objects)
	}
	switch {
	case err != nil:
		return nil, err
	case objects.count == 0:
		return nil, fmt.Errorf("the input %w: it has no objects", ErrNotObjects)
	}
	return objects, nil
}

// position is where a document of the input begins, for errors.
type position struct {
	number int
	line   int // of its first line
}

// fail returns an error about the input.
func (d position) fail(line int, err error) error {
	return fmt.Errorf("document %d, line %d: %w: %w", d.number, line, ErrNotObjects, err)
}
