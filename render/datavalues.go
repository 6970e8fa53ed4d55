package render

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"relocate/internal/yamlnode"
	"relocate/render/ytt"
)

// DataValues are the data values that a package takes, by the files of the step that gets the values
// of a PackageInstall.
type DataValues struct {
	Schema   []byte   // OpenAPI v3 as JSON; nil: the package takes no values
	Declared bool     // as #@data/values-schema; otherwise Schema is made of the defaults in #@data/values
	From     []string // paths of these files in the app folder
}

// The first lines of files that declare data values.
var (
	schemaFile = regexp.MustCompile(`(?m)^#@ *data/values-schema\b`)
	valuesFile = regexp.MustCompile(`(?m)^#@ *data/values *$`)
)

// DataValues says which data values an App takes. It runs the steps before the one that gets them.
//
// Errors: as App.
func (r *Renderer) DataValues(ctx context.Context, app App) (*DataValues, error) {
	s, err := parseSpec(app.Spec)
	if err != nil {
		return nil, err
	}
	result := &Result{}
	if result.Files, _, err = app.folder(s.Fetch); err != nil {
		return nil, err
	}
	at := slices.IndexFunc(s.Template, func(s step) bool { return s.Ytt != nil || s.HelmTemplate != nil })
	if at < 0 {
		return &DataValues{}, nil
	}
	if kind := s.Template[at].kind(); kind != "ytt" {
		return nil, notRendered("step %d is %s, whose values are those of the chart", at+1, kind)
	}
	if err := r.can(s.Template[:at+1]); err != nil {
		return nil, err
	}
	n := &run{renderer: r, app: app, steps: s.Template[:at+1], result: result}
	n.reads, n.given, n.used = make([]bool, at+1), make([]int, at+1), map[string]bool{}
	for ; n.step < at; n.step++ {
		if n.stream, err = n.one(ctx, &n.steps[n.step]); err != nil {
			return nil, n.failed(err)
		}
	}
	in, err := n.yttInput(n.steps[at].Ytt)
	if err != nil {
		return nil, n.failed(err)
	}
	found, err := dataValues(ctx, r, in)
	if err != nil {
		return nil, n.failed(err)
	}
	return found, nil
}

// dataValues asks ytt which values the files of its input take.
func dataValues(ctx context.Context, r *Renderer, in ytt.Input) (*DataValues, error) {
	declaring := func(pattern *regexp.Regexp) (paths []string) {
		for _, f := range in.Files {
			if pattern.Match(f.Data) && !strings.Contains("/"+f.Path, "/_ytt_lib/") { // the values of a library are not those of the package
				paths = append(paths, f.Origin)
			}
		}
		return paths
	}
	found := &DataValues{Declared: true, From: declaring(schemaFile)}
	in.Inspect = ytt.Schema
	if len(found.From) == 0 {
		found = &DataValues{From: declaring(valuesFile)}
		in.Inspect = ytt.DataValues
	}
	if len(found.From) == 0 {
		return found, nil
	}
	out, err := r.ytt(ctx, in)
	if err != nil {
		return nil, err
	}
	raw, err := yamlnode.ToJSON(out.Text)
	if err != nil {
		return nil, fmt.Errorf("read what ytt prints of data values: %w", err)
	}
	if !found.Declared {
		var defaults any
		if err := json.Unmarshal(raw, &defaults); err != nil {
			return nil, err
		}
		found.Schema, err = json.Marshal(schemaOf(defaults))
		return found, err
	}
	var doc struct {
		Components struct {
			Schemas struct {
				DataValues json.RawMessage `json:"dataValues"`
			} `json:"schemas"`
		} `json:"components"`
	}
	err = json.Unmarshal(raw, &doc)
	found.Schema = doc.Components.Schemas.DataValues
	return found, err
}

// schemaOf returns a schema that a default implies.
func schemaOf(value any) map[string]any {
	switch value := value.(type) {
	case map[string]any:
		properties := map[string]any{}
		for key, below := range value {
			properties[key] = schemaOf(below)
		}
		if len(properties) == 0 {
			return map[string]any{"type": "object", "default": value}
		}
		return map[string]any{"type": "object", "properties": properties}
	case []any:
		return map[string]any{"type": "array", "default": value}
	case string:
		return map[string]any{"type": "string", "default": value}
	case bool:
		return map[string]any{"type": "boolean", "default": value}
	case float64:
		kind := "number"
		if value == float64(int64(value)) {
			kind = "integer"
		}
		return map[string]any{"type": kind, "default": value}
	}
	return map[string]any{"nullable": true, "default": nil}
}
