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

// readJSON reads a stream of JSON values: objects, lists of them, or arrays. The items of a list are read
// one after the other.
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
			err = r.doc.fail(r.doc.line, errors.New("it is no object"))
		}
		if err != nil {
			return err
		}
	}
}

// jsonReader is a run of readJSON.
type jsonReader struct {
	d       *json.Decoder
	lines   *lineReader
	objects *Objects
	doc     document
}

// fail returns an error at the value that was to be read: where in it the decoder stopped, it does not say.
func (r *jsonReader) fail(err error) error {
	line := r.lines.at(r.d.InputOffset())
	if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
		err = errors.New("it ends before its end")
	}
	if !errors.Is(err, errTooLarge) && r.lines.err != nil && r.lines.err != io.EOF {
		return r.lines.err
	}
	return r.doc.fail(line, errors.New(text.Line(text.Clip(err.Error(), 300))))
}

// object reads an object of the stream whose brace was read: a list's items for themselves.
func (r *jsonReader) object() error {
	top := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: r.doc.line}
	size, listed := 0, false
	for r.d.More() {
		t, err := r.d.Token()
		if err != nil {
			return r.fail(err)
		}
		key, _ := t.(string) // Token gives no other keys
		var raw json.RawMessage
		if key == "items" {
			if listed {
				return r.doc.fail(r.lines.at(r.d.InputOffset()), errors.New(`it has the key "items" twice`))
			}
			listed = true
			if t, err = r.d.Token(); err != nil {
				return r.fail(err)
			}
			switch t {
			case nil:
				continue
			case json.Delim('['):
				if err := r.items(strings.TrimSuffix(yamlnode.Text(top, "kind"), "List")); err != nil {
					return err
				}
				continue
			}
			return r.doc.fail(r.lines.at(r.d.InputOffset()), errors.New("its items are no list"))
		}
		line, err := r.next(&raw)
		if err != nil {
			return err
		}
		value, err := yamlnode.Document{Line: line, Text: raw}.JSON()
		if err != nil {
			return r.doc.fail(line, fmt.Errorf("it %w", err))
		}
		if size += len(key) + len(raw); size > maxObject {
			return r.doc.fail(r.doc.line, fmt.Errorf("an object has more than %d bytes", maxObject))
		}
		top.Content = append(top.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key, Line: line}, value)
	}
	if _, err := r.d.Token(); err != nil { // the brace
		return r.fail(err)
	}
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

// items reads the objects of an array whose bracket was read. Those without a kind are of the given one.
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

// next reads a value of limited size, and returns the line at which it begins.
func (r *jsonReader) next(raw *json.RawMessage) (int, error) {
	r.lines.until = r.d.InputOffset() + maxObject
	if err := r.d.Decode(raw); err != nil {
		return 0, r.fail(err)
	}
	return r.lines.at(r.d.InputOffset() - int64(len(*raw))), nil
}

var errTooLarge = fmt.Errorf("an object has more than %d bytes", maxObject)

// lineReader counts the lines of what a decoder has used, which reads ahead.
type lineReader struct {
	r      io.Reader
	offset int64   // of the next byte to read
	until  int64   // how far may be read
	breaks []int64 // offsets of line feeds that were read, and not passed
	line   int     // at the last offset that was asked for
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

// at returns the line of an offset; offsets that are asked for never fall.
func (l *lineReader) at(offset int64) int {
	passed := 0
	for passed < len(l.breaks) && l.breaks[passed] < offset {
		passed++
	}
	l.breaks = l.breaks[passed:]
	l.line += passed
	return l.line
}
