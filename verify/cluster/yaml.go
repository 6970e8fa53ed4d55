package cluster

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// splitter cuts a YAML stream into pieces that can be read for themselves: documents, and the items of a
// list in the form that kubectl gives it, of which a cluster's can be larger than the memory. Each piece must
// be whole YAML: text that only seems to be an item makes an error, and hides nothing.
type splitter struct {
	objects *Objects
	doc     document
	line    int    // of the next line
	piece   []byte // being collected
	start   int    // its line
	part    part   // what it is
	indent  int    // of the items; -1 before the first
	kind    string // of the list
}

// part is what a piece is of its document.
type part int

const (
	whole part = iota // or what a list has before its items
	item
	tail // what a list has after its items
)

func readYAML(in io.Reader, objects *Objects) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxObject+1)
	lines.Split(wholeLines)
	s := &splitter{objects: objects, doc: document{1, 1}, line: 1}
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

// wholeLines is bufio.ScanLines with the line breaks.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// add takes the next line.
func (s *splitter) add(l []byte) error {
	if isMarker(l) {
		if err := s.endDocument(); err != nil {
			return err
		}
		s.doc = document{s.doc.number + 1, s.line}
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

// itemOrTail says of a line among items whether another one, or the rest of the list, begins with it.
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

// endPiece reads the piece that was collected; next is what follows it.
func (s *splitter) endPiece(next part) error {
	text, was := s.piece, s.part
	s.piece, s.part = s.piece[:0], next
	if len(text) == 0 {
		return nil
	}
	n, err := parseYAML(text, s.start)
	var at *lineError
	switch {
	case errors.As(err, &at):
		return s.doc.fail(at.line, at.err)
	case err != nil:
		return s.doc.fail(s.start, err)
	case n == nil: // comments
		return nil
	case was == item:
		return s.objects.addList(n, strings.TrimSuffix(s.kind, "List"), s.doc)
	case was == tail || next == item:
		if n.Kind != yaml.MappingNode || get(n, "items") != nil {
			return s.doc.fail(n.Line, errors.New("a list is not written as kubectl writes it"))
		}
		if kind := textAt(n, "kind"); kind != "" {
			s.kind = kind
		}
		return nil
	}
	return s.objects.add(n, "", s.doc, 0)
}

// endDocument reads the last piece of a document.
func (s *splitter) endDocument() error {
	isList := s.part != whole
	if err := s.endPiece(whole); err != nil {
		return err
	}
	if isList && !strings.HasSuffix(s.kind, "List") {
		return s.doc.fail(s.doc.line, fmt.Errorf("it has items, and its kind is %s", quote(s.kind)))
	}
	s.kind = ""
	return nil
}

// isMarker reports whether a line starts a YAML document.
func isMarker(l []byte) bool {
	rest, ok := bytes.CutPrefix(l, []byte("---"))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// lineError is an error at a line of the input.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return e.err.Error() }

// parserLine is where the library says that an error is.
var parserLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// parseYAML reads one document that begins at a line of the input. It has no aliases left, no key twice,
// and lines as in the input. It is nil when there is nothing in it.
func parseYAML(text []byte, line int) (*yaml.Node, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	n := 3*bytes.Count(text, []byte("\n")) + 2*(bytes.Count(text, []byte(","))+bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")))
	if n > maxNodes {
		return nil, fmt.Errorf("an object has about %d keys, values and items, more than the limit of %d", n, maxNodes)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var root, more yaml.Node
	err := d.Decode(&root)
	if err == io.EOF {
		return nil, nil
	}
	if err == nil {
		if d.Decode(&more) != io.EOF {
			return nil, errors.New("something follows the end of a document on a line that is none to other readers")
		}
		if top := root.Content[0]; top.Kind == yaml.ScalarNode && top.ShortTag() == "!!null" {
			return nil, nil
		}
		c := &cleaner{first: line, left: maxNodes}
		return root.Content[0], c.clean(&root.Content[0], 0, false)
	}
	if m := parserLine.FindStringSubmatch(err.Error()); m != nil {
		if at, convErr := strconv.Atoi(m[1]); convErr == nil {
			line += at - 1
		}
		err = errors.New(strings.TrimPrefix(err.Error(), m[0]))
		if m[1] != "" && strings.HasPrefix(err.Error(), "did not find expected") { // these count from 0
			line++
		}
	}
	return nil, &lineError{line, errors.New(shorten(err.Error(), 300))}
}

// cleaner makes a tree of what the parser made.
type cleaner struct {
	first int // line of the input
	left  int // nodes
}

// clean puts what an alias stands for in its place, and refuses what two readers may read in two ways. again
// says that the node was cleaned already, where an alias found it.
func (c *cleaner) clean(at **yaml.Node, depth int, again bool) error {
	n := *at
	if n.Kind == yaml.AliasNode {
		n, again = n.Alias, true
		*at = n
	}
	if depth > maxNesting {
		return errors.New("an object is nested too deep")
	}
	if c.left--; c.left < 0 {
		return fmt.Errorf("an object has, with its aliases, more than %d keys, values and items", maxNodes)
	}
	if !again {
		n.Line += c.first - 1
	}
	if n.Kind == yaml.MappingNode && !again {
		if err := checkKeys(n); err != nil {
			return &lineError{n.Line, err}
		}
	}
	for i := range n.Content {
		if err := c.clean(&n.Content[i], depth+1, again); err != nil {
			return err
		}
	}
	return nil
}

// checkKeys refuses a key that comes twice, as kubectl does.
func checkKeys(n *yaml.Node) error {
	keys := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := n.Content[i]; keys[key.Value] {
			return fmt.Errorf("the key %s comes twice", quote(key.Value))
		} else if key.Kind == yaml.ScalarNode {
			keys[key.Value] = true
		}
	}
	return nil
}

// quote returns foreign text for a message: in quotes, control characters escaped, and not too long.
func quote(s string) string { return strconv.Quote(shorten(s, 200)) }

// shorten makes one line of s, and cuts it to about n bytes.
func shorten(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return strings.Join(strings.Fields(s), " ")
}
