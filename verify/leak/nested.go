package leak

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/internal/yamlnode"
	"relocate/report"
	"relocate/verify/leak/kappctrl"
)

// API groups of kapp-controller's own kinds. Objects of these kinds fetch by themselves once they
// are applied.
const (
	kappctrlGroup = "kappctrl.k14s.io/"
	packaging     = "packaging.carvel.dev/"
)

// nestedObjects finds the Apps, PackageRepositories and PackageInstalls in text. The values of their
// image keys are references like any other.
type nestedObjects struct {
	in       *traversal
	note     func(line int, f report.Finding) // called with what is wrong at a line of the text
	installs int                              // PackageInstalls
	selects  func(Install)                    // called with what a PackageInstall selects
	noSecret int                              // objects that fetch images and name no Secret
	compared int                              // versions compared with PackageInstalls
	rendered bool                             // the text is what templates print
	prints   int                              // template.prints of the document that is searched
	inlined  int                              // bytes of inline files
}

// Install is what a PackageInstall that a package deploys selects.
type Install struct {
	Package, Version string // that deploys it

	Name, Constraint string // of the Package that it selects, and of its versions
	Prereleases      *carvel.Prereleases

	File     string // where it is, in what the package fetches; empty where that is not known
	Line     int
	Computed bool // a template computes Name or Constraint, and was not run
}

// search searches the documents of a file, whatever conditions of templates are around them.
func (o *nestedObjects) search(file string, text []byte) {
	if !isNested(text) {
		return
	}
	if !o.rendered {
		text = comment.ReplaceAllFunc(text, lineBreaks)
	}
	n := 0
	for doc := range yamlnode.Documents(text) {
		if n++; n > maxThings {
			break
		}
		if !isNested(doc.Text) {
			continue
		}
		if n, err := doc.Node(); err == nil {
			o.document(n)
		} else if !o.rendered {
			o.template(file, doc)
		}
	}
}

var (
	mayDeploy    = regexp.MustCompile(`\.(ya?ml|json|tpl|cue)$`)
	installKind  = regexp.MustCompile(`(?m)^[ \t{]*"?kind"?:[ \t]*["']?PackageInstall\b`)
	installGroup = regexp.MustCompile(`(?m)^[ \t{]*"?apiVersion"?:[ \t]*["']?` + regexp.QuoteMeta(packaging))
)

// template searches a document that is not YAML. Of a PackageInstall in what cannot be read either, it is
// known only that there is one.
func (o *nestedObjects) template(file string, doc yamlnode.Document) {
	t := readTemplate(doc)
	if n, err := t.node(); err == nil {
		o.prints = t.prints
		o.document(n)
		o.prints = 0
		return
	}
	if !mayDeploy.MatchString(file) || !installGroup.Match(doc.Text) {
		return
	}
	for _, at := range installKind.FindAllIndex(doc.Text, -1) {
		o.selects(Install{Line: doc.LineOf(1 + bytes.Count(doc.Text[:at[1]], []byte("\n"))), Computed: true})
	}
}

// found adds a finding.
func (o *nestedObjects) found(code report.Code, level report.Level, line int, reference, format string, args ...any) {
	o.note(line, newFinding(code, level, position{}, reference, format, args...))
}

// nested searches the files of the folder.
func (a *appFolder) nested() {
	o := &nestedObjects{in: a.in}
	for _, f := range a.files {
		o.note = func(line int, found report.Finding) {
			found.File, found.Line = f.Path, line
			a.objects = append(a.objects, found)
		}
		o.selects = func(i Install) {
			i.File = f.Path
			a.installs = append(a.installs, i)
		}
		o.search(f.Path, f.Data)
	}
	a.out.report.PackageInstalls, a.out.report.WithoutSecret = o.installs, o.noSecret
}

// install adds what a use deploys, as the rendering d says, or else the files that its steps read. d is
// nil when it was not rendered.
func (a *appFolder) install(u use, d *deployed) {
	list := []Install(nil)
	if d != nil && d.err == nil {
		list = d.installs
	} else {
		for _, i := range a.installs {
			if u.of.Steps.Read(i.File) {
				list = append(list, i)
			}
		}
	}
	for _, i := range list {
		i.Package, i.Version = u.of.Head.Package.Name, u.of.Head.Package.Version
		a.out.report.Installs = append(a.out.report.Installs, i)
	}
}

