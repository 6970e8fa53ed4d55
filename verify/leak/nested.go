package leak

import (
	"bytes"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
	"relocate/report"
)

// Groups of kapp-controller's own kinds, which fetch by themselves once they are applied.
const (
	kappctrl  = "kappctrl.k14s.io/"
	packaging = "packaging.carvel.dev/"
)

// nested looks at the Apps, PackageRepositories and PackageInstalls among the files. Their values of image
// keys are references like any other.
func (b *inside) nested() {
	for _, f := range b.files {
		if !bytes.Contains(f.data, []byte(kappctrl)) && !bytes.Contains(f.data, []byte(packaging)) {
			continue
		}
		n := 0
		for doc := range yamlnode.Documents(f.data) {
			if n++; n > maxThings {
				break
			}
			if !bytes.Contains(doc.Text, []byte(kappctrl)) && !bytes.Contains(doc.Text, []byte(packaging)) {
				continue
			}
			n, err := doc.Node()
			if err != nil { // a template may be anything
				continue
			}
			b.nestedObject(f.path, n)
			if text(below(n, "kind")) == "List" {
				for _, item := range items(below(n, "items")) {
					b.nestedObject(f.path, item)
				}
			}
		}
	}
}

// once takes away what content says of the fetches: less of the same.
func (b *inside) once() {
	b.out.findings = slices.DeleteFunc(b.out.findings, func(f report.Finding) bool {
		ref, fetched := b.fetched[place{f.File, f.Line}]
		return fetched && f.Code == codeOutsideKey && f.Reference == ref
	})
}

// nestedObject looks at a document of a file.
func (b *inside) nestedObject(file string, n *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode { // an alias says again what was looked at where it stands
		return
	}
	kind, apiVersion := text(below(n, "kind")), text(below(n, "apiVersion"))
	switch {
	case kind == "App" && strings.HasPrefix(apiVersion, kappctrl):
		steps := items(below(n, "spec", "fetch"))
		for _, step := range steps {
			b.nestedFetch(file, kind, target(step))
		}
		b.needsSecret(slices.ContainsFunc(steps, func(step *yaml.Node) bool { return namesNoSecret(target(step)) }))
	case kind == "PackageRepository" && (strings.HasPrefix(apiVersion, packaging) || strings.HasPrefix(apiVersion, "install.package.carvel.dev/")):
		b.nestedFetch(file, kind, below(n, "spec", "fetch"))
		b.needsSecret(namesNoSecret(below(n, "spec", "fetch")))
	case kind == "PackageInstall" && strings.HasPrefix(apiVersion, packaging):
		b.out.PackageInstalls++
		annotations := below(n, "metadata", "annotations")
		b.needsSecret(annotations == nil || !slices.ContainsFunc(annotations.Content, func(key *yaml.Node) bool {
			return strings.HasPrefix(key.Value, fetchAnnotation)
		}))
		b.nestedInstall(file, below(n, "spec", "packageRef"))
	}
}

// fetchAnnotation begins the annotations of a PackageInstall that name the Secrets of its Package's fetches.
const fetchAnnotation = "ext.packaging.carvel.dev/fetch-"

// needsSecret counts an object whose placeholder Secret somebody has to fill in, where the registry wants a login.
func (b *inside) needsSecret(does bool) {
	if does {
		b.out.WithoutSecret++
	}
}

// namesNoSecret reports whether a fetch is of an image or bundle, and without a Secret.
func namesNoSecret(step *yaml.Node) bool {
	for _, fetch := range []string{"imgpkgBundle", "image"} {
		if n := below(step, fetch); n != nil {
			return below(n, "secretRef") == nil
		}
	}
	return false
}

// fetchURLs are the fetches that leave the images, and where each says to what.
var fetchURLs = map[string][]string{"http": {"url"}, "git": {"url"}, "helmChart": {"repository", "url"}}

// nestedFetch looks at a fetch that nothing rewrites.
func (b *inside) nestedFetch(file, kind string, step *yaml.Node) {
	if step == nil {
		return
	}
	note := func(code report.Code, n *yaml.Node, format string) {
		for _, at := range b.positionsOf(file, line(n, step.Line)) {
			f := newFinding(code, report.Install, at, text(n), format, kind, quote(text(n)))
			b.fetched[place{f.File, f.Line}] = f.Reference
			b.note(f)
		}
	}
	switch {
	case below(step, "inline") != nil:
	case below(step, "image") != nil:
		note(codeUncovered, below(step, "image", "url"), "%s fetches %s by image.url, which nothing rewrites")
	case below(step, "imgpkgBundle", "tagSelection") != nil:
		note(codeOutside, below(step, "imgpkgBundle", "image"), "%s fetches %s with a tagSelection, which cannot be relocated")
	default:
		for _, fetch := range []string{"http", "git", "helmChart"} { // the first that is set counts
			if n := below(step, fetch); n != nil {
				note(codeOutside, below(n, fetchURLs[fetch]...), "%s fetches by "+fetch+" (%s), which is no image: it stays outside")
				return
			}
		}
	}
}

// maxCompared is how many versions are compared with the PackageInstalls of one bundle.
const maxCompared = 500_000

// nestedInstall looks for the Package that a PackageInstall asks for.
func (b *inside) nestedInstall(file string, ref *yaml.Node) {
	name, version := text(below(ref, "refName")), text(below(ref, "versionSelection", "constraints"))
	if name == "" { // a template computes it
		return
	}
	if b.compared += len(b.versions[name]); b.compared > maxCompared {
		for _, at := range b.positionsOf(file, 0) {
			b.note(newFinding(codeNotRead, report.Warning, at, "", "has PackageInstalls of too many versions; not all were compared"))
		}
		return
	}
	prereleases := below(ref, "versionSelection", "prereleases") != nil
	if slices.ContainsFunc(b.versions[name], func(v string) bool { return version == "" || meets(v, version, prereleases) }) {
		return
	}
	level := report.Install
	if b.unsure {
		level = report.Warning
	}
	n := below(ref, "refName")
	for _, at := range b.positionsOf(file, n.Line) {
		b.note(newFinding(codeNotInstalled, level, at, strings.TrimSpace(name+" "+version), "a PackageInstall asks for %s, which the repository does not have",
			quote(strings.TrimSpace(name+" "+version))))
	}
}

// positionsOf returns where a line of a file is that some Package reads.
func (b *inside) positionsOf(file string, line int) []position {
	if len(b.groups) == 0 {
		return b.positions(group{}, file, line)
	}
	var list []position
	for _, g := range b.groups {
		if b.work.node == nil || stepsRead(g.steps(), file) {
			list = append(list, b.positions(g, file, line)...)
		}
	}
	return list
}
