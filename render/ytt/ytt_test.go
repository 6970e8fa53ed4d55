package ytt_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/child"
	"relocate/render/ytt"
)

func TestMain(m *testing.M) {
	ytt.Hook()
	os.Exit(m.Run())
}

// program is this test binary.
func program(t testing.TB) child.Program {
	path, err := os.Executable()
	require.NoError(t, err)
	return child.Program{Path: path}
}

func TestRun(t *testing.T) {
	out, err := ytt.Run(t.Context(), program(t), ytt.Input{Files: []ytt.File{
		{Path: "a.yml", Data: []byte("#@ load('@ytt:data', 'data')\na: #@ data.values.image\nb:\n- x\n---\nc: d/e\n")},
		{Path: "values.yml", Data: []byte("#@data/values\n---\nimage: nginx:1\n")},
	}, Values: []ytt.File{{Path: "v", Data: []byte("image: nginx:2\n")}}})
	require.NoError(t, err)
	assert.Equal(t, "a: nginx:2\nb:\n- x\n---\nc: d/e\n", string(out.Text))
	assert.Equal(t, []ytt.String{
		{Document: 0, Path: "/a", Value: "nginx:2", Place: ytt.Place{File: "a.yml", Line: 2}},
		{Document: 0, Path: "/b/0", Value: "x", Place: ytt.Place{File: "a.yml", Line: 4}},
		{Document: 1, Path: "/c", Value: "d/e", Place: ytt.Place{File: "a.yml", Line: 6}},
	}, out.Strings)
	assert.Equal(t, []ytt.Place{{File: "a.yml", Line: 1}, {File: "a.yml", Line: 5}}, out.Starts)
	assert.Equal(t, []ytt.FileUse{{Template: true, Output: true, Read: true}, {Template: true, Read: true}}, out.Uses)
}
