package leak

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

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

// nested checks the Apps, PackageRepositories and PackageInstalls in the files. The values of their
// image keys are references like any other.
func (a *appFolder) nested() {
	for _, f := range a.files {
		if !isNested(f.Data) {
			continue
		}
		n := 0
		for doc := range yamlnode.Documents(f.Data) {
			if n++; n > maxThings {
				break
			}
			if !isNested(doc.Text) {
				continue
			}
			if n, err := doc.Node(); err == nil { // a template may be anything
				a.nestedDocument(f.Path, n)
			}
		}
	}
	// These findings say more than content's about the same fetches.
	a.out.findings.list = slices.DeleteFunc(a.out.findings.list, func(f report.Finding) bool {
		ref, fetched := a.fetched[position{bundle: f.Bundle, file: f.File, line: f.Line}]
		return fetched && f.Code == "outside-key" && f.Reference == ref
	})
}

// isNested reports whether text may have objects of kapp-controller's kinds.
func isNested(text []byte) bool {
	return bytes.Contains(text, []byte(kappctrlGroup)) || bytes.Contains(text, []byte(packaging))
}

// nestedDocument checks a document of a file.
func (a *appFolder) nestedDocument(file string, n *yaml.Node) {
	a.nestedObject(file, n)
	if yamlnode.Text(n, "kind") == "List" {
		for _, item := range yamlnode.Items(yamlnode.Get(n, "items")) {
			a.nestedObject(file, item)
		}
	}
}

// nestedObject checks an object of a file.
func (a *appFolder) nestedObject(file string, n *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode { // the target of an alias is checked at its definition
		return
	}
	kind, apiVersion := yamlnode.Text(n, "kind"), yamlnode.Text(n, "apiVersion")
	switch {
	case kind == "App" && strings.HasPrefix(apiVersion, kappctrlGroup):
		steps := yamlnode.Items(yamlnode.Get(n, "spec", "fetch"))
		for _, step := range steps {
			a.nestedFetch(file, kind, yamlnode.Get(step))
		}
		a.needsSecret(slices.ContainsFunc(steps, func(step *yaml.Node) bool { return namesNoSecret(yamlnode.Get(step)) }))
	case kind == "PackageRepository" && (strings.HasPrefix(apiVersion, packaging) || strings.HasPrefix(apiVersion, "install.package.carvel.dev/")):
		a.nestedFetch(file, kind, yamlnode.Get(n, "spec", "fetch"))
		a.needsSecret(namesNoSecret(yamlnode.Get(n, "spec", "fetch")))
	case kind == "PackageInstall" && strings.HasPrefix(apiVersion, packaging):
		a.out.report.PackageInstalls++
		annotations := yamlnode.Get(n, "metadata", "annotations")
		a.needsSecret(annotations == nil || !slices.ContainsFunc(annotations.Content, func(key *yaml.Node) bool {
			return strings.HasPrefix(key.Value, fetchAnnotation)
		}))
		a.nestedInstall(file, yamlnode.Get(n, "spec", "packageRef"))
	}
}

// fetchAnnotation is the prefix of a PackageInstall's annotations that name the Secrets of its
// Package's fetches.
const fetchAnnotation = "ext.packaging.carvel.dev/fetch-"

// needsSecret counts an object without a Secret. If the registry requires a login, someone has to
// fill in its placeholder Secret.
func (a *appFolder) needsSecret(does bool) {
	if does {
		a.out.report.WithoutSecret++
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

// nestedFetch checks a fetch that nothing rewrites.
func (a *appFolder) nestedFetch(file, kind string, step *yaml.Node) {
	if step == nil {
		return
	}
	note := func(code report.Code, n *yaml.Node, format string) {
		for _, at := range a.positionsOf(file, yamlnode.Line(n, step.Line)) {
			f := newFinding(code, report.Install, at, yamlnode.Text(n), format, kind, text.Quote(yamlnode.Text(n)))
			a.fetched[position{bundle: f.Bundle, file: f.File, line: f.Line}] = f.Reference
			a.out.findings.note(f)
		}
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

// nestedInstall checks that the Package of a PackageInstall is present.
func (a *appFolder) nestedInstall(file string, ref *yaml.Node) {
	name, constraint := yamlnode.Text(ref, "refName"), yamlnode.Text(ref, "versionSelection", "constraints")
	if name == "" || strings.Contains(constraint, "(@") || strings.Contains(constraint, "{{") { // computed by a template
		return
	}
	if a.compared += len(a.in.versions[name]); a.compared > maxCompared {
		for _, at := range a.positionsOf(file, 0) {
			a.out.findings.note(newFinding(codeNotRead, report.Warning, at, "", "has PackageInstalls of too many versions; not all were compared"))
		}
		return
	}
	selection, err := kappctrl.ParseSelection(constraint, prereleasesOf(yamlnode.Get(ref, "versionSelection", "prereleases")))
	if err == nil && slices.ContainsFunc(a.in.versions[name], selection.Meets) {
		return
	}
	needs := text.Quote(strings.TrimSpace(name + " " + constraint))
	level, message := report.Install, fmt.Sprintf("a PackageInstall needs %s, which the repository does not have", needs)
	switch {
	case err != nil:
		message = fmt.Sprintf("a PackageInstall needs %s, and kapp-controller refuses it: %s", needs, text.Error(err))
	case a.in.unsure:
		level = report.Warning
	}
	for _, at := range a.positionsOf(file, yamlnode.Get(ref, "refName").Line) {
		a.out.findings.note(newFinding(codeNotInstalled, level, at, strings.TrimSpace(name+" "+constraint), "%s", message))
	}
}

// prereleasesOf reads the prereleases of a versionSelection; n is nil without them.
func prereleasesOf(n *yaml.Node) *kappctrl.Prereleases {
	if n == nil {
		return nil
	}
	p := &kappctrl.Prereleases{}
	for _, item := range yamlnode.Items(yamlnode.Get(n, "identifiers")) {
		p.Identifiers = append(p.Identifiers, item.Value)
	}
	return p
}

// positionsOf returns the positions of a line in a file that some Package reads.
func (a *appFolder) positionsOf(file string, line int) []position {
	if len(a.groups) == 0 {
		return a.positions(group{}, file, line)
	}
	var list []position
	for _, g := range a.groups {
		if g.steps().Read(file) {
			list = append(list, a.positions(g, file, line)...)
		}
	}
	return list
}
