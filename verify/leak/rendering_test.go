package leak_test

import (
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/render"
	"relocate/verify/leak"
)

// TestNotRendered: where packages cannot be rendered, or their child is ended, each is named and examined as text.
func TestNotRendered(t *testing.T) {
	t.Parallel()
	slow := renderer(t)
	slow.Program.Time = 1 // no child starts within a nanosecond
	late := renderer(t)
	late.Time = time.Nanosecond
	broken := renderer(t)
	broken.Program.Path = "/does/not/exist"
	for _, test := range []struct {
		name     string
		renderer *render.Renderer
		want     string
	}{
		{"no renderer", nil, "information not-rendered packages/a.yml:11"},
		{"no program", &render.Renderer{}, "information not-rendered packages/a.yml:11"},
		{"a slow child", slow, "warning not-rendered packages/a.yml:11"},
		{"a slow package", late, "warning not-rendered packages/a.yml:11"},
		{"no child", broken, "warning not-rendered packages/a.yml:11"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := readSeeded(t, "testdata/repository/config-digest.txtar", "private.test/all")
			text, err := leak.Scan(t.Context(), &c.sources, c.graph(), leak.Options{Renderer: renderer(t)})
			require.NoError(t, err)
			got, err := leak.Scan(t.Context(), &c.sources, c.graph(), leak.Options{Renderer: test.renderer, RenderPackages: true})
			require.NoError(t, err)
			assert.Equal(t, 0, got.PackagesRendered)
			assert.Equal(t, 1, got.PackagesAsText)
			assert.Subset(t, codes(got), append(codes(text), test.want)) // packages/ may not be rendered either
		})
	}
}

// graph walks the repository at its origin.
func (c *seeded) graph() *bundle.Graph {
	c.t.Helper()
	g, err := bundle.Walk(c.t.Context(), &c.sources, []name.Reference{c.refs[root]}, bundle.WalkOptions{Renderer: renderer(c.t)})
	require.NoError(c.t, err)
	return g
}
