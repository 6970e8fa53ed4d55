package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"relocate/internal/inspect"
	"relocate/internal/outfile"
)

// showPackage prints what package NAME[/VERSION] asks for.
func (f *inspectFlags) showPackage(cmd *cobra.Command, s *inspect.Subject, which string) error {
	p, err := s.Package(cmd.Context(), which)
	if err != nil {
		return err
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
	if f.schema {
		return f.showValues(cmd.OutOrStdout(), p)
	}
	return f.format.print(cmd.OutOrStdout(), p, func(w io.Writer) { writePackage(w, p) })
}

// showValues prints the values schema.
func (f *inspectFlags) showValues(w io.Writer, p *inspect.Package) error {
	v, err := p.Values()
	if err != nil {
		return err
	}
	return f.format.print(w, v, func(w io.Writer) {
		if p.Package.ValuesSchema == nil {
			fmt.Fprintf(w, "Package '%s' does not have any user configurable values\n", line(v.Package)) // kctrl's words
			return
		}
		rows := [][]string{{"KEY", "DEFAULT", "TYPE", "DESCRIPTION"}}
		for _, value := range v.Values {
			rows = append(rows, []string{value.Key, value.DefaultText(), value.Type, value.Description})
		}
		grid(w, rows)
	})
}

// writePackage writes a package in kctrl's order, with tanzu's headings.
func writePackage(w io.Writer, v *inspect.Package) {
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

// releasedAt formats a time as kctrl does; what is not a time stays as it is.
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
