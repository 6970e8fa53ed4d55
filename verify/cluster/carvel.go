package cluster

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/internal/yamlnode"
	"relocate/report"
)

// fetchKind is the kind of fetch that makes a claim.
type fetchKind string

// The kinds of fetch that name something (docs/carvel.md, "API kinds"). The zero value is not a
// fetch: a node pulls the image.
const (
	bundleFetch fetchKind = "imgpkgBundle"
	imageFetch  fetchKind = "image"
	httpFetch   fetchKind = "http"
	gitFetch    fetchKind = "git"
	chartFetch  fetchKind = "helmChart"
)

// pkg is a Package.
type pkg struct {
	object        *object
	name, version string
	spec          []byte // spec.template.spec as JSON; nil when it cannot be written so
	repository    string // namespace and name of the PackageRepository that it comes from
	line          int
}

// install is a PackageInstall.
type install struct {
	object        *object
	name, version string // version is the chosen one, or the only one allowed; may be empty
	line          int

	constraint  string
	selects     carvel.Selection
	wrong       error             // of the constraint
	annotations map[string]string // that change its App
	values      []string          // names of its values Secrets
	downgrades  bool              // an annotation allows an older version
}

// repositoryAnnotation is kapp-controller's annotation on objects that a PackageRepository created.
const repositoryAnnotation = "packaging.carvel.dev/package-repository-ref"

// downgradable is the annotation without which kapp-controller does not install an older version.
const downgradable = "packaging.carvel.dev/downgradable"

// isFetch reports whether carvel, not walk, reads a key "fetch" at the current path.
func (x *extraction) isFetch() bool {
	at := x.at()
	if !x.object.isCarvel() {
		return false
	}
	switch x.object.Kind {
	case "PackageRepository", "App":
		return at == "spec"
	case "Package", "PackageVersion", "InternalPackage", "InternalPackageVersion":
		return at == "spec.template.spec"
	}
	return false
}

// carvel reads what kapp-controller does with the object.
func (x *extraction) carvel(n *yaml.Node) {
	switch x.object.Kind {
	case "PackageRepository":
		x.objects.offering = append(x.objects.offering, x.object)
		fetch := yamlnode.Get(n, "spec", "fetch")
		if fetch == nil {
			x.note(report.Finding{Code: codeNotChecked, Level: report.Warning, Message: "it has no fetch"}, n.Line, "spec")
			break
		}
		x.path = []string{"spec", "fetch"}
		x.fetch(fetch)
	case "App":
		x.path = []string{"spec", "fetch"}
		x.fetches(yamlnode.Get(n, "spec", "fetch"))
		x.inlineFiles(yamlnode.Get(n, "spec"), "spec")
	case "Package", "PackageVersion", "InternalPackage", "InternalPackageVersion":
		x.path = []string{"spec", "template", "spec", "fetch"}
		x.fetches(yamlnode.Get(n, "spec", "template", "spec", "fetch"))
		x.pkg(n)
		x.inlineFiles(yamlnode.Get(n, "spec", "template", "spec"), "spec", "template", "spec")
	case "PackageInstall", "InstalledPackage":
		x.install(n)
	}
	x.path = nil
	x.status(n)
}

func (x *extraction) fetches(steps *yaml.Node) {
	for i, step := range yamlnode.Items(steps) {
		x.below(fmt.Sprintf("[%d]", i), func() { x.fetch(step) })
	}
}

// fetch reads one step. When the step has several kinds, it reads the one that kapp-controller
// chooses.
func (x *extraction) fetch(step *yaml.Node) {
	isRepository := x.object.Kind == "PackageRepository"
	if inline := yamlnode.Get(step, "inline"); inline != nil {
		if isRepository {
			x.note(report.Finding{Code: codeNotRewritten, Level: report.Warning, Message: "its Packages are inline: kapp-controller does not rewrite their references",
				Action: "fetch the repository's bundle with imgpkgBundle"}, inline.Line, "inline")
		}
		return
	}
	for _, kind := range []fetchKind{imageFetch, httpFetch, gitFetch, chartFetch, bundleFetch} {
		how := yamlnode.Get(step, string(kind))
		if how == nil || how.Kind != yaml.MappingNode {
			continue
		}
		keys := []string{"url"}
		switch kind {
		case bundleFetch:
			keys = []string{"image"}
		case chartFetch:
			keys = []string{"repository", "url"}
		}
		ref := yamlnode.Get(how, keys...)
		if !yamlnode.IsText(ref) {
			ref = &yaml.Node{Line: how.Line}
		}
		x.take(claim{kind: kind, level: report.Install, selects: yamlnode.Get(how, "tagSelection") != nil}, ref, append([]string{string(kind)}, keys...)...)
		if isRepository && kind != bundleFetch {
			x.note(report.Finding{Code: codeNotRewritten, Level: report.Warning, Reference: cut(ref.Value),
				Message: fmt.Sprintf("it fetches with %s: kapp-controller does not rewrite the references in its Packages, which point to their origin", kind),
				Action:  "fetch the repository's bundle with imgpkgBundle"}, how.Line, string(kind))
		}
		return
	}
	x.note(report.Finding{Code: codeNotChecked, Level: report.Warning, Message: "it has a fetch step of an unknown kind"}, step.Line)
}

