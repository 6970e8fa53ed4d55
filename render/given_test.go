package render_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/render"
	"relocate/render/ytt"
)

// TestGiveValues: what is no map of values is refused, with its line.
func TestGiveValues(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"":                         "",
		"# nothing\n":              "",
		"null\n":                   "",
		"---\na: 1\n---\nb: [1]\n": "",
		"{a: {b: c}}":              "",
		"a: 1\n---\n- b\n":         "line 3: is not a map of data values",
		"a: 1\na: 2":               `line 2: has the key "a" twice`,
		"a: 1\n---\n\nb: [\n":      "line 5: is not YAML",
		"text":                     "line 1: is not a map of data values",
		"\n\na: [":                 "line 4: is not YAML",
		"\xff":                     "is not UTF-8",
	} {
		g, err := render.GiveValues("a.test", "f.yml", []byte(text))
		if says == "" {
			require.NoError(t, err, text)
			assert.Equal(t, render.GivenValues{Package: "a.test", File: ytt.File{Path: "f.yml", Data: []byte(text)}}, g)
		} else {
			assert.ErrorContains(t, err, says, text)
		}
	}
}

// TestValues: files go to the packages that they name, in order, and none is ignored.
func TestValues(t *testing.T) {
	t.Parallel()
	file := func(path string) ytt.File { return ytt.File{Path: path} }
	values := render.Values{{"a.test", file("1")}, {"a.test/1.0.0", file("2")}, {"b.test", file("3")}, {"a.test", file("4")}}
	assert.Equal(t, []ytt.File{file("1"), file("2"), file("4")}, values.Of("a.test", "1.0.0"))
	assert.Equal(t, []ytt.File{file("1"), file("4")}, values.Of("a.test", "2.0.0"))
	assert.Empty(t, values.Of("c.test", "1.0.0"))

	packages := []carvel.Package{{Name: "b.test", Version: "1.0.0"}, {Name: "a.test", Version: "1.0.0"}, {Name: "a.test", Version: "2.0.0"}}
	require.NoError(t, values.Check(packages))
	for given, says := range map[string]string{
		"c.test":       "values file f.yml: package c.test was not found",
		"c.test/1.0.0": "values file f.yml: package c.test was not found",
		"a.test/3.0.0": "values file f.yml: package a.test does not have version 3.0.0, only 2.0.0, 1.0.0",
	} {
		err := append(values, render.GivenValues{Package: given, File: file("f.yml")}).Check(packages)
		var unused *render.UnusedValuesError
		require.ErrorAs(t, err, &unused)
		assert.EqualError(t, err, says)
		assert.Equal(t, []string{"a.test", "b.test"}, unused.Names)
	}
}
