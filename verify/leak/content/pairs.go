package content

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
	"relocate/report"
)

// pairs reports pairs of a repository and a tag that programs get as variables, in a ConfigMap or
// Secret, or in a document in a string, and join to an image. kbld sees neither.
func (w *walker) pairs(n *yaml.Node) {
	if w.class != object && w.class != embedded {
		return
	}
	switch {
	case w.class == embedded && n.Kind == yaml.MappingNode:
	case n.Kind == yaml.SequenceNode && w.key(0) == "env":
		m := &yaml.Node{Kind: yaml.MappingNode}
		for _, item := range n.Content {
			item = yamlnode.Resolved(item)
			name, value := yamlnode.Field(item, "name"), yamlnode.Field(item, "value")
			if name != nil && value != nil {
				m.Content = append(m.Content, name, value)
			}
		}
		n = m
	case n.Kind == yaml.MappingNode && len(w.path) == 1 && (w.kind == "ConfigMap" && w.key(0) == "data" || w.kind == "Secret" && w.key(0) == "stringData"):
	default:
		return
	}
	for _, p := range partsOf(n) {
		w.pair(p)
	}
}

// pair reports a repository and its tag.
func (w *walker) pair(p *parts) {
	repo, refs := w.candidates(p)
	names := strings.ToLower(strings.Join(p.keys, " "))
	saysImage := strings.Contains(names, "image") || strings.Contains(names, "img")
	switch {
	case !p.full && !saysImage && !isImageKey(w.key(0)), !isRepository(repo), len(refs) == 0, !isReference(refs[0]):
		return
	case strings.Contains(names, "git"), strings.Contains(names, "helm"), strings.Contains(names, "chart"):
		return // repositories of other kinds
	}
	w.joined(w.place(p.line, p.repository), repo, refs[0], saysImage)
}

// joined reports an image whose parts a program gets. isImage says that their names leave no doubt.
func (w *walker) joined(at place, repo, ref string, isImage bool) {
	entry, isLocked := w.scan.lock.Entry(ref)
	w.scan.to.Reference(Reference{File: at.file, Line: at.line, Value: shorten(ref), Entry: entry})
	known := "the lock does not have it"
	other := w.scan.lock.Similar(repo)
	if isLocked {
		known = "the lock has it, but is not applied here"
	} else if other != "" {
		known = fmt.Sprintf("the lock has %q of that repository", shorten(other))
	}
	level := report.Warning
	if isImage || other != "" {
		level = report.Pull
	}
	w.note(at, codeComposed, level, ref, "a program gets the parts of an image: "+known+", and pods pull it from there",
		"set the values at the cluster by an overlay")
}

// hub is where the images of values come from, as in the charts of Istio: "hub" and "tag" beside or
// above names of images.
type hub struct{ name, tag string }

// hubs finds the images that values, or a document in a string, compose of a hub, a name and a tag.
func (w *walker) hubs(root *yaml.Node) {
	if w.class != values && w.class != embedded || yamlnode.Resolved(root).Kind != yaml.MappingNode {
		return
	}
	h := hub{}.in(yamlnode.Field(root, "global")).in(root)
	w.taken = map[*yaml.Node]bool{}
	w.hubBelow(root, h)
}

// in returns the hub with what the map n sets.
func (h hub) in(n *yaml.Node) hub {
	if n == nil || n.Kind != yaml.MappingNode {
		return h
	}
	if name := yamlnode.Scalar(n, "hub"); name != "" {
		h.name = strings.TrimSuffix(name, "/")
	}
	if tag := yamlnode.Scalar(n, "tag"); tag != "" {
		h.tag = tag
	}
	return h
}

// hubBelow finds the names of images in n and below it. The parser refuses a deep n.
func (w *walker) hubBelow(n *yaml.Node, h hub) {
	if n.Kind != yaml.MappingNode {
		return
	}
	h = h.in(n)
	image := yamlnode.Field(n, "image")
	if image != nil && image.Kind == yaml.ScalarNode && h.name != "" && h.tag != "" && !w.taken[image] {
		ref := h.name + "/" + image.Value + ":" + h.tag
		if pathForm.MatchString(image.Value) && !strings.Contains(image.Value, "/") && isReference(ref) {
			w.taken[image] = true
			w.hubImage(image, ref)
		}
	}
	for i := 1; i < len(n.Content); i += 2 {
		w.hubBelow(n.Content[i], h)
	}
}

// hubImage checks the image that values compose.
func (w *walker) hubImage(n *yaml.Node, ref string) {
	at := w.place(n.Line, n.Value)
	if w.class == embedded {
		w.joined(at, ref[:strings.LastIndexByte(ref, ':')], ref, true)
		return
	}
	if w.templateRewrites(at, ref) {
		return
	}
	w.scan.add(at, ref)
	w.scan.possible(ref, func() {
		w.note(at, codeComposed, report.Warning, ref, "the values of a hub, a name and a tag compose an image: the lock does not have it",
			"set the values at the cluster, or let them name an image of the lock")
	})
}
