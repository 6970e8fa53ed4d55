package leak

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/report"
)

// kbld is a kbld step: the configuration that it finds among its files. The zero value has none, and
// resolves each reference over the network.
type kbld struct {
	rules      []rule     // of keys and searchRules; the built-in rule for "image" comes after them
	keys       int        // how many of rules are of keys, which come first
	overrides  []override // in the order of the files: the first one that fits counts
	byImage    map[string]int
	byRepo     map[string]int
	builtImage map[string]bool // images, and repositories, that have sources
	builtRepo  map[string]bool
	hasLock    bool
	known      map[string]bool // files that were read
}

// override is what stands for an image: an entry of the lock, or an override of a Config document.
type override struct {
	newImage string
	entry    int    // of the lock; -1 for none
	lock     string // the file of a lock that is not the bundle's; empty for none
}

// otherLock is an ImagesLock that is not the bundle's. kbld applies it, and imgpkg leaves it as it is.
type otherLock struct {
	Images []struct {
		Image       string            `yaml:"image"`
		Annotations map[string]string `yaml:"annotations"`
	} `yaml:"images"`
}

// imageRef says which images an override or a source is for. Image counts if there are both.
type imageRef struct {
	Image     string `yaml:"image"`
	ImageRepo string `yaml:"imageRepo"`
}

// kbldConfig is a document of kbld.k14s.io/v1alpha1, of any kind: kbld reads all alike.
type kbldConfig struct {
	Sources []struct {
		imageRef `yaml:",inline"`
		Path     string `yaml:"path"`
	} `yaml:"sources"`
	Overrides []struct {
		imageRef     `yaml:",inline"`
		NewImage     yaml.Node `yaml:"newImage"`
		Preresolved  bool      `yaml:"preresolved"`
		TagSelection yaml.Node `yaml:"tagSelection"`
	} `yaml:"overrides"`
	Keys        []string     `yaml:"keys"`
	SearchRules []searchRule `yaml:"searchRules"`
}

const (
	kbldAPIVersion = "kbld.k14s.io/v1alpha1"
	lockAPIVersion = "imgpkg.carvel.dev/v1alpha1"
)

// isKbldConfig reports whether kbld takes a document for its configuration.
func isKbldConfig(apiVersion, kind string) bool {
	switch kind {
	case "Config", "Sources", "ImageOverrides", "ImageDestinations", "ImageKeys":
		return apiVersion == kbldAPIVersion
	}
	return false
}

// addLock takes the lock's entries over, and notes those that kbld refuses when it runs (refuses).
func (k *kbld) addLock(s *scan, refuses bool) {
	if s.lock == nil || k.hasLock {
		return
	}
	k.hasLock = true
	for i, e := range s.lock.Images {
		id := e.Annotations[carvel.KbldID]
		k.override(imageRef{Image: id}, override{newImage: e.Image.Name(), entry: i})
		if id == "" && refuses {
			s.note(place{file: lockFile}, codeWithoutID, report.Install, e.Image.Name(),
				"the entry has no annotation "+carvel.KbldID+": kbld refuses the whole lock",
				"write the lock with kbld --imgpkg-lock-output, and push the bundle again")
		}
	}
}

func (k *kbld) override(ref imageRef, o override) {
	if k.byImage == nil {
		k.byImage, k.byRepo = map[string]int{}, map[string]int{}
	}
	by, key := k.byImage, ref.Image
	if key == "" {
		by, key = k.byRepo, ref.ImageRepo
	}
	if _, known := by[key]; !known && key != "" {
		by[key] = len(k.overrides)
		k.overrides = append(k.overrides, o)
	}
}

