package ytt

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// answer is what a child answers, apart from the text, which comes before it. Strings and starts
// name files by their index in Input.Files, followed by Input.Values.
type answer struct {
	Failed  string       `json:",omitempty"` // ytt's message
	Strings []wireString `json:",omitempty"`
	Starts  []wirePlace  `json:",omitempty"`
	Uses    []FileUse    `json:",omitempty"`
}

type wireString struct {
	Document int    `json:"d"`
	Path     string `json:"p"`
	Value    string `json:"v"`
	wirePlace
}

type wirePlace struct {
	File int `json:"f"` // -1: unknown
	Line int `json:"l"`
}

// longest is the length in bytes up to which a string is kept that has neither a colon nor a slash.
const longest = 4 << 10

// longestMessage is the length in bytes up to which a message is whole. A template may make one.
const longestMessage = 64 << 10

func encodeRequest(in Input) ([]byte, error) { return json.Marshal(in) }

func decodeRequest(data []byte) (in Input, err error) {
	err = json.Unmarshal(data, &in)
	return in, err
}

func encodeAnswer(text []byte, a answer) ([]byte, error) {
	rest, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	data := binary.BigEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(data, text...), rest...), nil
}

var errAnswer = errors.New("malformed answer of a ytt child process")

// decodeAnswer reads an answer, of which it believes nothing.
func decodeAnswer(data []byte, in Input) (*Output, error) {
	if len(data) < 8 {
		return nil, errAnswer
	}
	size, data := binary.BigEndian.Uint64(data), data[8:]
	if size > uint64(len(data)) {
		return nil, errAnswer
	}
	var a answer
	if err := json.Unmarshal(data[size:], &a); err != nil {
		return nil, fmt.Errorf("%w: %w", errAnswer, err)
	}
	if a.Failed != "" {
		return nil, &FailedError{strings.ToValidUTF8(a.Failed[:min(len(a.Failed), longestMessage)], "")}
	}
	out := &Output{Text: data[:size:size], Uses: a.Uses, Starts: make([]Place, len(a.Starts)), Strings: make([]String, len(a.Strings))}
	if len(a.Uses) != len(in.Files) {
		return nil, fmt.Errorf("%w: it is of %d files, and there are %d", errAnswer, len(a.Uses), len(in.Files))
	}
	origins := make([]string, 0, len(in.Files)+len(in.Values))
	for _, f := range append(in.Files[:len(in.Files):len(in.Files)], in.Values...) {
		origins = append(origins, cmp.Or(f.Origin, f.Path))
	}
	for i, p := range a.Starts {
		out.Starts[i] = p.in(origins)
	}
	for i, s := range a.Strings {
		if s.Document < 0 || s.Document >= len(a.Starts) {
			return nil, fmt.Errorf("%w: a string of document %d of %d", errAnswer, s.Document, len(a.Starts))
		}
		out.Strings[i] = String{Document: s.Document, Path: s.Path, Value: s.Value, Place: s.in(origins)}
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
