package rewrite

import (
	"bytes"
	"slices"

	"sigs.k8s.io/yaml"

	"relocate/manifests"
)

// Manifests are plain Kubernetes manifests as they are written.
type Manifests struct {
	Name      string
	Documents []manifests.Document
	Images    bool // they have images
}

// Defines reports whether the manifests define kinds of objects.
func (m Manifests) Defines() bool {
	return slices.ContainsFunc(m.Documents, func(d manifests.Document) bool {
		return d.Kind == "CustomResourceDefinition"
	})
}

// File returns the name of the manifests' file in a folder. No object has the same one: of no kind is "manifests".
func (m Manifests) File() string { return "manifests." + m.Name + ".yml" }

// text returns the documents.
func (m Manifests) text() (text []byte) {
	for _, d := range m.Documents {
		if len(text) > 0 && !bytes.HasPrefix(d.Text, []byte("---")) {
			text = append(text, "---\n"...)
		}
		text = append(text, d.Text...)
	}
	return text
}

// isOf reports whether a document is of an object.
func isOf(d manifests.Document, o object) bool {
	return d.APIVersion == o.APIVersion && d.Kind == o.Kind &&
		d.Name == o.Metadata.Name && d.Namespace == o.Metadata.Namespace
}

// inManifests returns the document of an object that is in the manifests; nil for none.
func (c *Cluster) inManifests(o object) *manifests.Document {
	for _, m := range c.opt.Manifests {
		if i := slices.IndexFunc(m.Documents, func(d manifests.Document) bool { return isOf(d, o) }); i >= 0 {
			return &m.Documents[i]
		}
	}
	return nil
}

// replaceInManifests leaves out of the manifests what is among the objects, too: an object comes once.
func (c *Cluster) replaceInManifests() {
	list := slices.Clone(c.opt.Manifests)
	for i, m := range list {
		list[i].Documents = slices.DeleteFunc(slices.Clone(m.Documents), func(d manifests.Document) bool {
			replaced := slices.ContainsFunc(c.objects, func(o object) bool { return isOf(d, o) })
			if replaced {
				c.note("the %s %s of the manifests %s is left out: another one is written in its place", d.Kind, d.Name, m.Name)
			}
			return replaced
		})
	}
	c.opt.Manifests = list
}

// keepSettings adds to a Secret the texts that the same Secret in the manifests has under other keys.
func (c *Cluster) keepSettings(o object) {
	d := c.inManifests(o)
	if d == nil {
		return
	}
	var theirs object
	if yaml.Unmarshal(d.Text, &theirs) != nil {
		return
	}
	for key, value := range theirs.StringData {
		if _, ours := o.StringData[key]; !ours && value != "" {
			o.StringData[key] = value
		}
	}
}
