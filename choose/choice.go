package choose

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"relocate/carvel"
	"relocate/internal/imgpkg"
	"relocate/internal/text"
	"relocate/oci"
)

// Choice says which packages and versions of a repository are wanted. The zero value wants everything.
type Choice struct {
	Packages       []Pattern   `json:"packages,omitempty"`       // one of them; none: every package, unless only Installed is set
	Exclude        []string    `json:"exclude,omitempty"`        // globs of names; what is Installed is kept all the same
	Latest         int         `json:"latest,omitempty"`         // the newest versions of each package and pattern; 0: all versions
	Prereleases    bool        `json:"prereleases,omitempty"`    // also prereleases
	Installed      []Installed `json:"installed,omitempty"`      // also what a cluster uses
	NoDependencies bool        `json:"noDependencies,omitempty"` // not what chosen packages install
	Kubernetes     string      `json:"kubernetes,omitempty"`     // version of the cluster; empty: not compared
	KappController string      `json:"kappController,omitempty"` // its version of kapp-controller; empty: not compared
}

// Pattern matches packages by name, and their versions.
type Pattern struct {
	Name       string `json:"name"`                 // glob (path.Match)
	Constraint string `json:"constraint,omitempty"` // as carvel.ParseSelection; empty for every version
}

// String returns the pattern as ParsePattern reads it.
func (p Pattern) String() string {
	if p.Constraint == "" {
		return p.Name
	}
	return p.Name + "@" + p.Constraint
}

// ParsePattern reads NAME or NAME@CONSTRAINT, where NAME is a glob.
func ParsePattern(s string) (Pattern, error) {
	name, constraint, has := strings.Cut(s, "@")
	p := Pattern{name, strings.TrimSpace(constraint)}
	if has && p.Constraint == "" {
		return p, fmt.Errorf("%s has no constraint after @", text.Quote(s))
	}
	return p, p.check()
}

func (p Pattern) check() error {
	if err := CheckName(p.Name); err != nil {
		return err
	}
	if len(p.Constraint) > maxConstraint {
		return fmt.Errorf("the constraint has %d bytes, more than the limit of %d", len(p.Constraint), maxConstraint)
	}
	if _, err := carvel.ParseSelection(p.Constraint, nil); err != nil {
		return fmt.Errorf("%w; %s", text.Error(err), grammar)
	}
	return nil
}

// grammar says what a constraint may be.
const grammar = "write 1.2.3, 1.x, '>=1.0.0 <2.0.0' or '1.x || 3.0.0': kapp-controller has no ^, no ~ and no v, needs all three numbers, and blanks around ||"

// Limits on a choice.
const (
	maxName       = 253 // bytes, as a name in Kubernetes
	maxConstraint = 1000
	maxPatterns   = 1000
)

// CheckName refuses what is not a glob of package names.
func CheckName(glob string) error {
	switch _, err := path.Match(glob, ""); {
	case glob == "":
		return errors.New("the name of the package is empty")
	case len(glob) > maxName:
		return fmt.Errorf("the name %s has %d bytes, more than the limit of %d", text.Quote(glob), len(glob), maxName)
	case strings.ContainsFunc(glob, func(r rune) bool { return r == '/' || r == '@' || r == ' ' || !text.IsShown(r) }):
		return fmt.Errorf("%s is not a package name", text.Quote(glob))
	case err != nil:
		return fmt.Errorf("%s is not a package name: its glob is not closed", text.Quote(glob))
	}
	return nil
}

// IsZero reports whether everything is wanted. Prereleases, NoDependencies and the versions of the
// cluster choose nothing by themselves.
func (c Choice) IsZero() bool {
	return len(c.Packages) == 0 && len(c.Exclude) == 0 && c.Latest == 0 && len(c.Installed) == 0
}

// Check refuses a choice that has no meaning.
func (c Choice) Check() error {
	switch {
	case c.Latest < 0:
		return fmt.Errorf("the newest %d versions cannot be chosen", c.Latest)
	case len(c.Packages) > maxPatterns || len(c.Exclude) > maxPatterns:
		return fmt.Errorf("a choice has more than %d packages", maxPatterns)
	}
	for _, p := range c.Packages {
		if err := p.check(); err != nil {
			return fmt.Errorf("%s: %w", text.Quote(p.String()), err)
		}
	}
	for _, glob := range c.Exclude {
		if err := CheckName(glob); err != nil {
			return err
		}
	}
	for _, i := range c.Installed {
		if err := i.check(); err != nil {
			return err
		}
	}
	if n := len(c.String()); n > imgpkg.MaxLabel {
		return fmt.Errorf("the choice has %d bytes with its %d installed versions, more than the limit of %d", n, len(c.Installed), imgpkg.MaxLabel)
	}
	for _, version := range []string{c.Kubernetes, c.KappController} {
		if version == "" {
			continue
		}
		if _, err := carvel.MeetsTarget(version, ""); err != nil {
			return err
		}
	}
	return nil
}

// canonical returns the choice with its lists sorted and each item once.
func (c Choice) canonical() Choice {
	c.Packages = slices.Clone(c.Packages)
	slices.SortFunc(c.Packages, func(a, b Pattern) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Constraint, b.Constraint))
	})
	c.Packages = slices.Compact(c.Packages)
	c.Exclude = slices.Clone(c.Exclude)
	slices.Sort(c.Exclude)
	c.Exclude = slices.Compact(c.Exclude)
	c.Installed = slices.Clone(c.Installed)
	slices.SortFunc(c.Installed, Installed.compare)
	c.Installed = slices.CompactFunc(c.Installed, func(a, b Installed) bool { return a.compare(b) == 0 })
	return c
}

// String returns the choice as canonical JSON: equal choices give equal text.
func (c Choice) String() string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)      // for people: >=1.0.0
	_ = encoder.Encode(c.canonical()) // strings and numbers always have JSON
	return strings.TrimSpace(b.String())
}

// ID returns the first 8 hexadecimal digits of the SHA-256 of String.
func (c Choice) ID() string {
	sum := sha256.Sum256([]byte(c.String()))
	return hex.EncodeToString(sum[:4])
}

// Tag returns the tag of the repository that the choice derives from one with a tag: "<tag>-selected-<ID>".
// A long tag is truncated.
func (c Choice) Tag(tag string) string { return Tag(tag, c.ID()) }

// TagOf returns the tag of the repository that the choice derives from one that is named by digest:
// "selected-<ID>", where the ID is also of the digest.
func (c Choice) TagOf(digest string) string {
	sum := sha256.Sum256([]byte(c.String() + "\n" + digest))
	return Tag("", hex.EncodeToString(sum[:4]))
}

// Tag returns the tag of what the selection with an ID makes of something with a tag, which may be empty:
// "<tag>-selected-<ID>". A long tag is truncated.
func Tag(tag, id string) string {
	end := "selected-" + id
	if tag == "" {
		return end
	}
	return tag[:min(len(tag), oci.MaxTag-len(end)-1)] + "-" + end
}
