package content

import (
	"relocate/report"
	"relocate/verify/leak/kbld"
)

// File is a text file that a package's templates read.
type File struct {
	Path string // cleaned, with slashes
	Data []byte
	Kbld *kbld.Step // the first kbld step that its documents go through; nil for none
	CUE  bool       // a cue step reads it

	chart  *chart  // the Helm chart it is of; nil for none
	starts []int32 // offsets of its lines
}

// Sink takes what is found.
type Sink interface {
	// Reference takes a reference that kbld sees, or that looks like one.
	Reference(Reference)
	// Note takes a finding. Its bundle and package are for the sink to fill in.
	Note(report.Finding)
}

// Scan finds the references in files, which are in memory one at a time as far as they are large. The lock is a step
// that was given the bundle's lock and nothing else.
func Scan(files []*File, lock *kbld.Step, to Sink) {
	s := newScan(lock, to)
	for _, f := range files {
		s.file(f)
	}
	s.libraryDefaults()
}

// scan is one call of Scan.
type scan struct {
	lock *kbld.Step // has the bundle's lock only
	to   Sink

	fetched  map[fetched]bool // what was said to be fetched by a controller
	composed map[string]bool  // the keys of values that make an image of the lock, outside of ytt libraries
	defaults []libraryDefault // of those libraries
}

func newScan(lock *kbld.Step, to Sink) *scan {
	return &scan{lock: lock, to: to, fetched: map[fetched]bool{}, composed: map[string]bool{}}
}

// codeNotRead is of content that could not be read in full.
const codeNotRead report.Code = "not-read"

// notRead says that a file, or a part of it, was not read.
func (s *scan) notRead(at place, level report.Level, message, action string) {
	s.note(at, codeNotRead, level, "", message, action)
}
