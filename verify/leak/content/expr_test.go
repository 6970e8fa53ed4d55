package content

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestExpressions evaluates expressions with a hole, "?", for what is not known.
func TestExpressions(t *testing.T) {
	t.Parallel()
	const deep = 100
	starlark := &env{
		values: map[string]value{"tag": {text: "v1"}, "port": {text: "80", kind: numberKind}, "off": {text: "false", kind: boolKind}, "null": {kind: nullKind}},
		variables: map[string]string{"repo": `"a/b"`, "ref": `repo + ":" + data.values.tag`, "self": `self + "x"`, "one": "two", "two": "one",
			"twice": `ref + " " + ref`},
		evaluated: map[string]value{},
	}
	for expr, want := range map[string]string{
		`"a" + 'b'`: "ab", `ref`: "a/b:v1", `twice`: "a/b:v1 a/b:v1", `self`: "?x", `one`: "?", `unknown`: "?",
		`"{}:{}".format(repo, data.values.port)`: "a/b:80", `"{1}{0}{x}".format("a", "b", x="c")`: "bac", `"{}{}".format("a")`: "a?", `"{}".format(data.values.null)`: "?",
		`"%s:%d" % (repo, data.values.port)`: "a/b:80", `"%s" % repo # why`: "a/b", `"%s%s" % repo`: "a/b?", `"100%"`: "100%", `"x%" % "y"`: "x?",
		`data.values.null or "d"`: "d", `data.values.tag or "d"`: "v1", `unknown or "d"`: "?", `"a" if x else "b"`: "?", `"a" + 1`: "?", `str(data.values.port)`: "80",
		`"a".upper()`: "?", `"a" + f(x)`: "a?", `("a" + "b")`: "ab", `"unclosed`: "?", `"a" +`: "?", `f`: "?", `x["a"]`: "?", `""`: "",
		strings.Repeat("(", deep) + `"a"` + strings.Repeat(")", deep): "?",
	} {
		assert.Equal(t, want, strings.ReplaceAll(starlark.starlark(expr).text, hole, "?"), expr)
	}
	helm := &env{values: map[string]value{"image.tag": {text: "v1"}, "empty": {}}, chart: map[string]string{"AppVersion": "2.0"}}
	for pipeline, want := range map[string]string{
		`.Values.image.tag`: "v1", `$.Values.image.tag | quote`: "v1", `.Values.empty | default .Chart.AppVersion`: "2.0", `default "x" .Values.image.tag`: "v1",
		`printf "%s:%v" "a/b" .Values.image.tag`: "a/b:v1", `printf "%s" (.Values.empty | default "y")`: "y", `.Values.none | default "d"`: "d", `include "image" .`: "?",
		`.name`: "?", `.Values.image.tag | trunc 3`: "?", `"lit|eral"`: "lit|eral", "": "?",
		strings.Repeat("(", deep) + `"a"` + strings.Repeat(")", deep): "?",
	} {
		assert.Equal(t, want, strings.ReplaceAll(helm.helm(pipeline).text, hole, "?"), pipeline)
	}
}
