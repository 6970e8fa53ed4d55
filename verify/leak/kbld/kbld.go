package kbld

import (
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Step is a kbld step: the configuration that it finds among its files. The zero value has none, and asks a
// registry for each reference without a digest. A nil Step has the built-in search rule.
type Step struct {
	rules      []rule     // of keys and searchRules; the built-in rule for "image" comes after them
	keys       int        // how many of rules are of keys, which come first
	overrides  []override // in the order of the files: the first one that fits counts
	byImage    map[string]int
	byRepo     map[string]int
	builtImage map[string]bool   // images, and repositories, that have sources
	builtRepo  map[string]bool   //
	similar    map[string]string // repository → id of the bundle's lock
	hasLock    bool
	read       map[string]bool // files that were read
}

// override is what kbld puts in place of an image: an entry of a lock, or an override of a Config document.
type override struct {
	newImage string
	entry    int    // of the bundle's lock; -1 for none
	lock     string // the file of a lock that is not the bundle's; empty for none
}

// Outcome is what kbld does with a reference.
type Outcome int

// What kbld does with a reference.
const (
	Rewritten Outcome = iota // it becomes another one, by a lock or an override
	Built                    // it has sources: kbld fails, because kapp-controller lets it build nothing
	Kept                     // it has a digest, and stays as it is
	Asked                    // kbld asks a registry for its digest
	Refused                  // it is no reference: kbld fails
)

// Result is the outcome for a reference, and what it becomes when it is rewritten.
type Result struct {
	Outcome Outcome
	Image   string // what it becomes
	Entry   int    // of the bundle's lock, whose image that is; -1 for none
	Lock    string // the file of an ImagesLock that is not the bundle's, whose image that is; empty for none
}

// maxReference is the longest text that kbld would take for a reference, in bytes.
const maxReference = 1024

// Resolve returns what kbld does with a reference.
func (s *Step) Resolve(ref string) Result {
	repo := repository(ref)
	i, found := s.byImage[ref]
	if j, ok := s.byRepo[repo]; ok && (!found || j < i) {
		i, found = j, true
	}
	switch {
	case found:
		o := s.overrides[i]
		return Result{Rewritten, o.newImage, o.entry, o.lock}
	case s.builtImage[ref] || s.builtRepo[repo]:
		return Result{Outcome: Built, Entry: -1}
	}
	return Result{Outcome: unlisted(ref), Entry: -1}
}

// unlisted returns what kbld does with a reference that no configuration names.
func unlisted(ref string) Outcome {
	if len(ref) > maxReference {
		return Refused
	}
	if strings.Contains(ref, "@") {
		if _, err := name.NewDigest(ref, name.WeakValidation); err != nil {
			return Refused
		}
		return Kept
	}
	if _, err := name.ParseReference(ref, name.WeakValidation); err != nil {
		return Refused
	}
	return Asked
}

// HasLock reports whether the step was given the bundle's lock.
func (s *Step) HasLock() bool { return s != nil && s.hasLock }

// Entry returns the entry of the bundle's lock that has ref as its id.
func (s *Step) Entry(ref string) (entry int, found bool) {
	if i, ok := s.byImage[ref]; ok && s.overrides[i].entry >= 0 {
		return s.overrides[i].entry, true
	}
	return -1, false
}

// Similar returns an id of the bundle's lock that is of the same repository as ref; empty when it has none.
func (s *Step) Similar(ref string) string { return s.similar[repository(ref)] }

var repositoryForm = regexp.MustCompile(`\A(.+?)(:[A-Za-z0-9_\-.]+)?(@.+:.+)?\z`)

// repository returns a reference without tag and digest, as kbld cuts it: its text is not completed.
func repository(ref string) string {
	if len(ref) > maxReference {
		return ref
	}
	if m := repositoryForm.FindStringSubmatch(ref); m != nil {
		return m[1]
	}
	return ref
}
