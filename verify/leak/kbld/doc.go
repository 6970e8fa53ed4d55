// Package kbld says what kbld v0.44 does with references, as kapp-controller runs it: without a network, and without
// reading anything but what it is given.
//
// Make a Step, give it the bundle's lock by AddLock and its other files by AddFile, in the order in which the step
// reads them. Rules then tell which strings of a document kbld takes for references, and Resolve tells what becomes
// of each. To add a search rule's strategy, add a field to strategy and a case to Rules.See
// (rules.go).
package kbld
