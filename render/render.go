// Package render makes of a package what kapp-controller v0.53 would give to kapp: it puts what a
// Package fetches into the folders of an App, runs the template steps over it in their order, and
// applies kbld with the bundle's lock (docs/carvel.md).
//
// ytt and helm run in child processes with limits (packages ytt and internal/child). Nothing uses the
// network.
package render

import (
	"context"
	"errors"

	"relocate/internal/child"
	"relocate/render/kbld"
	"relocate/render/ytt"
)

// Renderer renders packages. Safe for concurrent use.
type Renderer struct {
	Program           child.Program // runs ytt; without a path nothing is rendered
	Helm              string        // path of a helm program; empty: helmTemplate steps are not rendered
	KubernetesVersion string        // of the cluster, such as 1.31.0; empty: DefaultKubernetesVersion
}

// DefaultKubernetesVersion is the version for which charts are rendered.
const DefaultKubernetesVersion = "1.30.0"

// App is a package as a PackageInstall would deploy it.
type App struct {
	Name, Namespace string            // of the PackageInstall
	Annotations     map[string]string // of the PackageInstall
	Spec            []byte            // the Package's spec.template.spec, as YAML or JSON
	Fetched         []Fetched         // in the order of the fetches
	Values          []ytt.File        // of the PackageInstall's values: file name → data values, the last one wins
	Objects         []Object          // Secrets and ConfigMaps that valuesFrom and pathsFrom name
}

// Fetched is what one fetch of the App gives.
type Fetched struct {
	Files []ytt.File // relative to what is fetched, with .imgpkg/; of an inline fetch nil: they are in the spec
}

// Object is a Secret or a ConfigMap with its decoded data.
type Object struct {
	Kind, Name string
	Data       map[string][]byte
}

// Result is what comes out.
type Result struct {
	Text      []byte          // what kapp would be given
	Documents []Document      // of Text
	Images    []Image         // what kbld read as a reference, in the order of the documents
	Faults    []Fault         // that kapp-controller does not report, and why the result is not what its author meant
	Unused    map[string]bool // files of the folder that no step outputs or reads
}

// Document is a document of the result.
type Document struct {
	Text    []byte
	Strings []ytt.String // Document is the index in Result.Documents; Place is in the app folder
}

// Image is a string that a kbld step of the App read as a reference.
type Image struct {
	Document int
	Path     string // JSON pointer
	Value    string // before kbld
	Result   kbld.Result
	Place    ytt.Place // in the app folder, where ytt says it
}

// Fault is something that is wrong with a step.
type Fault struct {
	Code    string
	Step    int // of spec.template, from 0; -1: a fetch
	Message string
	Action  string
}

// FailedError says that a step fails, as it would in the cluster.
type FailedError struct {
	Step    int      // of spec.template
	Kind    string   // ytt, kbld, helmTemplate
	Message string   // whole, of the step's program
	Needs   []string // data values that the message asks for
}

func (e *FailedError) Error() string { return e.Kind + ": " + e.Message }

// NotRenderedError says why an App is not rendered.
type NotRenderedError struct{ Reason string }

func (e *NotRenderedError) Error() string { return e.Reason }

// App renders an App.
//
// Errors: *FailedError; *NotRenderedError; *child.LimitError.
func (r *Renderer) App(ctx context.Context, app App) (*Result, error) {
	return nil, errors.New("not yet")
}
