package main

import (
	"bytes"
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
	if f == "text" {
		text(w)
		return nil
	}
	b, err := encodeJSON(v)
	if err == nil && f == "yaml" {
		b, err = yaml.JSONToYAML(b)
	}
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// encodeJSON returns v as indented JSON that a terminal only shows.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return printableJSON(b.Bytes()), err
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

// count writes a number and its noun: "1 blob", "2 blobs", "2 layers and configs".
func count(n int, noun string) string {
	one, other, two := strings.Cut(noun, " and ")
	switch {
	case two:
		return count(n, one) + " and " + strings.TrimPrefix(count(n, other), fmt.Sprint(n, " "))
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
