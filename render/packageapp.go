package render

import "strings"

// PackageApp returns the App of a Package with the given refName and spec.template.spec, as a
// PackageInstall with the first part of the name deploys it in namespace default. What is fetched, and
// the values, are still to be added.
func PackageApp(refName string, spec []byte) App {
	name, _, _ := strings.Cut(refName, ".")
	return App{Name: name, Namespace: "default", Spec: spec}
}
