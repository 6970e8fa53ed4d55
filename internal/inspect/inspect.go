// Package inspect finds what an archive or a package repository contains: packages, images, and the
// bundle that a reference, a digest or a package means.
//
// Begin with Open, Read or Walk, for which a renderer runs the templates of repositories, and ask the
// Subject that they return. JSON fields are never renamed or removed within Version.
package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/render"
	"relocate/report"
	"relocate/tarball"
)

// Version is that of the JSON of this package.
const Version = 1

// Subject is an archive or a package repository.
type Subject struct {
	Name    string // of the archive's file, or the reference
	Graph   *bundle.Graph
	Source  bundle.Source
	Plan    *bundle.Plan    // nil when only the root was read
	Archive *report.Archive // nil for a repository

	// Renderer runs the templates of repositories; nil: files are read as they are.
	Renderer *render.Renderer

	close func() error
}

// Open reads the plan of an archive, jobs at once, and nothing that comes after it: layers are not
// verified. Closing the Subject closes the archive, and so does an error.
//
// Errors: as tarball.Archive.HeadPlan.
func Open(ctx context.Context, a *tarball.Archive, jobs int, r *render.Renderer) (*Subject, error) {
	plan, err := a.HeadPlan(ctx, jobs, r)
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return Part(a, plan, a, r), nil
}

// Part returns the part of an archive that a plan has, with the source of its content. Closing the
// Subject closes the archive.
func Part(a *tarball.Archive, plan *bundle.Plan, src bundle.Source, r *render.Renderer) *Subject {
	archive := &report.Archive{File: a.Name(), Size: a.Size(), Form: a.Format().String(), Seal: a.Seal()}
	return &Subject{Name: a.Name(), Graph: plan.Graph, Source: src, Plan: plan, Archive: archive, Renderer: r, close: a.Close}
}

// Read reads the bundle ref alone.
//
// Errors: as bundle.ReadBundle.
func Read(ctx context.Context, src bundle.Source, ref name.Reference, r *render.Renderer) (*Subject, error) {
	g, err := bundle.ReadBundle(ctx, src, ref, r)
	if err != nil {
		return nil, err
	}
	return &Subject{Name: ref.Name(), Graph: g, Source: src, Renderer: r}, nil
}

// Walk reads the bundle ref, and all that it names in its own repository. read is called for each
// manifest, concurrently.
//
// Errors: as bundle.ReadBundle and bundle.Walk.
func Walk(ctx context.Context, src bundle.Source, ref name.Reference, jobs int, r *render.Renderer, read func()) (*Subject, error) {
	s, err := Read(ctx, src, ref, r)
	if err != nil {
		return nil, err
	}
	pins := []bundle.Pin{{Reference: ref.Name(), Digest: s.Graph.Roots[0].Digest}}
	opt := bundle.WalkOptions{Jobs: jobs, Closed: true, Absent: true, Pins: pins, Renderer: r, Read: read}
	if s.Graph, err = bundle.Walk(ctx, src, []name.Reference{ref}, opt); err != nil {
		return nil, err
	}
	s.Plan, err = bundle.NewPlan(s.Graph, bundle.PlanOptions{})
	return s, err
}

// Close closes an archive that was opened.
func (s *Subject) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

// MissingError says that a subject does not have what was named.
type MissingError struct{ reason string }

func (e MissingError) Error() string { return e.reason }

func missing(format string, args ...any) error { return MissingError{fmt.Sprintf(format, args...)} }

// Report is the content of a Subject.
type Report struct {
	Version  int              `json:"version"`
	Roots    []report.Root    `json:"roots"`
	Archive  *report.Archive  `json:"archive,omitempty"`
	Contents *report.Contents `json:"contents,omitempty"` // nil when only the root was read
	Packages []PackageSummary `json:"packages"`           // by name
	Old      []OldPackage     `json:"old,omitempty"`      // of Packages, by name, newest first
	Images   []Image          `json:"images,omitempty"`   // likewise
	Omitted  []report.Omitted `json:"omitted,omitempty"`
	Bases    []report.Base    `json:"bases,omitempty"` // of which the archive assumes layers
	Findings []report.Finding `json:"findings,omitempty"`
}

// PackageSummary is a package and its versions.
type PackageSummary struct {
	Name             string   `json:"name"`
	DisplayName      string   `json:"displayName"`
	ShortDescription string   `json:"shortDescription"`
	Versions         []string `json:"versions"` // newest first
}

// OldPackage is a version of a package that kapp-controller v0.17 and v0.18 serve, and current versions
// do not.
type OldPackage struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	Description string `json:"description"`
}

// Image is a manifest of any kind.
type Image struct {
	Digest     v1.Hash     `json:"digest"`
	Kind       bundle.Kind `json:"kind"`
	References []string    `json:"references,omitempty"`
	Size       int64       `json:"size"` // of the manifest and its own blobs
	Children   []v1.Hash   `json:"children,omitempty"`
}

// Report returns the content.
func (s *Subject) Report() Report {
	r := Report{
		Version: Version, Roots: s.Graph.NamedRoots(), Archive: s.Archive,
		Packages: packages(s.Graph), Old: oldPackages(s.Graph), Findings: s.Graph.Findings,
	}
	if s.Plan == nil {
		return r
	}
	c := s.Plan.Contents()
	r.Contents, r.Omitted, r.Bases = &c, s.Plan.Omitted, s.Plan.Given()
	r.Images = Images(s.Graph)
	return r
}

