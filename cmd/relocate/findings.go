package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"relocate/bundle"
	"relocate/verify/cluster"
	"relocate/verify/leak"
)

// scan looks for what a plan carries that would lead outside; what is in the plan is read from src.
func scan(ctx context.Context, src bundle.Source, plan *bundle.Plan, jobs int, show *progress) (*leak.Report, error) {
	ph := show.begin("scan", 0, 0)
	defer ph.end()
	return leak.Scan(ctx, src, plan.Graph, leak.Options{Jobs: jobs, Plain: true, Omitted: plan.Omitted, Read: func() { ph.add(1, 0) }})
}

// leads reports whether what a finding says keeps a cluster from running without the world outside. Others
// may reach out, or could not be looked at.
func leads(f bundle.Finding) bool { return f.Level == bundle.Install || f.Level == bundle.Pull }

// leading counts the findings that lead outside.
func leading(findings []bundle.Finding) int {
	n := 0
	for _, f := range findings {
		if leads(f) {
			n++
		}
	}
	return n
}

// splitAllowed takes out of findings what the operator allows to be elsewhere.
func splitAllowed(findings []bundle.Finding, places []cluster.Place) (rest, allowed []bundle.Finding) {
	for _, f := range findings {
		if slices.ContainsFunc(places, func(p cluster.Place) bool { return p.Holds(f.Reference) }) {
			allowed = append(allowed, f)
		} else {
			rest = append(rest, f)
		}
	}
	return rest, allowed
}

// writeFindings lists findings by package, or by bundle, the worst first, up to most of them; more says where all
// of them are.
func writeFindings(w io.Writer, findings []bundle.Finding, most int, more string) {
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

func writeFinding(w io.Writer, f bundle.Finding) {
	where := f.File
	if f.Line > 0 {
		where = fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	fmt.Fprintf(w, "  %-8s %s (%s)\n", f.Level, line(cmp.Or(where, f.Bundle)), f.Code)
	if f.Reference != "" {
		fmt.Fprintf(w, "           %s\n", line(f.Reference))
	}
	fmt.Fprintf(w, "           %s\n", line(f.Message))
	if f.Action != "" {
		fmt.Fprintf(w, "           → %s\n", line(f.Action))
	}
}

// findingsCount says how many findings there are: "3 references lead outside, 5 warnings".
func findingsCount(findings []bundle.Finding) string {
	n := leading(findings)
	var parts []string
	if n > 0 {
		parts = append(parts, count(n, "thing")+map[bool]string{true: " reaches", false: " reach"}[n == 1]+" outside")
	}
	if rest := len(findings) - n; rest > 0 {
		parts = append(parts, count(rest, "warning"))
	}
	return strings.Join(parts, ", ")
}

// summarizeFindings writes the findings for people; more says where all of them are.
func summarizeFindings(w io.Writer, findings []bundle.Finding, more string) {
	if len(findings) == 0 {
		return
	}
	fmt.Fprintf(w, "to look at: %s\n", findingsCount(findings))
	writeFindings(w, findings, mostLines, more)
}
