package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"relocate/report"
	"relocate/verify/leak"
)

// leaks is the part of a report about what points outside.
type leaks struct {
	Findings report.Findings `json:"findings,omitempty"`
	Accepted report.Findings `json:"accepted,omitempty"` // that --allow or --accept accept
	Scan     *report.Scan    `json:"scan,omitempty"`     // how much was searched
}

// take records what was found.
func (l *leaks) take(found *leak.Report, known *tolerance) (err error) {
	l.Scan = &found.Scan
	l.Findings, l.Accepted, err = known.split(found.Findings)
	return err
}

// writeFindings counts findings, and lists them by package, bundle or object, the worst first, up
// to most of them; more says where all of them are.
func writeFindings(w io.Writer, findings report.Findings, most int, more string) {
	if len(findings) == 0 {
		return
	}
	fmt.Fprintf(w, "findings: %s\n", findings)
	of := ""
	for i, f := range findings.Sorted() {
		if i == most {
			fmt.Fprintf(w, "\n  … and %d more%s\n", len(findings)-most, more)
			break
		}
		if i == 0 || f.Of() != of {
			of = f.Of()
			fmt.Fprintf(w, "\n%s\n", line(of))
		}
		writeFinding(w, f)
	}
}

func writeFinding(w io.Writer, f report.Finding) {
	kind := string(f.Code)
	if f.Basis != "" {
		kind += ", " + string(f.Basis)
	}
	fmt.Fprintf(w, "  %-11s  %s (%s)\n", f.Level, line(f.Place()), kind)
	if f.Reference != "" {
		fmt.Fprintf(w, "               %s\n", line(f.Reference))
	}
	for _, l := range f.Lines() {
		fmt.Fprintf(w, "               %s\n", folded(w, l, 15))
	}
	if f.Action != "" {
		fmt.Fprintf(w, "               → %s\n", folded(w, line(f.Action), 17))
	}
}

// folded breaks a line of text that begins at a column between words, so that it fits a terminal.
// Elsewhere it stays one line, for programs that search it.
func folded(w io.Writer, s string, column int) string {
	if !isTerminal(w) || column+utf8.RuneCountInString(s) <= helpWidth {
		return s
	}
	text := strings.TrimLeft(s, " ")
	lead := len(s) - len(text)
	return s[:lead] + wrapped(text, column+lead, column+lead)
}

// summarizeAccepted says how many findings are accepted.
func summarizeAccepted(w io.Writer, accepted report.Findings) {
	if len(accepted) > 0 {
		fmt.Fprintf(w, "accepted: %s; the JSON report lists them\n", count(len(accepted), "finding"))
	}
}
