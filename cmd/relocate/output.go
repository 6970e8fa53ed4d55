package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// format is a value of --output.
type format string

// addFormat adds -o.
func addFormat(flags *pflag.FlagSet, f *format) {
	*f = "text"
	flags.VarP(f, "output", "o", "text, json or yaml")
}

// String implements pflag.Value.
func (f *format) String() string { return string(*f) }

// Set implements pflag.Value.
func (f *format) Set(s string) error {
	switch s {
	case "text", "json", "yaml":
		*f = format(s)
		return nil
	}
	return fmt.Errorf("must be text, json or yaml")
}

// Type implements pflag.Value.
func (f *format) Type() string { return "FORMAT" }

// print writes v as JSON or YAML, or what text writes.
func (f format) print(w io.Writer, v any, text func(io.Writer)) error {
	switch f {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	case "yaml":
		b, err := yaml.Marshal(v)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	}
	text(w)
	return nil
}

// table writes rows in columns, two blanks apart; the first row is the header. An empty cell is "-".
func table(w io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i := range row {
			row[i] = line(row[i])
			if row[i] == "" {
				row[i] = "-"
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		fmt.Fprintln(w, b.String())
	}
}

// line makes one line that a terminal only shows of foreign text.
func line(s string) string { return printable(strings.Join(strings.Fields(s), " ")) }

// size writes bytes for people: "2.7 GB".
func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1000, 0
	for v >= 999.95 {
		v, unit = v/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", v, "kMGTPE"[unit])
}

// count writes a number and its noun: "1 blob", "2 blobs".
func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "ex"):
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// shortList writes the first lines of a list, and how many more there are.
func shortList(lines []string, most int, more string) string {
	if len(lines) <= most {
		return strings.Join(lines, "\n")
	}
	return strings.Join(lines[:most], "\n") + fmt.Sprintf("\n  … and %d more%s", len(lines)-most, more)
}
