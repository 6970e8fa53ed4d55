// Package content finds the references to images that a file holds, each at its place, and says what is wrong with
// those that nothing rewrites.
//
// Call Scan with the files that the template steps of a package read. Each File says which kbld step its documents go
// through. Nothing is executed: a template is read as the text that it is.
//
// To add a recogniser of strings, write a method of walker in a file of its own, with its code and message, and add a
// case to recognise (recognise.go). The method returns whether it takes the string. Recognisers of other things have
// their own lists: of objects in fetcherKinds (fetchers.go), of the values of a map in partOf (values.go), of files in
// file (files.go).
package content
