package relocate_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate"
	"relocate/choose"
)

// TestSelectionOfRoots: a choice of a single root is about that one, and must be about one.
func TestSelectionOfRoots(t *testing.T) {
	t.Parallel()
	server := startRegistry()
	t.Cleanup(server.Close)
	root := publish(hostOf(server))
	image, err := name.ParseReference(push(hostOf(server)+"/lone", nil, map[string]string{"a": "b"}))
	require.NoError(t, err)
	from := relocate.Source{Bundles: []name.Reference{root}, Images: []name.Reference{image}}
	one := choose.Choice{Packages: []choose.Pattern{{Name: "app.*", Constraint: "1.x"}}}
	plan := func(s relocate.Selection) (*relocate.Result, error) {
		return relocate.Plan(t.Context(), from, relocate.Target{}, relocate.Options{Selection: s})
	}

	selection := relocate.Selection{Roots: map[string]choose.Choice{root.Name(): one}}
	r, err := plan(selection)
	require.NoError(t, err)
	require.Len(t, r.Selected, 1)
	made := selection.Root(root)
	assert.Equal(t, root.Name()+"-selected-"+one.ID(), made.Name())
	assert.Equal(t, image, selection.Root(image))
	assert.Equal(t, made.Name(), r.Selected[0].Root.Reference)
	assert.Equal(t, made.Name(), r.Plan.Graph.Roots[0].Reference.Name())
	assert.Equal(t, image.Name(), r.Plan.Graph.Roots[1].Reference.Name())
	assert.Equal(t, one.String(), r.Plan.Graph.Node(r.Plan.Graph.Roots[0].Digest).Derived.Choice)

	whole, err := plan(relocate.Selection{})
	require.NoError(t, err)
	assert.Empty(t, whole.Selected)
	assert.Nil(t, whole.Plan.Graph.Node(whole.Plan.Graph.Roots[0].Digest).Derived)

	for message, s := range map[string]relocate.Selection{
		"which is not a root":                                 {Roots: map[string]choose.Choice{"registry.invalid/a:1": one}},
		"which is not a package repository":                   {Roots: map[string]choose.Choice{image.Name(): one}},
		"a choice for all roots, and choices for single ones": {Choice: one, Roots: map[string]choose.Choice{root.Name(): one}},
		"the newest -1 versions cannot be chosen":             {Choice: choose.Choice{Latest: -1}},
	} {
		_, err := plan(s)
		assert.ErrorIs(t, err, relocate.ErrOptions)
		assert.ErrorContains(t, err, message)
	}
	_, err = plan(relocate.Selection{Choice: choose.Choice{Packages: []choose.Pattern{{Name: "no.*"}}}})
	assert.ErrorIs(t, err, choose.ErrUnmatched)
}
