package inspect

import (
	"context"
	"fmt"
	"strings"

	"relocate/carvel"
	"relocate/carvel/values"
)

// Package is what a subject says of a package.
type Package struct {
	Version  int                     `json:"version"`
	Name     string                  `json:"name"`
	Metadata *carvel.MetadataDetails `json:"metadata,omitempty"` // nil without a PackageMetadata
	Package  *PackageVersion         `json:"package,omitempty"`  // the version that was asked for
	Versions []ReleasedVersion       `json:"versions,omitempty"` // newest first, when none was asked for
}

// PackageVersion is one version of a package.
type PackageVersion struct {
	*carvel.PackageDetails
	Fetches []string `json:"fetches"` // references and URLs, as written
	Origin  *Origin  `json:"-"`       // of ValuesSchema; nil: the Package's own
}

// ReleasedVersion is a version and its time.
type ReleasedVersion struct {
	Version    string `json:"version"`
	ReleasedAt string `json:"releasedAt"` // as written
}

// Values are the settings of a package.
type Values struct {
	Version int            `json:"version"`
	Package string         `json:"package"` // NAME/VERSION
	Values  []carvel.Value `json:"values"`
	Origin  *Origin        `json:"origin,omitempty"` // nil: the Package's own schema
}

// Origin says where values come from that a Package has no schema for.
type Origin struct {
	Declared bool     `json:"declared"` // by a schema of ytt; otherwise they are defaults
	Files    []string `json:"files"`    // of what the package fetches
}

// Package describes the package NAME[/VERSION].
//
// Errors: MissingError; those of the source; an error about a document that cannot be read.
func (s *Subject) Package(ctx context.Context, which string) (*Package, error) {
	p, err := s.Find(which)
	if err != nil {
		return nil, err
	}
	pkg, version, _ := strings.Cut(which, "/")
	d, err := s.details(ctx, p, version)
	if err != nil {
		return nil, err
	}
	v := &Package{Version: Version, Name: pkg, Metadata: d.Metadata}
	if version == "" {
		for _, p := range s.Graph.Versions(pkg) {
			v.Versions = append(v.Versions, ReleasedVersion{p.Version, p.ReleasedAt})
		}
		return v, nil
	}
	v.Package = &PackageVersion{d.Package, []string{}, nil}
	for _, fetch := range p.Fetches {
		v.Package.Fetches = append(v.Package.Fetches, fetch.Reference)
	}
	return v, nil
}

// Values returns the settings of the package, whose version was asked for. Without a schema it has
// none.
func (p *Package) Values() (*Values, error) {
	v := &Values{Version, p.which(), []carvel.Value{}, p.Package.Origin}
	schema := p.Package.ValuesSchema
	if schema == nil {
		return v, nil
	}
	var err error
	if v.Values, err = schema.Values(); err != nil {
		return nil, fmt.Errorf("package %s: %w", p.which(), err)
	}
	return v, nil
}

// DefaultValues returns a file of the default values, commented out, of the package, whose version
// was asked for.
//
// Errors: MissingError without a schema.
func (p *Package) DefaultValues() ([]byte, error) {
	if p.Package.ValuesSchema == nil {
		return nil, missing("package %s: does not have any user configurable values", p.which()) // kctrl's words
	}
	text, err := p.Package.ValuesSchema.DefaultFile()
	if err != nil {
		return nil, fmt.Errorf("package %s: %w", p.which(), err)
	}
	return text, nil
}

// CheckedValues says whether values files fit the schema of a package.
type CheckedValues struct {
	Version  int              `json:"version"`
	Package  string           `json:"package"` // NAME/VERSION
	Files    []string         `json:"files"`   // in order
	OK       bool             `json:"ok"`
	Problems []values.Problem `json:"problems"`
	Origin   *Origin          `json:"origin,omitempty"` // as of Values
}

// CheckValues checks values files, of which later ones win, for the package, whose version was asked
// for.
//
// Errors: MissingError without a schema; those of values.Check.
func (p *Package) CheckValues(files []values.File) (*CheckedValues, error) {
	if p.Package.ValuesSchema == nil || p.Package.Origin != nil && !p.Package.Origin.Declared {
		return nil, missing("package %s: says nowhere which values it takes, so they cannot be checked", p.which())
	}
	found, err := values.Check(p.Package.ValuesSchema, files)
	if err != nil {
		return nil, fmt.Errorf("package %s: %w", p.which(), err)
	}
	c := &CheckedValues{
		Version: Version, Package: p.which(), Files: []string{}, OK: !values.HasErrors(found),
		Problems: append([]values.Problem{}, found...), Origin: p.Package.Origin,
	}
	for _, f := range files {
		c.Files = append(c.Files, f.Path)
	}
	return c, nil
}

func (p *Package) which() string { return p.Name + "/" + p.Package.Version }
