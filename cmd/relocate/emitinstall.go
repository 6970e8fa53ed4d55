package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"relocate/carvel"
	"relocate/choose"
	"relocate/internal/inspect"
	"relocate/render"
	"relocate/rewrite"
)

// installing is a value of --install.
type installing struct {
	given      string
	pkg        string // NAME or NAME/VERSION
	constraint string
	as         string
}

// parseInstall reads NAME[/VERSION][=AS] or NAME[=AS]@CONSTRAINT.
func parseInstall(given string) (i installing, err error) {
	left, constraint, constrained := strings.Cut(given, "@")
	i = installing{given: given, constraint: strings.TrimSpace(constraint)}
	i.pkg, i.as, _ = strings.Cut(left, "=")
	if !constrained {
		return i, nil
	}
	if strings.Contains(i.pkg, "/") {
		return i, usagef("--install %s: give a version or a constraint, not both", given)
	}
	if _, err := choose.ParsePattern(i.pkg + "@" + constraint); err != nil {
		return i, usagef("--install %s: %w; AS comes before it: NAME=AS@CONSTRAINT", given, err)
	}
	return i, nil
}

// find returns the package, in the version to install.
func (i installing) find(s *inspect.Subject) (*carvel.Package, error) {
	if i.constraint != "" {
		return s.Select(i.pkg, i.constraint)
	}
	return s.Find(i.pkg)
}

// packages returns the packages of --install, with their values.
func (f *emitFlags) packages(ctx context.Context, e *emission, s *inspect.Subject) ([]rewrite.Install, error) {
	var list []rewrite.Install
	names := map[string]string{} // of PackageInstalls → package
	for _, given := range f.installs {
		which, err := parseInstall(given)
		if err != nil {
			return nil, err
		}
		p, err := which.find(s)
		if err != nil {
			return nil, err
		}
		short, _, _ := strings.Cut(p.Name, ".")
		i := rewrite.Install{Name: cmp.Or(which.as, short), Package: p, Constraint: which.constraint}
		if other, taken := names[i.Name]; taken {
			return nil, usagef("--install %s: %s already has the name %s; choose another name, as in %s=NAME", given, other, i.Name, which.pkg)
		}
		names[i.Name] = which.pkg
		list = append(list, i)
	}
	values, err := f.readValues(list)
	if err != nil {
		return nil, err
	}
	for n := range list {
		if err := f.addValues(ctx, e, s, &list[n], values[n]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// readValues reads the files of --values-file: those of each install, in order.
func (f *emitFlags) readValues(list []rewrite.Install) ([]render.Values, error) {
	values := make([]render.Values, len(list))
	for _, given := range f.values {
		pkg, file := splitValues(given)
		if pkg == "" && len(list) > 1 {
			return nil, usagef("--values-file %s: write NAME=FILE: there are %d packages to install", given, len(list))
		}
		text, err := readValues(pkg, file)
		if err != nil {
			return nil, err
		}
		used := false
		for n, i := range list {
			if pkg == "" || pkg == i.Name || pkg == i.Package.Name || pkg == i.Package.Name+"/"+i.Package.Version {
				values[n], used = append(values[n], text), true
			}
		}
		if !used {
			return nil, usagef("--values-file %s: --install does not name package %s", given, pkg)
		}
	}
	return values, nil
}

// addValues gives a package its values, or else its default values.
func (f *emitFlags) addValues(ctx context.Context, e *emission, s *inspect.Subject, i *rewrite.Install, values render.Values) error {
	which := i.Package.Name + "/" + i.Package.Version
	if len(values) == 0 {
		i.Skeleton = true
		text, err := defaultValues(ctx, s, which)
		if err != nil {
			e.notes = append(e.notes, fmt.Sprintf("%s: no values Secret: %v", which, err))
		} else if text != "" {
			i.Values = []string{text}
		}
		return nil
	}
	d, err := s.Package(ctx, which)
	if err != nil {
		return err
	}
	if d.Package.ValuesSchema == nil {
		e.notes = append(e.notes, fmt.Sprintf("%s has no schema of its values: those of --values-file were not checked", which))
	}
	for _, v := range values {
		i.Values = append(i.Values, string(v.File.Data))
		if f.api == rewrite.OldPackagingAPI && !strings.Contains(string(v.File.Data), "#@data/values") {
			e.notes = append(e.notes, fmt.Sprintf("kapp-controller of %s gives values to ytt as one of the package's own files: for a package with ytt, "+
				"%s must begin with the lines #@data/values and ---", f.api, v.File.Path))
		}
	}
	return nil
}

// defaultValues returns the text of the default values of a package, NAME/VERSION; empty when it has
// none. It may go to a terminal, in an object.
func defaultValues(ctx context.Context, s *inspect.Subject, which string) (string, error) {
	d, err := s.Package(ctx, which)
	if err != nil || d.Package.ValuesSchema == nil {
		return "", err
	}
	text, err := d.DefaultValues()
	return printable(string(text)), err
}
