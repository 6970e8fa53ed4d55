package content

import (
	"go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
	"relocate/render/kbld"
)

// SchemaDefaults finds the references in the defaults of a Package's values schema. The Package is
// the first document of f. References that are in the lock of the package's bundle are rewritten.
func SchemaDefaults(f *File, lock *kbld.Step, to Sink) {
	if len(f.Data) > yamlnode.MaxSize {
		return // reported by the reader of the Packages
	}
	s := newScan(lock, to)
	f.Kbld = lock
	defer yamlnode.Alone(f.Data)()
	for doc := range yamlnode.Parse(f.Data) {
		if doc.Root == nil || doc.Offset != 0 {
			continue
		}
		w := &walker{scan: s, file: f, class: values, values: true}
		spec := yamlnode.Field(doc.Root, "spec")
		w.defaultsOf(yamlnode.Field(yamlnode.Field(spec, "valuesSchema"), "openAPIv3"))
	}
	s.possibilities()
}

// defaultsOf examines the defaults of a schema and of its properties.
func (w *walker) defaultsOf(n *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	if d := yamlnode.Field(n, "default"); d != nil {
		w.below(kbld.Part{Key: "default"}, d)
	}
	if properties := yamlnode.Field(n, "properties"); properties != nil && properties.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(properties.Content); i += 2 {
			w.path = append(w.path, kbld.Part{Key: properties.Content[i].Value})
			w.defaultsOf(properties.Content[i+1])
			w.path = w.path[:len(w.path)-1]
		}
	}
	w.defaultsOf(yamlnode.Field(n, "items"))
}
