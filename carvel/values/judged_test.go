package values_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/carvel/values"
	"relocate/internal/yamlnode"
)

var update = flag.Bool("update", false, "write testdata/judged.yml again")

// judgedSchema is an entry of testdata/judged.yml. Exactly one of Ytt, Package and OpenAPI is written by
// hand.
type judgedSchema struct {
	Name    string         `yaml:"name"`
	Ytt     string         `yaml:"ytt,omitempty"`     // a schema of ytt, without its first lines
	Package string         `yaml:"package,omitempty"` // NAME/VERSION: testdata has the schema
	OpenAPI string         `yaml:"openapi,omitempty"` // JSON; of Ytt: what ytt prints
	Values  []judgedValues `yaml:"values"`
}

// judgedValues are values files, and what is said of them. Empty means that they may be used.
type judgedValues struct {
	Files      []string          `yaml:"files"`
	Ytt        *string           `yaml:"ytt,omitempty"`        // nil for OpenAPI
	Kubernetes *string           `yaml:"kubernetes,omitempty"` // nil for several files, or none that is YAML
	Relocate   []string          `yaml:"relocate,omitempty"`
	Differs    map[string]string `yaml:"differs,omitempty"` // who does not say what relocate says → why
}

// TestJudged: relocate says of values what ytt and Kubernetes say, or the table says why not.
func TestJudged(t *testing.T) {
	t.Parallel()
	file := filepath.Join("testdata", "judged.yml")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var table []judgedSchema
	require.NoError(t, yaml.Unmarshal(text, &table))
	j := findJudges(t)
	rows := 0
	for i := range table {
		s := &table[i]
		j.record(t, s)
		schema := s.schema(t)
		for k := range s.Values {
			v, row := &s.Values[k], fmt.Sprintf("%s: %q", s.Name, s.Values[k].Files)
			found, err := values.Check(schema, files(v.Files))
			require.NoError(t, err, row)
			var lines []string
			for _, p := range found {
				lines = append(lines, said(p))
			}
			if *update {
				v.Relocate = lines
			}
			assert.Equal(t, v.Relocate, lines, row)
			for who, says := range map[string]*string{"ytt": v.Ytt, "kubernetes": v.Kubernetes} {
				if says == nil {
					assert.Empty(t, v.Differs[who], row)
					continue
				}
				if agrees := (*says == "") == !values.HasErrors(found); agrees != (v.Differs[who] == "") {
					t.Errorf("%s: %s says %q, relocate %q, why: %q", row, who, *says, lines, v.Differs[who])
				}
			}
			rows++
		}
	}
	assert.Greater(t, rows, 150)
	if *update {
		var out bytes.Buffer
		e := yaml.NewEncoder(&out)
		e.SetIndent(2)
		require.NoError(t, e.Encode(table))
		require.NoError(t, os.WriteFile(file, out.Bytes(), 0o644))
	}
}

// said returns a problem as the table has it.
func said(p values.Problem) string {
	if p.Warning {
		return "warning: " + p.String()
	}
	return p.String()
}

func files(texts []string) (list []values.File) {
	for i, text := range texts {
		list = append(list, values.File{Path: string(rune('a'+i)) + ".yml", Data: []byte(text)})
	}
	return list
}

func (s *judgedSchema) schema(t *testing.T) carvel.Schema {
	t.Helper()
	if s.Package == "" {
		return carvel.Schema(s.OpenAPI)
	}
	text, err := os.ReadFile(filepath.Join("testdata", strings.ReplaceAll(s.Package, "/", "-")+".yml"))
	require.NoError(t, err)
	raw, err := yamlnode.ToJSON(text)
	require.NoError(t, err)
	return carvel.Schema(raw)
}

// judges are the programs that can be asked; a path is empty for one that is not there.
type judges struct {
	ytt, openapi string
	tree         string // of Tanzu Community Edition
}

func findJudges(t *testing.T) judges {
	t.Helper()
	find := func(name string) string {
		path, err := filepath.Abs(filepath.Join(os.Getenv("RELOCATE_TEST_JUDGES"), name))
		if _, missing := os.Stat(path); os.Getenv("RELOCATE_TEST_JUDGES") == "" || err != nil || missing != nil || testing.Short() {
			return ""
		}
		return path
	}
	return judges{find("ytt"), find("openapi"), os.Getenv("RELOCATE_TEST_TCE")}
}

