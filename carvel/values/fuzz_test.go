package values_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/carvel/values"
	"relocate/internal/text"
)

// breaks are what YAML 1.1 takes as a line break.
var breaks = regexp.MustCompile("[\r\n\u0085\u2028\u2029]")

// FuzzCheck: whatever the schema and the file are, problems are lines with a place in the file, and a
// file that is given twice has those that it has once.
func FuzzCheck(f *testing.F) {
	for _, s := range [][2]string{
		{`{"type":"object","additionalProperties":false,"properties":{"a":{"type":"integer","minimum":1}}}`, "a: x\nb: [1, {c: ~}]\n"},
		{`{"required":["a\u001b"],"properties":{"a":{"pattern":"(","enum":[1],"anyOf":[{"type":[]},3]}}}`, "a: &x {y: 1}\n<<: *x\n---\na: !!binary aGk=\n"},
		{`{"properties":{"a":{"items":{"$ref":"x"},"uniqueItems":true,"default":[1,1]}}}`, "a: [1e3, .inf, 0x1F, 'y']\n#@ x"},
		{`{"not":{},"oneOf":[{},true],"minProperties":"x","multipleOf":0}`, "a: 1\n..."},
	} {
		f.Add([]byte(s[0]), []byte(s[1]))
	}
	f.Fuzz(func(t *testing.T, schema, data []byte) {
		file := values.File{Path: "a.yml", Data: data}
		found, err := values.Check(carvel.Schema(schema), []values.File{file})
		if err != nil {
			return
		}
		for _, p := range found {
			require.Equal(t, text.Line(p.String()), p.String())
			require.LessOrEqual(t, p.Line, 3+len(breaks.FindAll(data, -1)))
		}
		twice, err := values.Check(carvel.Schema(schema), []values.File{file, file})
		require.NoError(t, err)
		require.Equal(t, found, twice)
	})
}
