package kappctrl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/k14s/semver/v4"
)

// Prereleases says which prereleases a PackageInstall takes: those with one of the identifiers as a
// part, or all when it has none.
type Prereleases struct{ Identifiers []string }

// Selection is the versionSelection of a PackageInstall.
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

// Meets reports whether kapp-controller may install a version. It takes none that is not semver.
func (s Selection) Meets(version string) (met bool) {
	v, err := semver.Parse(strings.TrimPrefix(version, "v"))
	if err != nil || len(v.Pre) > 0 && !s.takes(v.Pre) {
		return false
	}
	defer func() {
		if recover() != nil {
			met = false // the library panics at some ranges, in kapp-controller too
		}
	}()
	return s.inRange == nil || s.inRange(v)
}

// takes reports whether a prerelease is selected.
func (s Selection) takes(pre semver.PRVersion) bool {
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
