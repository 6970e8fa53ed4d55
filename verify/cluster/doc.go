// Package cluster looks at objects as a cluster has them, kubectl's YAML or JSON, and says of every image
// that they name whether a node or kapp-controller gets it from the private registry alone.
//
// Read reads the objects, Objects.Verify compares them with the registry: each PackageRepository, Package
// and App must fetch from the repository and by digest (docs/carvel.md, "How a PackageRepository is
// reconciled"), each workload's images must be there, and what the nodes say that they run must be what the
// workload names. Which manifests are there is asked; whether their layers are is the affair of
// verify.Repository.
package cluster

import (
	"cmp"

	"relocate/report"
)

// What is wrong with what an object names.
const (
	codeOutside      report.Code = "outside"       // it is not in the repository, and not allowed to be elsewhere
	codeMissing      report.Code = "missing"       // it should be in the repository, and is not
	codeDamaged      report.Code = "damaged"       // the registry's manifest is not what its digest says
	codeNotPinned    report.Code = "not-pinned"    // a tag, or a range of them, where a digest is wanted
	codeNotReference report.Code = "not-reference" // it names no image
	codeNotRewritten report.Code = "not-rewritten" // a fetch after which kapp-controller rewrites no reference
	codeDifferent    report.Code = "different"     // a node runs something else
	codeNotPulled    report.Code = "not-pulled"    // a node could not pull it
	codeNoPackage    report.Code = "no-package"    // what a PackageInstall installs is not among the Packages
	codeConflict     report.Code = "conflict"      // two PackageRepositories have the same Package, with another content
	codeFailed       report.Code = "failed"        // kapp-controller says that it cannot reconcile it
	codeNotChecked   report.Code = "not-checked"   // it could not be looked at
)

// Object names an object of the cluster.
type Object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"` // empty when the kind has none
	Name      string `json:"name"`

	apiVersion string
	line       int // in the input
}

// String returns "Pod default/web", or "Node a".
func (o *Object) String() string {
	name := cmp.Or(o.Name, "without a name")
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	return o.Kind + " " + name
}

// Finding is something of an object that does not come from the repository, or may not.
type Finding struct {
	Code      report.Code  `json:"code"`
	Level     report.Level `json:"level"`
	Object    *Object      `json:"object"`
	Path      string       `json:"path,omitempty"` // in the object: spec.containers[0].image
	Line      int          `json:"line"`           // in the input, from 1
	Reference string       `json:"reference,omitempty"`
	Message   string       `json:"message"`          // what is wrong
	Action    string       `json:"action,omitempty"` // what to do about it
}

// Result is what Verify found.
type Result struct {
	Objects    int       `json:"objects"`
	References int       `json:"references"` // that objects have; one that comes twice counts twice
	Inside     int       `json:"inside"`     // of them, those that the repository has
	Allowed    int       `json:"allowed"`    // of them, those that may be elsewhere; nobody was asked for them
	Running    int       `json:"running"`    // containers whose image, by the node, is the one that is named
	Findings   []Finding `json:"findings"`   // in the order of the input
}

// OK reports whether no finding is worse than a warning.
func (r *Result) OK() bool {
	for _, f := range r.Findings {
		if f.Level != report.Warning {
			return false
		}
	}
	return true
}