// Images returns the manifests of a graph, in its order.
func Images(g *bundle.Graph) (list []Image) {
	for _, n := range g.Nodes {
		list = append(list, Image{n.Descriptor.Digest, n.Kind, n.References, n.Size(), n.Children})
	}
	return list
}

func packages(g *bundle.Graph) []PackageSummary {
	byName := map[string]*PackageSummary{}
	for _, p := range g.Packages {
		if byName[p.Name] == nil {
			byName[p.Name] = &PackageSummary{Name: p.Name}
		}
		byName[p.Name].Versions = append(byName[p.Name].Versions, p.Version)
	}
	for _, p := range slices.Backward(oldVersions(g)) { // the newest comes last
		byName[p.Name].DisplayName, byName[p.Name].ShortDescription = p.Old.DisplayName, p.Old.Description
	}
	for _, m := range g.Metadata {
		if p := byName[m.Name]; p != nil {
			p.DisplayName, p.ShortDescription = m.DisplayName, m.ShortDescription
		}
	}
	list := []PackageSummary{}
	for _, p := range byName {
		slices.SortFunc(p.Versions, func(a, b string) int { return carvel.CompareVersions(b, a) })
		p.Versions = slices.Compact(p.Versions)
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b PackageSummary) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// oldVersions returns the packages of a graph that are an OldPackage, by name, newest first.
func oldVersions(g *bundle.Graph) (list []carvel.Package) {
	for _, p := range g.Packages {
		if p.Old != nil {
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b carvel.Package) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), carvel.CompareVersions(b.Version, a.Version))
	})
	return list
}

func oldPackages(g *bundle.Graph) (list []OldPackage) {
	for _, p := range oldVersions(g) {
		list = append(list, OldPackage{p.Name, p.Version, p.Old.Description})
	}
	return slices.Compact(list)
}

// Find returns the version NAME/VERSION of a package or, for NAME alone, the newest one.
//
// Errors: MissingError.
func (s *Subject) Find(which string) (*carvel.Package, error) {
	pkg, version, _ := strings.Cut(which, "/")
	versions := s.Graph.Versions(pkg)
	if len(versions) == 0 {
		return nil, missing("package %s: %s has no package of that name", pkg, s.Name)
	}
	var present []string
	for i, p := range versions {
		if version == "" || p.Version == version {
			return &versions[i], nil
		}
		present = append(present, p.Version)
	}
	return nil, missing("package %s: %s does not have this version, only %s", which, s.Name, strings.Join(present, ", "))
}

// Select returns the version of a package that kapp-controller would install for a constraint.
//
// Errors: MissingError; a constraint that kapp-controller cannot read.
func (s *Subject) Select(pkg, constraint string) (*carvel.Package, error) {
	selection, err := carvel.ParseSelection(constraint, nil)
	if err != nil {
		return nil, err
	}
	if _, err := s.Find(pkg); err != nil {
		return nil, err
	}
	packages := s.Graph.Versions(pkg)
	var versions []string
	for _, p := range packages {
		versions = append(versions, p.Version)
	}
	left, _ := selection.Select(versions)
	if len(left) == 0 {
		return nil, missing("package %s: none of its versions in %s meets %s: %s",
			pkg, s.Name, constraint, strings.Join(versions, ", "))
	}
	return &packages[left[len(left)-1]], nil
}

// FetchedBundle returns the digest of the bundle that a package NAME[/VERSION] fetches.
//
// Errors: MissingError.
func (s *Subject) FetchedBundle(which string) (v1.Hash, error) {
	p, err := s.Find(which)
	if err != nil {
		return v1.Hash{}, err
	}
	for _, f := range p.Fetches {
		if f.Kind == "imgpkgBundle" && f.Digest != (v1.Hash{}) {
			return f.Digest, nil
		}
	}
	return v1.Hash{}, missing("package %s: fetches no bundle that %s has", which, s.Name)
}

// Digest returns the digest that a reference has, or had when the archive was made.
//
// Errors: MissingError.
func (s *Subject) Digest(ref name.Reference) (v1.Hash, error) {
	if d, ok := ref.(name.Digest); ok {
		return v1.NewHash(d.DigestStr())
	}
	for _, pin := range s.Graph.Pins {
		if pin.Reference == ref.Name() {
			return pin.Digest, nil
		}
	}
	return v1.Hash{}, missing("%s: %s does not have this tag", ref, s.Name)
}

// Locate returns the reference under which the source has the manifest with a digest. Where only
// the root was read, the manifest is taken to be in the root's repository.
//
// Errors: MissingError.
func (s *Subject) Locate(digest v1.Hash) (name.Digest, error) {
	n := s.Graph.Node(digest)
	switch {
	case n == nil && s.Plan != nil:
		return name.Digest{}, missing("bundle %s: %s does not have it", digest, s.Name)
	case n == nil:
		n = s.Graph.Nodes[0]
	}
	return n.From.Digest(digest.String()), nil
}

// details reads what the bundle of p says of a package and, unless version is empty, of that
// version.
func (s *Subject) details(ctx context.Context, p *carvel.Package, version string) (*carvel.Details, error) {
	node := s.Graph.Node(p.Repository)
	d, err := node.Details(ctx, s.Source, s.Renderer, p.Name, version)
	if err != nil {
		return nil, err
	}
	if version != "" && d.Package == nil { // the graph was made from other content
		return nil, fmt.Errorf("package %s/%s: its bundle %s changed while it was read", p.Name, version, node.Name())
	}
	return d, nil
}
