package kbld

import (
	"fmt"
	"regexp"
	"strings"
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
	newImage     string
	preresolved  bool
	tagSelection *tagSelection
	platform     bool // a platform is selected
	origins      []origin
	entry        int    // of the lock; -1 for none
	file         string // with the lock or the Config
	lock         bool   // the file is an ImagesLock
}

// Outcome is what kbld does with a reference.
type Outcome int

// What kbld does with a reference.
const (
	Rewritten Outcome = iota // a lock or an override replaces it
	Built                    // it has sources: kbld fails, because kapp-controller does not let it build
	Kept                     // it has a digest, and none replaces it
	Asked                    // kbld asks a registry for its digest
	Refused                  // it is not a reference: kbld fails
)

// Result is the outcome for a reference.
type Result struct {
	Outcome Outcome
	Image   string // what it becomes, or what kbld asks a registry for; empty when kbld fails
	File    string // file with the lock or the override that Image comes from; empty for none
	Lock    bool   // the file is an ImagesLock
	Entry   int    // entry of that lock, in a Step of the bundles' locks, as AddLock numbers them; -1 for none
	Reason  string // why kbld fails
}

// Resolve returns what kbld does with a reference.
func (s *Step) Resolve(ref string) Result { return s.resolve(ref).Result }

// resolved is a Result with what kbld writes about it.
type resolved struct {
	Result
	origins []origin
}

// resolve looks up overrides once: what an override names is not looked up again.
func (s *Step) resolve(ref string) resolved {
	repo, _ := repository(ref)
	i, found := s.byImage[ref]
	if j, ok := s.byRepo[repo]; ok && (!found || j < i) {
		i, found = j, true
	}
	if !found {
		return resolved{Result: s.resolveImage(Result{Outcome: Kept, Image: ref, Entry: -1}, override{})}
	}
	o := s.overrides[i]
	result := Result{Outcome: Rewritten, Image: o.newImage, File: o.file, Lock: o.lock, Entry: o.entry}
	if o.preresolved {
		return resolved{result, withPreresolved(o.origins, o.newImage)}
	}
	return resolved{Result: s.resolveImage(result, o)}
}

// resolveImage returns what kbld does with the image of a result, which has the outcome for an image
// with a digest.
func (s *Step) resolveImage(result Result, by override) Result {
	image := result.Image
	refused := func(reason string) Result {
		result.Outcome, result.Image, result.Reason = Refused, "", reason
		return result
	}
	repo, _ := repository(image)
	switch {
	case by.tagSelection != nil:
		if _, err := parseRepository(image); err != nil {
			return refused(err.Error())
		}
		if by.tagSelection.Semver == nil {
			return refused("Unknown tag selection strategy")
		}
		result.Outcome = Asked
	case s.builtImage[image] || s.builtRepo[repo]:
		refused(fmt.Sprintf("Building of images is disallowed (tried to build '%s' because a source was configured for it)", image))
		result.Outcome = Built
	case strings.Contains(image, "@"):
		digest, err := parseDigest(image)
		if err != nil {
			return refused(fmt.Sprintf("Expected valid digest reference, but found '%s', reason: %s", image, err))
		}
		if result.Image = digest; by.platform {
			result.Outcome = Asked
		}
	default:
		if _, err := parseTag(image); err != nil {
			return refused(err.Error())
		}
		result.Outcome = Asked
	}
	return result
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
func (s *Step) Similar(ref string) string {
	repo, _ := repository(ref)
	return s.similar[repo]
}

// maxReference is the longest text that is cut, in bytes. kbld refuses longer ones.
const maxReference = 1024

var repositoryForm = regexp.MustCompile(`\A(.+?)(:[A-Za-z0-9_\-.]+)?(@.+:.+)?\z`)

// repository returns a reference without tag and digest. Like kbld, it cuts the text and adds no
// default host. For other text it is not ok.
func repository(ref string) (repo string, ok bool) {
	if len(ref) > maxReference {
		return ref, false
	}
	if m := repositoryForm.FindStringSubmatch(ref); m != nil {
		return m[1], true
	}
	return ref, false
}
