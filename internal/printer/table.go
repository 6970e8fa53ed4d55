// Package printer writes results for people and programs: JSON, YAML, tables, and lists that are
// not too long.
//
// Begin with JSON and Table. Foreign text in what it returns cannot control a terminal.
package printer

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"relocate/internal/text"
)

// Table writes rows in columns; the first row is the header. A cell is one line.
func Table(w io.Writer, rows [][]string) {
	for _, row := range rows {
		for i := range row {
			row[i] = text.Line(row[i])
		}
	}
	Grid(w, rows)
}

// maxColumn is the width of columns in characters. A longer cell does not widen the others.
const maxColumn = 120

// Grid writes rows in columns, two blanks apart. A cell may have several lines; an empty one is
// "-".
func Grid(w io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i := range row {
			row[i] = cmp.Or(text.Printable(strings.ReplaceAll(strings.TrimRight(row[i], "\n"), "\t", " ")), "-")
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

// First returns the first lines of a list, at most most of them, and then the number of the others
// followed by more.
func First(lines []string, most int, more string) string {
	if len(lines) <= most {
		return strings.Join(lines, "\n")
	}
	return strings.Join(lines[:most], "\n") + fmt.Sprintf("\n  … and %d more%s", len(lines)-most, more)
}

// List returns a line for each item.
func List(items []string) string {
	var lines []string
	for _, item := range items {
		lines = append(lines, "- "+text.Line(item))
	}
	return strings.Join(lines, "\n")
}

// wrapWidth is the width to which kctrl wraps descriptions.
const wrapWidth = 80

// Wrap breaks the lines of s between words. A word that is too long stays whole.
func Wrap(s string) string {
	var out []string
	for l := range strings.Lines(s) {
		current := ""
		for _, word := range strings.Fields(l) {
			if current != "" && utf8.RuneCountInString(current)+1+utf8.RuneCountInString(word) > wrapWidth {
				out, current = append(out, current), ""
			}
			current = strings.TrimPrefix(current+" "+word, " ")
		}
		out = append(out, current)
	}
	return strings.TrimRight(strings.Join(out, "\n"), "\n")
}
