package main

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"relocate/carvel"
	"relocate/carvel/values"
	"relocate/choose"
	"relocate/internal/inspect"
	"relocate/render"
	"relocate/rewrite"
	"relocate/verify/leak"
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

// meant returns a guess where NAME is the beginning of one package's name, as in that of its PackageInstall.
func (i installing) meant(s *inspect.Subject, err error) error {
	var names []string
	for _, p := range s.Graph.Packages {
		if strings.HasPrefix(p.Name, i.pkg+".") && !slices.Contains(names, p.Name) {
			names = append(names, p.Name)
		}
	}
	if len(names) != 1 {
		return err
	}
	return guessf(replacing(i.given, names[0]+strings.TrimPrefix(i.given, i.pkg)), "%w; a package is named in full", err)
}

// emitted is what emit finds in an archive, once for all sites.
type emitted struct {
	installs []rewrite.Install
	notes    []string // about them
	found    *leak.Report
}

func (e *emitted) note(format string, args ...any) {
	e.notes = append(e.notes, fmt.Sprintf(format, args...))
}

// packages returns the packages of --install, with their values.
func (f *emitFlags) packages(ctx context.Context, e *emission, s *inspect.Subject) (_ []rewrite.Install, err error) {
	if f.emitted.installs == nil {
		if f.emitted.installs, err = f.findPackages(ctx, s); err != nil {
			return nil, err
		}
	}
	e.notes = append(e.notes, f.emitted.notes...)
	return f.emitted.installs, nil
}

// scan returns what the leak scan finds in the archive.
func (f *emitFlags) scan(ctx context.Context, s *inspect.Subject) (_ *leak.Report, err error) {
	if f.emitted.found == nil {
		opt := leak.Options{Jobs: automatic.least, Renderer: s.Renderer}
		f.emitted.found, err = leak.Scan(ctx, s.Source, s.Graph, opt)
	}
	return f.emitted.found, err
}

// findPackages finds the packages of --install in the archive, and reads their values.
func (f *emitFlags) findPackages(ctx context.Context, s *inspect.Subject) ([]rewrite.Install, error) {
	list := []rewrite.Install{}
	names := map[string]string{} // of PackageInstalls → package
	for _, given := range f.installs {
		which, err := parseInstall(given)
		if err != nil {
			return nil, err
		}
		p, err := which.find(s)
		if err != nil {
			return nil, which.meant(s, err)
		}
		short, _, _ := strings.Cut(p.Name, ".")
		i := rewrite.Install{Name: cmp.Or(which.as, short), Package: p, Constraint: which.constraint}
		if other, taken := names[i.Name]; taken {
			return nil, usagef("--install %s: %s already has the name %s; choose another name, as in %s=NAME",
				given, other, i.Name, which.pkg)
		}
		names[i.Name] = which.pkg
		if isOld := f.api == rewrite.OldPackagingAPI; isOld != (p.Old != nil) {
			f.emitted.note("%s/%s will not be found: kapp-controller with the API %s does not serve Packages of this kind",
				p.Name, p.Version, f.api)
		}
		list = append(list, i)
	}
	given, err := f.readValues(ctx, list)
	if err != nil {
		return nil, err
	}
	for n := range list {
		if err := f.addValues(ctx, s, &list[n], given[n]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// readValues reads the files of --values-file: those of each install, in order.
func (f *emitFlags) readValues(ctx context.Context, list []rewrite.Install) ([]render.Values, error) {
	all := make([]render.Values, len(list))
	for _, given := range f.values {
		pkg, file := splitValues(given)
		if pkg == "" && len(list) > 1 {
			return nil, usagef("--values-file %s: write NAME=FILE: there are %d packages to install", given, len(list))
		}
		text, err := readValues(ctx, pkg, file)
		if err != nil {
			return nil, err
		}
		used := false
		for n, i := range list {
			if pkg == "" || pkg == i.Name || pkg == i.Package.Name || pkg == i.Package.Name+"/"+i.Package.Version {
				all[n], used = append(all[n], text), true
			}
		}
		if !used {
			return nil, usagef("--values-file %s: --install does not name package %s", given, pkg)
		}
	}
	return all, nil
}

// addValues gives a package its values, checked, or else its default values.
func (f *emitFlags) addValues(ctx context.Context, s *inspect.Subject, i *rewrite.Install, given render.Values) error {
	which := i.Package.Name + "/" + i.Package.Version
	d, err := s.Package(ctx, which)
	if err != nil && len(given) > 0 {
		return err
	}
	if err == nil {
		err = f.emitted.checkValues(which, d.Package.ValuesSchema, given, f.api == rewrite.OldPackagingAPI)
	}
	if len(given) == 0 {
		i.Skeleton = true
		text, err := defaultValues(d, err)
		if err != nil {
			f.emitted.note("%s: no values Secret: %v", which, err)
		} else if text != "" {
			i.Values = []string{text}
		}
		return nil
	}
	for _, v := range given {
		i.Values = append(i.Values, string(v.File.Data))
		if f.api == rewrite.OldPackagingAPI && !strings.Contains(string(v.File.Data), "#@data/values") {
			f.emitted.note("kapp-controller of %s gives values to ytt as one of the package's own files: "+
				"for a package with ytt, %s must begin with the lines #@data/values and ---", f.api, v.File.Path)
		}
	}
	return err
}

// directives are the lines for ytt in a file that is a template.
var directives = regexp.MustCompile(`(?m)^([ \t]*)#@.*$`)

// checkValues checks the values that are given to a package, NAME/VERSION, against its schema. Without
// any, a note names those that it needs. The old API takes templates of ytt.
func (e *emitted) checkValues(which string, schema carvel.Schema, given render.Values, old bool) error {
	if schema == nil {
		if len(given) > 0 {
			e.note("%s has no schema of its values: those of --values-file were not checked", which)
		}
		return nil
	}
	var list []values.File
	for _, v := range given {
		data := v.File.Data
		if old {
			data = directives.ReplaceAll(data, []byte("$1#"))
		}
		list = append(list, values.File{Path: v.File.Path, Data: data})
	}
	problems, err := values.Check(schema, list)
	if err != nil {
		return fmt.Errorf("values of %s: %w", which, err)
	}
	if len(given) > 0 && values.HasErrors(problems) {
		text := ""
		for _, p := range problems {
			text += fmt.Sprintf("\n  %s: %s", p.Level(), p)
		}
		return wrongValuesError{fmt.Errorf("the values do not fit the schema of %s:%s", which, text)}
	}
	for _, p := range problems {
		e.note("values of %s: %s", which, p)
	}
	return nil
}

// defaultValues returns the text of the default values of a package; empty when it has no schema. It
// may go to a terminal, in an object.
func defaultValues(d *inspect.Package, err error) (string, error) {
	if err != nil || d.Package.ValuesSchema == nil {
		return "", err
	}
	text, err := d.DefaultValues()
	return printable(string(text)), err
}
