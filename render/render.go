// Package render makes of a package what kapp-controller v0.53 would give to kapp: it puts what a
// Package fetches into the folders of an App, runs the template steps over it in their order, and
// applies kbld with the bundle's lock (docs/carvel.md).
//
// ytt and helm run in child processes with limits (packages ytt and internal/child). Nothing uses the
// network.
package render

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"relocate/internal/child"
	"relocate/render/kbld"
	"relocate/render/ytt"
	"relocate/report"
)

// Renderer renders packages. The caller closes it. Safe for concurrent use.
type Renderer struct {
	Program           child.Program // runs ytt; without a path nothing is rendered
	Helm              string        // path of a helm program; empty: helmTemplate steps are not rendered
	KubernetesVersion string        // of the cluster, such as 1.31.0; empty: DefaultKubernetesVersion
	KubernetesAPIs    []string      // group versions of the cluster; empty: those of Kubernetes itself
	Time              time.Duration // limit on one App; zero: DefaultTime
	Jobs              int           // Apps that are rendered at once; zero: two for each processor

	once         sync.Once
	jobs         chan struct{}
	children     *child.Pool  // that run ytt
	repositories repositories // that were rendered
}

const (
	// DefaultKubernetesVersion is the version for which packages are rendered.
	DefaultKubernetesVersion = "1.30.0"
	// KappControllerVersion is the version of kapp-controller that templates see.
	KappControllerVersion = "0.53.1"
	// DefaultTime is the limit on the rendering of one App.
	DefaultTime = time.Minute
)

// App is a package as a PackageInstall would deploy it.
type App struct {
	Name, Namespace string            // of the PackageInstall
	Annotations     map[string]string // of the PackageInstall
	RefName         string            // of the Package
	Version         string            // of the Package
	Spec            []byte            // the Package's spec.template.spec, as YAML or JSON
	Fetched         []Fetched         // in the order of the fetches
	Values          []ytt.File        // of the PackageInstall's values: file name and data values, the last one wins
	Objects         []Object          // Secrets and ConfigMaps that valuesFrom and pathsFrom name
}

// Fetched is what one fetch of the App gives.
type Fetched struct {
	// Files are all files of what is fetched, with .imgpkg/, and before subPath. The lock is used as
	// it is. Of an inline fetch there are none: they are in the spec.
	Files   []ytt.File
	Missing string // why there are no files, such as "git is not carried"; empty: there are
}

// Object is a Secret or a ConfigMap with its decoded data.
type Object struct {
	Kind, Name string
	Data       map[string][]byte
}

// Files returns the keys of the object as files, by name.
func (o Object) Files() (files []ytt.File) {
	for _, name := range slices.Sorted(maps.Keys(o.Data)) {
		files = append(files, ytt.File{Path: name, Data: o.Data[name]})
	}
	return files
}

// File is a file of the app folder.
type File struct {
	Path  string // in the app folder
	Data  []byte
	Fetch int    // of the App, from 0
	Name  string // in what is fetched
}

// Result is what comes out.
type Result struct {
	Files     []File          // of the app folder, by path
	Text      []byte          // what kapp would be given
	Documents []Document      // of Text
	Images    []Image         // what kbld steps read as references, in the order of steps and documents
	Faults    []Fault         // that kapp-controller does not report, and why the result is not what its author meant
	Unused    map[string]bool // paths of the files of the app folder that no step prints, runs or could read
}

// Document is a document of the result.
type Document struct {
	Text    []byte       // without the separator
	Place   ytt.Place    // in the app folder, where it begins, if known
	Strings []ytt.String // Document is the index in Result.Documents; Place is in the app folder
}

// Image is a string that a kbld step of the App read as a reference.
type Image struct {
	Step     int
	Document int    // that the step printed; of the last step: in Result.Documents
	Path     string // JSON pointer
	Value    string // before kbld
	Result   kbld.Result
	Place    ytt.Place // in the app folder, where it is known
}

// Fault is something that is wrong with a step.
type Fault struct {
	Code    report.Code
	Step    int // of spec.template, from 0; -1: a fetch
	Message string
	Action  string
	Place   ytt.Place // in the app folder, where it is known
}

// The codes of faults.
const (
	CodeDropped report.Code = "stream-dropped"  // a step loses what the step before it printed
	CodeValues  report.Code = "values-not-used" // values that no step reads, or that the wrong one gets
	CodeSkipped report.Code = "values-skipped"  // a valuesFrom path that kapp-controller skips silently
	CodeOutside report.Code = "fetch-outside"   // a fetch whose path leaves the app folder
	CodeChanged report.Code = "kbld-changes"    // kbld loses or rewrites what is not an image
)

// FailedError says that a step fails, as it would in the cluster.
type FailedError struct {
	Step    int      // of spec.template; -1: a fetch, or the spec itself
	Kind    string   // ytt, kbld, helmTemplate, fetch, spec
	Message string   // whole, of the step's program
	Needs   []string // data values that the message asks for, such as vsphere.server
}

func (e *FailedError) Error() string { return e.Kind + ": " + strings.TrimSpace(e.Message) }

// NotRenderedError says why an App is not rendered.
type NotRenderedError struct {
	Reason string
	NoHelm bool // with a helm program it is rendered
}

func (e *NotRenderedError) Error() string { return e.Reason }

func notRendered(format string, args ...any) error {
	return &NotRenderedError{Reason: fmt.Sprintf(format, args...)}
}

// App renders an App. With an error the result is not nil: it has the files, faults and images that
// were found before.
//
// Errors: *FailedError; *NotRenderedError; *child.LimitError; that of ctx; others say that a child or
// the folder for helm could not be made.
func (r *Renderer) App(ctx context.Context, app App) (*Result, error) {
	result := &Result{}
	s, err := parseSpec(app.Spec)
	if err != nil {
		return result, err
	}
	if result.Files, result.Faults, err = app.folder(s.Fetch); err != nil {
		return result, err
	}
	if err := r.can(s.Template); err != nil {
		return result, err
	}
	end, err := r.begin(ctx)
	if err != nil {
		return result, err
	}
	defer end()
	limit := cmp.Or(r.Time, DefaultTime)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &child.LimitError{Reason: fmt.Sprintf("did not end within %g s", limit.Seconds())})
	defer cancel()
	n := &run{renderer: r, app: app, steps: s.Template, result: result}
	if err := n.all(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return result, err
	}
	n.finish()
	return result, nil
}

// start makes what renderings share.
func (r *Renderer) start() {
	r.once.Do(func() {
		n := cmp.Or(r.Jobs, 2*runtime.GOMAXPROCS(0))
		r.jobs, r.children = make(chan struct{}, n), ytt.Children(r.Program, n)
	})
}

// Close ends the child processes. A nil Renderer has none.
func (r *Renderer) Close() {
	if r != nil {
		r.start()
		r.children.Close()
	}
}

// ytt runs ytt in a child process.
func (r *Renderer) ytt(ctx context.Context, in ytt.Input) (*ytt.Output, error) {
	r.start()
	return ytt.Run(ctx, r.children, in)
}

// begin waits until another App may be rendered. The caller calls end after it.
func (r *Renderer) begin(ctx context.Context) (end func(), err error) {
	r.start()
	select {
	case r.jobs <- struct{}{}:
		return func() { <-r.jobs }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
