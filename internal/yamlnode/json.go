package yamlnode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// JSON returns the one JSON value of the document, as Tree would return the same in YAML.
func (d Document) JSON() (*yaml.Node, error) {
	if !utf8.Valid(d.Text) {
		return nil, errors.New("is not UTF-8")
	}
	p := &jsonParser{d: json.NewDecoder(bytes.NewReader(d.Text)), raw: d.Text, line: d.Line, left: maxNodes}
	p.d.UseNumber()
	return p.value(0)
}

// jsonParser is a run of JSON.
type jsonParser struct {
	d      *json.Decoder
	raw    []byte
	offset int64 // at which the line is
	line   int
	left   int // nodes
}

func (p *jsonParser) token() (json.Token, int, error) {
	t, err := p.d.Token()
	if err != nil {
		return nil, p.line, err
	}
	end := p.d.InputOffset()
	p.line += bytes.Count(p.raw[p.offset:end], []byte("\n"))
	p.offset = end
	return t, p.line, nil
}

func (p *jsonParser) value(depth int) (*yaml.Node, error) {
	if depth > maxNesting {
		return nil, errNesting
	}
	if p.left--; p.left < 0 {
		return nil, limitError(fmt.Sprintf("has more than %d keys, values and items", maxNodes))
	}
	t, line, err := p.token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null", Line: line}, nil
	case string:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: t, Line: line}, nil
	case json.Delim:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: line}
		if t == '{' {
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		}
		return n, p.content(n, depth)
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!other", Value: fmt.Sprint(t), Line: line}, nil
}

// content reads what is in an array or an object, and its end.
func (p *jsonParser) content(n *yaml.Node, depth int) error {
	for p.d.More() {
		child, err := p.value(depth + 1) // a key is a value to the decoder
		if err != nil {
			return err
		}
		n.Content = append(n.Content, child)
	}
	if _, _, err := p.token(); err != nil {
		return err
	}
	return CheckKeys(n)
}
