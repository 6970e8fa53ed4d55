package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
	yaml11 "sigs.k8s.io/yaml"
)

// format is a value of --output.
type format string

// addFormat adds -o.
func addFormat(flags *pflag.FlagSet, f *format) {
	*f = "text"
	flags.VarP(f, "output", "o", "print the result as `FORMAT`: text, json or yaml")
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
	encode := encodeJSON
	if f == "yaml" {
		encode = encodeYAML
	}
	b, err := encode(v)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// encodeYAML returns as YAML what encodeJSON returns. Text that a terminal would obey is in double
// quotes, where all of it can be escaped; the encoder escapes only some.
func encodeYAML(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(escapeYAML(text), &doc); err != nil { // JSON is YAML, but in style
		return nil, err
	}
	restyle(&doc)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(&doc), e.Close()); err != nil {
		return nil, err
	}
	return escapeYAML(b.Bytes()), nil
}

// escapeYAML escapes control characters in YAML that has them in double quotes only.
func escapeYAML(b []byte) []byte {
	var out bytes.Buffer
	for _, r := range string(b) {
		if r == '\n' || isShown(r) {
			out.WriteRune(r)
		} else {
			fmt.Fprintf(&out, "\\U%08x", r)
		}
	}
	return out.Bytes()
}

// restyle lets the encoder choose how to write a node and all below it, but for text that it would not
// escape, or that readers of YAML 1.1 take for something else.
func restyle(n *yaml.Node) {
	n.Style = 0
	if n.Tag == "!!str" {
		plain, err := yaml11.Marshal(n.Value)
		if err != nil || string(plain) != n.Value+"\n" || strings.ContainsFunc(n.Value, func(r rune) bool { return !isShown(r) }) {
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	for _, child := range n.Content {
		restyle(child)
	}
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

// table writes rows in columns; the first row is the header. A cell is one line.
func table(w io.Writer, rows [][]string) {
	for _, row := range rows {
		for i := range row {
			row[i] = line(row[i])
		}
	}
	grid(w, rows)
}

// maxColumn is how wide columns are made, in characters: one long cell does not widen a hundred thousand others.
const maxColumn = 120

// grid writes rows in columns, two blanks apart. A cell may have several lines; an empty one is "-".
func grid(w io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i := range row {
			row[i] = cmp.Or(printable(strings.ReplaceAll(strings.TrimRight(row[i], "\n"), "\t", " ")), "-")
			for l := range strings.Lines(row[i]) {
				widths[i] = max(widths[i], min(utf8.RuneCountInString(strings.TrimSuffix(l, "\n")), maxColumn))
			}
		}
	}
	for _, row := range rows {
		cells, height := make([][]string, len(row)), 0
		for i, cell := range row {
			cells[i] = strings.Split(cell, "\n")
			height = max(height, len(cells[i]))
		}
		for y := range height {
			var b strings.Builder
			for i, lines := range cells {
				cell := ""
				if y < len(lines) {
					cell = lines[y]
				}
				b.WriteString(cell + strings.Repeat(" ", max(widths[i]-utf8.RuneCountInString(cell), 0)+2))
			}
			fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
		}
	}
}

// shortList writes the first lines of a list, and how many more there are.
func shortList(lines []string, most int, more string) string {
	if len(lines) <= most {
		return strings.Join(lines, "\n")
	}
	return strings.Join(lines[:most], "\n") + fmt.Sprintf("\n  … and %d more%s", len(lines)-most, more)
}
