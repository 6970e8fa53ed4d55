package render_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/render"
	"relocate/render/ytt"
)

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
