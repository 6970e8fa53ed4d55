package leak

import "relocate/bundle"

// textFile is a regular file of a bundle, or of an inline fetch.
type textFile struct {
	path string
	data []byte
}

// step is one of a Package's spec.template.spec.template: which files it reads.
type step struct {
	kind   string            // ytt, kbld, helmTemplate, sops, cue
	paths  []string          // as written, relative to the fetched folder; "-" is what the step before gave
	inline map[string]string // ytt.inline.paths
	line   int               // in the Package's file
}

// content is what the template steps of one package read.
type content struct {
	files []textFile
	lock  *bundle.ImagesLock // of the bundle
	steps []step             // nil for a bundle that no Package fetches: all its files are looked at
}

// reference is an image that the text of a bundle names.
type reference struct {
	file  string
	line  int
	value string
	entry int // index in the lock of the entry that rewrites it; -1 for none
}

// references returns each reference in c's files that kbld sees or that looks like one, and what is wrong
// that needs no registry to be seen (points 11 to 20 of the checklist, kapp-controller spec §3). Bundle and
// Package of the findings are left to the caller.
func (c *content) references() ([]reference, []bundle.Finding) {
	panic("not written yet")
}
