package content

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"relocate/internal/yamlnode"
	"relocate/report"
)

const bareCRD = `---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: things.example.com
spec:
  versions:
  - schema:
      openAPIV3Schema:
        description: The image that runs. It wraps a long line after the image
          "as is", such as registry.example.com/app/web:1.0
        pattern: ^\d+\.\d+$
`

// A CustomResourceDefinition is parsed if it may have a key that kbld sees.
func TestIsBareCRD(t *testing.T) {
	assert.True(t, isBareCRD(yamlnode.Document{Line: 1, Text: []byte(bareCRD)}))
	for name, text := range map[string]string{
		"an image key":       bareCRD + "        image: x\n",
		"a quoted key":       bareCRD + `        "image" : x` + "\n",
		"in flow style":      bareCRD + "        x: {image: x}\n",
		"an explicit key":    bareCRD + "        ? image\n        : x\n",
		"an escaped key":     bareCRD + `        "im\x61ge": x` + "\n",
		"a key on two lines": bareCRD + "        ? \"im\\\nage\"\n        : x\n",
		"a hidden document":  bareCRD + "x: y\r---\rkind: Pod\n",
		"another line break": bareCRD + "x: y\u2028---\u2028kind: Pod\n",
		"another kind":       bareCRD + "kind: Pod\n",
		"a kind before":      "kind: Pod" + strings.TrimPrefix(bareCRD, "---"),
		"no such kind":       strings.Replace(bareCRD, "CustomResourceDefinition", "Pod", 1),
	} {
		assert.False(t, isBareCRD(yamlnode.Document{Line: 1, Text: []byte(text)}), name)
	}
}

// count counts what a scan finds.
type count struct{ references, findings int }

func (c *count) Reference(Reference) { c.references++ }

func (c *count) Note(report.Finding) { c.findings++ }

// An escaped image key in a CustomResourceDefinition is found, and what is in other documents of its file.
func TestScanSeesImageKeysOfCRDs(t *testing.T) {
	for _, c := range []struct {
		text string
		want int // references
	}{
		{bareCRD, 0},
		{bareCRD + `        "im\x61ge": registry.example.com/app/web:1.0` + "\n", 1},
		{bareCRD + "---\nkind: Pod\napiVersion: v1\nspec:\n  containers:\n  - image: registry.example.com/app/web:1.0\n" + bareCRD, 1},
	} {
		var got count
		Scan([]*File{{Path: "config/crd.yml", Data: []byte(c.text), engine: ytt, isYAML: true}}, nil, &got)
		assert.Equal(t, c.want, got.references, c.text)
	}
}

// The quick tests of a line agree with the expressions that they save.
func TestQuickTests(t *testing.T) {
	for _, line := range []string{
		"if x:", "if/end x:", "if(x):", "ifx:", "if_x", "elif y:", "else:", "for a in b:", "while x:", "def f(x):", "end", "end ", "ending", "If x:", "", " if x:", "x = y",
	} {
		assert.True(t, isStatement(line) || !statementForm.MatchString(line), line)
	}
	names := "def f_1(a):\n  x = f_1(9abc) + f-1 + ä_b\n"
	want := map[string]int{}
	for _, name := range nameForms.FindAllString(names, -1) {
		want[name]++
	}
	assert.Equal(t, want, countNames([]byte(names)))
}
