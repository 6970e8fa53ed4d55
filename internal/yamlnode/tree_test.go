package yamlnode_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	yaml "go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
)

// TestTree: what an alias stands for is in its place, lines are the file's, and what two readers may see in two ways is
// refused at its line.
func TestTree(t *testing.T) {
	t.Parallel()
	doc := yamlnode.Document{Line: 10, Text: []byte("a: &x {b: 1}\nc: *x\nd: null\n")}
	n, err := doc.Tree()
	require.NoError(t, err)
	assert.Equal(t, "1", yamlnode.Text(n, "c", "b"))
	assert.Equal(t, 10, yamlnode.Get(n, "c").Line, "where it is written")
	assert.Nil(t, yamlnode.Get(n, "d"), "null is nothing")

	raw, err := doc.Node()
	require.NoError(t, err)
	assert.Equal(t, yaml.AliasNode, raw.Content[3].Kind)
	assert.Equal(t, "1", yamlnode.Text(raw, "c", "b"), "aliases are followed")

	for text, want := range map[string]struct {
		line int
		err  string
	}{
		"a: 1\nb: {c: 1,\n  c: 2}\n": {12, `has the key "c" twice`},
		"a: 1\nb: c: d\n":            {11, "is not YAML: mapping values are not allowed in this context"},
		"a: \xff":                    {0, "is not UTF-8"},
		"a: 1\u2028---\u2028b: 2":    {0, "has content after the end of a document"},
		strings.Repeat("[", 202) + strings.Repeat("]", 202): {0, "is nested more than 200 deep"},
	} {
		_, err := yamlnode.Document{Line: 10, Text: []byte(text)}.Tree()
		require.ErrorContains(t, err, want.err)
		var at *yamlnode.Error
		if errors.As(err, &at) {
			assert.Equal(t, want.line, at.Line, "%q: %v", text, err)
		} else {
			assert.Zero(t, want.line, "%q: %v", text, err)
		}
	}
}

// TestJSON: the same in JSON gives the same tree.
func TestJSON(t *testing.T) {
	t.Parallel()
	doc := yamlnode.Document{Line: 3, Text: []byte("{\"a\": [\"x\",\n null, 1.50]}")}
	fromJSON, err := doc.JSON()
	require.NoError(t, err)
	fromYAML, err := doc.Tree()
	require.NoError(t, err)
	for _, n := range []*yaml.Node{fromJSON, fromYAML} {
		items := yamlnode.Items(yamlnode.Get(n, "a"))
		require.Len(t, items, 3)
		assert.True(t, yamlnode.IsText(items[0]))
		assert.Nil(t, yamlnode.Get(items[1]))
		assert.Equal(t, "1.50", yamlnode.Text(items[2]))
		assert.Equal(t, 4, items[2].Line)
	}
	_, err = yamlnode.Document{Line: 1, Text: []byte(`{"a":1,"a":2}`)}.JSON()
	require.EqualError(t, err, `has the key "a" twice`)
}
