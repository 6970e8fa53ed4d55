package main

import (
	"relocate/copy"
	"relocate/registry/rehearsal"
	"relocate/report"
)

// rehearsalJSON is what a reader of docs/json.md takes from the JSON of rehearse.
type rehearsalJSON struct {
	Subject, Repository string
	OK                  bool
	Import              *copy.Result
	Registry            rehearsal.Counts
	Verify              struct {
		OK       bool
		Problems []report.Problem
		Findings report.Findings
	}
	Objects     *objectsJSON
	Connections []string
}

// objectsJSON is what a reader of docs/json.md takes from the JSON of verify -f.
type objectsJSON struct {
	Subject, Repository                           string
	OK                                            bool
	Objects, References, Inside, Allowed, Running int
	Rendered, NotRendered                         int
	Findings                                      []struct {
		Code      report.Code
		Level     report.Level
		Object    *report.Object
		Path      string
		Line      int
		Reference string
		Message   string
		Action    string
		Basis     report.Basis
	}
}
