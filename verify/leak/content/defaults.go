package content

import (
	"bytes"
	"cmp"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
)

// maxValues is the limit on values that expressions can use.
const maxValues = 100_000

// defaults are the values that templates get when nobody sets any.
type defaults struct {
	ytt    map[string]value // by path
	charts map[*chart]map[string]value
	given  map[string]value // by files that steps name in valuesFrom
	n      int
}

// readDefaults reads the default values from files.
func readDefaults(files []*File) *defaults {
	d := &defaults{ytt: map[string]value{}, charts: map[*chart]map[string]value{}, given: map[string]value{}}
	schemas, values := []*File{}, []*File{}
	for _, f := range files {
		switch {
		case f.Values:
			d.read(f, d.given, func(yamlnode.Parsed) bool { return true })
		case f.isChartValues():
			d.charts[f.chart] = map[string]value{}
			d.read(f, d.charts[f.chart], func(yamlnode.Parsed) bool { return true })
		case f.chart == nil && bytes.Contains(f.Data, []byte("@data/values")) && !inLibrary(f.Path):
			schemas, values = append(schemas, f), append(values, f)
		}
	}
	isSchema := regexp.MustCompile(`(?m)^#@data/values-schema\b`)
	isValues := regexp.MustCompile(`(?m)^#@data/values\s*$`)
	for _, f := range schemas {
		d.readAnnotated(f, isSchema)
	}
	for _, f := range values {
		d.readAnnotated(f, isValues)
	}
	for path, v := range d.given {
		d.ytt[path] = v
	}
	d.nest()
	return d
}

// readAnnotated reads the documents of a file after an annotation.
func (d *defaults) readAnnotated(f *File, annotation *regexp.Regexp) {
	if !annotation.Match(f.Data) {
		return
	}
	lines := bytes.SplitAfter(f.Data, []byte("\n"))
	d.read(f, d.ytt, func(doc yamlnode.Parsed) bool { // the annotation is before the document's "---", or at its start
		for n := doc.Offset - 1; n >= 0 && n < len(lines) && (len(bytes.TrimSpace(lines[n])) == 0 || lines[n][0] == '#'); n-- {
			if annotation.Match(lines[n]) {
				return true
			}
		}
		return annotation.Match(doc.Text)
	})
}

// read adds the values of the documents that want accepts.
func (d *defaults) read(f *File, to map[string]value, want func(yamlnode.Parsed) bool) {
	if len(f.Data) > yamlnode.MaxSize {
		return
	}
	defer yamlnode.Alone(f.Data)()
	for doc := range yamlnode.Parse(f.Data) {
		if doc.Root != nil && want(doc) {
			d.add(f, doc.Offset, doc.Root, "", to)
		}
	}
}

// add adds the values of a map, by path.
func (d *defaults) add(f *File, offset int, n *yaml.Node, below string, to map[string]value) {
	if n = yamlnode.Resolved(n); n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content) && d.n < maxValues; i += 2 {
		key, v := n.Content[i], yamlnode.Resolved(n.Content[i+1])
		at := below + key.Value
		if d.n++; v.Kind != yaml.ScalarNode {
			to[at] = value{kind: listKind}
			if len(v.Content) == 0 || f.chart == nil && v.Kind == yaml.SequenceNode { // that of a schema is its type
				to[at] = value{kind: nullKind}
			}
			d.add(f, offset, v, at+".", to)
			continue
		}
		to[at] = d.scalar(f, offset+key.Line, v)
	}
}

// scalar returns the default value of a key at a line.
func (d *defaults) scalar(f *File, line int, n *yaml.Node) value {
	if f.chart == nil {
		if bytes.Contains(f.line(line), []byte("#@")) {
			return unknownValue
		}
		for above := line - 1; above > 0; above-- {
			text := bytes.TrimSpace(f.line(above))
			switch {
			case !bytes.HasPrefix(text, []byte("#")):
				above = 1
			case bytes.HasPrefix(text, []byte("#@schema/nullable")):
				return value{kind: nullKind}
			case bytes.HasPrefix(text, []byte("#@schema/default")):
				return (&env{}).starlark(strings.TrimPrefix(string(text), "#@schema/default"))
			}
		}
	}
	v := value{text: strings.Clone(n.Value)}
	switch n.ShortTag() {
	case "!!null":
		return value{kind: nullKind}
	case "!!bool":
		v.kind = boolKind
	case "!!int":
		v.kind = numberKind
	case "!!float":
		v.kind = numberKind
		if number, err := strconv.ParseFloat(n.Value, 64); err == nil {
			v.text = strconv.FormatFloat(number, 'f', -1, 64)
		}
	}
	return v
}

