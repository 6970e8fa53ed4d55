package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/internal/text"
	"relocate/internal/yamlnode"
)

// readJSON reads a stream of JSON values: objects, lists of objects, or arrays. It reads the items
// of a list one by one.
func readJSON(in io.Reader, objects *Objects) error {
	lines := &lineReader{r: in, line: 1, until: maxObject}
	r := &jsonReader{d: json.NewDecoder(lines), lines: lines, objects: objects}
	for {
		lines.until = r.d.InputOffset() + maxObject
		r.doc.number++
		t, err := r.d.Token()
		r.doc.line = lines.at(r.d.InputOffset())
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return r.fail(err)
		case t == json.Delim('['):
			err = r.items("")
		case t == json.Delim('{'):
			err = r.object()
		default:
			err = r.doc.fail(r.doc.line, errors.New("it is not an object"))
		}
		if err != nil {
			return err
		}
	}
}

// jsonReader is the state of one call of readJSON.
type jsonReader struct {
	d       *json.Decoder
	lines   *lineReader
	objects *Objects
	doc     position
}

// fail returns an error at the line that the decoder has reached. The position within a value is
// unknown.
func (r *jsonReader) fail(err error) error {
	line := r.lines.at(r.d.InputOffset())
	if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
		err = errors.New("it is incomplete")
	}
	if !errors.Is(err, errTooLarge) && r.lines.err != nil && r.lines.err != io.EOF {
		return r.lines.err
	}
	return r.doc.fail(line, errors.New(text.Line(text.Clip(err.Error(), 300))))
}

// object reads an object of the stream after its opening brace. The items of a list are added one
// by one.
func (r *jsonReader) object() error {
	top := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: r.doc.line}
	size, listed := 0, false
	for r.d.More() {
		t, err := r.d.Token()
		if err != nil {
			return r.fail(err)
		}
		key, _ := t.(string) // a key is always a string
		switch {
		case key != "items":
			err = r.field(top, key, &size)
		case listed:
			err = r.doc.fail(r.lines.at(r.d.InputOffset()), errors.New(`it has the key "items" twice`))
		default:
			listed, err = true, r.list(top)
		}
		if err != nil {
			return err
		}
	}
	if _, err := r.d.Token(); err != nil { // the closing brace
		return r.fail(err)
	}
	return r.finish(top, listed)
}

// field reads the value of a key and adds both to the object top. size counts the bytes of all
// fields.
func (r *jsonReader) field(top *yaml.Node, key string, size *int) error {
	var raw json.RawMessage
	line, err := r.next(&raw)
	if err != nil {
		return err
	}
	value, err := yamlnode.Document{Line: line, Text: raw}.JSON()
	if err != nil {
		return r.doc.fail(line, fmt.Errorf("it %w", err))
	}
	if *size += len(key) + len(raw); *size > maxObject {
		return r.doc.fail(r.doc.line, fmt.Errorf("an object has more than %d bytes", maxObject))
	}
	top.Content = append(top.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key, Line: line}, value)
	return nil
}

// list reads the value of the key "items" of the list top: null or an array.
func (r *jsonReader) list(top *yaml.Node) error {
	switch t, err := r.d.Token(); {
	case err != nil:
		return r.fail(err)
	case t == nil:
		return nil
	case t == json.Delim('['):
		return r.items(strings.TrimSuffix(yamlnode.Text(top, "kind"), "List"))
	}
	return r.doc.fail(r.lines.at(r.d.InputOffset()), errors.New("its items are not a list"))
}

// finish checks the object top and adds it. The items of a list were added before.
func (r *jsonReader) finish(top *yaml.Node, listed bool) error {
	if err := yamlnode.CheckKeys(top); err != nil {
		return r.doc.fail(r.doc.line, fmt.Errorf("it %w", err))
	}
	kind := yamlnode.Text(top, "kind")
	switch {
	case !listed:
		return r.objects.add(top, "", r.doc)
	case !strings.HasSuffix(kind, "List"):
		return r.doc.fail(r.doc.line, fmt.Errorf("it has items, and its kind is %s", text.Quote(kind)))
	}
	return nil
}

// items reads the objects of an array after its opening bracket. kind is the kind of objects that
// do not have one.
func (r *jsonReader) items(kind string) error {
	for r.d.More() {
		var raw json.RawMessage
		line, err := r.next(&raw)
		if err != nil {
			return err
		}
		n, err := yamlnode.Document{Line: line, Text: raw}.JSON()
		if err != nil {
			return r.doc.fail(line, fmt.Errorf("it %w", err))
		}
		if err := r.objects.add(n, kind, r.doc); err != nil {
			return err
		}
	}
	if _, err := r.d.Token(); err != nil {
		return r.fail(err)
	}
	return nil
}

// next reads a value of limited size and returns the line of its first byte.
func (r *jsonReader) next(raw *json.RawMessage) (int, error) {
	r.lines.until = r.d.InputOffset() + maxObject
	if err := r.d.Decode(raw); err != nil {
		return 0, r.fail(err)
	}
	return r.lines.at(r.d.InputOffset() - int64(len(*raw))), nil
}

var errTooLarge = fmt.Errorf("an object has more than %d bytes", maxObject)

// lineReader finds the line of an offset for a decoder that reads ahead.
type lineReader struct {
	r      io.Reader
	offset int64   // of the next byte to read
	until  int64   // limit of offset
	breaks []int64 // offsets of line feeds after the last offset given to at
	line   int     // of the last offset given to at
	err    error
}

func (l *lineReader) Read(b []byte) (int, error) {
	if l.offset >= l.until {
		l.err = errTooLarge
		return 0, errTooLarge
	}
	n, err := l.r.Read(b[:min(int64(len(b)), l.until-l.offset)])
	for i, c := range b[:n] {
		if c == '\n' {
			l.breaks = append(l.breaks, l.offset+int64(i))
		}
	}
	l.offset += int64(n)
	if err != nil {
		l.err = err
	}
	return n, err
}

// at returns the line of an offset, counted from 1. Offsets must not decrease from call to call.
func (l *lineReader) at(offset int64) int {
	passed := 0
	for passed < len(l.breaks) && l.breaks[passed] < offset {
		passed++
	}
	l.breaks = l.breaks[passed:]
	l.line += passed
	return l.line
}
