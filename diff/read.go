package diff

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/carvel"
	"relocate/internal/yamlnode"
)

// reader reads the Packages and PackageMetadata that are compared: each repository once.
type reader struct {
	bundles map[repository]*documents
}

// repository is a bundle of a part that has packages.
type repository struct {
	part   *Part
	digest v1.Hash
}

// documents are what is wanted of a repository, and then what it says.
type documents struct {
	versions map[string]*document // by NAME/VERSION
	metadata map[string]fields    // by name
}

// document is what a Package says.
type document struct {
	fields fields
	schema carvel.Schema // nil: none
}

// fields are the hashes of the fields of a spec.
type fields map[string][sha256.Size]byte

// differ returns the names of the fields that differ, sorted.
func (f fields) differ(other fields) (names []string) {
	for name, sum := range f {
		if other[name] != sum {
			names = append(names, name)
		}
	}
	for name := range other {
		if _, ok := f[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// want has a version read, and the metadata of its package.
func (r *reader) want(v version) {
	at := repository{v.part, v.Repository}
	d := r.bundles[at]
	if d == nil {
		d = &documents{map[string]*document{}, map[string]fields{}}
		r.bundles[at] = d
	}
	d.versions[v.Name+"/"+v.Version] = nil
	d.metadata[v.Name] = nil
}

// all reads what is wanted.
func (r *reader) all(ctx context.Context) error {
	for at, wanted := range r.bundles {
		node := at.part.Graph.Node(at.digest)
		if err := node.Documents(ctx, at.part.Source, at.part.Renderer, wanted.take); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// take keeps what a document says, if it is wanted. As everywhere, the first Package and the last
// PackageMetadata count. One that cannot be decoded says nothing.
func (d *documents) take(doc carvel.PackageDocument) {
	switch {
	case doc.Package != nil:
		which := doc.Package.Name + "/" + doc.Package.Version
		if known, wanted := d.versions[which]; wanted && known == nil {
			var details carvel.Details
			found := &document{fields: fieldsOf(doc)}
			if details.Add(doc, doc.Package.Name, doc.Package.Version) == nil {
				found.schema = details.Package.ValuesSchema
			}
			d.versions[which] = found
		}
	case doc.Metadata != nil:
		if _, wanted := d.metadata[doc.Metadata.Name]; wanted {
			d.metadata[doc.Metadata.Name] = fieldsOf(doc)
		}
	}
}

// fieldsOf hashes the fields of a document's spec.
func fieldsOf(doc carvel.PackageDocument) fields {
	var text struct {
		Spec map[string]json.RawMessage `json:"spec"` // of which keys are sorted: JSON made of YAML
	}
	if yamlnode.Decode(doc.Text, &text, false) != nil {
		return nil
	}
	f := fields{}
	for name, value := range maps.All(text.Spec) {
		f[name] = sha256.Sum256(value)
	}
	return f
}

// version returns what the Package of a version says: nothing where it was not found.
func (r *reader) version(v version) document {
	if d := r.bundles[repository{v.part, v.Repository}]; d != nil && d.versions[v.Name+"/"+v.Version] != nil {
		return *d.versions[v.Name+"/"+v.Version]
	}
	return document{}
}

// metadata returns the fields of the PackageMetadata beside a version.
func (r *reader) metadata(v version) fields {
	if d := r.bundles[repository{v.part, v.Repository}]; d != nil {
		return d.metadata[v.Name]
	}
	return nil
}
