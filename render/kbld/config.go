package kbld

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/internal/yamlnode"
	"relocate/report"
)

// The API versions of the documents that kbld reads as its configuration.
const (
	configVersion = "kbld.k14s.io/v1alpha1"
	lockVersion   = "imgpkg.carvel.dev/v1alpha1"
)

// IsConfig reports whether kbld reads a document of that kind as its configuration.
func IsConfig(apiVersion, kind string) bool {
	switch kind {
	case "Config", "Sources", "ImageOverrides", "ImageDestinations", "ImageKeys":
		return apiVersion == configVersion
	}
	return false
}

// config is a document of kbld.k14s.io/v1alpha1 of any kind. kbld reads all kinds alike.
type config struct {
	Sources     []source        `yaml:"sources"`
	Overrides   []imageOverride `yaml:"overrides"`
	Keys        []string        `yaml:"keys"`
	SearchRules []searchRule    `yaml:"searchRules"`
}

// source is a source of an image, as a Config writes it.
type source struct {
	Of   imageRef `yaml:",inline"`
	Path string   `yaml:"path"`
}

// imageOverride is an override as a Config writes it.
type imageOverride struct {
	Of           imageRef  `yaml:",inline"`
	NewImage     yaml.Node `yaml:"newImage"`
	Preresolved  bool      `yaml:"preresolved"`
	TagSelection yaml.Node `yaml:"tagSelection"`
}

// imageRef selects the images of an override or a source. Image takes precedence when both are set.
type imageRef struct {
	Image     string `yaml:"image"`
	ImageRepo string `yaml:"imageRepo"`
}

// otherLock is an ImagesLock other than the bundle's. kbld applies it, and imgpkg does not rewrite
// it.
type otherLock struct {
	Images []struct {
		Image       string            `yaml:"image"`
		Annotations map[string]string `yaml:"annotations"`
	} `yaml:"images"`
}

// AddLock adds the entries of a bundle's lock, once for each file. Results have the entries numbered
// from first. It returns a finding for each entry that makes kbld refuse the lock.
func (s *Step) AddLock(file string, lock *carvel.ImagesLock, first int) (findings []report.Finding) {
	if lock == nil || !s.begin(file) {
		return nil
	}
	if s.hasLock = true; s.similar == nil {
		s.similar = map[string]string{}
	}
	for i, e := range lock.Images {
		id := e.Annotations[carvel.KbldID]
		if id == "" {
			findings = append(findings, report.Finding{Code: codeWithoutID, Level: report.Install, File: file, Reference: e.Image.Name(),
				Message: "the entry has no annotation " + carvel.KbldID + ": kbld refuses the whole lock",
				Action:  "write the lock with kbld --imgpkg-lock-output, and push the bundle again"})
			continue
		}
		if s.override(imageRef{Image: id}, override{newImage: e.Image.Name(), entry: first + i}) {
			s.similar[repository(id)] = id
		}
	}
	return findings
}

// override adds an override. It returns false when an earlier override takes precedence.
func (s *Step) override(ref imageRef, o override) bool {
	if s.byImage == nil {
		s.byImage, s.byRepo = map[string]int{}, map[string]int{}
	}
	by, key := s.byImage, ref.Image
	if key == "" {
		by, key = s.byRepo, ref.ImageRepo
	}
	if _, known := by[key]; known || key == "" {
		return false
	}
	by[key] = len(s.overrides)
	s.overrides = append(s.overrides, o)
	return true
}

// AddFile adds the configuration in a file, once for each path. Only YAML files have configuration.
// The file must not be the lock of a bundle. The findings report configuration that points outside or
// that could not be read.
func (s *Step) AddFile(file string, data []byte) (findings []report.Finding) {
	if !s.begin(file) || !holdsConfig(file, data) {
		return nil
	}
	defer yamlnode.Alone(data)()
	for doc := range yamlnode.Parse(data) {
		d := configDocument{step: s, file: file, tree: doc}
		switch apiVersion, kind, _ := doc.Object(); {
		case doc.Root == nil && bytes.Contains(doc.Text, []byte(configVersion)):
			d.notRead(doc.Offset+1, "kbld configuration", doc.Err)
		case IsConfig(apiVersion, kind):
			d.addConfig()
		case apiVersion == lockVersion && kind == "ImagesLock":
			d.addLock()
		}
		findings = append(findings, d.findings...)
	}
	return findings
}

// begin reports whether a file is not read yet.
func (s *Step) begin(file string) bool {
	if s.read[file] {
		return false
	}
	if s.read == nil {
		s.read = map[string]bool{}
	}
	s.read[file] = true
	return true
}

// holdsConfig reports whether a file may have configuration. kbld reads YAML files only.
func holdsConfig(file string, data []byte) bool {
	if !slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(file)) || len(data) > yamlnode.MaxSize {
		return false
	}
	return bytes.Contains(data, []byte(configVersion)) || bytes.Contains(data, []byte(lockVersion))
}

