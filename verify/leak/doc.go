// Package leak finds what reaches outside of a relocated package repository: it reads Packages and the text of their
// bundles as kapp-controller, imgpkg and kbld do, and says of each reference to an image whether it ends inside.
//
// Scan looks at what is carried, and needs no registry but the source. Resolve starts from a private registry and asks it
// for all that kapp-controller would ask for, each manifest once. Both change nothing, contact nothing else, and report
// damage as a finding; an error says that the source or the registry could not be asked.
//
// The layers, from below:
//
//   - package kbld says what kbld does with a reference, given the configuration and the lock of a step;
//   - package content finds the references of a file, each at its place, and asks kbld what becomes of them;
//   - package kappctrl reads Packages, what they fetch, and which files their template steps read in which order;
//   - this package goes from the roots through Packages and locks to all bundles (traversal.go, repository.go,
//     bundle.go), asks the store whether what a lock names is present (store.go, lock.go), and says which Package of which
//     bundle a finding is of (references.go).
//
// A reference passes through content/walk.go, content/reference.go, kbld/kbld.go and references.go on its way into the
// report (findings.go).
//
// To add something to examine:
//
//   - in a string or a file: a recogniser in package content (recognise.go) with its code and message;
//   - of kbld: a search rule (rules.go) or an outcome (kbld.go) in package kbld;
//   - a kind of template step or of fetch: a row of a table in package kappctrl (steps.go, packages.go);
//   - in a document below packages/: a function in documentRules (rules.go);
//   - in an App, a PackageRepository or a PackageInstall inside a bundle: a case of nestedObject (nested.go);
//   - a code of a finding: a constant beside what finds it, a row in report/codes.go and one in docs/leaks.md.
package leak
