package yamlnode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"

	"relocate/internal/text"
)

// Error is an error at a line of the file.
type Error struct {
	Line int
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Node returns the content of the document, nil if it is empty. Lines are the file's, aliases stay.
func (d Document) Node() (*yaml.Node, error) {
	release, err := reserve(d.Text)
	defer release()
	if err != nil {
		return nil, err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(d.Text, &root); err != nil {
		return nil, text.Error(err)
	}
	if len(root.Content) == 0 {
		return nil, nil
	}
	return root.Content[0], d.place(root.Content[0], 0)
}

// place gives n and all below it the lines of the file.
func (d Document) place(n *yaml.Node, depth int) error {
	if depth == maxNesting {
		return errNesting
	}
	n.Line = d.LineOf(n.Line)
	for _, child := range n.Content {
		if err := d.place(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// Tree returns the content of the document, nil if it is empty or null. Lines are the file's;
// aliases are replaced by what they stand for. A key that comes twice is an error, and so is a
// second document.
//
// Errors: *Error where the line is known.
func (d Document) Tree() (*yaml.Node, error) {
	if !utf8.Valid(d.Text) {
		return nil, errors.New("is not UTF-8")
	}
	release, err := reserve(d.Text)
	defer release()
	if err != nil {
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(d.Text))
	var root, more yaml.Node
	switch err := decoder.Decode(&root); {
	case err == io.EOF:
		return nil, nil
	case err != nil:
		return nil, d.at(err)
	case decoder.Decode(&more) != io.EOF:
		return nil, errors.New("has content after the end of a document on a line that other readers do not see")
	}
	if top := root.Content[0]; top.Kind == yaml.ScalarNode && top.ShortTag() == "!!null" {
		return nil, nil
	}
	r := &resolver{first: d.Line, left: maxNodes}
	return root.Content[0], r.resolve(&root.Content[0], 0, false)
}

// parserLine matches the line with which the library begins an error.
var parserLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// at returns the parser's error at its line of the file.
func (d Document) at(err error) error {
	line, said := d.Line, err.Error()
	if m := parserLine.FindStringSubmatch(said); m != nil {
		said = strings.TrimPrefix(said, m[0])
		if at, err := strconv.Atoi(m[1]); err == nil {
			line += at - 1
			if strings.HasPrefix(said, "did not find expected") { // these count from 0
				line++
			}
		}
	}
	return &Error{line, fmt.Errorf("is not YAML: %w", text.Error(errors.New(said)))}
}

// resolver puts what aliases stand for in their place.
type resolver struct {
	first int // line of the file
	left  int // nodes
}

// resolve does so at a node and below it. seen says that an alias led here, to what was resolved
// already.
func (r *resolver) resolve(at **yaml.Node, depth int, seen bool) error {
	n := *at
	if n.Kind == yaml.AliasNode {
		n, seen = n.Alias, true
		*at = n
	}
	if depth > maxNesting {
		return errNesting
	}
	if r.left--; r.left < 0 {
		return limitError(fmt.Sprintf("has, with its aliases, more than %d keys, values and items", maxNodes))
	}
	if !seen {
		n.Line += r.first - 1
		if err := CheckKeys(n); err != nil {
			if twice := (*Error)(nil); errors.As(err, &twice) {
				twice.Line += r.first - 1
			}
			return err
		}
	}
	for i := range n.Content {
		if err := r.resolve(&n.Content[i], depth+1, seen); err != nil {
			return err
		}
	}
	return nil
}

// CheckKeys refuses a mapping in which a key comes twice, as kubectl does.
//
// Errors: *Error, with the line of the second.
func CheckKeys(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	keys := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := n.Content[i]; keys[key.Value] {
			return &Error{key.Line, fmt.Errorf("has the key %s twice", text.Quote(key.Value))}
		} else if key.Kind == yaml.ScalarNode {
			keys[key.Value] = true
		}
	}
	return nil
}