// pkg adds a Package.
func (x *extraction) pkg(n *yaml.Node) {
	spec := yamlnode.Get(n, "spec")
	p := pkg{
		object: x.object, line: n.Line, version: shortName(yamlnode.Text(spec, "version")),
		name:       shortName(cmp.Or(yamlnode.Text(spec, "refName"), yamlnode.Text(spec, "publicName"), yamlnode.Text(spec, "packageName"))),
		repository: shortName(yamlnode.Text(n, "metadata", "annotations", repositoryAnnotation)),
	}
	var app any
	if template := yamlnode.Get(spec, "template", "spec"); template != nil && template.Decode(&app) == nil {
		p.spec, _ = json.Marshal(app) // a key that is no string has no JSON
	}
	x.objects.held += 2*heldClaim + len(p.repository) + len(p.name) + len(p.spec)
	x.objects.packages = append(x.objects.packages, p)
}

// install adds a PackageInstall.
func (x *extraction) install(n *yaml.Node) {
	ref := yamlnode.Get(n, "spec", "packageRef")
	i := install{object: x.object, line: n.Line, name: shortName(cmp.Or(yamlnode.Text(ref, "refName"), yamlnode.Text(ref, "publicName")))}
	if ref != nil {
		i.line = ref.Line
	}
	constraints := cmp.Or(yamlnode.Text(ref, "versionSelection", "constraints"), yamlnode.Text(ref, "version"))
	if i.version = yamlnode.Text(n, "status", "version"); isVersion(constraints) {
		i.version = constraints
	}
	i.version, i.constraint = shortName(i.version), shortName(constraints)
	var pre *carvel.Prereleases
	if selection := yamlnode.Get(ref, "versionSelection"); hasKey(selection, "prereleases") {
		pre = &carvel.Prereleases{Identifiers: texts(yamlnode.Get(selection, "prereleases", "identifiers"))}
	}
	i.selects, i.wrong = carvel.ParseSelection(i.constraint, pre)
	i.annotations = map[string]string{}
	for key, value := range yamlnode.Pairs(yamlnode.Get(n, "metadata", "annotations")) {
		i.downgrades = i.downgrades || key == downgradable
		if strings.HasPrefix(key, annotationPrefix) {
			i.annotations[key] = value.Value
			x.objects.held += len(key) + len(value.Value)
		}
	}
	for _, from := range yamlnode.Items(yamlnode.Get(n, "spec", "values")) {
		i.values = append(i.values, shortName(yamlnode.Text(from, "secretRef", "name")))
	}
	x.objects.held += (2+len(i.values))*heldClaim + len(i.name)
	x.objects.installs = append(x.objects.installs, i)
}

// isVersion reports whether a constraint is one exact version.
func isVersion(s string) bool {
	return s != "" && s[0] >= '0' && s[0] <= '9' && !strings.ContainsAny(s, " <>=!|*") && strings.Count(s, ".") >= 2 && !strings.Contains(s, ".x")
}

// status reads what kapp-controller reports about the object.
func (x *extraction) status(n *yaml.Node) {
	for _, c := range yamlnode.Items(yamlnode.Get(n, "status", "conditions")) {
		cannot := cannot[yamlnode.Text(c, "type")]
		if cannot == "" || yamlnode.Text(c, "status") != "True" {
			continue
		}
		f := report.Finding{Code: codeFailed, Level: report.Install, Message: "kapp-controller cannot " + cannot + " it"}
		says := cmp.Or(saysOf(yamlnode.Text(c, "message"), yamlnode.Text(n, "status", "usefulErrorMessage")), yamlnode.Text(n, "status", "friendlyDescription"))
		if strings.Contains(says, "Conflicting resources: Package") {
			f.Code, f.Message = codeConflict, "another PackageRepository has the same Package with different content"
			f.Action = "remove one of the two, or relocate both to one repository"
		}
		if says != "" {
			f.Message += ":\n" + says
		}
		x.note(f, c.Line, "status")
	}
}

// cannot has the conditions of what kapp-controller cannot do.
var cannot = map[string]string{"ReconcileFailed": "reconcile", "DeleteFailed": "delete"}

// saysOf returns what kapp-controller says in a condition and in status.usefulErrorMessage: the
// condition may only point to the other, or have all of it.
func saysOf(condition, useful string) string {
	condition = strings.TrimSpace(strings.ReplaceAll(condition, "(see .status.usefulErrorMessage for details)", ""))
	useful = strings.TrimSpace(useful)
	switch {
	case strings.Contains(condition, useful):
		useful = ""
	case strings.Contains(useful, condition):
		condition = ""
	}
	return text.Clip(strings.TrimSpace(condition+"\n"+useful), maxMessage)
}

// maxMessage is the limit on a program's message in bytes.
const maxMessage = 32 << 10
