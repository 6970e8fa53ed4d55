// Package content finds the references to images that a file holds, each at its place, and says what is wrong with
// those that nothing rewrites.
//
// Call Scan with the files that the template steps of a package read. Each File says which kbld step its documents go
// through. Nothing is executed: a template is read as the text that it is.
//
// A string of a document goes through the list of recognisers in recognise.go, until one takes it. To add one, write a
// function (w *walker, n *yaml.Node) bool in a file of its own, with its code and message, and add it to that list.
// What is recognised by a whole object (fetchers.go), by the siblings in a mapping (values.go) or by the name of a file
// (fileKinds in files.go) has a list of its own in that file.
package content
