package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"

	"relocate"
	"relocate/internal/inputfile"
	"relocate/internal/inspect"
	"relocate/internal/outfile"
	"relocate/internal/printer"
	"relocate/render"
	"relocate/tarball"
)

// showPackage prints what package NAME[/VERSION] asks for.
func (f *inspectFlags) showPackage(cmd *cobra.Command, s *inspect.Subject, which string, show *display) error {
	p, err := s.Package(cmd.Context(), which)
	if err != nil {
		return err
	}
	if p.Package != nil && p.Package.ValuesSchema == nil && (f.schema || f.valuesFile != "" || len(f.checked) > 0) {
		f.findValues(cmd.Context(), s, p, show)
	}
	if f.valuesFile != "" {
		text, err := p.DefaultValues()
		if err != nil {
			return err
		}
		if err := outfile.Write(f.valuesFile, text); err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "Created default values file at %s\n", line(f.valuesFile))
	}
	if len(f.checked) > 0 {
		return f.checkValues(cmd.Context(), cmd.OutOrStdout(), p)
	}
	if f.schema {
		return f.showValues(cmd.OutOrStdout(), p)
	}
	return f.format.print(cmd.OutOrStdout(), p, func(w io.Writer) { writePackage(w, p) })
}

// findValues finds the values that the files of a package declare, where its Package has no schema.
func (f *inspectFlags) findValues(ctx context.Context, s *inspect.Subject, p *inspect.Package, show *display) {
	found, err := f.dataValues(ctx, s, p.Name+"/"+p.Package.Version)
	switch {
	case err != nil:
		f.unknown = true
		show.Note("the Package has no valuesSchema, and its files do not say which values it takes: %v", err)
	case found.Schema == nil:
	case found.Declared:
		show.Note("the Package has no valuesSchema; its files declare these values: %s", strings.Join(found.From, ", "))
	default:
		show.Note("the Package has no valuesSchema; these are the defaults in its files: %s", strings.Join(found.From, ", "))
	}
	if err == nil && found.Schema != nil {
		p.Package.ValuesSchema, p.Package.Origin = found.Schema, &inspect.Origin{Declared: found.Declared, Files: found.From}
	}
}

// dataValues asks ytt which values a package takes.
func (f *inspectFlags) dataValues(ctx context.Context, s *inspect.Subject, which string) (*render.DataValues, error) {
	opt := relocate.RenderOptions{Options: relocate.Options{Jobs: f.jobs.least, MostJobs: f.jobs.most, Renderer: newRenderer()}}
	defer opt.Renderer.Close()
	file := ""
	if s.Archive != nil {
		file = s.Archive.File
	}
	a, from, err := f.archiveOrRepo(ctx, &f.archives, file, f.repo)
	if err != nil {
		return nil, err
	}
	if a != nil {
		defer func() { _ = a.Close() }() // it was only read
	}
	return relocate.DataValues(ctx, a, from, which, opt)
}

// archiveOrRepo opens an archive or, where repo is given, returns the source of --repo. The caller closes
// the archive, which is nil for a source.
func (f *common) archiveOrRepo(
	ctx context.Context, archives *archiveFlags, file, repo string,
) (*tarball.Archive, relocate.Source, error) {
	if repo == "" {
		a, err := archives.open(ctx, file)
		return a, relocate.Source{}, err
	}
	ref, err := parseReference("--repo", repo)
	if err != nil {
		return nil, relocate.Source{}, err
	}
	from := relocate.Source{Bundles: []name.Reference{ref}}
	from.Client, err = f.source(from.Bundles)
	return nil, from, err
}

// showValues prints the values schema.
func (f *inspectFlags) showValues(w io.Writer, p *inspect.Package) error {
	v, err := p.Values()
	if err != nil {
		return err
	}
	return f.format.print(w, v, func(w io.Writer) {
		if f.unknown {
			fmt.Fprintf(w, "Package '%s' has no values schema\n", line(v.Package))
			return
		}
		if p.Package.ValuesSchema == nil {
			fmt.Fprintf(w, "Package '%s' does not have any user configurable values\n", line(v.Package)) // kctrl's words
			return
		}
		rows := [][]string{{"KEY", "DEFAULT", "TYPE", "DESCRIPTION"}}
		for _, value := range v.Values {
			rows = append(rows, []string{value.Key, value.DefaultText(), value.Type, value.Description})
		}
		printer.Grid(w, rows)
	})
}

// writePackage writes a package in kctrl's order, with tanzu's headings.
func writePackage(w io.Writer, v *inspect.Package) {
	rows := [][]string{{"NAME:", v.Name}}
	if m := v.Metadata; m != nil {
		rows = append(rows, []string{"DISPLAY-NAME:", m.DisplayName}, []string{"CATEGORIES:", printer.List(m.Categories)},
			[]string{"SHORT-DESCRIPTION:", printer.Wrap(m.ShortDescription)}, []string{"LONG-DESCRIPTION:", printer.Wrap(m.LongDescription)},
			[]string{"PROVIDER:", m.ProviderName}, []string{"MAINTAINERS:", printer.List(m.Maintainers)},
			[]string{"SUPPORT-DESCRIPTION:", printer.Wrap(m.SupportDescription)})
	}
	if p := v.Package; p != nil {
		rows = append(rows, []string{"VERSION:", p.Version}, []string{"RELEASED-AT:", releasedAt(p.ReleasedAt)},
			[]string{"MIN-CAPACITY-REQUIREMENTS:", printer.Wrap(p.CapacityRequirements)}, []string{"RELEASE-NOTES:", printer.Wrap(p.ReleaseNotes)},
			[]string{"LICENSES:", printer.List(p.Licenses)}, []string{"FETCHES:", printer.List(p.Fetches)})
	}
	printer.Grid(w, rows)
	if v.Package != nil {
		return
	}
	fmt.Fprintln(w)
	rows = [][]string{{"NAME", "VERSION", "RELEASED-AT"}}
	for _, version := range v.Versions {
		rows = append(rows, []string{v.Name, version.Version, releasedAt(version.ReleasedAt)})
	}
	printer.Table(w, rows)
}

// releasedAt formats a time as kctrl does; what is not a time stays as it is.
func releasedAt(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s
	}
	return t.UTC().String()
}

// hasValues reports whether a file has more than defaults that are commented out.
func hasValues(ctx context.Context, path string) bool {
	text, err := inputfile.Read(ctx, path, maxValues)
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return true
		}
	}
	return err != nil && !errors.Is(err, fs.ErrNotExist)
}
