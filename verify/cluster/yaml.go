package cluster

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/internal/text"
	"relocate/internal/yamlnode"
)

// splitter cuts a YAML stream into pieces that can be read on their own: documents, and the items
// of a list as kubectl formats it. A cluster's list can be larger than the memory. Each piece must
// be valid YAML by itself, so text that only looks like an item is an error and hides nothing.
type splitter struct {
	objects *Objects
	doc     position
	line    int    // of the next line
	piece   []byte // being collected
	start   int    // its line
	part    part   // what it is
	indent  int    // of the items; -1 before the first
	kind    string // of the list
}

// part says which part of its document a piece is.
type part int

const (
	whole part = iota // or the part of a list before its items
	item
	tail // the part of a list after its items
)

func readYAML(in io.Reader, objects *Objects) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxObject+1)
	lines.Split(wholeLines)
	s := &splitter{objects: objects, doc: position{1, 1}, line: 1}
	for lines.Scan() {
		if err := s.add(lines.Bytes()); err != nil {
			return err
		}
		s.line++
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return s.doc.fail(s.line, fmt.Errorf("it has more than %d bytes", maxObject))
	}
	if lines.Err() != nil {
		return lines.Err()
	}
	return s.endDocument()
}

// wholeLines is bufio.ScanLines, but keeps the line breaks.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// add adds the next line.
func (s *splitter) add(l []byte) error {
	if yamlnode.IsMarker(l) {
		if err := s.endDocument(); err != nil {
			return err
		}
		s.doc = position{s.doc.number + 1, s.line}
	}
	if s.part == whole && string(bytes.TrimRight(l, " \r\n")) == "items:" {
		s.indent = -1
		return s.endPiece(item)
	}
	if s.part == item {
		if next, cuts := s.itemOrTail(l); cuts {
			if err := s.endPiece(next); err != nil {
				return err
			}
		}
	}
	if len(s.piece) == 0 {
		s.start = s.line
	}
	if len(s.piece)+len(l) > maxObject {
		return s.doc.fail(s.start, fmt.Errorf("an object has more than %d bytes", maxObject))
	}
	s.piece = append(s.piece, l...)
	return nil
}

// itemOrTail reports whether a line among items begins another item or the rest of the list.
func (s *splitter) itemOrTail(l []byte) (next part, cuts bool) {
	text := bytes.TrimLeft(l, " ")
	indent := len(l) - len(text)
	if len(bytes.TrimSpace(text)) == 0 || text[0] == '#' {
		return item, false
	}
	begins := text[0] == '-' && (len(text) == 1 || bytes.IndexByte([]byte(" \t\r\n"), text[1]) >= 0)
	if s.indent < 0 && begins {
		s.indent = indent
	}
	switch {
	case begins && indent == s.indent:
		return item, true
	case indent <= s.indent, s.indent < 0:
		return tail, true
	}
	return item, false
}

// endPiece reads the collected piece. next is the part that follows it.
func (s *splitter) endPiece(next part) error {
	text, was := s.piece, s.part
	s.piece, s.part = s.piece[:0], next
	if len(text) == 0 {
		return nil
	}
	n, err := yamlnode.Document{Line: s.start, Text: text}.Tree()
	switch {
	case err != nil:
		return s.doc.fail(lineOf(err, s.start), fmt.Errorf("it %w", err))
	case n == nil: // comments
		return nil
	case was == item:
		return s.objects.addList(n, strings.TrimSuffix(s.kind, "List"), s.doc)
	case was == tail || next == item:
		if n.Kind != yaml.MappingNode || yamlnode.Get(n, "items") != nil {
			return s.doc.fail(n.Line, errors.New("a list is not written as kubectl writes it"))
		}
		if kind := yamlnode.Text(n, "kind"); kind != "" {
			s.kind = kind
		}
		return nil
	}
	return s.objects.add(n, "", s.doc)
}

// endDocument reads the last piece of a document.
func (s *splitter) endDocument() error {
	isList := s.part != whole
	if err := s.endPiece(whole); err != nil {
		return err
	}
	if isList && !strings.HasSuffix(s.kind, "List") {
		return s.doc.fail(s.doc.line, fmt.Errorf("it has items, and its kind is %s", text.Quote(s.kind)))
	}
	s.kind = ""
	return nil
}

// lineOf returns the line of an error, or other when it has none.
func lineOf(err error, other int) int {
	var at *yamlnode.Error
	if errors.As(err, &at) {
		return at.Line
	}
	return other
}
