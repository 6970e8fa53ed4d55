package render

import "strings"

// PackageApp returns the App that a PackageInstall makes of a Package with a spec.template.spec. The
// PackageInstall has the first part of the Package's name, and is in namespace default. What is
// fetched, and the values, are still to be added.
func PackageApp(refName, version string, spec []byte) App {
	name, _, _ := strings.Cut(refName, ".")
	return App{Name: name, Namespace: "default", RefName: refName, Version: version, Spec: spec}
}
