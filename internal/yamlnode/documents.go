package yamlnode

import (
	"bytes"
	"io"
	"iter"

	yamlv3 "go.yaml.in/yaml/v3"
)

// Document is one YAML document of a file.
type Document struct {
	Line int // of its first line in the file, from 1
	Text []byte

	// Lines are the lines of the file that the lines of Text come from. It is nil where Text is the
	// text of the file, and not one that a template computed.
	Lines []int
}

// LineOf returns the line of the file that line n of Text, from 1, comes from.
func (d Document) LineOf(n int) int {
	switch {
	case d.Lines == nil:
		return d.Line + n - 1
	case n < 1 || n > len(d.Lines):
		return d.Line
	}
	return d.Lines[n-1]
}

// Documents cuts a YAML stream at its "---" lines and after its "..." lines, and leaves out
// documents that have only comments, directives and blanks.
func Documents(data []byte) iter.Seq[Document] {
	return func(yield func(Document) bool) {
		doc, line, start, end := Document{Line: 1}, 1, 0, 0
		for l := range bytes.Lines(data) {
			if IsMarker(l) {
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

// HidesMore reports whether YAML finds a second document in the text, or no document that it can
// read.
func (d Document) HidesMore() bool {
	decoder, node := yamlv3.NewDecoder(bytes.NewReader(d.Text)), yamlv3.Node{}
	return decoder.Decode(&node) != nil || decoder.Decode(&node) != io.EOF
}

// IsMarker reports whether line starts a YAML document.
func IsMarker(line []byte) bool { return isMark(line, "---") }

// isEnd reports whether line ends a YAML document: another may follow without a marker.
func isEnd(line []byte) bool { return isMark(line, "...") }

func isMark(line []byte, mark string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(mark))
	return ok && (len(rest) == 0 || bytes.ContainsRune([]byte(" \t\r\n"), rune(rest[0])))
}

func hasContent(text []byte) bool {
	for l := range bytes.Lines(text) {
		if IsMarker(l) {
			l = l[3:]
		}
		if l = bytes.TrimSpace(l); len(l) > 0 && l[0] != '#' && l[0] != '%' && string(l) != "..." {
			return true
		}
	}
	return false
}
