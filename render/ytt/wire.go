package ytt

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"relocate/internal/child"
)

// answer is what a child answers, apart from the text, which comes before it. Strings and starts
// name files by their index in Input.Files, followed by Input.Values.
type answer struct {
	Failed  string // ytt's message
	Strings []wireString
	Starts  []wirePlace
	Uses    []FileUse
}

type wireString struct {
	Document    int
	Path, Value string
	wirePlace
}

type wirePlace struct {
	File int // -1: unknown
	Line int
}

const (
	// longest is the length in bytes up to which a string is kept that has neither a colon nor a slash.
	longest = 4 << 10
	// longestMessage is the length in bytes up to which a message is whole. A template may make one.
	longestMessage = 64 << 10
	// maxItems is how many strings, and how many documents, are kept: each takes more memory than it has
	// bytes.
	maxItems = 500_000
)

func encodeRequest(in Input) []byte {
	size := 0
	for _, f := range slices.Concat(in.Files, in.Values) {
		size += len(f.Data) + len(f.Path) + len(f.Origin) + 16
	}
	e := make(encoder, 0, size)
	for _, list := range [][]File{in.Files, in.Values} {
		e.int(len(list))
		for _, f := range list {
			e.text(f.Path)
			e.text(f.Origin)
			e.bytes(f.Data)
		}
	}
	e.int(len(in.FileMarks))
	for _, mark := range in.FileMarks {
		e.text(mark)
	}
	e.bool(in.IgnoreUnknownComments)
	e.text(string(in.Inspect))
	return e
}

func decodeRequest(data []byte) (in Input, err error) {
	d := decoder{data: data}
	for _, list := range []*[]File{&in.Files, &in.Values} {
		for range d.int() {
			*list = append(*list, File{Path: d.text(), Origin: d.text(), Data: d.bytes()})
		}
	}
	for range d.int() {
		in.FileMarks = append(in.FileMarks, d.text())
	}
	in.IgnoreUnknownComments = d.bool()
	in.Inspect = Inspection(d.text())
	if !d.ended() {
		return in, errors.New("malformed request to a ytt child process")
	}
	return in, nil
}

func encodeAnswer(text []byte, a answer) []byte {
	e := make(encoder, 0, len(text)+128*len(a.Strings)+1024)
	e.bytes(text)
	e.text(a.Failed)
	e.int(len(a.Starts))
	for _, p := range a.Starts {
		e.place(p)
	}
	e.int(len(a.Strings))
	for _, s := range a.Strings {
		e.int(s.Document)
		e.text(s.Path)
		e.text(s.Value)
		e.place(s.wirePlace)
	}
	e.int(len(a.Uses))
	for _, u := range a.Uses {
		e.bool(u.Template)
		e.bool(u.Output)
		e.bool(u.Read)
	}
	return e
}

var errAnswer = errors.New("malformed answer of a ytt child process")

// decodeAnswer reads an answer, of which it believes nothing.
func decodeAnswer(data []byte, in Input) (*Output, error) {
	d := decoder{data: data}
	out := &Output{Text: d.bytes()}
	if failed := d.text(); failed != "" {
		return nil, &FailedError{strings.ToValidUTF8(failed[:min(len(failed), longestMessage)], "")}
	}
	origins := make([]string, 0, len(in.Files)+len(in.Values))
	for _, f := range append(in.Files[:len(in.Files):len(in.Files)], in.Values...) {
		origins = append(origins, cmp.Or(f.Origin, f.Path))
	}
	starts := d.int()
	if starts > maxItems {
		return nil, &child.LimitError{Reason: fmt.Sprintf("prints more than %d documents", maxItems)}
	}
	for range starts {
		out.Starts = append(out.Starts, d.place().in(origins))
	}
	n := d.int()
	if n > maxItems {
		return nil, &child.LimitError{Reason: fmt.Sprintf("prints more than %d strings", maxItems)}
	}
	for range n {
		s := String{Document: d.int(), Path: d.text(), Value: d.text(), Place: d.place().in(origins)}
		if s.Document < 0 || s.Document >= starts {
			return nil, fmt.Errorf("%w: a string of document %d of %d", errAnswer, s.Document, starts)
		}
		out.Strings = append(out.Strings, s)
	}
	if uses := d.int(); uses != len(in.Files) {
		return nil, fmt.Errorf("%w: it is of %d files, and there are %d", errAnswer, uses, len(in.Files))
	}
	for range in.Files {
		out.Uses = append(out.Uses, FileUse{Template: d.bool(), Output: d.bool(), Read: d.bool()})
	}
	if !d.ended() {
		return nil, errAnswer
	}
	return out, nil
}

func (p wirePlace) in(origins []string) Place {
	if p.File < 0 || p.File >= len(origins) || p.Line < 0 {
		return Place{}
	}
	return Place{File: origins[p.File], Line: p.Line}
}

// MayHoldReference reports whether a string of a document is kept.
func MayHoldReference(s string) bool {
	if s == "" || !utf8.ValidString(s) {
		return false
	}
	return len(s) <= longest || strings.ContainsAny(s, ":/")
}

// encoder writes values one after another, a text behind its length.
type encoder []byte

func (e *encoder) int(n int)      { *e = binary.AppendVarint(*e, int64(n)) }
func (e *encoder) text(s string)  { e.int(len(s)); *e = append(*e, s...) }
func (e *encoder) bytes(b []byte) { e.int(len(b)); *e = append(*e, b...) }

func (e *encoder) bool(b bool) {
	n := 0
	if b {
		n = 1
	}
	e.int(n)
}

func (e *encoder) place(p wirePlace) { e.int(p.File); e.int(p.Line) }

// decoder reads what an encoder wrote. After a value that is none, all are zero.
type decoder struct {
	data   []byte
	broken bool
}

func (d *decoder) int() int {
	n, size := binary.Varint(d.data)
	if size <= 0 || d.broken {
		d.broken = true
		return 0
	}
	d.data = d.data[size:]
	return int(n)
}

// bytes returns a part of the data.
func (d *decoder) bytes() []byte {
	n := d.int()
	if n < 0 || n > len(d.data) {
		d.broken = true
		return nil
	}
	b := d.data[:n:n]
	d.data = d.data[n:]
	return b
}

func (d *decoder) text() string     { return string(d.bytes()) }
func (d *decoder) bool() bool       { return d.int() == 1 }
func (d *decoder) place() wirePlace { return wirePlace{d.int(), d.int()} }

// ended reports whether all was read, and nothing else is there.
func (d *decoder) ended() bool { return !d.broken && len(d.data) == 0 }
