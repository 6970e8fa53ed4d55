package values_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/carvel/values"
	"relocate/internal/yamlnode"
)

// check checks texts, which are named a.yml, b.yml and so on, against a schema in YAML, and returns the
// problems as lines: those that are warnings begin with "warning: ".
func check(t *testing.T, schema string, texts ...string) (lines []string) {
	t.Helper()
	raw, err := yamlnode.ToJSON([]byte(schema))
	require.NoError(t, err)
	var files []values.File
	for i, text := range texts {
		files = append(files, values.File{Path: string(rune('a'+i)) + ".yml", Data: []byte(text)})
	}
	found, err := values.Check(carvel.Schema(raw), files)
	require.NoError(t, err)
	for _, p := range found {
		level := ""
		if p.Warning {
			level = "warning: "
		}
		lines = append(lines, level+p.String())
	}
	return lines
}

// TestProblems: each names file, line and key, and says what is wrong without the value.
func TestProblems(t *testing.T) {
	t.Parallel()
	schema := func(property string) string { return "properties: {a: {" + property + "}}" }
	for _, c := range []struct{ schema, values, want string }{
		{schema("type: string"), "a: 0123", "a.yml: line 1: a: must be a string, is an integer: write it in quotes"},
		{schema("type: string"), "a: secret", ""},
		{schema("type: string"), "\na: on", "a.yml: line 2: a: must be a string, is a boolean: write it in quotes"},
		{schema("type: string"), "a: {b: 1}", "a.yml: line 1: a: must be a string, is an object"},
		{schema("type: integer"), "a: '5'", "a.yml: line 1: a: must be an integer, is a string: write it without quotes"},
		{schema("type: [integer, 'null']"), "a:", ""},
		{schema("type: number"), "a: 5", ""},
		{schema("type: integer"), "a:", "warning: a.yml: line 1: a: is null, and the schema asks for an integer"},
		{"additionalProperties: false\n" + schema("type: integer"), "a:", "a.yml: line 1: a: must be an integer, is null"},
		{"additionalProperties: false\n" + schema("type: integer, nullable: true"), "a:", ""},
		{schema("type: integer, default: five"), "a: five", ""},
		{"additionalProperties: false\n" + schema("type: integer"), "b: 1", "a.yml: line 1: b: is not a key of the schema: a"},
		{schema("type: integer"), "b: 1", "warning: a.yml: line 1: b: is not a key of the schema, which permits others: a"},
		{schema("type: object, additionalProperties: {type: string}"), "a:\n  x: b\n  z: 1", "a.yml: line 3: a.z: must be a string, is an integer: write it in quotes"},
		{schema("type: array, items: {type: object, required: [k]}"), "a:\n- k: 1\n- m: 1", "a.yml: line 3: a[1].k: is required and not given"},
		{"required: [a]\n" + schema("type: integer, default: 1"), "{}", ""},
		{"required: [a]\n" + schema("type: integer"), "b: {}", "warning: a.yml: line 1: b: is not a key of the schema, which permits others: a\na.yml: line 1: a: is required and not given"},
		{schema("enum: [x, 1, null]"), "a: y", `a.yml: line 1: a: must be one of "x", 1, null`},
		{schema("minLength: 2, default: x"), "{}", "a: is not given, and its default does not satisfy the schema: must have at least 2 characters, has 1"},
		{schema("properties: {b: {minLength: 1, default: ''}}"), "{}", "a.b: is not given, and its default does not satisfy the schema: must have at least 1 character, has 0"},
		{schema("nullable: true, properties: {b: {minLength: 1, default: ''}}"), "{}", ""},
		{schema("pattern: '^[a-z]+$'"), "a: A", `a.yml: line 1: a: does not match the pattern "^[a-z]+$"`},
		{schema("pattern: '(?=x)'"), "a: A", `warning: a.yml: line 1: a: pattern "(?=x)" of the schema was not checked: it needs another regular expression engine`},
		{schema("$ref: '#/x'"), "a: A", `warning: a.yml: line 1: a: $ref "#/x" of the schema was not checked: references are not supported`},
		{schema("minimum: 1, exclusiveMinimum: true"), "a: 1", "a.yml: line 1: a: must be more than 1"},
		{schema("maximum: 1"), "a: 1.5", "a.yml: line 1: a: must be at most 1"},
		{schema("multipleOf: 0.1"), "a: 0.3", ""},
		{schema("multipleOf: 0.1"), "a: 0.35", "a.yml: line 1: a: must be a multiple of 0.1"},
		{schema("format: ipv4"), "a: 10.0.0.256", "a.yml: line 1: a: is not valid in the format ipv4 of the schema"},
		{schema("format: int32"), "a: 2147483648", "a.yml: line 1: a: is out of the range of the format int32 of the schema"},
		{schema("format: colour"), "a: x", ""},
		{schema("uniqueItems: true"), "a: [1, 2, 1]", "a.yml: line 1: a[2]: is the same as [0]; items must be unique"},
		{schema("anyOf: [{type: string}, {type: object, required: [n]}]"), "a: {}", "a.yml: line 1: a: fits none of 2 alternatives (anyOf of the schema); in the nearest, it must be a string, is an object"},
		{schema("oneOf: [{type: number}, {type: integer}]"), "a: 1", "a.yml: line 1: a: fits 2 of 2 alternatives, must fit exactly one (oneOf of the schema)"},
		{"anyOf: [{required: [a]}, {required: [b]}]\n" + schema("default: 1"), "c: 1", "warning: a.yml: line 1: c: is not a key of the schema, which permits others: a"},
		{"anyOf: [{required: [a]}, {required: [b]}]\n" + schema("type: string"), "{}", "a.yml: line 1: a: fits none of 2 alternatives (anyOf of the schema); in the nearest, it is required and not given"},
		{schema("allOf: [{minimum: 1}, {maximum: 3}]"), "a: 4", "a.yml: line 1: a: must be at most 3"},
		{schema("not: {type: string}"), "a: x", "a.yml: line 1: a: must not fit the schema under not"},
		{schema("x-kubernetes-int-or-string: true"), "a: 5%", ""},
		{schema("type: string, deprecated: true"), "a: x", "warning: a.yml: line 1: a: is deprecated"},
		{schema("type: object"), "a: &x {k: 1}\nb: 1\n<<: {a: 1, c: 2}", "warning: a.yml: line 2: b: is not a key of the schema, which permits others: a\nwarning: a.yml: line 3: c: is not a key of the schema, which permits others: a"},
		{"{}", "a: [", "a.yml: line 2: is not YAML: did not find expected node content"},
		{"{}", "# x\n- a", "a.yml: line 2: is not a map of values"},
		{"{}", "a: 1\na: 2", `a.yml: line 2: has the key "a" twice`},
		{"{}", "x: {on: 1}", "a.yml: line 1: x.on: YAML reads this key as a boolean, and ytt takes no such keys: write it in quotes"},
		{"{}", "a: 1\n#@ b\nc: 1", "a.yml: line 2: has a comment with #@, which ytt refuses in values"},
	} {
		assert.Equal(t, c.want, strings.Join(check(t, c.schema, c.values), "\n"), "%s\n%s", c.schema, c.values)
	}
}