// isNested reports whether text may have objects of kapp-controller's kinds.
func isNested(text []byte) bool {
	return bytes.Contains(text, []byte(kappctrlGroup)) || bytes.Contains(text, []byte(packaging))
}

// document checks a document.
func (o *nestedObjects) document(n *yaml.Node) {
	o.object(n)
	if yamlnode.Text(n, "kind") == "List" {
		for _, item := range yamlnode.Items(yamlnode.Get(n, "items")) {
			o.object(item)
		}
	}
}

// object checks an object.
func (o *nestedObjects) object(n *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode { // the target of an alias is checked at its definition
		return
	}
	kind, apiVersion := yamlnode.Text(n, "kind"), yamlnode.Text(n, "apiVersion")
	switch {
	case kind == "App" && strings.HasPrefix(apiVersion, kappctrlGroup):
		steps := yamlnode.Items(yamlnode.Get(n, "spec", "fetch"))
		for _, step := range steps {
			o.fetch(kind, yamlnode.Get(step))
			o.inline(yamlnode.Get(step, "inline", "paths"))
		}
		for _, step := range yamlnode.Items(yamlnode.Get(n, "spec", "template")) {
			o.inline(yamlnode.Get(step, "ytt", "inline", "paths"))
		}
		o.needsSecret(slices.ContainsFunc(steps, func(step *yaml.Node) bool { return namesNoSecret(yamlnode.Get(step)) }))
	case kind == "PackageRepository" && (strings.HasPrefix(apiVersion, packaging) || strings.HasPrefix(apiVersion, "install.package.carvel.dev/")):
		o.fetch(kind, yamlnode.Get(n, "spec", "fetch"))
		o.needsSecret(namesNoSecret(yamlnode.Get(n, "spec", "fetch")))
	case kind == "PackageInstall" && strings.HasPrefix(apiVersion, packaging):
		o.installs++
		annotations := yamlnode.Get(n, "metadata", "annotations")
		o.needsSecret(annotations == nil || !slices.ContainsFunc(annotations.Content, func(key *yaml.Node) bool {
			return strings.HasPrefix(key.Value, fetchAnnotation)
		}))
		o.install(n)
	}
}

// fetchAnnotation is the prefix of a PackageInstall's annotations that name the Secrets of its
// Package's fetches.
const fetchAnnotation = "ext.packaging.carvel.dev/fetch-"

// needsSecret counts an object without a Secret. If the registry requires a login, someone has to
// fill in its placeholder Secret.
func (o *nestedObjects) needsSecret(does bool) {
	if does {
		o.noSecret++
	}
}

// namesNoSecret reports whether a step fetches an image or a bundle without a Secret.
func namesNoSecret(step *yaml.Node) bool {
	for _, fetch := range []string{"imgpkgBundle", "image"} {
		if n := yamlnode.Get(step, fetch); n != nil {
			return yamlnode.Get(n, "secretRef") == nil
		}
	}
	return false
}

// fetchURLs has the path of the URL for each kind of fetch that is not an image.
var fetchURLs = map[string][]string{"http": {"url"}, "git": {"url"}, "helmChart": {"repository", "url"}}

// fetch checks a fetch that nothing rewrites.
func (o *nestedObjects) fetch(kind string, step *yaml.Node) {
	if step == nil {
		return
	}
	note := func(code report.Code, n *yaml.Node, format string) {
		o.found(code, report.Install, yamlnode.Line(n, step.Line), yamlnode.Text(n), format, kind, text.Quote(yamlnode.Text(n)))
	}
	switch {
	case yamlnode.Get(step, "inline") != nil:
	case yamlnode.Get(step, "image") != nil:
		note(codeUncovered, yamlnode.Get(step, "image", "url"), "%s fetches %s by image.url, which nothing rewrites")
	case yamlnode.Get(step, "imgpkgBundle", "tagSelection") != nil:
		note(codeOutside, yamlnode.Get(step, "imgpkgBundle", "image"), "%s fetches %s with a tagSelection, which cannot be relocated")
	default:
		for _, fetch := range []string{"http", "git", "helmChart"} { // the first one set counts
			if n := yamlnode.Get(step, fetch); n != nil {
				note(codeOutside, yamlnode.Get(n, fetchURLs[fetch]...), "%s fetches by "+fetch+" (%s), which is not an image and stays outside")
				return
			}
		}
	}
}

