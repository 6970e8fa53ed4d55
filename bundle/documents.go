package bundle

import "iter"

// Document is one YAML document of a file.
type Document struct {
	Line int // of its first line in the file, from 1
	Text []byte
}

// Documents cuts a YAML stream at its "---" lines and leaves out documents of comments, directives
// and blanks. Nothing is parsed.
func Documents(data []byte) iter.Seq[Document] {
	return func(yield func(Document) bool) {
		for doc := range documents(data) {
			if !yield(Document{doc.line, doc.text}) {
				return
			}
		}
	}
}
