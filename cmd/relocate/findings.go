package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"relocate/bundle"
	"relocate/report"
	"relocate/verify/leak"
)

// scan looks for what a plan carries that would lead outside; what is in the plan is read from src.
func scan(ctx context.Context, src bundle.Source, plan *bundle.Plan, jobs int, show *progress) (*leak.Report, error) {
	ph := show.begin("scan", 0, 0)
	defer ph.end()
	return leak.Scan(ctx, src, plan.Graph, leak.Options{Jobs: jobs, Omitted: plan.Omitted, Read: func() { ph.add(1, 0) }})
}

// leaks is the part of a report about what leads outside.
type leaks struct {
	Findings []report.Finding `json:"findings,omitempty"`
	Accepted []report.Finding `json:"accepted,omitempty"` // that --allow or --accept make no reason to fail
	Scan     *leak.Report     `json:"scan,omitempty"`     // how much was looked at
}

// take takes over what was found.
func (l *leaks) take(found *leak.Report, known *tolerance) (err error) {
	counts := *found
	counts.Findings, l.Scan = nil, &counts
	l.Findings, l.Accepted, err = known.split(found.Findings)
	return err
}

// leads reports whether what a finding says keeps a cluster from running without the world outside. Others
// may reach out, or could not be looked at.
func leads(f report.Finding) bool { return f.Level == report.Install || f.Level == report.Pull }

// leading counts the findings that lead outside.
func leading(findings []report.Finding) int {
	n := 0
	for _, f := range findings {
		if leads(f) {
			n++
		}
	}
	return n
}

// writeFindings lists findings by package, or by bundle, the worst first, up to most of them; more says where all
// of them are.
func writeFindings(w io.Writer, findings []report.Finding, most int, more string) {
	left := most
	for _, group := range groupFindings(findings).Groups {
		if left == 0 {
			break
		}
		fmt.Fprintf(w, "\n%s\n", line(group.Name))
		for _, f := range group.List[:min(left, len(group.List))] {
			writeFinding(w, f)
			left--
		}
	}
	if n := len(findings) - most; n > 0 {
		fmt.Fprintf(w, "\n  … and %d more%s\n", n, more)
	}
}

// whereOf returns the file of a finding, and its line; or the bundle.
func whereOf(f report.Finding) string {
	if f.File != "" && f.Line > 0 {
		return fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	return cmp.Or(f.File, f.Bundle)
}

func writeFinding(w io.Writer, f report.Finding) {
	fmt.Fprintf(w, "  %-8s %s (%s)\n", f.Level, line(whereOf(f)), f.Code)
	if f.Reference != "" {
		fmt.Fprintf(w, "           %s\n", line(f.Reference))
	}
	fmt.Fprintf(w, "           %s\n", line(f.Message))
	if f.Action != "" {
		fmt.Fprintf(w, "           → %s\n", line(f.Action))
	}
}

// findingsCount says how many findings there are: "2 break an install or a pull, 5 warnings".
func findingsCount(findings []report.Finding) string {
	n := leading(findings)
	var parts []string
	if n > 0 {
		parts = append(parts, fmt.Sprintf("%d %s an install or a pull", n, map[bool]string{true: "breaks", false: "break"}[n == 1]))
	}
	if rest := len(findings) - n; rest > 0 {
		parts = append(parts, count(rest, "warning"))
	}
	return strings.Join(parts, ", ")
}

// summarizeAccepted tells how many findings are accepted.
func summarizeAccepted(w io.Writer, accepted []report.Finding) {
	if len(accepted) > 0 {
		fmt.Fprintf(w, "accepted: %s; the JSON report has them\n", count(len(accepted), "finding"))
	}
}

// summarizeFindings writes the findings for people, each on a line; more says where all of them are.
func summarizeFindings(w io.Writer, findings []report.Finding, more string) {
	if len(findings) == 0 {
		return
	}
	fmt.Fprintf(w, "findings: %s\n", findingsCount(findings))
	worst := slices.SortedStableFunc(slices.Values(findings), func(a, b report.Finding) int { return levelRank(a.Level) - levelRank(b.Level) })
	var lines []string
	for _, f := range worst {
		words := []string{string(f.Code), f.Package, whereOf(f), cmp.Or(f.Reference, f.Message)}
		words = slices.DeleteFunc(words, func(s string) bool { return s == "" })
		lines = append(lines, fmt.Sprintf("  %-8s %s", f.Level, line(strings.Join(words, " "))))
	}
	fmt.Fprintln(w, shortList(lines, mostLines, more))
}
