package content

import (
	"relocate/render/kbld"
	"relocate/report"
)

// File is a text file that a package's templates read.
type File struct {
	Path string // cleaned, with slashes
	Data []byte
	Kbld *kbld.Step // the first kbld step that processes its documents; nil for none
	CUE  bool       // a cue step reads it

	Values bool // a step takes it as values, and does not put it out

	chart  *chart // the Helm chart that contains it; nil for none
	engine engine // set by a Select function, like the following
	isYAML bool   // whatever its name
	readAs readAs
	env    *env    // what its expressions can use; set while it is examined
	blocks *blocks // the same; nil for none
	starts []int32 // offsets of its lines
}

// Sink receives references and findings.
type Sink interface {
	// Reference receives a reference that kbld sees, or text that looks like one.
	Reference(Reference)
	// Note receives a finding. The sink fills in its bundle and package.
	Note(report.Finding)
}

// Scan finds the references in files. It handles large files one at a time, to limit the memory.
// lock is a step that has only the bundle's lock.
func Scan(files []*File, lock *kbld.Step, to Sink) {
	s := newScan(lock, to)
	s.known = readDefaults(files)
	for _, f := range files {
		s.file(f)
	}
	s.libraryDefaults()
	s.possibilities()
}

// scan is one call of Scan.
type scan struct {
	lock *kbld.Step // has the bundle's lock only
	to   Sink

	fetched  map[fetched]bool // fetches by controllers that were reported
	composed map[string]bool  // the keys of values that compose an image of the lock, outside ytt libraries
	defaults []libraryDefault // from ytt libraries

	known    *defaults
	computed map[string]bool // images that templates compute with the default values
	possibly []possibility
}

func newScan(lock *kbld.Step, to Sink) *scan {
	return &scan{lock: lock, to: to, fetched: map[fetched]bool{}, composed: map[string]bool{}, computed: map[string]bool{}, known: readDefaults(nil)}
}

// codeNotRead is the code for content that could not be read in full.
const codeNotRead report.Code = "not-read"

// notRead reports that a file, or a part of it, was not read.
func (s *scan) notRead(at place, level report.Level, message, action string) {
	s.note(at, codeNotRead, level, "", message, action)
}
