package leak

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/report"
)

// chart is a Helm chart of the bundle.
type chart struct {
	dir        string // without a slash at the end; empty for the bundle's root
	appVersion string
	needs      []need
}

// maxNeeds is how many dependencies of a chart are looked at.
const maxNeeds = 200

// need is a chart that another one depends on.
type need struct {
	at                        place
	name, version, repository string
}

// isValues reports whether a file has the chart's default values.
func (c *chart) isValues(file string) bool {
	return path.Dir("/"+file) == path.Clean("/"+c.dir) && path.Base(file) == "values.yaml"
}

// charts finds the Helm charts of the bundle, and tells each file its chart.
func (s *scan) charts(files []*input) {
	s.byDir = map[string]*chart{}
	s.paths = map[string]bool{}
	for _, f := range files {
		s.paths[f.path] = true
		for dir := path.Dir(f.path); dir != "." && !s.paths[dir]; dir = path.Dir(dir) {
			s.paths[dir] = true
		}
		if path.Base(f.path) == "Chart.yaml" && len(f.data) <= maxFile {
			dir := strings.TrimPrefix(path.Dir("/"+f.path), "/")
			s.byDir[dir] = readChart(dir, f.textFile)
		}
	}
	for _, f := range files {
		for dir := path.Dir("/" + f.path); len(s.byDir) > 0; dir = path.Dir(dir) {
			if f.chart = s.byDir[dir[1:]]; f.chart != nil || dir == "/" {
				break
			}
		}
		if f.chart != nil && f.path == path.Join(f.chart.dir, "requirements.yaml") && len(f.data) <= maxFile {
			f.chart.read(f.textFile)
		}
	}
}

func readChart(dir string, f textFile) *chart {
	c := &chart{dir: dir}
	c.read(f)
	return c
}

// read takes over what Chart.yaml or requirements.yaml says.
func (c *chart) read(f textFile) {
	defer alone(f.data)()
	for doc := range yamlDocuments(f.data) {
		if doc.root == nil {
			return
		}
		if v := scalar(doc.root, "appVersion"); v != "" {
			c.appVersion = v
		}
		if list := field(doc.root, "dependencies"); list != nil && list.Kind == yaml.SequenceNode {
			for _, d := range list.Content {
				if name := scalar(d, "name"); name != "" && len(c.needs) < maxNeeds {
					c.needs = append(c.needs, need{place{f.path, doc.lineOf(d)}, name, scalar(d, "version"), scalar(d, "repository")})
				}
			}
		}
		return
	}
}

// dependencies reports what the chart in dir needs and does not have below charts/ (point 17): helm template
// fails, it does not download. Without steps, every chart that is no part of another one is looked at.
func (s *scan) dependencies(dir string) {
	if len(s.steps) > 0 {
		if c := s.byDir[dir]; c != nil {
			s.chartDependencies(c)
		}
		return
	}
	for _, dir := range slices.Sorted(maps.Keys(s.byDir)) {
		if !strings.Contains("/"+dir, "/charts/") {
			s.chartDependencies(s.byDir[dir])
		}
	}
}

func (s *scan) chartDependencies(c *chart) {
	below := path.Join(c.dir, "charts")
	for _, n := range c.needs {
		if s.paths[path.Join(below, n.name)] || s.hasPackedChart(below, n) {
			continue
		}
		s.note(n.at, codeHelmDependency, report.Install, strings.TrimSpace(n.repository+" "+n.name+" "+n.version),
			fmt.Sprintf("the chart needs the chart %q, which is not below charts/: helm template fails", shorten(n.name)),
			"run helm dependency update in the chart's folder, and push the bundle again")
	}
}

// hasPackedChart reports whether a chart is there as NAME-VERSION.tgz.
func (s *scan) hasPackedChart(below string, n need) bool {
	if s.paths[path.Join(below, n.name+"-"+strings.TrimPrefix(n.version, "v")+".tgz")] || s.paths[path.Join(below, n.name+"-"+n.version+".tgz")] {
		return true
	}
	packed := regexp.MustCompile(`^` + regexp.QuoteMeta(n.name) + `-v?[0-9][^/]*\.tgz$`) // the version may be a range
	for p := range s.paths {
		if path.Dir(p) == below && packed.MatchString(path.Base(p)) {
			return true
		}
	}
	return false
}

var (
	cueDependencies = regexp.MustCompile(`^\s*deps:\s*(\{|"|$)`)
	cueDependency   = regexp.MustCompile(`"([^"]+@v[0-9][^"]*)"\s*:`)
)

// cueModule reports the modules that a CUE module depends on (point 18).
func (s *scan) cueModule(in *input) {
	line, inside := 0, false
	for l := range strings.Lines(string(in.data)) {
		line++
		if isComment(l) {
			continue
		}
		inside = inside || cueDependencies.MatchString(l)
		if m := cueDependency.FindStringSubmatch(l); inside && m != nil {
			s.note(place{in.path, line}, codeCueModule, report.Warning, m[1], "the CUE module depends on another one, which cue fetches from its registry",
				"put the module below cue.mod/ (cue.mod/pkg or usr), and push the bundle again")
		}
	}
}