// inline searches the inline files of an App. Its templates run later than those that print the App.
func (o *nestedObjects) inline(paths *yaml.Node) {
	outer := *o
	o.rendered, o.prints = false, 0
	for _, f := range kappctrl.InlineFiles(paths) {
		if o.inlined += len(f.Data); o.inlined > maxText {
			outer.found(codeNotRead, report.Warning, f.Line(1), "", "has inline files of more than %d bytes; the rest was not examined", maxText)
			break
		}
		o.note = func(line int, found report.Finding) { outer.note(f.Line(line), found) }
		o.selects = func(i Install) {
			i.Line = f.Line(i.Line)
			outer.selects(i)
		}
		o.search(f.Path, []byte(f.Data))
	}
	o.note, o.selects, o.rendered, o.prints = outer.note, outer.selects, outer.rendered, outer.prints
}

// maxCompared is the limit on versions compared with the PackageInstalls of one bundle.
const maxCompared = 500_000

// install checks that the Package of a PackageInstall is present.
func (o *nestedObjects) install(n *yaml.Node) {
	ref := yamlnode.Get(n, "spec", "packageRef")
	name, constraint := yamlnode.Text(ref, "refName"), yamlnode.Text(ref, "versionSelection", "constraints")
	prereleases := prereleasesOf(yamlnode.Get(ref, "versionSelection", "prereleases"))
	computed := o.computes(n, "spec", "packageRef", "refName") || o.computes(n, "spec", "packageRef", "versionSelection", "constraints")
	if ref != nil || computed {
		o.selects(Install{Name: name, Constraint: constraint, Prereleases: prereleases, Line: yamlnode.Line(ref, n.Line), Computed: computed})
	}
	if computed || name == "" {
		return
	}
	if o.compared += len(o.in.versions[name]); o.compared > maxCompared {
		o.found(codeNotRead, report.Warning, 0, "", "has PackageInstalls of too many versions; not all were compared")
		return
	}
	selection, err := carvel.ParseSelection(constraint, prereleases)
	if err == nil && slices.ContainsFunc(o.in.versions[name], selection.Meets) {
		return
	}
	needs := text.Quote(strings.TrimSpace(name + " " + constraint))
	level, message := report.Install, fmt.Sprintf("a PackageInstall needs %s, which the repository does not have", needs)
	switch {
	case err != nil:
		message = fmt.Sprintf("a PackageInstall needs %s, and kapp-controller refuses it: %s", needs, text.Error(err))
	case o.in.unsure:
		level = report.Warning
	}
	o.found(codeNotInstalled, level, yamlnode.Get(ref, "refName").Line, strings.TrimSpace(name+" "+constraint), "%s", message)
}

// computes reports whether a template computes the value at a path, or what it is in. The value may be
// missing: then it is computed where the template prints more below.
func (o *nestedObjects) computes(n *yaml.Node, keys ...string) bool {
	if o.rendered {
		return false
	}
	for _, key := range keys {
		if n == nil || n.Kind != yaml.MappingNode { // null: what ytt computes is in a comment
			return true
		}
		var values []*yaml.Node
		for k, v := range yamlnode.Pairs(n) {
			if k == key {
				values = append(values, v)
			}
		}
		switch len(values) {
		case 0:
			return o.prints >= n.Line || isAction(n)
		case 1:
			n = yamlnode.Get(values[0])
		default: // of branches of a condition
			return true
		}
	}
	if n == nil || n.Kind != yaml.ScalarNode {
		return true
	}
	isBlock := n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	return strings.Contains(n.Value, "(@") || strings.Contains(n.Value, "{{") || isBlock && n.Value == ""
}

// isAction reports whether a mapping is an action of a template, {{ }}, which can be read as YAML.
func isAction(n *yaml.Node) bool { return len(n.Content) > 0 && n.Content[0].Kind == yaml.MappingNode }

// prereleasesOf reads the prereleases of a versionSelection; n is nil without them.
func prereleasesOf(n *yaml.Node) *carvel.Prereleases {
	if n == nil {
		return nil
	}
	p := &carvel.Prereleases{}
	for _, item := range yamlnode.Items(yamlnode.Get(n, "identifiers")) {
		p.Identifiers = append(p.Identifiers, item.Value)
	}
	return p
}
