package kbld

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// places knows where the bytes of a text are in the input: of the input itself, or of a string in it.
type places struct {
	text   []byte
	starts []int                // of the lines of text
	at     func(offset int) int // in the input

	line, column, offset int // where from was last: mostly, the next node is behind it
}

func newPlaces(text []byte, at func(offset int) int) *places {
	p := &places{text: text, starts: []int{0}, at: at}
	for line := range bytes.Lines(text) {
		p.starts = append(p.starts, p.starts[len(p.starts)-1]+len(line))
	}
	return p
}

// from returns the text from a node on, and its offset.
func (p *places) from(n *yaml.Node) (rest []byte, offset int) {
	if n.Line < 1 || n.Line >= len(p.starts) {
		return nil, 0
	}
	if n.Line != p.line || n.Column < p.column {
		p.line, p.column, p.offset = n.Line, 1, p.starts[n.Line-1]
	}
	for ; p.column < n.Column; p.column++ { // characters
		_, size := utf8.DecodeRune(p.text[p.offset:])
		p.offset += size
	}
	return p.text[p.offset:], p.offset
}

// lineOf returns the line of an offset, from 1.
func (p *places) lineOf(offset int) int {
	line, found := slices.BinarySearch(p.starts, offset)
	if found {
		line++
	}
	return line
}

// span returns the part of the input that a part of the text is.
func (p *places) span(start, end int) (span, bool) {
	if start == end {
		return span{}, false
	}
	s := span{p.at(start), p.at(end-1) + 1}
	return s, s.end-s.start == end-start
}

// alias returns the part of the input that an alias is.
func (p *places) alias(n *yaml.Node) (span, bool) {
	rest, offset := p.from(n)
	if !bytes.HasPrefix(rest, []byte("*"+n.Value)) {
		return span{}, false
	}
	return p.span(offset, offset+1+len(n.Value))
}

// properties are the anchor and the tag before a value.
var properties = regexp.MustCompile(`\A(?:[&!]\S*[ \t\r\n]+)*`)

// inside returns the places of a string's text; nil where the text does not have it as it is.
func (p *places) inside(n *yaml.Node) *places {
	rest, offset := p.from(n)
	skip := len(properties.Find(rest))
	rest, offset = rest[skip:], offset+skip
	value := []byte(n.Value)
	if len(rest) == 0 {
		return nil
	}
	quote := rest[:1]
	switch string(quote) {
	case "|", ">":
		return p.block(rest, offset, value)
	case `"`, "'":
		offset++
		if !bytes.HasPrefix(rest[1:], slices.Concat(value, quote)) {
			return nil
		}
	default:
		if !bytes.HasPrefix(rest, value) {
			return nil
		}
	}
	return newPlaces(value, func(i int) int { return p.at(offset + i) })
}

// block returns the places of the text of a block scalar whose header begins at offset: each of its lines is the end
// of a line.
func (p *places) block(rest []byte, offset int, value []byte) *places {
	var begins []int // of the lines of value, in p.text
	for line := range bytes.Lines(value) {
		end := bytes.IndexByte(rest, '\n') + 1 // of the header, or of the line before
		if end == 0 {
			return nil
		}
		offset, rest = offset+end, rest[end:]
		source, _, _ := bytes.Cut(rest, []byte("\n"))
		source, line = bytes.TrimSuffix(source, []byte("\r")), bytes.TrimSuffix(line, []byte("\n"))
		indent := len(source) - len(line)
		if !bytes.HasSuffix(source, line) || strings.TrimLeft(string(source[:indent]), " ") != "" {
			return nil
		}
		begins = append(begins, offset+indent)
	}
	in := newPlaces(value, nil)
	in.at = func(i int) int {
		line := in.lineOf(i) - 1
		return p.at(begins[line] + i - in.starts[line])
	}
	return in
}
