package kbld

import (
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Step is a kbld step with the configuration from its files. The zero value has no configuration
// and asks a registry for each reference without a digest. A nil Step has the built-in search rule.
type Step struct {
	rules      []rule     // of keys and searchRules; the built-in rule for "image" comes after them
	keys       int        // number of rules of keys, which come first
	overrides  []override // in the order of the files; the first match counts
	byImage    map[string]int
	byRepo     map[string]int
	builtImage map[string]bool   // images, and repositories, that have sources
	builtRepo  map[string]bool   //
	similar    map[string]string // repository → id of a bundle's lock
	hasLock    bool
	read       map[string]bool // files that were read
}

// override is what kbld replaces an image with: a lock entry, or an override of a Config document.
type override struct {
	newImage string
	entry    int    // of the bundles' locks, as AddLock numbers them; -1 for none
	lock     string // the file of a lock other than the bundle's; empty for none
}

// Outcome is what kbld does with a reference.
type Outcome int

// What kbld does with a reference.
const (
	Rewritten Outcome = iota // a lock or an override replaces it
	Built                    // it has sources: kbld fails, because kapp-controller does not let it build
	Kept                     // it has a digest and stays unchanged
	Asked                    // kbld asks a registry for its digest
	Refused                  // it is not a reference: kbld fails
)

// Result is the outcome for a reference, and its replacement when it is rewritten.
type Result struct {
	Outcome Outcome
	Image   string // what it becomes
	Entry   int    // entry of the bundles' locks that Image comes from, as AddLock numbers them; -1 for none
	Lock    string // file of another ImagesLock that Image comes from; empty for none
}

// maxReference is the longest text that kbld reads as a reference, in bytes.
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

// HasLock reports whether the step has the lock of a bundle.
func (s *Step) HasLock() bool { return s != nil && s.hasLock }

// Entry returns the entry of the bundles' locks whose id is ref.
func (s *Step) Entry(ref string) (entry int, found bool) {
	if i, ok := s.byImage[ref]; ok && s.overrides[i].entry >= 0 {
		return s.overrides[i].entry, true
	}
	return -1, false
}

// Similar returns an id of the bundles' locks with the same repository as ref, or an empty string.
func (s *Step) Similar(ref string) string { return s.similar[repository(ref)] }

var repositoryForm = regexp.MustCompile(`\A(.+?)(:[A-Za-z0-9_\-.]+)?(@.+:.+)?\z`)

// repository returns a reference without tag and digest. Like kbld, it cuts the text and adds no
// default host.
func repository(ref string) string {
	if len(ref) > maxReference {
		return ref
	}
	if m := repositoryForm.FindStringSubmatch(ref); m != nil {
		return m[1]
	}
	return ref
}
