package yamlnode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Limits on the files that Parse keeps in memory as a whole, which are lower than those on one
// document.
const (
	maxParsedNodes   = 200_000   // keys, values and items of a document, estimated from line breaks and flow style
	maxParsedNesting = 64        // levels of a document
	largeFile        = 512 << 10 // bytes: from here on, one file at a time is parsed
)

// parsingLarge is held while a large file is parsed: one for each job at once could need more
// memory than the program may have.
var parsingLarge sync.Mutex

// Alone waits, if data is large, until no other large file is parsed. Call done after parsing.
func Alone(data []byte) (done func()) {
	if len(data) < largeFile {
		return func() {}
	}
	parsingLarge.Lock()
	return parsingLarge.Unlock
}

// Parsed is a YAML document of a file that may be a template: it is parsed, or else its text is
// kept.
type Parsed struct {
	Root   *yaml.Node // nil when the text could not be parsed
	Text   []byte     // of a parsed one: includes others, if "..." separates them
	Offset int        // to add to lines of the parser, which count from 1
	Err    error      // why it was not parsed
}

// Parse returns the documents of a file, those that could not be parsed with their text.
func Parse(data []byte) iter.Seq[Parsed] {
	return ParseUnless(data, func(Document) bool { return false })
}

// ParseUnless is Parse without the documents that skip, which is called for each in turn, accepts.
func ParseUnless(data []byte, skip func(Document) bool) iter.Seq[Parsed] {
	return func(yield func(Parsed) bool) {
		n := 0
		for part := range Documents(data) {
			docs := []Parsed{{Text: part.Text, Offset: part.Line - 1, Err: fmt.Errorf("has %w of %d documents", ErrLimit, MaxDocuments)}}
			switch n++; {
			case skip(part):
				continue
			case n <= MaxDocuments:
				docs = parseAll(part.Text, part.Line-1)
			}
			for _, doc := range docs {
				if !yield(doc) {
					return
				}
			}
		}
	}
}

// parseAll parses text as YAML. It can hold more than one document: "..." ends one, too.
func parseAll(text []byte, offset int) (docs []Parsed) {
	unparsed := func(err error) []Parsed { return []Parsed{{Text: text, Offset: offset, Err: err}} }
	n := 3*bytes.Count(text, []byte("\n")) + 2*(bytes.Count(text, []byte(","))+bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")))
	if n > maxParsedNodes {
		return unparsed(fmt.Errorf("has about %d keys, values and items, %w of %d", n, ErrLimit, maxParsedNodes))
	}
	for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var root yaml.Node
		switch err := decoder.Decode(&root); {
		case errors.Is(err, io.EOF):
			return docs
		case err != nil:
			return unparsed(err)
		case tooDeep(&root, maxParsedNesting):
			return unparsed(fmt.Errorf("is nested %w of %d levels", ErrLimit, maxParsedNesting))
		case len(docs) == MaxDocuments:
			return unparsed(fmt.Errorf("has %w of %d documents", ErrLimit, MaxDocuments))
		case len(root.Content) == 1:
			docs = append(docs, Parsed{Root: root.Content[0], Text: text, Offset: offset})
		}
	}
}

func tooDeep(n *yaml.Node, room int) bool {
	if room < 0 {
		return true
	}
	for _, child := range n.Content {
		if tooDeep(child, room-1) {
			return true
		}
	}
	return false
}

// Object returns the apiVersion and kind of a Kubernetes object. ok is false for any other
// document.
func (p Parsed) Object() (apiVersion, kind string, ok bool) {
	if p.Root == nil {
		return "", "", false
	}
	apiVersion, kind = Scalar(p.Root, "apiVersion"), Scalar(p.Root, "kind")
	return apiVersion, kind, apiVersion != "" && kind != ""
}

// LineOf returns the line of a node of the document in the file.
func (p Parsed) LineOf(n *yaml.Node) int { return p.Offset + n.Line }

// Field returns the value of a key of the mapping n; nil for none. An alias of a scalar is
// resolved. An alias of a mapping or a sequence is not followed: its content is read where it is
// defined.
func Field(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return Resolved(n.Content[i+1])
		}
	}
	return nil
}

// Scalar returns the text of a Field; empty when it is not a scalar.
func Scalar(n *yaml.Node, key string) string {
	if v := Field(n, key); v != nil && v.Kind == yaml.ScalarNode && v.Tag != "!!null" {
		return v.Value
	}
	return ""
}

// Resolved returns what an alias of a scalar stands for, with the line of the alias, and else n.
func Resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil && n.Alias.Kind == yaml.ScalarNode {
		alias := *n.Alias
		alias.Line, alias.Style = n.Line, 0
		return &alias
	}
	return n
}
