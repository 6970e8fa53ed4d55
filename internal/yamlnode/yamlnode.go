// Package yamlnode reads YAML with one set of limits: on size, nesting, documents, and what aliases come to.
package yamlnode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"unicode/utf8"

	yamlv2 "go.yaml.in/yaml/v2"
	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"relocate/internal/text"
)

// Limits on the documents that are read.
const (
	// MaxSize is the largest YAML file, in bytes: far more than any real one,
	// and little enough to be held in memory by every worker.
	MaxSize      = 4 << 20
	maxNesting   = 64     // levels in a manifest or a YAML document
	MaxDocuments = 10_000 // YAML documents in a file

	// maxNodes is how many keys, values and items a YAML document may have, as far as its line breaks and
	// its flow style tell: the parser needs up to 500 bytes for each.
	maxNodes   = 500_000
	largeNodes = 20_000 // from here on, one document at a time is decoded
)

// decodingLarge is held while a large YAML document is decoded: together, one for each job would be more
// than the program may have in memory.
var decodingLarge sync.Mutex

// ErrLimit says of a document that it may be right, and is larger than the limits allow.
var ErrLimit = errors.New("more than the limit")

// limitError is an ErrLimit in other words.
type limitError string

func (e limitError) Error() string        { return string(e) }
func (e limitError) Is(target error) bool { return target == ErrLimit }

// Decode decodes the first document of data into out, which is a pointer to a struct. Strict
// means that unknown and duplicate keys are errors.
func Decode(data []byte, out any, strict bool) error {
	n, unlock := nodes(data)
	defer unlock()
	if n > maxNodes {
		return limitError(fmt.Sprintf("has about %d keys, values and items, more than the limit of %d", n, maxNodes))
	}
	// The library makes JSON of YAML, where each alias becomes a copy. How much that will be is counted
	// first, in what the parser below the library makes of the same bytes: there, copies share their text.
	var tree any
	if err := yamlv2.Unmarshal(data, &tree); err != nil {
		return text.OneLine(err)
	}
	if _, err := expanded(tree, 0); err != nil {
		return err
	}
	decode := yaml.UnmarshalStrict
	if !strict {
		decode = yaml.Unmarshal
	}
	if err := decode(data, out); err != nil {
		return text.OneLine(err)
	}
	return nil
}

// nodes returns about how many keys, values and items a document has. When they are many, no other such
// document is decoded until unlock is called, which is always to be called.
func nodes(data []byte) (n int, unlock func()) {
	n = 3*bytes.Count(data, []byte("\n")) + 2*(bytes.Count(data, []byte(","))+bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")))
	if n <= largeNodes || n > maxNodes {
		return n, func() {}
	}
	decodingLarge.Lock()
	return n, decodingLarge.Unlock
}

// expanded returns how large a decoded YAML value is with all aliases written out: its nodes and the
// bytes of its text. It is an error when that, or the depth, is over the limit.
func expanded(v any, depth int) (int, error) {
	sum := 1
	add := func(items ...any) error {
		if depth == maxNesting {
			return limitError(fmt.Sprintf("is nested more than %d deep", maxNesting))
		}
		for _, item := range items {
			n, err := expanded(item, depth+1)
			if err != nil {
				return err
			}
			if sum += n; sum > MaxSize {
				return limitError(fmt.Sprintf("has aliases that make it larger than %d bytes", MaxSize))
			}
		}
		return nil
	}
	switch v := v.(type) {
	case string:
		return 1 + len(v), nil
	case []any:
		return sum, add(v...)
	case map[any]any:
		for key, value := range v {
			if err := add(key, value); err != nil {
				return 0, err
			}
		}
	}
	return sum, nil
}

// Document is one YAML document of a file.
type Document struct {
	Line int // of its first line in the file, from 1
	Text []byte
}

// Documents cuts a YAML stream at its "---" lines, and after those of "...", and leaves out documents of comments,
// directives and blanks.
func Documents(data []byte) iter.Seq[Document] {
	return func(yield func(Document) bool) {
		doc, line, start, end := Document{Line: 1}, 1, 0, 0
		for l := range bytes.Lines(data) {
			if isMarker(l) {
				if doc.Text = data[start:end]; hasContent(doc.Text) && !yield(doc) {
					return
				}
				doc.Line, start = line, end // what follows "---" on its line belongs to the document
			}
			end += len(l)
			line++
			if !isEnd(l) {
				continue
			}
			if doc.Text = data[start:end]; hasContent(doc.Text) && !yield(doc) {
				return
			}
			doc.Line, start = line, end
		}
		if doc.Text = data[start:]; hasContent(doc.Text) {
			yield(doc)
		}
	}
}

// Node returns what the document holds, nil when that is nothing. Lines are the file's, aliases are not
// followed. What is larger, or nested deeper, than the limits allow is an error.
func (d Document) Node() (*yamlv3.Node, error) {
	n, unlock := nodes(d.Text)
	defer unlock()
	if n > maxNodes {
		return nil, fmt.Errorf("has about %d keys, values and items, more than the limit of %d", n, maxNodes)
	}
	var root yamlv3.Node
	if err := yamlv3.Unmarshal(d.Text, &root); err != nil {
		return nil, text.OneLine(err)
	}
	if len(root.Content) == 0 {
		return nil, nil
	}
	return root.Content[0], d.place(root.Content[0], 0)
}

// HidesMore reports whether YAML finds a second document in the text, or nothing that it can read.
func (d Document) HidesMore() bool {
	decoder, node := yamlv3.NewDecoder(bytes.NewReader(d.Text)), yamlv3.Node{}
	return decoder.Decode(&node) != nil || decoder.Decode(&node) != io.EOF
}

// place gives n and all below it the lines of the file.
func (d Document) place(n *yamlv3.Node, depth int) error {
	if depth == maxNesting {
		return fmt.Errorf("is nested more than %d deep", maxNesting)
	}
	n.Line += d.Line - 1
	for _, child := range n.Content {
		if err := d.place(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// isMarker reports whether line starts a YAML document.
func isMarker(line []byte) bool { return isMark(line, "---") }

// isEnd reports whether line ends a YAML document: another may follow without a marker.
func isEnd(line []byte) bool { return isMark(line, "...") }

func isMark(line []byte, mark string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(mark))
	return ok && (len(rest) == 0 || bytes.ContainsRune([]byte(" \t\r\n"), rune(rest[0])))
}

func hasContent(text []byte) bool {
	for l := range bytes.Lines(text) {
		if isMarker(l) {
			l = l[3:]
		}
		if l = bytes.TrimSpace(l); len(l) > 0 && l[0] != '#' && l[0] != '%' && string(l) != "..." {
			return true
		}
	}
	return false
}

// IsUTF16 reports whether YAML reads a text as UTF-16, which we do not.
func IsUTF16(text []byte) bool {
	return bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff"))
}

// Check refuses what no honest document is: one over the limit, or not UTF-8.
func Check(data []byte) error {
	if len(data) > MaxSize {
		return fmt.Errorf("has %d bytes, more than the limit of %d", len(data), MaxSize)
	}
	if !utf8.Valid(data) {
		return errors.New("is not UTF-8")
	}
	return nil
}

// HiddenBreak returns the line, as editors count, that has a line break to YAML and not to most editors: a
// document can hide behind it. 0 means that there is none.
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
