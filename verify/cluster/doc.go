// Package cluster looks at objects as a cluster has them, kubectl's YAML or JSON, and says of every image
// that they name whether a node or kapp-controller gets it from the private registry alone.
//
// Read reads the objects, Objects.Verify compares them with the registry: each PackageRepository, Package
// and App must fetch from the repository and by digest (kapp-controller spec §0, §2), each workload's images
// must be there, and what the nodes say that they run must be what the workload names. Which manifests are
// there is asked; whether their layers are is the affair of verify.Repository.
package cluster

import (
	"cmp"

	"relocate/bundle"
)

// Code names a kind of Finding.
type Code string

// What is wrong with what an object names.
const (
	Outside      Code = "outside"       // it is not in the repository, and not allowed to be elsewhere
	Missing      Code = "missing"       // it should be in the repository, and is not
	Damaged      Code = "damaged"       // the registry's manifest is not what its digest says
	NotPinned    Code = "not-pinned"    // a tag, or a range of them, where a digest is wanted
	NotReference Code = "not-reference" // it names no image
	NotRewritten Code = "not-rewritten" // a fetch after which kapp-controller rewrites no reference
	Different    Code = "different"     // a node runs something else
	NotPulled    Code = "not-pulled"    // a node could not pull it
	NoPackage    Code = "no-package"    // what a PackageInstall installs is not among the Packages
	Conflict     Code = "conflict"      // two PackageRepositories have the same Package, with another content
	Failed       Code = "failed"        // kapp-controller says that it cannot reconcile it
	NotChecked   Code = "not-checked"   // it could not be looked at
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
	Code      Code         `json:"code"`
	Level     bundle.Level `json:"level"`
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
		if f.Level != bundle.Warning {
			return false
		}
	}
	return true
}
