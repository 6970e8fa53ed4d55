package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/internal/text"
	"relocate/internal/yamlnode"
	"relocate/report"
	"relocate/verify/leak/content"
)

// Objects holds what Read found in the objects: the references, and the images that nodes report.
type Objects struct {
	count    int
	held     int // bytes
	claims   []claim
	running  []container
	inlined  []inlined
	values   map[objectKey]kept
	kept     int // bytes of values
	packages []pkg
	offering []*object // PackageRepositories
	installs []install
	findings report.Findings // those that need no registry
}

// claim is a reference in an object: to an image, or to what kapp-controller fetches.
type claim struct {
	object *object
	path   string
	line   int
	ref    string // as written

	kind    fetchKind
	selects bool         // has a tag selection
	level   report.Level // of a finding that the image is outside or missing
	idle    string       // why no node pulls it now; empty when a node may pull it
	deploys string       // where it is in what a PackageInstall deploys; empty for a reference in the input
}

// add adds an object, or a list of objects. kind is the kind of an object that does not have one.
func (o *Objects) add(n *yaml.Node, kind string, doc position) error {
	if n.Kind == yaml.SequenceNode {
		return o.addList(n, kind, doc)
	}
	if n.Kind != yaml.MappingNode {
		return doc.fail(n.Line, errors.New("it is not an object"))
	}
	if own := yamlnode.Text(n, "kind"); own != "" {
		kind = own
	}
	if kind == "" {
		return doc.fail(n.Line, errors.New("it has no kind"))
	}
	if items, ok := itemsOf(n); ok && strings.HasSuffix(kind, "List") {
		for _, item := range items {
			if err := o.add(item, strings.TrimSuffix(kind, "List"), doc); err != nil {
				return err
			}
		}
		return nil
	}
	if o.count++; o.count > maxObjects {
		return doc.fail(n.Line, fmt.Errorf("the input has more than %d objects", maxObjects))
	}
	object := &object{apiVersion: shortName(yamlnode.Text(n, "apiVersion")), line: n.Line}
	object.Kind, object.Namespace = shortName(kind), shortName(yamlnode.Text(n, "metadata", "namespace"))
	object.Name = shortName(yamlnode.Text(n, "metadata", "name"))
	(&extraction{objects: o, object: object}).all(n)
	if o.held > maxHeld {
		return doc.fail(n.Line, fmt.Errorf("the objects name more than %d bytes of images", maxHeld))
	}
	return nil
}

// itemsOf returns the items of a list, and whether it has a key "items".
func itemsOf(n *yaml.Node) (items []*yaml.Node, ok bool) {
	for key, value := range yamlnode.Pairs(n) {
		if key == "items" {
			return value.Content, true
		}
	}
	return nil, false
}

// addList adds the objects of a sequence.
func (o *Objects) addList(n *yaml.Node, kind string, doc position) error {
	if n.Kind != yaml.SequenceNode {
		return doc.fail(n.Line, errors.New("its items are not a list"))
	}
	for _, item := range n.Content {
		if item.Kind != yaml.MappingNode {
			return doc.fail(item.Line, errors.New("an item is not an object"))
		}
		if err := o.add(item, kind, doc); err != nil {
			return err
		}
	}
	return nil
}

// extraction adds what one object names to objects.
type extraction struct {
	objects *Objects
	object  *object
	idle    string
	path    []string
	strings bool // the values are for programs, so any string may name an image
}

// heldClaim is the approximate memory in bytes of a claim without its text.
const heldClaim = 160

// take adds a claim. The value at keys below the current path is its reference.
func (x *extraction) take(c claim, value *yaml.Node, keys ...string) {
	c.object, c.idle, c.line = x.object, x.idle, value.Line
	c.ref = strings.Clone(cut(value.Value))
	c.path = x.at(keys...)
	x.objects.held += heldClaim + len(c.ref) + len(c.path)
	x.objects.claims = append(x.objects.claims, c)
}

// note adds a finding that needs no registry.
func (x *extraction) note(f report.Finding, line int, keys ...string) {
	f.Object, f.Line, f.Path = &x.object.Object, line, x.at(keys...)
	x.objects.held += heldClaim + len(f.Message) + len(f.Path)
	x.objects.findings = append(x.objects.findings, f)
}

// maxReference is the limit on a reference in bytes. A longer text is cut.
const maxReference = 1024

func cut(s string) string {
	if len(s) > maxReference {
		return strings.ToValidUTF8(s[:maxReference], "") + "…" // no longer a reference
	}
	return s
}

// at returns the current path with keys appended, such as spec.containers[0].image.
func (x *extraction) at(keys ...string) string {
	var b strings.Builder
	for _, key := range slices.Concat(x.path, keys) {
		switch {
		case strings.HasPrefix(key, "["):
		case strings.ContainsFunc(key, func(r rune) bool { return !isPlain(r) }):
			key = "[" + text.Quote(key) + "]"
		case b.Len() > 0:
			b.WriteByte('.')
		}
		b.WriteString(key)
	}
	return text.Line(text.Clip(b.String(), 500))
}

func isPlain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// below calls visit with key appended to the path.
func (x *extraction) below(key string, visit func()) {
	x.path = append(x.path, key)
	visit()
	x.path = x.path[:len(x.path)-1]
}

