// Package leak finds references that point outside a relocated package repository. It reads
// Packages and the text of their bundles as kapp-controller, imgpkg and kbld do, and reports for
// each image reference whether it stays inside.
//
// Scan examines what is carried and needs no registry but the source. Resolve starts from a private
// registry and asks it for everything that kapp-controller would ask for, each manifest once. Both
// change nothing and contact nothing else. They report damage as a finding; an error means that the
// source or the registry could not be asked.
//
// The layers, from the bottom:
//
//   - package kbld says what kbld does with a reference, given the configuration and the lock of a
//     step;
//   - package content finds the references of a file with their places, and asks kbld what becomes
//     of them;
//   - package kappctrl reads Packages, what they fetch, and which files their template steps read
//     in which order;
//   - this package follows Packages and locks from the roots to all folders and bundles (traversal.go,
//     repository.go, folder.go), asks the store whether the images of a lock are present (store.go,
//     lock.go), and assigns each finding to a Package and a bundle (references.go).
//
// A reference passes through content/walk.go, content/reference.go, kbld/kbld.go and references.go
// on its way into the report (findings.go).
//
// With Options.RenderPackages, each Package is rendered, too, with its default values and those that
// the operator gives (rendering.go), and what comes out is judged (deployed.go): such findings are
// certain. The locks that templates get name a repository of ours for each image that ends inside, so
// that every other reference that comes out ends outside. A finding in the text of a file then becomes,
// for each Package (withdraw.go):
//
//   - nothing, if the rendering finds the same reference at the same place, which says more, or
//     anywhere, when the file only has values;
//   - nothing, if it holds for no values: no step outputs or reads the file; a line without a condition
//     gives a reference that ends inside; or an overlay replaces the string. (Package content leaves out
//     what is under a literal "if False".) For the last, the object with the same kind and name comes out with
//     a string from another file at the same path, and that file has an overlay/match and neither if,
//     for, def, lambda, missing_ok, expects nor when, and does not match by data.values;
//   - a warning, "only with other values", if its reference does not come out there;
//   - what it was, if the Package does not render, or the finding is about more than a reference.
//
// It is withdrawn only if that holds for all Packages with the same folder and steps.
//
// To add a check:
//
//   - of a string or a file: a recogniser in package content (recognise.go) with its code and
//     message;
//   - of kbld: a search rule (rules.go) or an outcome (kbld.go) in package kbld;
//   - of a kind of template step or fetch: a row of a table in package kappctrl (steps.go,
//     packages.go);
//   - of a document below packages/: a function in documentRules (rules.go);
//   - of an App, a PackageRepository or a PackageInstall inside a bundle: a case of nestedObject
//     (nested.go);
//   - a code of a finding: a constant beside the code that finds it, a row in report/codes.go and
//     one in docs/leaks.md.
package leak
