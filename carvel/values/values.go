// Package values checks the values of a package against the schema that its Package declares:
// OpenAPI v3.0.3, "Schema Object", as ytt --data-values-schema-inspect writes it and as people do.
//
// Begin with Check. It reads values files as ytt does: YAML 1.1, of which several files are merged in
// order, maps key by key. A Problem never has a value in it, which may be a password. Neither
// kapp-controller nor kctrl checks values against this schema: where ytt would decide otherwise,
// docs/values.md says so. Packages are not rendered here; package render does that.
package values

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/internal/yamlnode"
)

// File is a file of values. Path is how messages name it.
type File struct {
	Path string
	Data []byte
}

// Problem is what is wrong with one value.
type Problem struct {
	File    string `json:"file,omitempty"` // as File.Path; empty where no file has the value
	Line    int    `json:"line,omitempty"` // from 1; 0 where it is unknown
	Key     string `json:"key,omitempty"`  // keys from the top, joined by dots, with [N] for items; empty for all
	Message string `json:"message"`
	Warning bool   `json:"warning,omitempty"` // the schema permits it, or what it says was not checked
}

// Level returns "error" or "warning".
func (p Problem) Level() string {
	if p.Warning {
		return "warning"
	}
	return "error"
}

// String returns the problem on one line: file, line, key, message.
func (p Problem) String() string {
	s := ""
	if p.File != "" {
		s = text.Line(p.File) + ": "
	}
	if p.Line > 0 {
		s += fmt.Sprintf("line %d: ", p.Line)
	}
	if p.Key != "" {
		s += text.Clip(text.Line(p.Key), 200) + ": "
	}
	return s + text.Line(p.Message)
}

// Limits on a check.
const (
	maxSteps    = 2_000_000 // values × schemas, and alternatives that were compared
	maxProblems = 1000
)

// Check checks files, of which later ones win, against a schema, and returns what is wrong in the order
// of files and lines; none if nothing is. Defaults of the schema apply where the files have no value.
// Without files, it checks the defaults alone.
//
// Errors: a schema that is not JSON; yamlnode.ErrLimit where a check would take too long. What is wrong
// with a file is a Problem.
func Check(schema carvel.Schema, files []File) ([]Problem, error) {
	var top any
	if err := json.Unmarshal(schema, &top); err != nil {
		return nil, fmt.Errorf("read values schema: %w", text.Error(err))
	}
	c := &checker{left: maxSteps, seen: map[Problem]bool{}}
	if s, ok := top.(map[string]any); ok {
		c.closed = s["additionalProperties"] == false
	}
	place := map[string]int{} // of files
	var docs []*value
	for i, f := range files {
		place[f.Path] = i + 1
		r := &reader{file: f.Path, add: c.add}
		r.read(f.Data)
		docs = append(docs, r.docs...)
	}
	if len(c.found) > 0 {
		return c.found, nil
	}
	all := &value{kind: "object"}
	for _, doc := range docs {
		if len(docs) > 1 { // ytt refuses a wrong type even where a later file has another value
			c.typesOnly = true
			c.check(top, doc, "")
		}
		all = merge(all, doc)
	}
	c.typesOnly = false
	c.check(top, all, "")
	if c.left < 0 {
		return nil, fmt.Errorf("check values: the schema needs %w of %d comparisons", yamlnode.ErrLimit, maxSteps)
	}
	slices.SortStableFunc(c.found, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(place[a.File], place[b.File]), cmp.Compare(a.Line, b.Line))
	})
	return c.found, nil
}

// HasErrors reports whether a problem is more than a warning.
func HasErrors(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return !p.Warning })
}
