package leak

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/internal/yamlnode"
	"relocate/report"
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

// search searches the documents of a text.
func (o *nestedObjects) search(text []byte) {
	if !isNested(text) {
		return
	}
	n := 0
	for doc := range yamlnode.Documents(text) {
		if n++; n > maxThings {
			break
		}
		if !isNested(doc.Text) {
			continue
		}
		if n, err := doc.Node(); err == nil { // a template may be anything
			o.document(n)
		}
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
		o.search(f.Data)
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
		o.install(yamlnode.Get(n, "spec", "packageRef"))
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

// maxCompared is the limit on versions compared with the PackageInstalls of one bundle.
const maxCompared = 500_000

// install checks that the Package of a PackageInstall is present.
func (o *nestedObjects) install(ref *yaml.Node) {
	name, constraint := yamlnode.Text(ref, "refName"), yamlnode.Text(ref, "versionSelection", "constraints")
	prereleases := prereleasesOf(yamlnode.Get(ref, "versionSelection", "prereleases"))
	if ref != nil {
		o.selects(Install{Name: name, Constraint: constraint, Prereleases: prereleases, Line: ref.Line,
			Computed: isComputed(ref, "refName") || isComputed(yamlnode.Get(ref, "versionSelection"), "constraints")})
	}
	if name == "" || strings.Contains(constraint, "(@") || strings.Contains(constraint, "{{") { // computed by a template
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

// isComputed reports whether a template computes the value of a key, which may be missing. What ytt
// computes is in a comment, which leaves null.
func isComputed(n *yaml.Node, key string) bool {
	for k, v := range yamlnode.Pairs(n) {
		if k == key {
			s := yamlnode.Text(v)
			return yamlnode.Get(v) == nil || strings.Contains(s, "(@") || strings.Contains(s, "{{")
		}
	}
	return false
}

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