// all adds everything that the object names.
func (x *extraction) all(n *yaml.Node) {
	x.idle = idle(x.object.Kind, n)
	x.objects.held += heldClaim
	if x.object.group() == "apiextensions.k8s.io" { // schemas and their examples
		return
	}
	if x.object.isCarvel() {
		x.carvel(n)
	}
	switch x.object.apiVersion {
	case "", "v1": // items of a SecretList have none
		if x.object.Kind == "Secret" || x.object.Kind == "ConfigMap" {
			x.keep(n)
		}
	}
	x.containers(n)
	x.strings = x.object.Kind == "ConfigMap"
	for key, value := range yamlnode.Pairs(n) {
		switch {
		case key == "metadata", key == "status", x.object.Kind == "Secret":
		default:
			x.below(key, func() { x.walk(value) })
		}
	}
}

// isCarvel reports whether the object is of a kind of kapp-controller's.
func (o *object) isCarvel() bool {
	switch o.group() {
	case "packaging.carvel.dev", "install.package.carvel.dev", "package.carvel.dev", "data.packaging.carvel.dev",
		"internal.packaging.carvel.dev", "kappctrl.k14s.io":
		return true
	}
	return false
}

func (o *object) group() string {
	group, _, found := strings.Cut(o.apiVersion, "/")
	if !found {
		return ""
	}
	return group
}

// idle says why no node pulls the images of an object now. It is empty when a node may pull them.
func idle(kind string, n *yaml.Node) string {
	phase := yamlnode.Text(n, "status", "phase")
	switch {
	case kind == "Pod" && (phase == "Succeeded" || phase == "Failed"):
		return "a finished Pod"
	case kind == "Job" && yamlnode.Text(n, "status", "completionTime") != "":
		return "a finished Job"
	case kind == "ReplicaSet" && yamlnode.Get(n, "metadata", "ownerReferences") != nil && yamlnode.Text(n, "spec", "replicas") == "0":
		return "a ReplicaSet of an old revision, scaled to 0"
	}
	return ""
}

// walk adds the claims of a value: images of containers and volumes, values of other keys "image",
// and images in arguments, variables and ConfigMaps.
func (x *extraction) walk(n *yaml.Node) {
	if yamlnode.IsText(n) && x.strings {
		x.text(n)
		return
	}
	if n.Kind == yaml.SequenceNode {
		for i, item := range n.Content {
			x.below(fmt.Sprintf("[%d]", i), func() { x.walk(item) })
		}
		return
	}
	for key, child := range yamlnode.Pairs(n) {
		x.field(key, child)
	}
}

// field adds the claims of a key and its value.
func (x *extraction) field(key string, value *yaml.Node) {
	switch {
	case key == "image" && yamlnode.IsText(value):
		if guess := x.guess(value.Value); guess != "" {
			x.take(claim{level: guess}, value, key)
		}
	case x.strings && strings.HasPrefix(key, relatedImage) && yamlnode.IsText(value) && isImage(value.Value): // in a ConfigMap for envFrom
		x.take(claim{level: report.Pull}, value, key)
	case slices.Contains(containerKeys, key) && isMaps(value):
		x.below(key, func() { x.containerList(value) })
	case key == "volumes" && isMaps(value):
		x.below(key, func() { x.volumes(value) })
	case key == "fetch" && x.isFetch():
	default:
		x.below(key, func() { x.walk(value) })
	}
}

// containerKeys are the keys of a Pod's spec that hold lists of containers.
var containerKeys = []string{"containers", "initContainers", "ephemeralContainers"}

// text adds the claims of a string in an argument, a variable or a file.
func (x *extraction) text(n *yaml.Node) {
	for ref := range content.References(n.Value) {
		if guess := x.guess(ref); guess != "" {
			x.take(claim{level: guess}, &yaml.Node{Value: ref, Line: n.Line})
		}
	}
}

// containerList adds the claims of a list of containers.
func (x *extraction) containerList(list *yaml.Node) {
	was := x.strings
	x.strings = true
	defer func() { x.strings = was }()
	for i, c := range list.Content {
		x.below(fmt.Sprintf("[%d]", i), func() {
			for key, child := range yamlnode.Pairs(c) {
				switch {
				case key == "image" && yamlnode.IsText(child):
					x.take(claim{level: report.Pull}, child, key)
				case key == "env" && isMaps(child):
					x.below(key, func() { x.env(child) })
				case (key == "args" || key == "command") && child.Kind == yaml.SequenceNode:
					x.below(key, func() { x.arguments(child) })
				default:
					x.below(key, func() { x.walk(child) })
				}
			}
		})
	}
}

// volumes adds the claims of a list of volumes.
func (x *extraction) volumes(list *yaml.Node) {
	for i, v := range list.Content {
		x.below(fmt.Sprintf("[%d]", i), func() {
			if ref := yamlnode.Get(v, "image", "reference"); yamlnode.IsText(ref) && ref.Value != "" {
				x.take(claim{level: report.Pull}, ref, "image", "reference")
				return
			}
			x.walk(v)
		})
	}
}

// guess returns the level of a finding about the value s of a key "image". It is empty when s does
// not look like an image.
func (x *extraction) guess(s string) report.Level {
	host, rest, hasPath := strings.Cut(s, "/")
	hasHost := hasPath && rest != "" && strings.ContainsAny(host, ".:")
	switch {
	case s == "", parse(s) == nil:
		return ""
	case !hasHost && x.object.Kind == "ConfigMap": // its keys may mean anything
		return ""
	case !hasHost, x.object.group() == "data.packaging.carvel.dev": // a default in a schema
		return report.Warning
	}
	return report.Pull
}
