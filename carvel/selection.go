package carvel

import (
	"fmt"
	"slices"
	"strings"

	"github.com/k14s/semver/v4"

	"relocate/internal/text"
)

// Prereleases says which prereleases a PackageInstall takes: those with one of the identifiers as a
// part, or all when it has none.
type Prereleases struct {
	Identifiers []string `json:"identifiers,omitempty"`
}

// Selection is the versionSelection of a PackageInstall. The zero value selects every version but
// prereleases.
type Selection struct {
	inRange     semver.Range // nil for all
	prereleases *Prereleases // nil for none
}

// ParseSelection reads a constraint, such as ">=1.0.0 <2.0.0 || 3.0.0" (docs/carvel.md, "Versions").
// One exact prerelease selects prereleases. Errors are kapp-controller's own.
func ParseSelection(constraint string, prereleases *Prereleases) (Selection, error) {
	s := Selection{prereleases: prereleases}
	if constraint == "" {
		return s, nil
	}
	if v, err := semver.Parse(constraint); err == nil && len(v.Pre) > 0 && prereleases == nil {
		s.prereleases = &Prereleases{}
	}
	var err error
	if s.inRange, err = semver.ParseRange(constraint); err != nil {
		return s, fmt.Errorf("%s '%s': %w", refuses, constraint, err)
	}
	return s, nil
}

// refuses is what kapp-controller says before its error about a constraint.
const refuses = "Selecting versions: Parsing version constraint"

// Check is a filter of kapp-controller besides those of a Selection. Meets reports whether it accepts
// the version with an index.
type Check struct {
	Name  string // as in kapp-controller's messages
	Meets func(i int) bool
}

// Select returns the indexes of the versions that kapp-controller may install, lowest first: it
// installs the last one. Where there is none, details says how many versions each filter leaves, in
// the words of kapp-controller.
func (s Selection) Select(versions []string, checks ...Check) (left []int, details string) {
	parsed := make([]semver.Version, len(versions))
	for i, version := range versions {
		var err error
		if parsed[i], err = parseVersion(version); err == nil {
			left = append(left, i)
		}
	}
	said := []string{fmt.Sprintf("all=%d", len(left))}
	filter := func(name string, meets func(i int) bool) {
		left = slices.DeleteFunc(left, func(i int) bool { return !meets(i) })
		said = append(said, fmt.Sprintf("after-%s=%d", name, len(left)))
	}
	filter("prereleases-filter", func(i int) bool { return s.takes(parsed[i].Pre) })
	for _, check := range checks {
		filter(check.Name, check.Meets)
	}
	if s.inRange != nil {
		filter("constraints-filter", func(i int) bool { return s.includes(parsed[i]) })
	}
	slices.SortStableFunc(left, func(a, b int) int { return parsed[a].Compare(parsed[b]) })
	return left, strings.Join(said, " -> ")
}

// NoVersion is what kapp-controller says where Select leaves no version.
func NoVersion(details string) string {
	return "Expected to find at least one version, but did not (details: " + details + ")"
}

// Meets reports whether kapp-controller may install a version. It takes none that is not semver.
func (s Selection) Meets(version string) bool {
	v, err := parseVersion(version)
	return err == nil && s.takes(v.Pre) && s.includes(v)
}

// MeetsTarget reports whether a version of Kubernetes or of kapp-controller itself meets a Package's
// constraint. kapp-controller ignores the version's prerelease and build. An empty constraint is met.
//
// Errors: a version or a constraint that kapp-controller cannot read.
func MeetsTarget(version, constraint string) (bool, error) {
	v, err := semver.ParseTolerant(version)
	if err != nil {
		return false, fmt.Errorf("%s is no version: %w", text.Quote(version), text.Error(err))
	}
	s, err := ParseSelection(constraint, nil)
	if err != nil {
		return false, err
	}
	v.Pre, v.Build = nil, nil
	return s.includes(v), nil
}

func parseVersion(version string) (semver.Version, error) {
	return semver.Parse(strings.TrimPrefix(version, "v"))
}

// includes reports whether a version is in the range.
func (s Selection) includes(v semver.Version) (is bool) {
	defer func() {
		if recover() != nil {
			is = false // the library panics at some ranges, in kapp-controller too
		}
	}()
	return s.inRange == nil || s.inRange(v)
}

// takes reports whether a version with these parts of a prerelease is selected.
func (s Selection) takes(pre semver.PRVersion) bool {
	if len(pre) == 0 {
		return true
	}
	if s.prereleases == nil || len(s.prereleases.Identifiers) == 0 {
		return s.prereleases != nil
	}
	for _, part := range pre {
		if slices.Contains(s.prereleases.Identifiers, part.VersionStr) {
			return true
		}
	}
	return false
}
