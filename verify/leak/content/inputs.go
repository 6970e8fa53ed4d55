package content

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"
)

// engine is the program that executes a file as a template.
type engine int

const (
	unknown engine = iota
	none
	ytt
	helm
)

// readAs is what a template makes of a file that it reads as text.
type readAs int

const (
	notRead readAs = iota
	asText         // it puts it into a string
	asValue        // it may parse it
)

// Input is a file that a template step is given.
type Input struct {
	*File
	Rel      string // relative to the path that the step gives; its base name when the step gives the file
	InFolder bool   // the step gives a folder
}

// SelectYtt returns the inputs of a ytt step that can reach its output: those that ytt prints or
// executes, and those that these load or read. marks are the step's fileMarks.
func SelectYtt(inputs []Input, marks []string) []Input {
	files := make([]*yttFile, len(inputs))
	for i, in := range inputs {
		files[i] = newYttFile(in)
	}
	files = markFiles(files, marks)
	r := reads{}
	for _, f := range files {
		if f.used {
			f.reads(&r)
		}
	}
	for again := true; again; {
		again = false
		for _, f := range files {
			if !f.used && r.read(f.Path, f.kind == "data") {
				f.used, again = true, true
				f.reads(&r)
			}
		}
	}
	var out []Input
	for _, f := range files {
		if f.used {
			f.classify(&r)
			out = append(out, f.Input)
		}
	}
	return out
}

// classify sets what executes and what reads the file.
func (f *yttFile) classify(r *reads) {
	f.engine, f.isYAML = ytt, f.kind == "yaml"
	switch {
	case f.isYAML && !f.template:
		f.engine = none
	case f.kind == "data" || f.kind == "text":
		f.readAs = r.readAs()
	}
}

// yttFile is a file as ytt sees it (carvel.dev/ytt v0.51.1, pkg/files/file.go).
type yttFile struct {
	Input
	kind     string // yaml, text, starlark, data
	template bool
	used     bool // without being named by another file
}

func newYttFile(in Input) *yttFile {
	f := &yttFile{Input: in, kind: "data"}
	switch path.Ext(in.Rel) {
	case ".yaml", ".yml":
		f.kind, f.template = "yaml", true
	case ".txt":
		f.kind, f.template = "text", true
	case ".star":
		f.kind, f.template = "starlark", true
	}
	f.used = f.kind == "yaml" && !strings.Contains(path.Base(in.Rel), ".lib.")
	return f
}

// markFiles applies fileMarks. It leaves out excluded files.
func markFiles(files []*yttFile, marks []string) []*yttFile {
	var only []*yttFile
	for _, mark := range marks {
		pattern, setting, _ := strings.Cut(mark, ":")
		key, value, _ := strings.Cut(setting, "=")
		form := markForm(pattern)
		files = slices.DeleteFunc(slices.Clone(files), func(f *yttFile) bool {
			if !form.MatchString(f.Rel) {
				return false
			}
			switch key {
			case "type":
				f.mark(value)
			case "for-output":
				f.used = f.kind == "yaml"
			case "exclusive-for-output":
				only = append(only, f)
			}
			return key == "exclude"
		})
	}
	for _, f := range files {
		isValues := f.template && f.kind == "yaml" && bytes.Contains(f.Data, []byte("@data/values"))
		f.used = f.used && (only == nil || slices.Contains(only, f) || isValues)
	}
	return files
}

// mark sets the type of a file.
func (f *yttFile) mark(kind string) {
	kind, how, _ := strings.Cut(kind, "-")
	f.kind, f.template = kind, how == "template"
	f.used = kind == "yaml" && !strings.Contains(path.Base(f.Rel), ".lib.")
}

// markForm returns the expression for the pattern of a file mark.
func markForm(pattern string) *regexp.Regexp {
	form := strings.Replace(regexp.QuoteMeta(pattern), `\*\*/\*`, ".+", 1)
	form = strings.Replace(form, `\*`, "[^/]+", 1)
	return regexp.MustCompile("^" + form + "$")
}

// reads are the files that templates load or read.
type reads struct {
	names   []string // as written
	all     bool     // a template computes the name of what it reads
	decoded bool     // a template may parse what it reads
}

// readForm matches a call that loads or reads a file, and its first argument when that is a literal.
var readForm = regexp.MustCompile(`\b(load|\w+\.read|\w+\.list)\s*\(\s*(?:(?:"([^"]*)"|'([^']*)')\s*[,)])?`)

// reads adds what a file loads and reads.
func (f *yttFile) reads(r *reads) {
	if !f.template && f.kind != "starlark" {
		return
	}
	for l := range bytes.Lines(f.Data) {
		if f.kind == "starlark" || bytes.Contains(l, []byte("#@")) || bytes.Contains(l, []byte("(@")) {
			r.ytt(l)
		}
	}
}

