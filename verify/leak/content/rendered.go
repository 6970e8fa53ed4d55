package content

import (
	"strings"

	"relocate/internal/yamlnode"
	"relocate/render/kbld"
)

// Rendered finds the references in a document that the steps of a package print for the cluster, by
// the recognisers of Scan. It takes each for one that nothing rewrites any more. lock is as in Scan.
func Rendered(document []byte, lock *kbld.Step, to Sink) {
	defer yamlnode.Alone(document)()
	s, f := newScan(lock, to), &File{Data: document}
	for doc := range yamlnode.Parse(document) {
		w := &walker{scan: s, file: f, offset: doc.Offset}
		if doc.Root == nil {
			w.class = embedded
			w.text(string(doc.Text))
			continue
		}
		apiVersion, kind, isObject := doc.Object()
		switch w.kind = kind; {
		case isForTools(apiVersion, kind):
			continue
		case kind == "CustomResourceDefinition":
			w.class = schema
		case isObject:
			w.fetchers(doc.Root, apiVersion)
		}
		w.document(doc.Root)
	}
	s.possibilities()
}

// Has reports whether text has a reference, and not only a part of another one.
func Has(text, reference string) bool {
	for i := 0; ; i++ {
		j := strings.Index(text[i:], reference)
		if j < 0 || reference == "" {
			return false
		}
		i += j
		before, after := text[:i], strings.TrimLeft(text[i+len(reference):], ".:-") // the end of a sentence
		if (before == "" || !inToken[before[len(before)-1]] || strings.HasSuffix(before, "://")) && (after == "" || !inToken[after[0]] || i+len(reference) == len(text)) {
			return true
		}
	}
}
