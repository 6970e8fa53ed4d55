package kbld

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/go-version"
	"sigs.k8s.io/yaml"

	"relocate/carvel"
	"relocate/internal/yamlnode"
)

// Version is the kbld that kapp-controller v0.53 has.
const Version = "0.44.1"

// String describes a configuration as kbld does.
func (c resource) String() string {
	name, namespace := textAt(c.content, "metadata", "name"), "cluster"
	if name == "" {
		if name = textAt(c.content, "metadata", "generateName"); name != "" {
			name += "*"
		}
	}
	if s := textAt(c.content, "metadata", "namespace"); s != "" {
		namespace = "namespace: " + s
	}
	return fmt.Sprintf("%s/%s (%s) %s", strings.ToLower(textAt(c.content, "kind")), name, textAt(c.content, "apiVersion"), namespace)
}

// configure adds configuration as strictly as kbld does.
func (s *Step) configure(r resource, file string) error {
	text, err := yaml.Marshal(r.content)
	if err != nil {
		return err
	}
	if IsLock(textAt(r.content, "apiVersion"), textAt(r.content, "kind")) {
		return s.configureLock(r, text, file)
	}
	var c config
	if err := yaml.Unmarshal(text, &c); err != nil {
		return failed("Unmarshaling %s: %w", r, err)
	}
	if err := c.validate(); err != nil {
		return failed("Validating %s: %w", r, err)
	}
	if !s.addRules(&c) {
		return fmt.Errorf("the kbld step has %w of %d search rules", yamlnode.ErrLimit, maxRules)
	}
	for _, o := range c.Overrides {
		s.override(o.imageRef, o.override(file))
	}
	s.addSources(&c)
	return nil
}

// configureLock adds an ImagesLock.
func (s *Step) configureLock(r resource, text []byte, file string) error {
	var l imagesLock
	if err := yaml.UnmarshalStrict(text, &l); err != nil {
		return failed("Unmarshaling %s as ImagesLock: Unmarshaling images lock: %w", r, err)
	}
	for _, e := range l.Images {
		if _, err := parseDigest(e.Image); err != nil {
			return failed("Unmarshaling %s as ImagesLock: Validating images lock: Expected ref to be in digest form, got '%s'", r, e.Image)
		}
	}
	var c config
	for _, e := range l.Images {
		image, err := parseDigest(e.Image)
		if err != nil {
			return err
		}
		origins, err := parseOrigins(e.Annotations[originsAnnotation])
		if err != nil {
			return failed("Unmarshaling %s as %s annotation:  %w", r, originsAnnotation, err)
		}
		c.Overrides = append(c.Overrides, imageOverride{imageRef: imageRef{Image: e.Annotations[carvel.KbldID]}, NewImage: image, Preresolved: true, Origins: origins})
	}
	if err := c.validate(); err != nil {
		return failed("Validating %s: %w", r, err)
	}
	for i, o := range c.Overrides {
		entry := o.override(file)
		entry.entry, entry.lock = i, true
		s.override(o.imageRef, entry)
	}
	return nil
}

// originsAnnotation is the annotation of a lock entry that says where its image comes from.
const originsAnnotation = "kbld.carvel.dev/origins"

// parseOrigins reads that annotation.
func parseOrigins(text string) (origins []origin, err error) {
	if _, err := yamlnode.ToJSON([]byte(text)); errors.Is(err, yamlnode.ErrLimit) {
		return nil, err
	}
	return origins, yaml.Unmarshal([]byte(text), &origins)
}

// validate returns what kbld finds wrong with a Config.
func (c *config) validate() error {
	if err := checkVersion(c.MinimumRequiredVersion); err != nil {
		return err
	}
	for i, s := range c.Sources {
		switch {
		case s.isEmpty():
			return failed("Validating Sources[%d]: %w", i, errNoImage)
		case s.Path == "":
			return failed("Validating Sources[%d]: Expected Path to be non-empty", i)
		}
	}
	for i, o := range c.Overrides {
		switch {
		case o.isEmpty():
			return failed("Validating Overrides[%d]: %w", i, errNoImage)
		case o.NewImage == "":
			return failed("Validating Overrides[%d]: Expected NewImage to be non-empty", i)
		}
	}
	for i, d := range c.Destinations {
		if d.isEmpty() {
			return failed("Validating Destinations[%d]: %w", i, errNoImage)
		}
	}
	for i, key := range c.Keys {
		if key == "" {
			return failed("Validating Destinations[%d]: Expected to be non-empty", i)
		}
	}
	for i, r := range c.SearchRules {
		if problem := r.problem(); problem != "" {
			return failed("Validating SearchRules[%d]: %s", i, problem)
		}
	}
	return nil
}

var errNoImage = failed("Expected Image or ImageRepo to be non-empty")

// checkVersion returns why this kbld is too old.
func checkVersion(required string) error {
	if required == "" {
		return nil
	}
	if required[0] == 'v' {
		return failed("Validating minimum version: Must not have prefix 'v' (e.g. '0.8.0')")
	}
	constraint, err := version.NewConstraint(">=" + required)
	if err != nil {
		return failed("Parsing minimum version constraint: %w", err)
	}
	if !constraint.Check(version.Must(version.NewVersion(Version))) {
		return failed("kbld version '%s' does not meet the minimum required version '%s'", Version, required)
	}
	return nil
}
