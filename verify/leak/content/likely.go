package content

import (
	"bytes"
	"encoding/base64"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"relocate/internal/text"
	"relocate/render/kbld"
	"relocate/report"
)

// inBase64 examines a value of a Secret, or a binary one of a ConfigMap, if it is text in base64. Only images
// count in it: a report shows no address that is hidden there, which may have a password.
func (w *walker) inBase64(n *yaml.Node) bool {
	if w.class != object || len(w.path) != 2 || w.kind+"."+w.key(1) != "Secret.data" && w.kind+"."+w.key(1) != "ConfigMap.binaryData" {
		return false
	}
	data, err := base64.StdEncoding.DecodeString(n.Value)
	if err != nil {
		return false
	}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return true
	}
	in := *w
	in.class, in.base64 = embedded, text.Line(w.key(1)+"."+w.key(0))
	in.loose = &finder{next: w.place(n.Line, "").line, lost: true}
	in.recognise(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: string(data), Line: n.Line})
	return true
}

// schemaDefault reports a default in a CustomResourceDefinition that is an image, by the name of its property
// or of one above it: objects without the property get it.
func (w *walker) schemaDefault(n *yaml.Node) {
	d := slices.IndexFunc(w.path, func(p kbld.Part) bool { return p.Key == "default" })
	if d < 0 || !slices.ContainsFunc(w.path[:d], func(p kbld.Part) bool { return isImageKey(p.Key) }) || !isHosted(n.Value) {
		return
	}
	w.likely(n, codeDefault, "the default of a CustomResourceDefinition names an image: objects without the field get it", "set the field in each object to an image of the repository")
}

// untagged reports the value of a key whose name ends in "image", if it is a repository with its registry.
func (w *walker) untagged(n *yaml.Node) bool {
	if w.class != object || w.kind == "" || !isImageKey(w.key(0)) || isReference(n.Value) || !isHosted(n.Value) {
		return false
	}
	w.likely(n, codeOutsideKey, "a repository of images outside of the keys that kbld searches: its controller may add a tag, and pods pull it from there",
		"set the value to an image in the private registry, by an overlay")
	return true
}

// likely adds what is an image by the name of its key, and reports it as a warning.
func (w *walker) likely(n *yaml.Node, code report.Code, message, action string) {
	at := w.place(n.Line, n.Value)
	w.scan.add(at, n.Value)
	w.note(at, code, report.Warning, n.Value, message, action)
}

// pictures are the endings of files that are images of another kind.
var pictures = words(".png .svg .jpg .jpeg .gif .ico .webp")

// isHosted reports whether text is a reference, or a repository, that begins with a registry's host.
func isHosted(text string) bool {
	host, _, _ := strings.Cut(text, "/")
	return isHost(host) && (isReference(text) || isRepository(text)) && !pictures[path.Ext(text)]
}
