package leak

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
)

// Limits on the files that are read.
const (
	maxFile      = 4 << 20   // bytes, of a text file
	largeFile    = 512 << 10 // from here on, one file at a time is looked at
	maxDocuments = 10_000    // YAML documents in a file that are parsed
	maxNesting   = 64        // levels of a YAML document, those in its strings counted anew
	maxStrings   = 4         // documents in strings of documents
	maxNodes     = 200_000   // keys, values and items of a document, as far as line breaks and flow style tell
)

// errLimit says why a document was not parsed that may be none the worse.
var errLimit = errors.New("more than the limit")

// lookingAtLarge is held while a large file is looked at: together, one for each job would be more than
// the program may have in memory.
var lookingAtLarge sync.Mutex

// alone waits until no other large file is looked at, when data is one. The function it returns ends that.
func alone(data []byte) (done func()) {
	if len(data) < largeFile {
		return func() {}
	}
	lookingAtLarge.Lock()
	return lookingAtLarge.Unlock
}

// document is a YAML document of a file.
type document struct {
	root   *yaml.Node // nil when the text could not be parsed
	text   []byte     // of an unparsed one; of a parsed one with others that "..." ends
	offset int        // of its lines in the file: the parser's are counted from 1
	err    error      // why it was not parsed
}

// lineOf returns a node's line in the file.
func (d document) lineOf(n *yaml.Node) int { return d.offset + n.Line }

// placeOf returns where a key of the document's map stands; line for none.
func (d document) placeOf(file, key string, line int) place {
	for i := 0; d.root.Kind == yaml.MappingNode && i+1 < len(d.root.Content); i += 2 {
		if d.root.Content[i].Value == key {
			return place{file, d.lineOf(d.root.Content[i])}
		}
	}
	return place{file, line}
}

// header is what tells a document's kind.
type header struct{ apiVersion, kind string }

// object returns the header of a Kubernetes object; false when it is none.
func (d document) object() (header, bool) {
	if d.root == nil {
		return header{}, false
	}
	h := header{scalar(d.root, "apiVersion"), scalar(d.root, "kind")}
	return h, h.apiVersion != "" && h.kind != ""
}

// field returns the value of a key of a map; nil for none.
func field(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return resolved(n.Content[i+1])
		}
	}
	return nil
}

// scalar returns the text of a key's value; empty when it is none.
func scalar(n *yaml.Node, key string) string {
	if v := field(n, key); v != nil && v.Kind == yaml.ScalarNode && v.Tag != "!!null" {
		return v.Value
	}
	return ""
}

// resolved returns what an alias of a scalar stands for. Aliases of more are not followed: what they stand
// for is looked at where it stands.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil && n.Alias.Kind == yaml.ScalarNode {
		alias := *n.Alias
		alias.Line, alias.Style = n.Line, 0
		return &alias
	}
	return n
}

// isYAML reports whether ytt and kbld read a file as YAML.
func isYAML(file string) bool {
	switch path.Ext(file) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// yamlDocuments returns the documents of a file, those that could not be parsed with their text.
func yamlDocuments(data []byte) iter.Seq[document] {
	return func(yield func(document) bool) {
		n := 0
		for part := range yamlnode.Documents(data) {
			docs := []document{{text: part.Text, offset: part.Line - 1, err: fmt.Errorf("has %w of %d documents", errLimit, maxDocuments)}}
			if n++; n <= maxDocuments {
				docs = parse(part.Text, part.Line-1)
			}
			for _, doc := range docs {
				if !yield(doc) {
					return
				}
			}
		}
	}
}

// parse parses text as YAML. It can hold more than one document: "..." ends one, too.
func parse(text []byte, offset int) (docs []document) {
	unparsed := func(err error) []document { return []document{{text: text, offset: offset, err: err}} }
	n := 3*bytes.Count(text, []byte("\n")) + 2*(bytes.Count(text, []byte(","))+bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")))
	if n > maxNodes {
		return unparsed(fmt.Errorf("has about %d keys, values and items, %w of %d", n, errLimit, maxNodes))
	}
	for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var root yaml.Node
		switch err := decoder.Decode(&root); {
		case errors.Is(err, io.EOF):
			return docs
		case err != nil:
			return unparsed(err)
		case tooDeep(&root, maxNesting):
			return unparsed(fmt.Errorf("is nested %w of %d levels", errLimit, maxNesting))
		case len(docs) == maxDocuments:
			return unparsed(fmt.Errorf("has %w of %d documents", errLimit, maxDocuments))
		case len(root.Content) == 1:
			docs = append(docs, document{root: root.Content[0], text: text, offset: offset})
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

// firstLine returns an error of the parser, which can have several lines, for a message.
func firstLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}