// ytt adds what a line of code loads and reads.
func (r *reads) ytt(line []byte) {
	r.decoded = r.decoded || bytes.Contains(line, []byte("decode("))
	if !bytes.Contains(line, []byte("load")) && !bytes.Contains(line, []byte(".read")) && !bytes.Contains(line, []byte(".list")) {
		return // the expression takes long to tell
	}
	for _, m := range readForm.FindAllSubmatch(line, -1) {
		switch call, name := string(m[1]), string(m[2])+string(m[3]); {
		case strings.HasSuffix(call, ".list"):
		case name == "":
			r.all = r.all || call != "load"
		case !strings.HasPrefix(name, "@ytt:"):
			r.names = append(r.names, name)
		}
	}
}

// readAs returns what the templates make of the files that they read.
func (r *reads) readAs() readAs {
	if r.decoded {
		return asValue
	}
	return asText
}

// read reports whether a file is read. Names are relative to the file that reads, and their ends
// are compared.
func (r *reads) read(file string, isData bool) bool {
	if r.all && isData {
		return true
	}
	return slices.ContainsFunc(r.names, func(name string) bool {
		if _, after, ok := strings.Cut(name, ":"); ok { // @library:file
			name = after
		}
		return strings.HasSuffix("/"+file, path.Clean("/"+name))
	})
}

// SelectHelm returns the inputs of a helmTemplate step that can reach its output: what belongs to
// the charts, and what their templates read with .Files.
func (c *Charts) SelectHelm(inputs []Input) []Input {
	byChart := readsOfCharts(inputs)
	var out []Input
	for _, in := range inputs {
		switch r := byChart[in.chart]; {
		case in.chart == nil || in.chart.has(in.Path):
			in.engine = helm
		case r != nil && (r.all || r.read(in.Path, true)) && !in.chart.renders(in.Path):
			in.engine, in.readAs = none, r.readAs()
		default:
			continue
		}
		out = append(out, in)
	}
	return out
}

// readsOfCharts returns what the templates of each chart read. It makes a chart among the files of the
// one that the step names a part of that one.
func readsOfCharts(inputs []Input) map[*chart]*reads {
	var top *chart // the one that the step names
	for _, in := range inputs {
		if in.chart != nil && (top == nil || len(in.chart.dir) < len(top.dir)) {
			top = in.chart
		}
	}
	byChart := map[*chart]*reads{}
	for _, in := range inputs {
		if in.chart != nil && in.chart != top && !strings.HasPrefix(top.rel(in.chart.dir), "charts/") {
			in.chart = top
		}
		if in.chart == nil || !in.chart.renders(in.Path) {
			continue
		}
		if byChart[in.chart] == nil {
			byChart[in.chart] = &reads{}
		}
		byChart[in.chart].helm(in.Data)
	}
	return byChart
}

// renders reports whether helm executes a file of the chart as a template.
func (c *chart) renders(file string) bool {
	rel := c.rel(file)
	return strings.HasPrefix(rel, "templates/") && !strings.HasPrefix(rel, "templates/.")
}

// has reports whether a file of the chart is a template, an object, or about the chart.
func (c *chart) has(file string) bool {
	switch rel := c.rel(file); rel {
	case "Chart.yaml", "values.yaml", "requirements.yaml":
		return true
	default:
		return c.renders(file) || strings.HasPrefix(rel, "crds/") && isYAML(rel)
	}
}

// rel returns the path of a file of the chart, relative to the chart.
func (c *chart) rel(file string) string {
	return strings.TrimPrefix(strings.TrimPrefix(file, c.dir), "/")
}

var (
	helmFiles    = regexp.MustCompile(`\.Files\b`)
	helmReadForm = regexp.MustCompile(`\.Files\.(?:Get|GetBytes|Lines)\s+"([^"]+)"`)
	helmParses   = regexp.MustCompile(`\b(tpl|fromYaml|fromJson|fromYamlArray|fromJsonArray)\b`)
)

// helm adds what a template of a chart reads.
func (r *reads) helm(data []byte) {
	r.decoded = r.decoded || helmParses.Match(data)
	literal := helmReadForm.FindAllSubmatch(data, -1)
	for _, m := range literal {
		r.names = append(r.names, string(m[1]))
	}
	r.all = r.all || len(helmFiles.FindAllIndex(data, -1)) > len(literal)
}

// SelectKbld returns the inputs that kbld reads: of a folder only YAML and JSON.
func SelectKbld(inputs []Input) []Input {
	return slices.DeleteFunc(inputs, func(in Input) bool { return in.InFolder && !isYAML(in.Path) })
}
