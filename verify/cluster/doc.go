// Package cluster reads objects as a cluster has them, in kubectl's YAML or JSON, and reports for
// every image that they name whether a node or kapp-controller gets it from the private registry
// alone.
//
// Read reads the objects and Objects.Verify compares them with the registry. Each
// PackageRepository, Package and App must fetch from the repository and by digest (docs/carvel.md,
// "How a PackageRepository is reconciled"). Each workload's images must be present. The images that
// nodes report must be those that the workload names. Verify asks only whether manifests are
// present; verify.Repository checks their layers.
package cluster

import (
	"relocate/report"
)

// Findings about what an object names.
const (
	codeOutside      report.Code = "outside"       // it is outside the repository, and not at an allowed place
	codeMissing      report.Code = "missing"       // it should be in the repository, and is missing
	codeDamaged      report.Code = "damaged"       // the registry's manifest does not match its digest
	codeNotPinned    report.Code = "not-pinned"    // a tag, or a range of tags, where a digest is required
	codeNotReference report.Code = "not-reference" // it is not an image reference
	codeNotBundle    report.Code = "not-bundle"    // what is fetched as a bundle is an image
	codeNoPackages   report.Code = "no-packages"   // the bundle of a PackageRepository has no packages/
	codeNotRewritten report.Code = "not-rewritten" // a fetch for which kapp-controller rewrites no references
	codeDifferent    report.Code = "different"     // a node runs something else
	codeNotPulled    report.Code = "not-pulled"    // a node could not pull it
	codeNoPackage    report.Code = "no-package"    // the Package of a PackageInstall is missing
	codeConflict     report.Code = "conflict"      // two PackageRepositories have the same Package with different content
	codeFailed       report.Code = "failed"        // kapp-controller reports that it cannot reconcile it
	codeNotRendered  report.Code = "not-rendered"  // what a PackageInstall deploys was not rendered
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