// record asks the judges, and compares what they say with the table, or writes it there.
func (j judges) record(t *testing.T, s *judgedSchema) {
	t.Helper()
	if j.ytt != "" && s.Ytt != "" {
		same(t, &s.OpenAPI, j.inspect(t, s.Ytt), s.Name)
	}
	for k := range s.Values {
		v, row := &s.Values[k], fmt.Sprintf("%s: %q", s.Name, s.Values[k].Files)
		switch {
		case j.ytt != "" && s.Ytt != "":
			same(t, pointer(&v.Ytt), j.render(t, map[string]string{"schema.yml": header + s.Ytt + "\n", "template.yml": template}, "", v.Files), row)
		case j.ytt != "" && s.Package != "" && j.tree != "":
			same(t, pointer(&v.Ytt), j.render(t, nil, filepath.Join(j.tree, "addons", "packages", s.Package, "bundle", "config"), v.Files), row)
		}
		if j.openapi != "" && len(v.Files) == 1 {
			if says, ok := j.validate(t, s.schema(t), v.Files[0]); ok {
				same(t, pointer(&v.Kubernetes), says, row)
			}
		}
	}
}

const (
	header   = "#@data/values-schema\n---\n"
	template = "#@ load('@ytt:data', 'data')\nv: #@ data.values\n"
)

func pointer(p **string) *string {
	if *p == nil {
		*p = new(string)
	}
	return *p
}

func same(t *testing.T, recorded *string, says, row string) {
	t.Helper()
	if *update {
		*recorded = says
	}
	assert.Equal(t, *recorded, says, row)
}

// inspect returns the schema that ytt writes for a Package.
func (j judges) inspect(t *testing.T, schema string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), j.ytt, "-f", "-", "--data-values-schema-inspect", "-o", "openapi-v3")
	c.Stdin = strings.NewReader(header + schema + "\n")
	out, err := c.Output()
	require.NoError(t, err)
	raw, err := yamlnode.ToJSON(out)
	require.NoError(t, err)
	var doc struct {
		Components struct {
			Schemas struct {
				DataValues json.RawMessage `json:"dataValues"`
			} `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(raw, &doc))
	return string(doc.Components.Schemas.DataValues)
}

// yttSays matches the lines of ytt that say what is wrong.
var yttSays = regexp.MustCompile(`(?m)^.*(?:Given data value is|= found: |= expected: |- must be: |- [a-z]+ \(by: |must be: |Expected to be|Expected map|parsing YAML|fail: |could not find|yaml: |has no \.).*$`)

// render returns what ytt says when it renders files, or a folder, with values: nothing where that works.
func (j judges) render(t *testing.T, texts map[string]string, folder string, given []string) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--ignore-unknown-comments"}
	if folder != "" {
		args = append(args, "-f", folder)
	}
	for name, text := range texts {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		args = append(args, "-f", name)
	}
	for _, f := range files(given) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, f.Path), f.Data, 0o600))
		args = append(args, "--data-values-file", f.Path)
	}
	c := exec.CommandContext(t.Context(), j.ytt, args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err == nil {
		return ""
	}
	var lines []string
	for _, l := range yttSays.FindAllString(string(out), 4) {
		lines = append(lines, strings.Trim(l, " |="))
	}
	if len(lines) == 0 { // a package's own code
		lines = append(lines, strings.TrimPrefix(regexp.MustCompile(`(?m)^- .+$`).FindString(string(out)), "- "))
	}
	require.NotEmpty(t, lines[0], "%s", out)
	return strings.Join(lines, "; ")
}

// validate returns what Kubernetes says of a file; not ok where it is no YAML of one document.
func (j judges) validate(t *testing.T, schema carvel.Schema, text string) (string, bool) {
	t.Helper()
	raw, err := yamlnode.ToJSON([]byte(text))
	if err != nil || string(raw) == "null" || strings.Contains(text, "---") {
		return "", false
	}
	c := exec.CommandContext(t.Context(), j.openapi)
	c.Stdin = strings.NewReader(fmt.Sprintf(`{"schema": %s, "value": %s}`, schema, raw))
	out, err := c.Output()
	if err != nil {
		return "", false
	}
	var messages []string
	require.NoError(t, json.Unmarshal(out, &messages))
	return strings.Join(messages, "; "), true
}
