package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxDocument is the largest manifest, config or YAML file that is read, in bytes: far more than
// any real one, and little enough to be held in memory by every worker.
const maxDocument = 4 << 20

// document is one YAML document of a file.
type document struct {
	line int // of its first line in the file, from 1
	text []byte
}

// splitDocuments cuts a YAML stream at its "---" lines and drops documents of comments, directives
// and blanks.
func splitDocuments(data []byte) []document {
	var docs []document
	start, startLine, line := 0, 1, 1
	flush := func(end int) {
		if text := data[start:end]; hasContent(text) {
			docs = append(docs, document{startLine, text})
		}
	}
	for i := 0; i < len(data); line++ {
		end := len(data)
		if n := bytes.IndexByte(data[i:], '\n'); n >= 0 {
			end = i + n + 1
		}
		if isMarker(data[i:end]) {
			flush(i)
			start, startLine = i, line // what follows "---" on its line belongs to the document
		}
		i = end
	}
	flush(len(data))
	return docs
}

// lineOf returns the number of the first line of text that has s, from 1; 0 when none has.
func lineOf(text []byte, s string) int {
	before, _, found := bytes.Cut(text, []byte(s))
	if !found {
		return 0
	}
	return 1 + bytes.Count(before, []byte("\n"))
}

// isMarker reports whether line starts a YAML document.
func isMarker(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
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

// firstDocument returns the first YAML document of data that is not empty.
func firstDocument(data []byte) []byte {
	if docs := splitDocuments(data); len(docs) > 0 {
		return docs[0].text
	}
	return nil
}

// checkYAML refuses what no honest document is: one over the limit, or not UTF-8.
func checkYAML(data []byte) error {
	if len(data) > maxDocument {
		return fmt.Errorf("has %d bytes, more than the limit of %d", len(data), maxDocument)
	}
	if !utf8.Valid(data) {
		return errors.New("is not UTF-8")
	}
	return nil
}

// flatten puts an error of the YAML library, which may have several lines, on one.
func flatten(err error) error {
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}