// addFile takes over the configuration that a file has. The lock is one, too.
func (k *kbld) addFile(s *scan, f textFile) {
	if k.known[f.path] {
		return
	}
	if k.known == nil {
		k.known = map[string]bool{}
	}
	k.known[f.path] = true
	if isLock(f.path) {
		k.addLock(s, true)
		return
	}
	if len(f.data) > maxFile || !isYAML(f.path) || !bytes.Contains(f.data, []byte(kbldAPIVersion)) && !bytes.Contains(f.data, []byte(lockAPIVersion)) {
		return
	}
	defer alone(f.data)()
	for doc := range yamlDocuments(f.data) {
		switch h, _ := doc.object(); {
		case doc.root == nil && bytes.Contains(doc.text, []byte(kbldAPIVersion)):
			s.note(place{f.path, doc.offset + 1}, codeNotRead, report.Warning, "",
				"the kbld configuration could not be read: "+firstLine(doc.err), "")
		case isKbldConfig(h.apiVersion, h.kind):
			k.addConfig(s, f.path, doc)
		case h == header{lockAPIVersion, "ImagesLock"}:
			k.addOtherLock(s, f.path, doc)
		}
	}
}

// addOtherLock takes over a lock that is not the bundle's. What it stands for is reported where it is used.
func (k *kbld) addOtherLock(s *scan, file string, doc document) {
	var l otherLock
	if err := doc.root.Decode(&l); err != nil {
		s.note(place{file, doc.lineOf(doc.root)}, codeNotRead, report.Warning, "", "the lock could not be read: "+firstLine(err), "")
		return
	}
	for _, e := range l.Images {
		k.override(imageRef{Image: e.Annotations[carvel.KbldID]}, override{newImage: e.Image, entry: -1, lock: file})
	}
}

// addConfig takes over a Config document, and reports what of it leads outside (point 16).
func (k *kbld) addConfig(s *scan, file string, doc document) {
	at := place{file, doc.lineOf(doc.root)}
	var c kbldConfig
	if err := doc.root.Decode(&c); err != nil {
		s.note(at, codeNotRead, report.Warning, "", "the kbld configuration could not be read: "+firstLine(err), "")
		return
	}
	for _, key := range c.Keys {
		k.addRule(s, at, rule{keys: true, searchRule: searchRule{KeyMatcher: &keyMatcher{Name: key}}})
	}
	for _, r := range c.SearchRules {
		k.addRule(s, at, rule{searchRule: r})
	}
	for i, o := range c.Overrides {
		at := place{file, doc.lineOf(&c.Overrides[i].NewImage)}
		value := o.NewImage.Value
		if o.Image == "" && o.ImageRepo == "" || value == "" {
			continue // kbld refuses it, connected or not
		}
		before := len(k.overrides)
		if k.override(o.imageRef, override{newImage: value, entry: -1}); len(k.overrides) == before {
			continue // an earlier one counts
		}
		s.reportOverride(at, value, o.Preresolved, !o.TagSelection.IsZero())
	}
	if k.builtImage == nil {
		k.builtImage, k.builtRepo = map[string]bool{}, map[string]bool{}
	}
	for _, src := range c.Sources {
		ref := src.Image + src.ImageRepo
		k.builtImage[src.Image], k.builtRepo[src.ImageRepo] = src.Image != "", src.Image == "" && src.ImageRepo != ""
		s.note(doc.placeOf(file, "sources", at.line), codeKbldConfig, report.Install, ref,
			"kbld would have to build this image, and kapp-controller does not let it: the template step fails",
			"build the image before, and take the sources out of the bundle")
	}
}

// reportOverride says where the newImage of an override leads.
func (s *scan) reportOverride(at place, value string, preresolved, selected bool) {
	_, isDigest := name.NewDigest(value, name.WeakValidation)
	switch {
	case preresolved, isDigest == nil && !selected:
		s.note(at, codeKbldConfig, report.Pull, value,
			"an override names this image, and the lock is not applied to it: pods pull it from there",
			"take the override out, or put the lock before it in the kbld step")
	default:
		s.note(at, codeKbldConfig, report.Install, value,
			"an override names this image by tag: kbld asks its registry for the digest, and the template step fails",
			"take the override out, or put the lock before it in the kbld step")
	}
}

