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
	codeNotChecked   report.Code = "not-checked"   // it could not be examined
)

// object is an object of the cluster.
type object struct {
	report.Object
	apiVersion string
	line       int // in the input
}

// Result is what Verify found.
type Result struct {
	report.ObjectCounts
	Findings report.Findings // in the order of the input
}
