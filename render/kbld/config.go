package kbld

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

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

// IsLock reports whether kbld reads a document of that kind as a lock.
func IsLock(apiVersion, kind string) bool { return apiVersion == lockVersion && kind == "ImagesLock" }

// config is a document of kbld.k14s.io/v1alpha1 of any kind. kbld reads all kinds alike.
type config struct {
	MinimumRequiredVersion string          `json:"minimumRequiredVersion"`
	Sources                []source        `json:"sources"`
	Overrides              []imageOverride `json:"overrides"`
	Destinations           []destination   `json:"destinations"`
	Keys                   []string        `json:"keys"`
	SearchRules            []searchRule    `json:"searchRules"`
}

// source is a source of an image, as a Config writes it.
type source struct {
	imageRef
	Path string `json:"path"`
}

// imageOverride is an override as a Config writes it.
type imageOverride struct {
	imageRef
	NewImage          string        `json:"newImage"`
	Preresolved       bool          `json:"preresolved"`
	TagSelection      *tagSelection `json:"tagSelection"`
	PlatformSelection *platform     `json:"platformSelection"`
	Origins           []origin      `json:"origins"`
}

// destination is where a built image would be pushed.
type destination struct {
	imageRef
	NewImage string   `json:"newImage"`
	Tags     []string `json:"tags"`
}

// imageRef selects images. Image takes precedence when both are set.
type imageRef struct {
	Image     string `json:"image"`
	ImageRepo string `json:"imageRepo"`
}

func (r imageRef) isEmpty() bool { return r.Image == "" && r.ImageRepo == "" }

// tagSelection says which of a repository's tags is taken.
type tagSelection struct {
	Semver *struct {
		Constraints string `json:"constraints"`
		Prereleases *struct {
			Identifiers []string `json:"identifiers"`
		} `json:"prereleases"`
	} `json:"semver"`
}

// platform says which image of an index is taken.
type platform struct {
	Architecture string   `json:"architecture"`
	OS           string   `json:"os"`
	OSVersion    string   `json:"os.version"`
	OSFeatures   []string `json:"os.features"`
	Variant      string   `json:"variant"`
	Features     []string `json:"features"`
}

// imagesLock is an ImagesLock.
type imagesLock struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Images     []struct {
		Image       string            `json:"image"`
		Annotations map[string]string `json:"annotations"`
	} `json:"images"`
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
		if s.override(imageRef{Image: id}, override{newImage: e.Image.Name(), preresolved: true, entry: first + i, file: file, lock: true}) {
			repo, _ := repository(id)
			s.similar[repo] = id
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
		case IsLock(apiVersion, kind):
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

// decode decodes the document as kbld does.
func (d *configDocument) decode(out any) error {
	text, err := yaml.Marshal(d.tree.Root)
	if err != nil {
		return err
	}
	return yamlnode.Decode(text, out, false)
}

// addLock adds a lock that is not a bundle's. It is a finding where one of its entries is used.
func (d *configDocument) addLock() {
	var l imagesLock
	if err := d.decode(&l); err != nil {
		d.notRead(d.tree.LineOf(d.tree.Root), "lock", err)
		return
	}
	for _, e := range l.Images {
		d.step.override(imageRef{Image: e.Annotations[carvel.KbldID]}, override{newImage: e.Image, preresolved: true, entry: -1, file: d.file, lock: true})
	}
}

// addConfig adds a Config document. kbld refuses overrides without an image, with or without a
// network.
func (d *configDocument) addConfig() {
	line := d.tree.LineOf(d.tree.Root)
	var c config
	if err := d.decode(&c); err != nil {
		d.notRead(line, "kbld configuration", err)
		return
	}
	if !d.step.addRules(&c) {
		d.note(codeNotRead, report.Warning, line, "", fmt.Sprintf("the kbld step has more than %d search rules; the others were not applied", maxRules), "")
	}
	nodes := yamlnode.Items(yamlnode.Get(d.tree.Root, "overrides"))
	for i, o := range c.Overrides {
		if o.isEmpty() || o.NewImage == "" || !d.step.override(o.imageRef, o.override(d.file)) {
			continue
		}
		line := line
		if i < len(nodes) {
			line = d.tree.LineOf(cmp.Or(yamlnode.Get(nodes[i], "newImage"), nodes[i]))
		}
		d.noteOverride(line, o.NewImage, o.Preresolved, o.TagSelection != nil)
	}
	d.step.addSources(&c)
	for _, src := range c.Sources {
		d.note(codeConfig, report.Install, d.lineOfKey("sources", line), src.Image+src.ImageRepo,
			"kbld would have to build this image, and kapp-controller does not let it: the template step fails",
			"build the image before, and take the sources out of the bundle")
	}
}

// override returns the override for a step.
func (o *imageOverride) override(file string) override {
	return override{newImage: o.NewImage, preresolved: o.Preresolved, tagSelection: o.TagSelection, platform: o.PlatformSelection != nil,
		origins: o.Origins, entry: -1, file: file}
}

// addSources adds the sources of a Config.
func (s *Step) addSources(c *config) {
	if s.builtImage == nil {
		s.builtImage, s.builtRepo = map[string]bool{}, map[string]bool{}
	}
	for _, src := range c.Sources {
		if src.Image != "" {
			s.builtImage[src.Image] = true
		} else if src.ImageRepo != "" {
			s.builtRepo[src.ImageRepo] = true
		}
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

// addRules adds the rules of a Config, as far as the limit lets it. Rules of keys come before the
// others.
func (s *Step) addRules(c *config) (all bool) {
	var rules []rule
	for _, key := range c.Keys {
		rules = append(rules, rule{keys: true, search: searchRule{KeyMatcher: &keyMatcher{Name: key}}})
	}
	for _, r := range c.SearchRules {
		if r.problem() == "" {
			rules = append(rules, rule{search: r})
		}
	}
	for _, r := range rules {
		switch {
		case len(s.rules) == maxRules:
			return false
		case r.keys:
			s.rules = slices.Insert(s.rules, s.keys, r)
			s.keys++
		default:
			s.rules = append(s.rules, r)
		}
	}
	return true
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
	_, isDigest := parseDigest(value)
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
