package choose

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/internal/yamlnode"
	"relocate/report"
)

// Installed is what a cluster uses of a package: a version, or what a PackageInstall selects. It names
// no object of the cluster, because it becomes part of what a derived repository says of itself.
type Installed struct {
	Name        string              `json:"name"`                  // of the package
	Version     string              `json:"version,omitempty"`     // that is installed or was last attempted
	Constraint  string              `json:"constraint,omitempty"`  // of a PackageInstall; empty with Version
	Prereleases *carvel.Prereleases `json:"prereleases,omitempty"` // of a PackageInstall; nil with Version
}

func (i Installed) compare(other Installed) int {
	order := cmp.Or(cmp.Compare(i.Name, other.Name), cmp.Compare(i.Version, other.Version), cmp.Compare(i.Constraint, other.Constraint))
	if order != 0 || i.Prereleases == nil && other.Prereleases == nil {
		return order
	}
	switch {
	case i.Prereleases == nil:
		return -1
	case other.Prereleases == nil:
		return 1
	}
	return slices.Compare(i.Prereleases.Identifiers, other.Prereleases.Identifiers)
}

// check refuses text that no cluster has.
func (i Installed) check() error {
	all := []string{i.Name, i.Version, i.Constraint}
	if i.Prereleases != nil {
		all = append(all, i.Prereleases.Identifiers...)
	}
	for _, s := range all {
		if len(s) > maxConstraint || strings.ContainsFunc(s, func(r rune) bool { return !text.IsShown(r) }) {
			return fmt.Errorf("%s is not a name, version or constraint of an installed package", text.Quote(s))
		}
	}
	if i.Name == "" {
		return errors.New("a PackageInstall names no package in spec.packageRef.refName")
	}
	return nil
}

// MaxInstalled is the limit on the size of what ParseInstalled reads, in bytes.
const MaxInstalled = 64 << 20

// ParseInstalled reads PackageInstalls as "kubectl get packageinstalls -A -o yaml" or "-o json" writes
// them: for each, the versions that are installed and were last attempted, and what it selects. Other
// objects are ignored. The empty list of a cluster without a PackageInstall is read as nothing.
//
// Errors: text that is not YAML, with the line; text without a PackageInstall that is no empty list.
func ParseInstalled(data []byte) ([]Installed, error) {
	if len(data) > MaxInstalled {
		return nil, fmt.Errorf("has %d bytes, more than the limit of %d", len(data), MaxInstalled)
	}
	r := &installedReader{}
	documents := 0
	for doc := range yamlnode.Documents(data) {
		if documents++; documents > yamlnode.MaxDocuments {
			return nil, fmt.Errorf("has more than %d documents", yamlnode.MaxDocuments)
		}
		for part := range parts(doc) {
			n, err := tree(part)
			if err != nil {
				return nil, err
			}
			if err := r.object(n); err != nil {
				return nil, err
			}
		}
	}
	if r.objects == 0 && !r.empty {
		return nil, errors.New(`has no PackageInstall; write it with "kubectl get packageinstalls -A -o yaml"`)
	}
	return Choice{Installed: r.list}.canonical().Installed, nil
}

// tree parses a document.
func tree(doc yamlnode.Document) (*yaml.Node, error) {
	n, err := doc.Tree()
	if at, ok := errors.AsType[*yamlnode.Error](err); ok {
		return nil, fmt.Errorf("line %d: %w", at.Line, err)
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", doc.Line, err)
	}
	return n, nil
}

// parts cuts a list as kubectl writes it into sequences of one item each, and what is above and below them:
// a cluster can have more objects than can be parsed at once. Another document stays whole.
func parts(doc yamlnode.Document) iter.Seq[yamlnode.Document] {
	if bytes.HasPrefix(bytes.TrimSpace(doc.Text), []byte("{")) {
		return jsonParts(doc)
	}
	return func(yield func(yamlnode.Document) bool) {
		part, line, inItems := yamlnode.Document{Line: doc.Line}, doc.Line, false
		start, end := 0, 0
		for l := range bytes.Lines(doc.Text) {
			begins := inItems && bytes.HasPrefix(l, []byte("- "))
			if ends := inItems && !bytes.ContainsRune([]byte(" #\r\n"), rune(l[0])); begins || ends {
				if part.Text = doc.Text[start:end]; !yield(part) {
					return
				}
				part.Line, start, inItems = line, end, begins
			}
			inItems = inItems || string(bytes.TrimRight(l, " \r\n")) == "items:"
			end += len(l)
			line++
		}
		part.Text = doc.Text[start:]
		yield(part)
	}
}

