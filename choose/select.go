package choose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/report"
)

// ErrUnmatched says that a choice names what no repository has.
var ErrUnmatched = errors.New("matches nothing")

// Reason says why a version was chosen.
type Reason string

// The reasons, the first that applies.
const (
	Wanted      Reason = "chosen"     // by name, constraint or as one of the newest
	IsInstalled Reason = "installed"  // a cluster uses it
	IsNeeded    Reason = "dependency" // a chosen version installs it
)

// Version is a chosen version of a package.
type Version struct {
	carvel.Package
	Reason   Reason
	NeededBy []string // names and versions of the packages that install it, sorted; of a dependency
}

// Skipped is a package that is wanted and of which no version was chosen: it has only prereleases, for
// example.
type Skipped struct {
	Name string
	Why  string // how many versions each filter of kapp-controller leaves
}

// Chosen is what was chosen from a repository.
type Chosen struct {
	Choice   Choice
	Versions []Version        // by name, the newest first
	Left     []carvel.Package // that the repository has and that were not chosen, in the same order
	Skipped  []Skipped        // by name
	Findings []report.Finding // about dependencies and installed versions that are missing

	unmatched, unmatchedExclude map[string]error // why, by pattern
}

// Choose chooses. installs says what the chosen packages install; it may be nil.
//
// A pattern that matches nothing is no error here: another repository may have it. See Unmatched.
//
// Errors: those of installs; Choice.Check.
func (r *Repository) Choose(ctx context.Context, c Choice, installs Installs) (*Chosen, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	s := newSelection(c, r.Packages)
	s.wanted()
	s.installed()
	if installs != nil {
		if err := s.dependencies(ctx, installs); err != nil {
			return nil, err
		}
	}
	if s.compared > maxCompared {
		return nil, fmt.Errorf("the choice compares more than %d versions", maxCompared)
	}
	return s.result(), nil
}

// Unmatched returns an error for the patterns of a choice that match nothing in any of the repositories
// from which it chose, and for what it excludes and none of them has.
//
// Errors: ErrUnmatched.
func Unmatched(chosen ...*Chosen) error {
	c := chosen[0].Choice
	var list []error
	add := func(pattern, which string, of func(*Chosen) map[string]error) {
		var why error
		for _, c := range chosen {
			is, unmatched := of(c)[pattern]
			if !unmatched {
				return
			}
			if why == nil || why == errNoPackage {
				why = is
			}
		}
		list = append(list, fmt.Errorf("%s%s %w: %w", text.Quote(pattern), which, ErrUnmatched, why))
	}
	for _, p := range c.Packages {
		add(p.String(), "", func(c *Chosen) map[string]error { return c.unmatched })
	}
	for _, glob := range c.Exclude {
		add(glob, ", which is excluded,", func(c *Chosen) map[string]error { return c.unmatchedExclude })
	}
	return errors.Join(list...)
}

// errNoPackage says why a pattern matches nothing.
var errNoPackage = errors.New("no package has that name")

// noPackage returns errNoPackage, or the names of packages that have the glob as a part.
func (s *selection) noPackage(glob string) error {
	var similar []string
	for _, name := range s.names {
		if strings.Contains(name, strings.Trim(glob, "*")) && len(similar) < 3 {
			similar = append(similar, text.Line(name))
		}
	}
	if len(similar) == 0 {
		return errNoPackage
	}
	return fmt.Errorf("%w; the whole name is needed, such as %s, or a glob", errNoPackage, strings.Join(similar, ", "))
}

// key names a version of a package.
type key struct{ name, version string }

func keyOf(p carvel.Package) key { return key{p.Name, p.Version} }

func (k key) String() string { return k.name + " " + k.version }

// selection is a run of Choose.
type selection struct {
	choice   Choice
	names    []string                     // of the packages, sorted
	versions map[string][]*carvel.Package // by name, each version once
	chosen   map[key]*Version
	skipped  map[string]string // why, by name
	findings []report.Finding
	fresh    []carvel.Package // chosen, and not yet asked what they install
	compared int              // versions

	unmatched, unmatchedExclude map[string]error
}

// maxCompared is the limit on versions that are compared with constraints: a repository, what its
// packages install and the file of what is installed come from others.
const maxCompared = 500_000

func newSelection(c Choice, packages []carvel.Package) *selection {
	s := &selection{
		choice: c, versions: map[string][]*carvel.Package{}, chosen: map[key]*Version{}, skipped: map[string]string{},
		unmatched: map[string]error{}, unmatchedExclude: map[string]error{},
	}
	seen := map[key]bool{}
	for i := range packages {
		p := &packages[i]
		if seen[keyOf(*p)] { // kapp-controller judges duplicates; both documents are chosen
			continue
		}
		seen[keyOf(*p)] = true
		if s.versions[p.Name] == nil {
			s.names = append(s.names, p.Name)
		}
		s.versions[p.Name] = append(s.versions[p.Name], p)
	}
	slices.Sort(s.names)
	return s
}

