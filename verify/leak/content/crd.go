package content

import (
	"bytes"
	"strings"

	"relocate/internal/yamlnode"
)

// kindOfCRD is the line that makes a document a CustomResourceDefinition.
var kindOfCRD = []byte("\nkind: CustomResourceDefinition\n")

// isBareCRD reports whether a document is a CustomResourceDefinition without a key "image", and without
// defaults below a key that ends in "Image". Nothing else counts in one, so that it need not be parsed:
// these are most of the text of many packages, and parsing is most of the work of a scan. It returns false
// where that takes a parser to tell.
func isBareCRD(doc yamlnode.Document) bool {
	return bytes.Contains(doc.Text, kindOfCRD) && bytes.Count(doc.Text, []byte("\nkind:")) == 1 &&
		!bytes.HasPrefix(doc.Text, []byte("kind:")) && !yamlnode.HasEscapes(doc.Text) &&
		!mayHaveKey(doc.Text, []byte("image")) && !(mayHaveKey(doc.Text, []byte("Image")) && mayHaveKey(doc.Text, []byte("default")))
}

// mayHaveKey reports whether a document without escapes may have a key: its name stands before a colon,
// which is on the same line unless a question mark introduces the key (YAML 1.2.2, 8.2.2).
func mayHaveKey(text, name []byte) bool {
	ends := ":"
	if bytes.Contains(text, []byte("? ")) || bytes.Contains(text, []byte("?\n")) || bytes.Contains(text, []byte("?\t")) {
		ends = ":\n"
	}
	for {
		_, after, found := bytes.Cut(text, name)
		if !found {
			return false
		}
		if rest := bytes.TrimLeft(after, `"' `+"\t"); len(rest) == 0 || strings.IndexByte(ends, rest[0]) >= 0 {
			return true
		}
		text = after
	}
}
