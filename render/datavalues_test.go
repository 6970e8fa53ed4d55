package render_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/internal/child"
	"relocate/render"
	"relocate/render/ytt"
)

// TestDataValues: the values that files declare, as ytt 0.51.1 prints them with --data-values-schema-inspect
// -o openapi-v3 or, where there is no schema, with --data-values-inspect.
func TestDataValues(t *testing.T) {
	t.Parallel()
	own, err := os.Executable()
	require.NoError(t, err)
	r := &render.Renderer{Program: child.Program{Path: own}}
	t.Cleanup(r.Close)
	find := func(steps string, files ...ytt.File) (*render.DataValues, error) {
		app := render.PackageApp("a.test", "1.0.0", []byte(`{"fetch":[{"imgpkgBundle":{"image":"r.test/a"}}],"template":[`+steps+`]}`))
		app.Fetched = []render.Fetched{{Files: files}}
		return r.DataValues(t.Context(), app)
	}
	schema := ytt.File{Path: "config/schema.yml", Data: []byte("#@data/values-schema\n---\n#@schema/desc \"How many\"\nreplicas: 1\nweb:\n  #@schema/nullable\n  host: \"\"\n  ports:\n  - 0\n")}
	values := ytt.File{Path: "config/values.yml", Data: []byte("#@data/values\n---\nreplicas: 3\n")}
	library := ytt.File{Path: "config/_ytt_lib/a/schema.yml", Data: []byte("#@data/values-schema\n---\nprivate: 1\n")}

	found, err := find(`{"ytt":{"paths":["config"]}},{"cue":{}}`, schema, values, library)
	require.NoError(t, err)
	assert.Equal(t, []any{true, []string{"config/schema.yml"}}, []any{found.Declared, found.From})
	assert.JSONEq(t, `{"type":"object","additionalProperties":false,"properties":{
		"replicas":{"type":"integer","description":"How many","default":1},
		"web":{"type":"object","additionalProperties":false,"properties":{
			"host":{"type":"string","nullable":true,"default":null},
			"ports":{"type":"array","items":{"type":"integer","default":0},"default":[]}}}}}`, string(found.Schema))

	defaults := ytt.File{Path: "config/values.yml", Data: []byte("#@data/values\n---\nreplicas: 3\nratio: 0.5\nweb: {host: a, tls: true, note: ~}\nlist: [{a: b}]\nempty: {}\n")}
	found, err = find(`{"kbld":{"paths":["config"]}},{"ytt":{"paths":["config"]}}`, defaults, library)
	require.NoError(t, err)
	assert.Equal(t, []any{false, []string{"config/values.yml"}}, []any{found.Declared, found.From})
	list, err := carvel.Schema(found.Schema).Values()
	require.NoError(t, err)
	assert.Equal(t, []carvel.Value{
		{Key: "empty", Default: map[string]any{}, Type: "object"}, {Key: "list", Default: []any{map[string]any{"a": "b"}}, Type: "array"},
		{Key: "ratio", Default: 0.5, Type: "number"}, {Key: "replicas", Default: 3.0, Type: "integer"},
		{Key: "web.host", Default: "a", Type: "string"}, {Key: "web.note"}, {Key: "web.tls", Default: true, Type: "boolean"},
	}, list)

	for _, steps := range []string{`{"ytt":{"paths":["config"]}}`, `{"kbld":{}}`} {
		found, err = find(steps, library)
		require.NoError(t, err)
		assert.Nil(t, found.Schema, "it takes none")
	}
	var failed *render.FailedError
	_, err = find(`{"ytt":{"paths":["config"]}}`, ytt.File{Path: "config/schema.yml", Data: []byte("#@data/values-schema\n---\nlist: []\n")})
	require.ErrorAs(t, err, &failed)
	assert.Contains(t, failed.Message, "wrong number of items in array definition")
	var not *render.NotRenderedError
	_, err = find(`{"helmTemplate":{"path":"config"}}`, schema)
	require.ErrorAs(t, err, &not)
}