// configDocument is a configuration document that is being added to a step.
type configDocument struct {
	step     *Step
	file     string
	tree     yamlnode.Parsed
	findings []report.Finding
}

// addLock adds a lock other than the bundle's. It is a finding where one of its entries is used.
func (d *configDocument) addLock() {
	var l otherLock
	if err := d.tree.Root.Decode(&l); err != nil {
		d.notRead(d.tree.LineOf(d.tree.Root), "lock", err)
		return
	}
	for _, e := range l.Images {
		d.step.override(imageRef{Image: e.Annotations[carvel.KbldID]}, override{newImage: e.Image, entry: -1, lock: d.file})
	}
}

// addConfig adds a Config document.
func (d *configDocument) addConfig() {
	line := d.tree.LineOf(d.tree.Root)
	var c config
	if err := d.tree.Root.Decode(&c); err != nil {
		d.notRead(line, "kbld configuration", err)
		return
	}
	for _, key := range c.Keys {
		d.addRule(line, rule{keys: true, search: searchRule{KeyMatcher: &keyMatcher{Name: key}}})
	}
	for _, r := range c.SearchRules {
		d.addRule(line, rule{search: r})
	}
	for i, o := range c.Overrides {
		value := o.NewImage.Value
		if o.Of.Image == "" && o.Of.ImageRepo == "" || value == "" {
			continue // kbld refuses it, with or without a network
		}
		if d.step.override(o.Of, override{newImage: value, entry: -1}) {
			d.noteOverride(d.tree.LineOf(&c.Overrides[i].NewImage), value, o.Preresolved, !o.TagSelection.IsZero())
		}
	}
	if d.step.builtImage == nil {
		d.step.builtImage, d.step.builtRepo = map[string]bool{}, map[string]bool{}
	}
	for _, src := range c.Sources {
		image, repo := src.Of.Image, src.Of.ImageRepo
		d.step.builtImage[image], d.step.builtRepo[repo] = image != "", image == "" && repo != ""
		d.note(codeConfig, report.Install, d.lineOfKey("sources", line), image+repo,
			"kbld would have to build this image, and kapp-controller does not let it: the template step fails",
			"build the image before, and take the sources out of the bundle")
	}
}

// lineOfKey returns the line of a key of the document's map. Without the key it returns or.
func (d *configDocument) lineOfKey(key string, or int) int {
	root := d.tree.Root
	for i := 0; root.Kind == yaml.MappingNode && i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == key {
			return d.tree.LineOf(root.Content[i])
		}
	}
	return or
}

// maxRules is the limit on the rules of a step. Each rule is compared with each value.
const maxRules = 200

// addRule adds a rule. Rules of keys come before the others.
func (d *configDocument) addRule(line int, r rule) {
	s := d.step
	if len(s.rules) == maxRules {
		d.note(codeNotRead, report.Warning, line, "", fmt.Sprintf("the kbld step has more than %d search rules; the others were not applied", maxRules), "")
		return
	}
	if !r.keys {
		s.rules = append(s.rules, r)
		return
	}
	rules := append([]rule{}, s.rules[:s.keys]...)
	rules = append(rules, r)
	s.rules = append(rules, s.rules[s.keys:]...)
	s.keys++
}

// The codes of findings about the configuration of a step.
const (
	codeConfig    report.Code = "kbld-config" // sources, and overrides that point outside
	codeWithoutID report.Code = "without-id"  // a lock entry that makes kbld refuse the lock
	codeNotRead   report.Code = "not-read"
)

func (d *configDocument) note(code report.Code, level report.Level, line int, ref, message, action string) {
	d.findings = append(d.findings, report.Finding{Code: code, Level: level, File: d.file, Line: line, Reference: ref, Message: message, Action: action})
}

// noteOverride reports where the newImage of an override points.
func (d *configDocument) noteOverride(line int, value string, preresolved, selected bool) {
	const action = "take the override out, or put the lock before it in the kbld step"
	_, isDigest := name.NewDigest(value, name.WeakValidation)
	if preresolved || isDigest == nil && !selected {
		d.note(codeConfig, report.Pull, line, value, "an override names this image, and the lock is not applied to it: pods pull it from there", action)
		return
	}
	d.note(codeConfig, report.Install, line, value,
		"an override names this image by tag: kbld asks its registry for the digest, and the template step fails", action)
}

// notRead reports that a document could not be read. what names its kind.
func (d *configDocument) notRead(line int, what string, err error) {
	d.note(codeNotRead, report.Warning, line, "", "the "+what+" could not be read: "+text.Clip(strings.Join(strings.Fields(err.Error()), " "), 200), "")
}
