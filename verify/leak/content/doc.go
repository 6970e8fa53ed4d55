// Package content finds the references to images in a file, with their places, and reports what is
// wrong with those that nothing rewrites.
//
// Call Scan with the files that the template steps of a package read. Each File names the kbld step
// that processes its documents. Nothing is executed: a template is read as plain text.
//
// To add a recogniser of strings, write a method of walker in its own file, with its code and
// message, and add a case to recognise (recognise.go). The method reports whether it handles the
// string. Other recognisers have their own lists: objects in fetcherKinds (fetchers.go), values of
// a map in partOf (values.go), files in file (files.go).
package content