// nest gives each chart the values that the charts around it set.
func (d *defaults) nest() {
	var charts []*chart
	for c := range d.charts {
		charts = append(charts, c)
	}
	slices.SortFunc(charts, func(a, b *chart) int {
		return cmp.Or(cmp.Compare(len(a.dir), len(b.dir)), strings.Compare(a.dir, b.dir))
	})
	for _, c := range charts {
		outer := slices.IndexFunc(charts, func(o *chart) bool { return path.Join(o.dir, "charts") == path.Dir(c.dir) })
		if outer < 0 {
			for at, v := range d.given {
				d.charts[c][at] = v
			}
			continue
		}
		for at, v := range d.charts[charts[outer]] {
			if own, ok := strings.CutPrefix(at, charts[outer].keyOf(c)+"."); ok {
				d.charts[c][own] = v
			} else if strings.HasPrefix(at, "global.") {
				d.charts[c][at] = v
			}
		}
	}
}

// of returns the values that templates get which are with f.
func (d *defaults) of(f *File) map[string]value {
	switch {
	case f.chart != nil && f.engine != ytt:
		return d.charts[f.chart]
	case inLibrary(f.Path):
		return nil
	}
	return d.ytt
}

// env returns what is known in the template f.
func (d *defaults) env(f *File) *env {
	e := &env{values: d.of(f)}
	if f.chart != nil && f.engine != ytt {
		e.chart = map[string]string{"Name": f.chart.name, "Version": f.chart.version, "AppVersion": f.chart.appVersion}
	}
	return e
}

var (
	nameForms  = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)
	assignment = regexp.MustCompile(`^\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*([^=].*?)\s*$`)
)

// bound matches the names that functions and loops bind.
var bound = regexp.MustCompile(`\bdef\s+\w+\s*\(([^)]*)\)|\bfor\s+([\w\s,]+?)\s+in\b`)

// boundIn returns the names that a line binds, one each time it does.
func boundIn(code string) (names []string) {
	if !strings.Contains(code, "def") && !strings.Contains(code, "for") {
		return nil // the expression takes long to tell
	}
	for _, m := range bound.FindAllStringSubmatch(code, -1) {
		names = append(names, nameForms.FindAllString(m[1]+" "+m[2], -1)...)
	}
	return names
}

// assign finds the variables that the code of a ytt template or a Starlark file assigns once, and
// always.
func (e *env) assign(data []byte, isStarlark, isLibrary bool) {
	times := map[string]int{}
	lines := map[string]int{}
	e.variables, e.evaluated = map[string]string{}, map[string]value{}
	line := 0
	for l := range bytes.Lines(data) {
		line++
		code, isCode := codeOf(string(l), isStarlark)
		if !isCode {
			continue
		}
		for _, name := range boundIn(code) {
			times[name] += 2
		}
		if m := assignment.FindStringSubmatch(code); m != nil && len(m[2]) <= maxExpression {
			times[m[1]]++
			lines[m[1]] = line
			e.variables[m[1]] = m[2]
		}
	}
	b := e.yttBlocks(data, isStarlark, isLibrary)
	for name := range e.variables {
		if times[name] > 1 || b.dead[lines[name]] || b.maybe[lines[name]] {
			delete(e.variables, name)
		}
	}
	clear(e.evaluated)
}

// execute finds what the file's program knows and does not put out.
func (s *scan) execute(f *File) *File {
	live := *f
	live.starts = nil
	isStarlark := path.Ext(f.Path) == ".star"
	live.env = s.known.env(f)
	switch {
	case f.engine == none, f.Values:
		return f
	case f.chart != nil && f.engine != ytt:
		if !bytes.Contains(f.Data, []byte("{{")) || !f.chart.renders(f.Path) {
			return &live
		}
		live.blocks = live.env.helmBlocks(f.Data)
	case isStarlark, bytes.Contains(f.Data, []byte("#@")):
		live.env.assign(f.Data, isStarlark, isLibrary(f.Path))
		live.blocks = live.env.yttBlocks(f.Data, isStarlark, isLibrary(f.Path))
	}
	if live.blocks != nil {
		live.Data = live.blocks.withoutDead(f.Data)
	}
	return &live
}

// isMaybe reports whether a line comes out only for some values.
func (f *File) isMaybe(line int) bool { return f.blocks != nil && f.blocks.maybe[line] }
