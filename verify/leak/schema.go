package leak

import (
	"go.yaml.in/yaml/v3"

	"relocate/report"
)

// schemaDefaults returns the references that a Package has as defaults of values which a user can set, and that
// the lock of the package's bundle does not have (point 15). File is the file of the repository bundle, and
// line where the document of the Package starts in it. It has nothing to do with what references returns.
func (c *content) schemaDefaults(file textFile, line int) []report.Finding {
	s := newScan(c)
	k := &kbld{}
	k.addLock(s, false)
	in := &input{textFile: file, kbld: k}
	if len(file.data) > maxFile {
		return nil // reported by who reads the packages
	}
	defer alone(file.data)()
	for doc := range yamlDocuments(file.data) {
		if doc.root == nil || doc.offset != line-1 {
			continue
		}
		w := &walker{scan: s, in: in, doc: doc, offset: doc.offset, class: values, values: true}
		w.defaultsOf(field(field(field(doc.root, "spec"), "valuesSchema"), "openAPIv3"))
	}
	return s.findings
}

// defaultsOf looks at the defaults of a schema, and of its properties.
func (w *walker) defaultsOf(n *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	w.path = append(w.path, pathPart{key: "default"})
	if d := field(n, "default"); d != nil {
		w.value(d)
	}
	w.path = w.path[:len(w.path)-1]
	if properties := field(n, "properties"); properties != nil && properties.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(properties.Content); i += 2 {
			w.path = append(w.path, pathPart{key: properties.Content[i].Value})
			w.defaultsOf(properties.Content[i+1])
			w.path = w.path[:len(w.path)-1]
		}
	}
	w.defaultsOf(field(n, "items"))
}
