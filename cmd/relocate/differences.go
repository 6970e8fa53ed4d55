package main

import (
	"fmt"
	"io"
	"strings"

	"relocate/carvel"
	"relocate/diff"
	"relocate/internal/printer"
)

// differences writes what diff found.
type differences struct{ *diff.Report }

// text writes the differences for people.
func (d differences) text(w io.Writer) {
	writeSide(w, "A", &d.A)
	writeSide(w, "B", &d.B)
	fmt.Fprintln(w)
	if d.Equal {
		fmt.Fprintln(w, "no differences")
	} else {
		d.changes(w)
	}
	d.notes(w)
}

// writeSide writes what a side is.
func writeSide(w io.Writer, letter string, s *diff.Subject) {
	fmt.Fprintf(w, "%s  %s (%s): %s, %s\n", letter, line(s.Name), s.Kind, count(s.Blobs.Blobs, "blob"), size(s.Blobs.Bytes))
	for _, root := range s.Roots {
		if root.Reference != "" { // of an inventory they have no name
			fmt.Fprintf(w, "   %s\n", root)
			if root.Derived != nil {
				fmt.Fprintf(w, "     derived from %s\n", root.Derived)
			}
		}
	}
}

// changes writes what differs.
func (d differences) changes(w io.Writer) {
	d.summary(w)
	if len(d.Packages) > 0 {
		fmt.Fprintln(w)
		d.packages(w)
	}
	for _, p := range d.Packages {
		for i := range p.Values {
			writeChangedValues(w, p.Name, &p.Values[i])
		}
	}
	d.images(w)
}

// summary counts what differs.
func (d differences) summary(w io.Writer) {
	if !d.DigestsOnly {
		packages, versions := d.Counts()
		fmt.Fprintf(w, "packages     %s\n", packages)
		fmt.Fprintf(w, "versions     %s\n", versions)
	}
	for _, k := range d.Kinds() {
		fmt.Fprintf(w, "%-11s  %d added, %d removed\n", k.Of, k.Added, k.Removed)
	}
	b := &d.Blobs
	fmt.Fprintf(w, "blobs        %d added (%s), %d removed (%s), %d in both (%s)\n", b.Added.Blobs, size(b.Added.Bytes),
		b.Removed.Blobs, size(b.Removed.Bytes), b.Same.Blobs, size(b.Same.Bytes))
	fmt.Fprintf(w, "to carry     %s (%s): layers that A does not have, and all manifests, configs and bundles of B\n", count(d.Carry.Blobs, "blob"), size(d.Carry.Bytes))
}

// packages writes a table of the packages that differ.
func (d differences) packages(w io.Writer) {
	rows := [][]string{{"PACKAGE", "ADDED", "REMOVED", "CHANGED"}}
	for _, p := range d.Packages {
		name := p.Name
		switch p.State {
		case diff.Added:
			name += " (new)"
		case diff.Removed:
			name += " (removed)"
		}
		var changed []string
		for _, c := range p.Changed {
			changed = append(changed, c.Version+" ("+strings.Join(c.Fields, ", ")+")")
		}
		if len(p.Metadata) > 0 {
			changed = append(changed, "metadata ("+strings.Join(p.Metadata, ", ")+")")
		}
		rows = append(rows, []string{name, strings.Join(p.Added, ", "), strings.Join(p.Removed, ", "), strings.Join(changed, ", ")})
	}
	printer.Table(w, rows)
}

// writeChangedValues writes how the values of a package differ between two versions.
func writeChangedValues(w io.Writer, pkg string, v *diff.Values) {
	between := "from " + v.From + " to " + v.To
	if v.From == v.To {
		between = v.To
	}
	fmt.Fprintf(w, "\nvalues of %s %s\n", line(pkg), line(between))
	if v.Unknown != "" {
		fmt.Fprintf(w, "  not known: %s\n", line(v.Unknown))
		return
	}
	var lines []string
	for _, value := range v.Added {
		lines = append(lines, fmt.Sprintf("  + %s: %s", line(value.Key), valueText(value)))
	}
	for _, value := range v.Removed {
		lines = append(lines, fmt.Sprintf("  - %s: %s", line(value.Key), valueText(value)))
	}
	for _, c := range v.Changed {
		lines = append(lines, fmt.Sprintf("  ~ %s: %s, was %s", line(c.Key), valueText(c.Is), valueText(c.Was)))
	}
	fmt.Fprintln(w, printer.First(lines, mostProblems, "; -o json lists them all"))
}

// valueText is the type and the default of a value, on one line.
func valueText(v carvel.Value) string {
	s := v.Type
	if s == "" {
		s = "any type"
	}
	if text := v.DefaultText(); text != "" {
		s += " " + cut(line(text))
	}
	return line(s)
}

// images writes the images that one side has alone.
func (d differences) images(w io.Writer) {
	var lines []string
	for _, i := range d.Images.Added {
		lines = append(lines, imageLine("+", i))
	}
	for _, i := range d.Images.Removed {
		lines = append(lines, imageLine("-", i))
	}
	if len(lines) > 0 {
		fmt.Fprintf(w, "\nimages\n%s\n", printer.First(lines, mostProblems, "; -o json lists them all"))
	}
}

func imageLine(sign string, i diff.Image) string {
	if i.Name == "" {
		return fmt.Sprintf("  %s %s, %s", sign, i.Digest, size(i.Size))
	}
	name := line(i.Name)
	if !strings.HasSuffix(name, i.Digest.String()) {
		name += " is " + i.Digest.String()
	}
	if i.Package != "" {
		name = line(i.Package) + ": " + name
	}
	return fmt.Sprintf("  %s %s, %s, %s", sign, i.Kind, size(i.Size), name)
}

// notes says what was not compared, or not read.
func (d differences) notes(w io.Writer) {
	fmt.Fprintln(w)
	if d.DigestsOnly {
		fmt.Fprintln(w, "packages not compared: an inventory has digests and sizes only")
	}
	for _, s := range []*diff.Subject{&d.A, &d.B} {
		if s.Unread {
			fmt.Fprintf(w, "%s may have more packages: not all files below its packages/ could be read; relocate inspect says which\n", line(s.Name))
		}
	}
	fmt.Fprintln(w, "contents not verified: layers were not read")
}