// jsonParts is parts for JSON.
func jsonParts(doc yamlnode.Document) iter.Seq[yamlnode.Document] {
	return func(yield func(yamlnode.Document) bool) {
		var list struct {
			Items []json.RawMessage `json:"items"`
		}
		if json.Unmarshal(doc.Text, &list) != nil || len(list.Items) == 0 {
			yield(doc)
			return
		}
		line, rest := doc.Line, doc.Text
		for _, item := range list.Items {
			at := bytes.Index(rest, item) // raw: it is there
			line += bytes.Count(rest[:at], []byte("\n"))
			if !yield(yamlnode.Document{Line: line, Text: item}) {
				return
			}
			line, rest = line+bytes.Count(item, []byte("\n")), rest[at+len(item):]
		}
	}
}

// installedReader is a run of ParseInstalled.
type installedReader struct {
	objects int
	empty   bool // there is a list without items
	list    []Installed
}

// object reads an object, a list of objects, or the items of one.
func (r *installedReader) object(n *yaml.Node) error {
	items := yamlnode.Items(n)
	switch kind := yamlnode.Text(n, "kind"); {
	case strings.HasSuffix(kind, "List"):
		list := yamlnode.Get(n, "items")
		items = yamlnode.Items(list)
		if isOfInstalls := kind == "List" || kind == "PackageInstallList" || kind == "InstalledPackageList"; isOfInstalls && list != nil && list.Kind == yaml.SequenceNode && len(items) == 0 {
			r.empty = true
		}
	case kind == "PackageInstall" || kind == "InstalledPackage": // until v0.19
		r.objects++
		return r.install(n)
	}
	for _, item := range items {
		if err := r.object(item); err != nil {
			return err
		}
	}
	return nil
}

// install reads a PackageInstall.
func (r *installedReader) install(n *yaml.Node) error {
	ref := yamlnode.Get(n, "spec", "packageRef")
	name, before := cmp.Or(yamlnode.Text(ref, "refName"), yamlnode.Text(ref, "publicName")), len(r.list)
	for _, key := range []string{"version", "lastAttemptedVersion"} {
		if version := yamlnode.Text(n, "status", key); version != "" {
			r.list = append(r.list, Installed{Name: name, Version: version})
		}
	}
	selection := yamlnode.Get(ref, "versionSelection")
	i := Installed{Name: name, Constraint: cmp.Or(yamlnode.Text(selection, "constraints"), yamlnode.Text(ref, "version"))}
	if prereleases := yamlnode.Get(selection, "prereleases"); prereleases != nil {
		i.Prereleases = &carvel.Prereleases{}
		for _, item := range yamlnode.Items(yamlnode.Get(prereleases, "identifiers")) {
			i.Prereleases.Identifiers = append(i.Prereleases.Identifiers, item.Value)
		}
	}
	r.list = append(r.list, i)
	for _, i := range r.list[before:] {
		if err := i.check(); err != nil {
			return fmt.Errorf("line %d: %w", n.Line, err)
		}
	}
	return nil
}

// installed chooses what a cluster uses. Packages that the repository does not have come from another
// one.
func (s *selection) installed() {
	list := s.choice.canonical().Installed
	for _, i := range list {
		if i.Version == "" || s.versions[i.Name] == nil {
			continue
		}
		at := slices.IndexFunc(s.versions[i.Name], func(p *carvel.Package) bool { return p.Version == i.Version })
		if at < 0 {
			s.vanished(i, "the cluster uses "+text.Quote(i.Name+" "+i.Version)+", which the repository does not have")
			continue
		}
		s.take(s.versions[i.Name][at], IsInstalled)
	}
	for _, i := range list { // a PackageInstall needs a version that it selects
		if i.Version == "" && s.versions[i.Name] != nil {
			s.selected(i)
		}
	}
}

// selected chooses the newest version that a PackageInstall selects, unless it selects one that is chosen
// already.
func (s *selection) selected(i Installed) {
	what := text.Quote(strings.TrimSpace(i.Name + " " + i.Constraint))
	selects, err := carvel.ParseSelection(i.Constraint, i.Prereleases)
	if err != nil {
		s.vanished(i, fmt.Sprintf("a PackageInstall of the cluster selects %s, and kapp-controller refuses it: %s", what, text.Error(err)))
		return
	}
	left, details := s.candidates(i.Name, selects)
	switch {
	case len(left) == 0:
		s.vanished(i, fmt.Sprintf("a PackageInstall of the cluster selects %s, of which the repository has no version: %s", what, carvel.NoVersion(details)))
	case !s.isChosen(left):
		s.take(left[len(left)-1], IsInstalled)
	}
}

// vanished adds a finding about what the cluster uses and the repository does not have.
func (s *selection) vanished(i Installed, message string) {
	s.findings = append(s.findings, report.Finding{
		Code: codeNotInstalled, Level: report.Warning, Package: strings.TrimSpace(i.Name + " " + i.Version),
		Reference: strings.TrimSpace(i.Name + " " + cmp.Or(i.Version, i.Constraint)), Message: message,
	})
}
