package content

import (
	"cmp"
	"fmt"
	"strings"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/render/kbld"
	"relocate/report"
)

// Reference is an image that a file names.
type Reference struct {
	File      string
	Line      int
	Value     string // the image before the lock is applied, but after kbld's overrides (newImage)
	Entry     int    // entry of the bundle's lock whose id is Value; -1 for none
	Rewritten bool   // kbld replaces it with the entry's image
}

// place is a line of a file.
type place struct {
	file string
	line int
}

// add adds a reference that no entry of the lock rewrites.
func (s *scan) add(at place, value string) {
	s.to.Reference(Reference{File: at.file, Line: at.line, Value: shorten(value), Entry: -1})
}

// locked adds a reference that kbld rewrites by an entry of the lock.
func (s *scan) locked(at place, value string, entry int) {
	s.to.Reference(Reference{File: at.file, Line: at.line, Value: shorten(value), Entry: entry, Rewritten: true})
}

// note adds a finding.
func (s *scan) note(at place, code report.Code, level report.Level, ref, message, action string) {
	s.to.Note(report.Finding{Code: code, Level: level, File: at.file, Line: at.line, Reference: ref, Message: message, Action: action})
}

func (w *walker) note(at place, code report.Code, level report.Level, ref, message, action string) {
	w.scan.note(at, code, level, ref, message, action)
}

// The codes of findings about references (docs/leaks.md, "Content of packages").
const (
	codeNotRewritten report.Code = "not-rewritten" // no kbld step with the lock sees the reference
	codeNotLocked    report.Code = "not-locked"    // an image that kbld sees and that is missing from the lock
	codeOutsideKey   report.Code = "outside-key"   // a reference in a place that kbld does not read
	codeDefault      report.Code = "default"       // a value that users can set, with such a reference
)

// seen adds a reference that kbld sees, or would see if the file went through it.
func (w *walker) seen(at place, ref string) {
	if w.file.Kbld == nil {
		w.scan.add(at, ref)
		w.note(at, codeNotRewritten, report.Pull, ref, "no kbld step rewrites the file: pods pull the image from there",
			`add a step "kbld: {paths: ['-', .imgpkg/images.yml]}" after the last one that adds files`)
		return
	}
	switch result := w.file.Kbld.Resolve(ref); {
	case result.File != "":
		w.rewritten(at, ref, result)
	case result.Outcome == kbld.Built: // reported at the sources
		w.scan.add(at, ref)
	default:
		w.scan.add(at, ref)
		w.notLocked(at, ref, result.Outcome)
	}
}

// rewritten adds a reference that a lock or an override replaces. An override of a Config is reported
// at the Config; an override of a lock is reported here.
func (w *walker) rewritten(at place, ref string, to kbld.Result) {
	if to.Entry >= 0 {
		w.scan.locked(at, ref, to.Entry)
		return
	}
	w.scan.add(at, cmp.Or(to.Image, ref))
	if to.Lock {
		w.note(at, codeNotLocked, report.Pull, ref, fmt.Sprintf("%q, which is not the bundle's lock, makes %q of it, and imgpkg does not change that: pods pull it from there",
			to.File, shorten(to.Image)), "take that lock out of the kbld step, and add the image to "+carvel.LockFile)
	}
}

// notLocked reports what kbld does with a reference that it sees and that nothing rewrites.
func (w *walker) notLocked(at place, ref string, outcome kbld.Outcome) {
	code, lock := codeNotLocked, "the lock does not have it"
	action := "add it to the lock with kbld --imgpkg-lock-output, and push the bundle again"
	if !w.file.Kbld.HasLock() {
		code, lock = codeNotRewritten, "the kbld step is not given the lock"
		action = "add " + carvel.LockFile + " to the paths of the kbld step"
	} else if other := w.scan.lock.Similar(ref); other != "" {
		lock += fmt.Sprintf(", which has %q of that repository", shorten(other))
	}
	switch outcome {
	case kbld.Kept:
		w.note(at, code, report.Pull, ref, lock+": kbld does not change it, and pods pull it from there", action)
	case kbld.Asked:
		w.note(at, code, report.Install, ref, lock+": kbld asks its registry for the digest, and the template step fails", action)
	case kbld.Refused:
		w.note(at, code, report.Install, ref, "is not a reference: kbld refuses it, and the template step fails",
			"correct it, or exempt it by a searchRule of kbld with updateStrategy none")
	}
}

// outside adds a reference in a place that kbld does not read.
func (w *walker) outside(line int, ref string) {
	at := w.place(line, ref)
	if w.values && w.templateRewrites(at, ref) {
		return
	}
	entry, isLocked := w.scan.lock.Entry(ref)
	w.scan.to.Reference(Reference{File: at.file, Line: at.line, Value: shorten(ref), Entry: entry})
	if w.scan.fetched[fetched{at, ref}] {
		return // already reported as a fetch
	}
	known := w.known(ref, isLocked)
	if w.class == values && !w.function {
		w.scan.possible(ref, func() {
			w.note(at, codeDefault, report.Warning, ref, "the default of a value names an image: "+known,
				"set the value at the cluster, or let the default name an image of the lock")
		})
		return
	}
	message, action := "an image outside of the keys that kbld searches: ", "give the kbld step a Config with a searchRule for this value, and push the bundle again with a lock that has the image"
	if w.base64 != "" {
		message, action = "an image in base64, in "+w.base64+", where kbld cannot search: ", "write the value as text, or let an overlay set it"
	}
	note := func() {
		w.note(at, codeOutsideKey, report.Pull, ref, message+known+", and pods pull it from there", action)
	}
	if w.class == code {
		w.scan.possible(ref, note)
		return
	}
	note()
}

// known says what the lock has of a reference that kbld does not see.
func (w *walker) known(ref string, isLocked bool) string {
	if isLocked {
		return "the lock has it, but is not applied here"
	}
	if other := w.scan.lock.Similar(ref); other != "" {
		return fmt.Sprintf("the lock has %q of that repository", shorten(other))
	}
	return "the lock does not have it"
}

// templateRewrites adds a reference that a template may put below an image key, if kbld rewrites it
// there.
func (w *walker) templateRewrites(at place, ref string) bool {
	if w.file.Kbld == nil {
		return false
	}
	result := w.file.Kbld.Resolve(ref)
	if result.File != "" {
		w.rewritten(at, ref, result)
	}
	return result.File != ""
}

// maxReference is the longest reference that is recognised, in bytes, as in a lock.
const maxReference = 1024

// shorten copies foreign text, so that the file can be freed, and cuts it to the maximum length of
// a reference.
func shorten(s string) string {
	return strings.Clone(text.Clip(s, maxReference))
}
