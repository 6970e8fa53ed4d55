package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"relocate/carvel"
	"relocate/internal/outfile"
)

// packageView is what inspect prints of one package.
type packageView struct {
	Version  int                     `json:"version"`
	Name     string                  `json:"name"`
	Metadata *carvel.MetadataDetails `json:"metadata,omitempty"` // when there is a PackageMetadata
	Package  *packageVersion         `json:"package,omitempty"`  // the version that was asked for
	Versions []versionReport         `json:"versions,omitempty"` // newest first, when none was asked for
}

type packageVersion struct {
	*carvel.PackageDetails
	Fetches []string `json:"fetches"` // references and URLs, as written
}

type versionReport struct {
	Version    string `json:"version"`
	ReleasedAt string `json:"releasedAt"` // as written
}

// valuesView is what inspect prints of a values schema.
type valuesView struct {
	Version int            `json:"version"`
	Package string         `json:"package"` // NAME/VERSION
	Values  []carvel.Value `json:"values"`
}

// showPackage prints what package NAME[/VERSION] asks for.
func (f *inspectFlags) showPackage(cmd *cobra.Command, s *subject, which string) error {
	p, err := s.find(which)
	if err != nil {
		return err
	}
	pkg, version, _ := strings.Cut(which, "/")
	node := s.graph.Node(p.Repository)
	d, err := node.Details(cmd.Context(), s.source, pkg, version)
	if err != nil {
		return err
	}
	if version != "" && d.Package == nil { // what the graph was made of is read again
		return fmt.Errorf("package %s: its bundle %s changed while it was read", which, node.Name())
	}
	if f.valuesFile != "" {
		if err := f.writeValues(cmd.ErrOrStderr(), which, d.Package); err != nil {
			return err
		}
	}
	if f.schema {
		return f.showValues(cmd.OutOrStdout(), which, d.Package)
	}
	v := packageView{Version: reportVersion, Name: pkg, Metadata: d.Metadata}
	if version != "" {
		v.Package = &packageVersion{d.Package, []string{}}
		for _, fetch := range p.Fetches {
			v.Package.Fetches = append(v.Package.Fetches, fetch.Reference)
		}
	} else {
		for _, p := range s.graph.Versions(pkg) {
			v.Versions = append(v.Versions, versionReport{p.Version, p.ReleasedAt})
		}
	}
	return f.format.print(cmd.OutOrStdout(), v, v.text)
}

// find returns the version of a package, or, when which names none, the newest.
func (s *subject) find(which string) (*carvel.Package, error) {
	pkg, version, _ := strings.Cut(which, "/")
	versions := s.graph.Versions(pkg)
	if len(versions) == 0 {
		return nil, absentError{fmt.Errorf("package %s: %s has none of that name", pkg, s.name)}
	}
	var have []string
	for i, p := range versions {
		if version == "" || p.Version == version {
			return &versions[i], nil
		}
		have = append(have, p.Version)
	}
	return nil, absentError{fmt.Errorf("package %s: %s has no such version, only %s", which, s.name, strings.Join(have, ", "))}
}

// writeValues writes the file of default values.
func (f *inspectFlags) writeValues(stderr io.Writer, which string, p *carvel.PackageDetails) error {
	if p.ValuesSchema == nil {
		return absentError{fmt.Errorf("package %s: does not have any user configurable values", which)}
	}
	text, err := p.ValuesSchema.DefaultFile()
	if err != nil {
		return fmt.Errorf("package %s: %w", which, err)
	}
	if err := outfile.Write(f.valuesFile, text); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "Created default values file at %s\n", line(f.valuesFile))
	return nil
}

// showValues prints the values schema.
func (f *inspectFlags) showValues(w io.Writer, which string, p *carvel.PackageDetails) error {
	v := valuesView{Version: reportVersion, Package: which, Values: []carvel.Value{}}
	if p.ValuesSchema != nil {
		var err error
		if v.Values, err = p.ValuesSchema.Values(); err != nil {
			return fmt.Errorf("package %s: %w", which, err)
		}
	}
	return f.format.print(w, v, func(w io.Writer) {
		if p.ValuesSchema == nil {
			fmt.Fprintf(w, "Package '%s' does not have any user configurable values\n", line(which)) // kctrl's words
			return
		}
		rows := [][]string{{"KEY", "DEFAULT", "TYPE", "DESCRIPTION"}}
		for _, value := range v.Values {
			rows = append(rows, []string{value.Key, value.DefaultText(), value.Type, value.Description})
		}
		grid(w, rows)
	})
}

// text prints the package in kctrl's order, with tanzu's headings.
func (v packageView) text(w io.Writer) {
	rows := [][]string{{"NAME:", v.Name}}
	if m := v.Metadata; m != nil {
		rows = append(rows, []string{"DISPLAY-NAME:", m.DisplayName}, []string{"CATEGORIES:", list(m.Categories)},
			[]string{"SHORT-DESCRIPTION:", wrap(m.ShortDescription)}, []string{"LONG-DESCRIPTION:", wrap(m.LongDescription)},
			[]string{"PROVIDER:", m.ProviderName}, []string{"MAINTAINERS:", list(m.Maintainers)},
			[]string{"SUPPORT-DESCRIPTION:", wrap(m.SupportDescription)})
	}
	if p := v.Package; p != nil {
		rows = append(rows, []string{"VERSION:", p.Version}, []string{"RELEASED-AT:", releasedAt(p.ReleasedAt)},
			[]string{"MIN-CAPACITY-REQUIREMENTS:", wrap(p.CapacityRequirements)}, []string{"RELEASE-NOTES:", wrap(p.ReleaseNotes)},
			[]string{"LICENSES:", list(p.Licenses)}, []string{"FETCHES:", list(p.Fetches)})
	}
	grid(w, rows)
	if v.Package != nil {
		return
	}
	fmt.Fprintln(w)
	rows = [][]string{{"NAME", "VERSION", "RELEASED-AT"}}
	for _, version := range v.Versions {
		rows = append(rows, []string{v.Name, version.Version, releasedAt(version.ReleasedAt)})
	}
	table(w, rows)
}

// releasedAt writes a time as kctrl does; what is no time as it is.
func releasedAt(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s
	}
	return t.UTC().String()
}

// list writes items on lines of their own.
func list(items []string) string {
	var lines []string
	for _, item := range items {
		lines = append(lines, "- "+line(item))
	}
	return strings.Join(lines, "\n")
}

// wrapWidth is where kctrl wraps descriptions.
const wrapWidth = 80

// wrap breaks the lines of s between words. A word that is too long stays whole.
func wrap(s string) string {
	var out []string
	for l := range strings.Lines(s) {
		now := ""
		for _, word := range strings.Fields(l) {
			if now != "" && utf8.RuneCountInString(now)+1+utf8.RuneCountInString(word) > wrapWidth {
				out, now = append(out, now), ""
			}
			now = strings.TrimPrefix(now+" "+word, " ")
		}
		out = append(out, now)
	}
	return strings.TrimRight(strings.Join(out, "\n"), "\n")
}
