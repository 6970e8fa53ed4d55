package choose

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/report"
)

// Need is a PackageInstall in the content of a package: installing the package also installs another
// one.
type Need struct {
	Name        string // of the package
	Constraint  string
	Prereleases *carvel.Prereleases
	File        string // in the bundle
	Line        int
	Computed    bool // a template computes Name or Constraint, and was not run
}

// Installs says what packages install, in the order of packages.
type Installs func(ctx context.Context, packages []carvel.Package) ([][]Need, error)

// String returns the package and the constraint.
func (n Need) String() string { return strings.TrimSpace(n.Name + " " + n.Constraint) }

// dependencies chooses what the chosen versions install, level by level.
func (s *selection) dependencies(ctx context.Context, installs Installs) error {
	for len(s.fresh) > 0 && s.compared <= maxCompared {
		level := s.fresh
		s.fresh = nil
		slices.SortFunc(level, func(a, b carvel.Package) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), carvel.CompareVersions(b.Version, a.Version), strings.Compare(b.Version, a.Version))
		})
		needs, err := installs(ctx, level)
		if err != nil {
			return err
		}
		for i, list := range needs {
			for _, n := range list {
				s.need(level[i], n)
			}
		}
	}
	return nil
}

// need chooses what a chosen version installs: the version that kapp-controller would take, unless it can
// take one that is chosen already.
func (s *selection) need(by carvel.Package, n Need) {
	if n.Computed {
		s.unmet(by, n, report.Warning, "a PackageInstall needs a package that a template computes", "check whether the choice has it")
		return
	}
	needs := "a PackageInstall needs " + text.Quote(n.String()) + ", "
	selects, err := carvel.ParseSelection(n.Constraint, n.Prereleases)
	if err != nil {
		s.unmet(by, n, report.Install, fmt.Sprintf("%sand kapp-controller refuses it: %s", needs, text.Error(err)), "the author corrects the constraint")
		return
	}
	left, details := s.candidates(n.Name, selects)
	if s.isChosen(left) {
		for _, p := range left {
			if v := s.chosen[keyOf(*p)]; v != nil && v.Reason == IsNeeded {
				v.NeededBy = append(v.NeededBy, keyOf(by).String())
			}
		}
		return
	}
	switch {
	case s.versions[n.Name] == nil:
		s.unmet(by, n, report.Install, needs+"which the repository does not have", "")
	case len(left) == 0:
		s.unmet(by, n, report.Install, needs+"which the repository does not have: "+details, "")
	case s.excludes(n.Name):
		s.unmet(by, n, report.Install, needs+"which is excluded", "do not exclude it, or relocate another repository with that version")
	case s.choice.NoDependencies:
		s.unmet(by, n, report.Install, needs+"which was not chosen", "also choose it, or relocate another repository with that version")
	default:
		v := s.take(left[len(left)-1], IsNeeded)
		v.NeededBy = append(v.NeededBy, keyOf(by).String())
	}
}

// isChosen reports whether one of the versions of a package is chosen.
func (s *selection) isChosen(versions []*carvel.Package) bool {
	return slices.ContainsFunc(versions, func(p *carvel.Package) bool { return s.chosen[keyOf(*p)] != nil })
}

// codeNotInstalled is the code of leak's findings of the same kind.
const codeNotInstalled report.Code = "not-installed"

// unmet adds a finding about a dependency that does not come along.
func (s *selection) unmet(by carvel.Package, n Need, level report.Level, message, action string) {
	f := report.Finding{
		Code: codeNotInstalled, Level: level, Package: keyOf(by).String(), File: n.File, Line: n.Line, Reference: n.String(), Message: message, Action: action,
	}
	if len(by.Fetches) > 0 {
		f.Bundle = by.Fetches[0].Reference
	}
	s.findings = append(s.findings, f)
}
