package content

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
	"relocate/report"
)

// chart is a Helm chart of the bundle.
type chart struct {
	dir                       string // without a trailing slash; empty for the bundle's root
	name, version, appVersion string
	needs                     []need
}

// maxNeeds is the limit on checked dependencies of a chart.
const maxNeeds = 200

// need is a chart that another chart depends on.
type need struct {
	at                               place
	name, version, repository, alias string
}

// isChartValues reports whether a file has the default values of its chart.
func (f *File) isChartValues() bool {
	return f.chart != nil && path.Dir("/"+f.Path) == path.Clean("/"+f.chart.dir) && path.Base(f.Path) == "values.yaml"
}

// Charts are the Helm charts among the files of a bundle.
type Charts struct {
	byDir map[string]*chart
	paths map[string]bool // the files and folders of the bundle
}

// FindCharts finds the charts among all files of a bundle, and sets the chart of each file.
func FindCharts(files []*File) *Charts {
	c := &Charts{byDir: map[string]*chart{}, paths: map[string]bool{}}
	for _, f := range files {
		c.paths[f.Path] = true
		for dir := path.Dir(f.Path); dir != "." && !c.paths[dir]; dir = path.Dir(dir) {
			c.paths[dir] = true
		}
		if path.Base(f.Path) == "Chart.yaml" && len(f.Data) <= yamlnode.MaxSize {
			dir := strings.TrimPrefix(path.Dir("/"+f.Path), "/")
			c.byDir[dir] = &chart{dir: dir}
			c.byDir[dir].read(f)
		}
	}
	for _, f := range files {
		f.chart = c.of(f)
		if f.chart != nil && f.Path == path.Join(f.chart.dir, "requirements.yaml") && len(f.Data) <= yamlnode.MaxSize {
			f.chart.read(f)
		}
	}
	return c
}

// of returns the innermost chart that contains a file; nil for none.
func (c *Charts) of(f *File) *chart {
	for dir := path.Dir("/" + f.Path); len(c.byDir) > 0; dir = path.Dir(dir) {
		if chart := c.byDir[dir[1:]]; chart != nil || dir == "/" {
			return chart
		}
	}
	return nil
}

// read adds what Chart.yaml or requirements.yaml says.
func (c *chart) read(f *File) {
	defer yamlnode.Alone(f.Data)()
	for doc := range yamlnode.Parse(f.Data) {
		if doc.Root == nil {
			return
		}
		if path.Base(f.Path) == "Chart.yaml" {
			c.name, c.version, c.appVersion = yamlnode.Scalar(doc.Root, "name"), yamlnode.Scalar(doc.Root, "version"), yamlnode.Scalar(doc.Root, "appVersion")
		}
		if list := yamlnode.Field(doc.Root, "dependencies"); list != nil && list.Kind == yaml.SequenceNode {
			for _, d := range list.Content {
				if name := yamlnode.Scalar(d, "name"); name != "" && len(c.needs) < maxNeeds {
					c.needs = append(c.needs, need{place{f.Path, doc.LineOf(d)}, name, yamlnode.Scalar(d, "version"), yamlnode.Scalar(d, "repository"), yamlnode.Scalar(d, "alias")})
				}
			}
		}
		return
	}
}

// keyOf returns the key of the chart's values for a chart below its charts/.
func (c *chart) keyOf(sub *chart) string {
	for _, n := range c.needs {
		if n.alias != "" && n.name == sub.name {
			return n.alias
		}
	}
	return path.Base(sub.dir)
}

// codeHelmDependency is the code for a missing chart.
const codeHelmDependency report.Code = "helm-dependency"

// Missing returns a finding for each chart that the chart in dir needs and that is missing from
// charts/. helm template does not download it, and fails.
func (c *Charts) Missing(dir string) (findings []report.Finding) {
	of := c.byDir[dir]
	if of == nil {
		return nil
	}
	below := path.Join(of.dir, "charts")
	for _, n := range of.needs {
		if c.paths[path.Join(below, n.name)] || c.hasPacked(below, n) {
			continue
		}
		findings = append(findings, report.Finding{Code: codeHelmDependency, Level: report.Install, File: n.at.file, Line: n.at.line,
			Reference: strings.TrimSpace(n.repository + " " + n.name + " " + n.version),
			Message:   fmt.Sprintf("the chart needs the chart %q, which is not below charts/: helm template fails", shorten(n.name)),
			Action:    "run helm dependency update in the chart's folder, and push the bundle again"})
	}
	return findings
}

// MissingOfAll returns the findings of Missing for every chart that is not part of another chart.
func (c *Charts) MissingOfAll() (findings []report.Finding) {
	for _, dir := range slices.Sorted(maps.Keys(c.byDir)) {
		if !strings.Contains("/"+dir, "/charts/") {
			findings = append(findings, c.Missing(dir)...)
		}
	}
	return findings
}

// hasPacked reports whether the bundle has a chart as NAME-VERSION.tgz.
func (c *Charts) hasPacked(below string, n need) bool {
	if c.paths[path.Join(below, n.name+"-"+strings.TrimPrefix(n.version, "v")+".tgz")] || c.paths[path.Join(below, n.name+"-"+n.version+".tgz")] {
		return true
	}
	packed := regexp.MustCompile(`^` + regexp.QuoteMeta(n.name) + `-v?[0-9][^/]*\.tgz$`) // the version may be a range
	for p := range c.paths {
		if path.Dir(p) == below && packed.MatchString(path.Base(p)) {
			return true
		}
	}
	return false
}
