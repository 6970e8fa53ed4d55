// Package kappctrl says what kapp-controller v0.53 reads: the Packages of a repository bundle, what each fetches, and
// which files its template steps read of that, in which order.
//
// ReadDocument reads a document below packages/. Its Steps, once they are Within the folder of a fetch, tell whether
// they read a file, and Steps.Files follows the files through the steps. It is there that a step which can be run,
// such as ytt, puts what it makes in place of what it reads.
//
// To add a kind of template step, add a row to templateKinds; for a kind of fetch, a row to fetchPlaces.
package kappctrl
