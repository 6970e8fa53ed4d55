package carvel_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	yamlv2 "go.yaml.in/yaml/v2"

	"relocate/carvel"
	"relocate/oci"
)

// schemas have a case of each rule of docs/carvel.md, "Values", and of what may go wrong; cmd/relocate's
// testdata/packages has the tables of real ones.
var schemas = map[string]struct {
	schema   string
	rows     string // KEY=DEFAULT:TYPE:DESCRIPTION, apart by "; "
	defaults string // in one line; empty when there is no values file
}{
	"one":            {`{"properties":{"a":{"type":"string","default":"x","description":"d"}}}`, "a=x:string:d", "# a: x"},
	"sorted":         {`{"properties":{"b":{},"a":{"properties":{"z":{},"c":{}}},"B":{}}}`, "B=::; a.c=::; a.z=::; b=::", "# {}"},
	"default lost":   {`{"properties":{"a":{"type":"object","default":{"b":1},"properties":{"c":{"type":"string"}}}}}`, "a.c=:string:", "# a: #   b: 1"},
	"empty":          {`{"properties":{"a":{"default":null},"b":{"default":[]},"c":{"default":{}},"d":{"default":""}}}`, `a=::; b=::; c=::; d="":` + `:`, `# b: [] # c: # d: ""`},
	"none at all":    {`{"type":"object","properties":{}}`, "=:object:", "# {}"},
	"no schema":      {`{"properties":{"a":true,"b":null,"c":[1],"d":{}}}`, "d=::", ""},
	"no properties":  {`{"properties":{"a":{"type":"x","properties":null},"b":{"properties":[]},"c":{}}}`, "c=::", ""},
	"types":          {`{"properties":{"a":{"type":["string"],"description":{}},"b":{"type":"integer","default":"no"}}}`, `a=::; b="no":integer:`, ""},
	"required":       {`{"required":["a"],"properties":{"a":{"type":"string"},"o":{"type":"object","properties":{"p":{"type":"object","required":["q"],"properties":{"q":{}}}}}}}`, "a=:string:; o.p.q=::", "# a: # o: #   p: #     q:"},
	"nullable":       {`{"properties":{"a":{"default":{"b":null},"properties":{"b":{"default":1,"nullable":true},"c":{"default":2}}}}}`, "a.b=1::; a.c=2::", "# a: #   b: null #   c: 2"},
	"not nullable":   {`{"properties":{"a":{"default":{"b":null},"properties":{"b":{"default":1}}}}}`, "a.b=1::", "# a: #   b: 1"},
	"items":          {`{"properties":{"a":{"type":"array","items":{"properties":{"b":{"default":1}}},"default":[{}]}}}`, "a=- {}:array:", "# a: #   - {}"},
	"unlike a row":   {`{"properties":{"a":{"type":"object","default":{"x":1},"properties":{"b":{"default":2}}},"c":{"type":"object","properties":{"d":{"type":"object","default":{"z":1}}}}}}`, "a.b=2::; c.d=z: 1:object:", "# a: #   b: 2 #   x: 1"},
	"hidden":         {`{"properties":{"o":{"type":"object","properties":{"p":{"type":"object","default":{"x":1},"properties":{"q":{"default":2}}}}}}}`, "o.p.q=2::", "# {}"},
	"braces in text": {`{"properties":{"a":{"default":"b: {} c: {}"}}}`, "a='b: {} c: {}'::", "# a: 'b: c: {}'"},
}

func TestValues(t *testing.T) {
	t.Parallel()
	for name, c := range schemas {
		values, err := carvel.Schema(c.schema).Values()
		require.NoError(t, err, name)
		var rows []string
		for _, v := range values {
			rows = append(rows, fmt.Sprintf("%s=%s:%s:%s", v.Key, v.DefaultText(), v.Type, v.Description))
		}
		assert.Equal(t, c.rows, strings.Join(rows, "; "), name)
		text, err := carvel.Schema(c.schema).DefaultFile()
		if c.defaults == "" { // kctrl refuses such a schema, too
			require.ErrorContains(t, err, "read values schema: ", name)
			continue
		}
		require.NoError(t, err, name)
		assert.Equal(t, c.defaults, strings.ReplaceAll(strings.TrimSuffix(string(text), "\n"), "\n", " "), name)
	}
}

// TestValuesRefused: what is no schema of properties, and keys that grow when they are joined.
func TestValuesRefused(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{`{}`, `{"properties":null}`, `{"properties":[]}`, `{"properties":"a"}`, `[]`, `"a"`, `{`, ``} {
		_, err := carvel.Schema(schema).Values()
		require.Error(t, err, schema)
	}
	many := map[string]any{}
	for i := range 10_000 {
		many[fmt.Sprint(i)] = map[string]any{}
	}
	bomb, err := json.Marshal(map[string]any{"properties": map[string]any{strings.Repeat("x", 1<<20): map[string]any{"properties": many}}})
	require.NoError(t, err)
	_, err = carvel.Schema(bomb).Values()
	require.ErrorIs(t, err, oci.ErrMalformed)
}

// FuzzValues: whatever the schema, rows are sorted, and a values file is comments to every reader.
func FuzzValues(f *testing.F) {
	for _, c := range schemas {
		f.Add([]byte(c.schema))
	}
	f.Add([]byte("{\"properties\":{\"a\":{\"default\":\"x\\ny: 1\\u2028z: 1\\r\\u0085- a\\u001b\"},\"\\n\\u2029b\":{\"default\":{\"c\\rd\":1e99}}}}"))
	f.Fuzz(func(t *testing.T, schema []byte) {
		values, err := carvel.Schema(schema).Values()
		if err == nil {
			require.True(t, slices.IsSortedFunc(values, func(a, b carvel.Value) int { return strings.Compare(a.Key, b.Key) }))
			for _, v := range values {
				v.DefaultText()
			}
		}
		text, err := carvel.Schema(schema).DefaultFile()
		if err != nil {
			return
		}
		require.NotContains(t, string(text), "\r")
		for l := range strings.Lines(string(text)) {
			require.True(t, strings.HasPrefix(l, "# "), "%q", l)
		}
		var read any
		require.NoError(t, yamlv2.Unmarshal(text, &read), "%q", text)
		require.Nil(t, read, "%q", text)
	})
}
