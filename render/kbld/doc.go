// Package kbld does what kbld v0.44 does when kapp-controller runs it. It uses no network and reads
// only what it is given.
//
// Run takes documents and prints them as kbld does, with the images that it saw. To examine files
// that are not rendered, make a Step: add the bundle's lock with AddLock and the other files with
// AddFile, in the order in which the step reads them. Rules then finds the strings of a document that
// kbld reads as references, and Resolve returns what becomes of each. To add a search rule's
// strategy, add a field to strategy and a case to its methods (rules.go).
package kbld