// take chooses a version.
func (s *selection) take(p *carvel.Package, why Reason) *Version {
	k := keyOf(*p)
	if s.chosen[k] == nil {
		s.chosen[k] = &Version{Package: *p, Reason: why}
		s.fresh = append(s.fresh, *p)
	}
	return s.chosen[k]
}

// wanted chooses what patterns want.
func (s *selection) wanted() {
	c := s.choice.canonical()
	patterns := c.Packages
	if len(patterns) == 0 && (c.Latest > 0 || len(c.Exclude) > 0) {
		patterns = []Pattern{{Name: "*"}}
	}
	for _, glob := range c.Exclude {
		if !slices.ContainsFunc(s.names, func(name string) bool { return matches(glob, name) }) {
			s.unmatchedExclude[glob] = s.noPackage(glob)
		}
	}
	for _, p := range patterns {
		selects, _ := carvel.ParseSelection(p.Constraint, s.prereleases()) // Check parsed it
		s.unmatched[p.String()] = s.noPackage(p.Name)
		var none []string
		for _, name := range s.names {
			if !matches(p.Name, name) {
				continue
			}
			if s.excludes(name) {
				none = append(none, name+" is excluded")
				continue
			}
			left, details := s.candidates(name, selects)
			if len(left) == 0 {
				none = append(none, fmt.Sprintf("%s: %s", name, carvel.NoVersion(details)))
				s.skipped[name] = details
				continue
			}
			delete(s.unmatched, p.String())
			none = nil
			if c.Latest > 0 {
				left = left[max(0, len(left)-c.Latest):]
			}
			for _, version := range left {
				s.take(version, Wanted)
			}
		}
		if _, is := s.unmatched[p.String()]; is && len(none) > 0 {
			s.unmatched[p.String()] = errors.New(text.Clip(text.Printable(strings.Join(none, "; ")), 1000))
		}
	}
}

func matches(glob, name string) bool {
	is, _ := path.Match(glob, name) // Check knows that it is a glob
	return is
}

func (s *selection) excludes(name string) bool {
	return slices.ContainsFunc(s.choice.Exclude, func(glob string) bool { return matches(glob, name) })
}

func (s *selection) prereleases() *carvel.Prereleases {
	if s.choice.Prereleases {
		return &carvel.Prereleases{}
	}
	return nil
}

// candidates returns the versions of a package from which kapp-controller would take the last one.
// Where there is none, details says why.
func (s *selection) candidates(name string, selects carvel.Selection) (left []*carvel.Package, details string) {
	list := s.versions[name]
	if s.compared += len(list); s.compared > maxCompared {
		return nil, ""
	}
	versions := make([]string, len(list))
	needs := false // a version needs a version of Kubernetes
	for i, p := range list {
		versions[i] = p.Version
		needs = needs || p.Kubernetes != ""
	}
	var checks []carvel.Check
	add := func(check, target string, constraint func(p *carvel.Package) string) {
		checks = append(checks, carvel.Check{Name: check, Meets: func(i int) bool {
			met, err := carvel.MeetsTarget(target, constraint(list[i]))
			return err == nil && met // kapp-controller accepts no Package with another constraint
		}})
	}
	if needs && s.choice.Kubernetes != "" {
		add("kubernetes-version-check", s.choice.Kubernetes, func(p *carvel.Package) string { return p.Kubernetes })
	}
	if s.choice.KappController != "" {
		add("kapp-controller-version-check", s.choice.KappController, func(p *carvel.Package) string { return p.Controller })
	}
	indexes, details := selects.Select(versions, checks...)
	for _, i := range indexes {
		left = append(left, list[i])
	}
	return left, details
}

// result returns what was chosen.
func (s *selection) result() *Chosen {
	c := &Chosen{Choice: s.choice.canonical(), Findings: s.findings, unmatched: s.unmatched, unmatchedExclude: s.unmatchedExclude}
	for _, name := range s.names {
		list, before := slices.Clone(s.versions[name]), len(c.Versions)
		slices.SortStableFunc(list, func(a, b *carvel.Package) int {
			return cmp.Or(carvel.CompareVersions(b.Version, a.Version), strings.Compare(b.Version, a.Version))
		})
		for _, p := range list {
			version := s.chosen[keyOf(*p)]
			if version == nil {
				c.Left = append(c.Left, *p)
				continue
			}
			slices.Sort(version.NeededBy)
			version.NeededBy = slices.Compact(version.NeededBy)
			c.Versions = append(c.Versions, *version)
		}
		if why, skipped := s.skipped[name]; skipped && len(c.Versions) == before {
			c.Skipped = append(c.Skipped, Skipped{name, why})
		}
	}
	return c
}