// outcome is what kbld makes of a reference.
type outcome int

const (
	locked     outcome = iota // it becomes the image of a lock entry
	overridden                // it becomes the newImage of an override
	built                     // it has sources: kbld fails
	digested                  // it stays as it is
	asked                     // kbld asks a registry for its digest
	invalid                   // kbld fails
)

// resolve returns what kbld makes of a reference, and the override that counts.
func (k *kbld) resolve(value string) (outcome, override) {
	i, found := k.byImage[value]
	if j, ok := k.byRepo[repository(value)]; ok && (!found || j < i) {
		i, found = j, true
	}
	switch {
	case found && k.overrides[i].entry >= 0:
		return locked, k.overrides[i]
	case found:
		return overridden, k.overrides[i]
	case k.builtImage[value] || k.builtRepo[repository(value)]:
		return built, override{}
	case len(value) > maxReference:
		return invalid, override{}
	}
	if strings.Contains(value, "@") {
		if _, err := name.NewDigest(value, name.WeakValidation); err != nil {
			return invalid, override{}
		}
		return digested, override{}
	}
	if _, err := name.ParseReference(value, name.WeakValidation); err != nil {
		return invalid, override{}
	}
	return asked, override{}
}

// overridden takes over a reference that an override rewrites, which was reported where that stands, if it is not
// of a lock.
func (s *scan) overridden(at place, value string, o override) {
	s.add(at, o.newImage, -1)
	if o.lock != "" {
		s.note(at, codeNotLocked, report.Pull, value, fmt.Sprintf("%q, which is not the bundle's lock, makes %q of it, and imgpkg leaves that as it is: pods pull it from there", o.lock, shorten(o.newImage)),
			"take that lock out of the kbld step, and add the image to "+lockFile)
	}
}

// image is a reference that kbld sees (point 12), or would see if the file went through it (point 11).
func (s *scan) image(at place, k *kbld, value string) {
	if k == nil {
		s.add(at, value, -1)
		s.note(at, codeNotRewritten, report.Pull, value, "no kbld step rewrites the file: pods pull the image from there",
			`add a step "kbld: {paths: ['-', .imgpkg/images.yml]}" after the last one that adds files`)
		return
	}
	what, o := k.resolve(value)
	switch what {
	case locked:
		s.add(at, value, o.entry)
		return
	case overridden:
		s.overridden(at, value, o)
		return
	case built:
		s.add(at, value, -1) // reported where the sources stand
		return
	}
	s.add(at, value, -1)
	code, lock := codeNotLocked, "the lock does not have it"
	action := "add it to the lock with kbld --imgpkg-lock-output, and push the bundle again"
	if !k.hasLock {
		code, lock = codeNotRewritten, "the kbld step is not given the lock"
		action = "add " + lockFile + " to the paths of the kbld step"
	}
	if other := s.repos[repository(value)]; other != "" && k.hasLock {
		lock += fmt.Sprintf(", which has %q of that repository", shorten(other))
	}
	switch what {
	case digested:
		s.note(at, code, report.Pull, value, lock+": kbld leaves it as it is, and pods pull it from there", action)
	case asked:
		s.note(at, code, report.Install, value, lock+": kbld asks its registry for the digest, and the template step fails", action)
	case invalid:
		s.note(at, code, report.Install, value, "is no reference: kbld refuses it, and the template step fails",
			"correct it, or exempt it by a searchRule of kbld with updateStrategy none")
	}
}

var repositoryForm = regexp.MustCompile(`\A(.+?)(:[A-Za-z0-9_\-.]+)?(@.+:.+)?\z`)

// repository returns a reference without tag and digest, as kbld cuts it: its text is not completed.
func repository(value string) string {
	if len(value) > maxReference {
		return value
	}
	if m := repositoryForm.FindStringSubmatch(value); m != nil {
		return m[1]
	}
	return value
}
