// Package kappctrl says what kapp-controller v0.53 reads: the Packages of a repository bundle, what
// each Package fetches, and which of the fetched files its template steps read, in which order.
//
// ReadDocument reads a document below packages/. Steps.Within returns its Steps relative to the
// folder of a fetch. Steps.Read reports whether they read a file, and Steps.Files follows the files
// through them. To run a step, such as ytt, replace the files that it reads with its output in
// Steps.Files.
//
// To add a kind of template step, add a row to templateKinds. For a kind of fetch, add a row to
// fetchPlaces.
package kappctrl
