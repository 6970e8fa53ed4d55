package render

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/internal/yamlnode"
	"relocate/render/ytt"
)

// GivenValues are data values that the operator gives to a package, as a PackageInstall would.
type GivenValues struct {
	Package string   // NAME, for every version, or NAME/VERSION
	File    ytt.File // with the path by which the operator names it
}

// GiveValues returns values from a file: YAML documents, each of them a map or empty.
//
// Errors: what is not such a file, with its line.
func GiveValues(pkg, path string, data []byte) (GivenValues, error) {
	g := GivenValues{pkg, ytt.File{Path: path, Data: data}}
	if err := yamlnode.Check(data); err != nil {
		return g, err
	}
	for doc := range yamlnode.Documents(data) {
		n, err := doc.Tree() // so that an error has a line
		var at *yamlnode.Error
		if errors.As(err, &at) {
			return g, fmt.Errorf("line %d: %w", at.Line, err)
		}
		if err != nil {
			return g, err
		}
		if n != nil && n.Kind != yaml.MappingNode {
			return g, fmt.Errorf("line %d: is not a map of data values", n.Line)
		}
	}
	return g, nil
}

// Values are the files that the operator gives, in order: of a package the last one wins.
type Values []GivenValues

// Of returns the files for a version of a package, in order.
func (v Values) Of(pkg, version string) (files []ytt.File) {
	for _, g := range v {
		if g.Package == pkg || g.Package == pkg+"/"+version {
			files = append(files, g.File)
		}
	}
	return files
}

// UnusedValuesError says that values are for a package that is not in what was read.
type UnusedValuesError struct {
	Given    GivenValues
	Names    []string // of the packages that were read, sorted
	Versions []string // of the named package, newest first; none where it is not one of them
}

func (e *UnusedValuesError) Error() string {
	name, version, _ := strings.Cut(e.Given.Package, "/")
	if len(e.Versions) == 0 {
		return fmt.Sprintf("values file %s: package %s was not found", e.Given.File.Path, name)
	}
	return fmt.Sprintf("values file %s: package %s does not have version %s, only %s", e.Given.File.Path, name, version, strings.Join(e.Versions, ", "))
}

// Check checks that each file is for one of the packages.
//
// Errors: *UnusedValuesError.
func (v Values) Check(packages []carvel.Package) error {
	for _, g := range v {
		if err := g.check(packages); err != nil {
			return err
		}
	}
	return nil
}

func (g GivenValues) check(packages []carvel.Package) error {
	name, version, _ := strings.Cut(g.Package, "/")
	e := &UnusedValuesError{Given: g}
	for _, p := range packages {
		if p.Name == name && (version == "" || p.Version == version) {
			return nil
		}
		if e.Names = append(e.Names, p.Name); p.Name == name {
			e.Versions = append(e.Versions, p.Version)
		}
	}
	slices.Sort(e.Names)
	e.Names = slices.Compact(e.Names)
	slices.SortFunc(e.Versions, func(a, b string) int { return carvel.CompareVersions(b, a) })
	e.Versions = slices.Compact(e.Versions)
	return e
}