// TestFiles: later files win, key by key, but each has the right types, as ytt asks.
func TestFiles(t *testing.T) {
	t.Parallel()
	schema := "{required: [b], properties: {a: {type: integer, minimum: 5}, b: {type: string}, c: {properties: {d: {type: integer}, e: {type: integer}}}}}"
	assert.Empty(t, check(t, schema, "a: 1\nb: x", "a: 5"))
	assert.Equal(t, []string{"a.yml: line 1: a: must be an integer, is a string"}, check(t, schema, "a: x\nb: x", "a: 5"))
	assert.Equal(t, []string{"b.yml: line 2: a: must be at least 5"}, check(t, schema, "a: 5\nb: x", "\na: 4"))
	assert.Equal(t, []string{"a.yml: line 2: c.d: must be an integer, is a string", "b.yml: line 1: c.e: must be an integer, is a boolean"},
		check(t, schema, "b: x\nc: {d: x}", "c: {e: true}"))
	assert.Equal(t, []string{"b: is required and not given"}, check(t, schema))
}

// TestSecrets: no message has a value.
func TestSecrets(t *testing.T) {
	t.Parallel()
	for _, property := range []string{"type: integer", "enum: [a]", "minLength: 100", "pattern: x", "format: uuid", "not: {}", "anyOf: [{type: integer}]", "type: object", "const: x"} {
		lines := check(t, "properties: {a: {"+property+"}}", "a: hunter2")
		require.NotEmpty(t, lines, property)
		assert.NotContains(t, fmt.Sprint(lines), "hunter2", property)
	}
}

// ofText is a schema of a text a, with more keywords.
func ofText(keywords string) carvel.Schema {
	return carvel.Schema(`{"properties":{"a":{"type":"string",` + keywords + `}}}`)
}

// TestLimit: a schema cannot keep a check busy.
func TestLimit(t *testing.T) {
	t.Parallel()
	schema := `{"items":{"allOf":[` + strings.Repeat("{},", 9999) + `{}]}}`
	text := "a: [" + strings.Repeat("1,", 999) + "1]"
	_, err := values.Check(carvel.Schema(`{"properties":{"a":`+schema+`}}`), []values.File{{Path: "a.yml", Data: []byte(text)}})
	require.ErrorIs(t, err, yamlnode.ErrLimit)

	large := strings.Repeat("(a?){50}", 50)
	one := ofText(`"pattern":"` + large + `"`)
	problems, err := values.Check(one, []values.File{{Path: "a.yml", Data: []byte("a: a")}})
	require.NoError(t, err)
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0].String(), "of the schema was not checked: it is too large")

	slow := strings.Repeat(`{"pattern":"`+strings.Repeat("(a?){15}", 50)+`b"},`, 200)
	_, err = values.Check(ofText(`"allOf":[`+slow+`{}]`), []values.File{{Path: "a.yml", Data: []byte("a: " + strings.Repeat("a", 2000))}})
	require.ErrorIs(t, err, yamlnode.ErrLimit)

	_, err = values.Check(carvel.Schema(`{`), nil)
	require.EqualError(t, err, "read values schema: unexpected end of JSON input")
}
