package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"relocate/bundle"
	"relocate/verify/cluster"
)

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

// levelRank orders findings in text: the worst first.
func levelRank(f bundle.Finding) int {
	return slices.Index([]bundle.Level{bundle.Install, bundle.Pull, bundle.Warning}, f.Level)
}

// byPackage groups findings by the package that they are of, the worst of each first. What is of no package
// comes first. The order is otherwise kept.
func byPackage(findings []bundle.Finding) (names []string, groups map[string][]bundle.Finding) {
	groups = map[string][]bundle.Finding{}
	for _, f := range findings {
		if groups[f.Package] == nil && f.Package != "" {
			names = append(names, f.Package)
		}
		groups[f.Package] = append(groups[f.Package], f)
	}
	if groups[""] != nil {
		names = slices.Insert(names, 0, "")
	}
	for _, group := range groups {
		slices.SortStableFunc(group, func(a, b bundle.Finding) int { return cmp.Compare(levelRank(a), levelRank(b)) })
	}
	return names, groups
}

// writeFindings lists findings by package, up to most of them; more says where all of them are.
func writeFindings(w io.Writer, findings []bundle.Finding, most int, more string) {
	names, groups := byPackage(findings)
	left := most
	for _, name := range names {
		if left == 0 {
			break
		}
		fmt.Fprintf(w, "\n%s\n", cmp.Or(line(name), "the package repository"))
		for _, f := range groups[name][:min(left, len(groups[name]))] {
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
