package page

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	memory "relocate/testdata/interop"
)

// TestPlatforms reads platforms out of indexes and configs, good and bad.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	var registry memory.Registry
	repo := registry.Repo("registry.example/all")
	configs := map[string][]string{ // config → platforms
		`{"os":"linux","architecture":"amd64"}`:                 {"linux/amd64"},
		`{"os":"linux","architecture":"arm","variant":"v7"}`:    {"linux/arm/v7"},
		`{"os":"linux","architecture":"arm64","variant":"<b>"}`: {"linux/arm64"},
		`{"os":"linux\u001b[2J","architecture":"amd64"}`:        nil,
		`{"os":"unknown","architecture":"unknown"}`:             nil,
		`{"os":"linux","OS":"windows","architecture":"amd64"}`:  nil, // two readers see two things
		`{"os":["linux"],"architecture":"amd64"}`:               nil,
		`{"os":"linux"}`: nil,
		`no JSON`:        nil,
		fmt.Sprintf(`{"os":"%0100d","architecture":"amd64","config":{}}`, 1):       nil,
		`{"os":"windows","architecture":"amd64","os.version":"10.0.17763","x":{}}`: {"windows/amd64"},
	}
	want := map[v1.Hash][]string{}
	var roots []name.Reference
	for config, platforms := range configs {
		ref := repo.PutPlain(config)
		roots = append(roots, ref)
		if platforms != nil {
			want[memory.Hash(ref)] = platforms
		}
	}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	var children []v1.Hash
	for i := range mostPlatforms + 6 {
		d := repo.Describe(repo.PutPlain(fmt.Sprintf(`{"os":"plan9","architecture":"a%d"}`, i)))
		d.Platform = &v1.Platform{OS: "linux", Architecture: fmt.Sprintf("a%03d", i)} // the index counts
		index.Manifests, children = append(index.Manifests, d), append(children, d.Digest)
		want[d.Digest] = []string{d.Platform.OS + "/" + d.Platform.Architecture}
	}
	many := repo.PutJSON(types.OCIImageIndex, index)
	for _, d := range children[:mostPlatforms] {
		want[memory.Hash(many)] = append(want[memory.Hash(many)], want[d]...)
	}
	gone := repo.PutPlain(`{"os":"linux","architecture":"gone"}`)
	g, err := bundle.Walk(t.Context(), repo, append(roots, many, gone), bundle.WalkOptions{Closed: true})
	require.NoError(t, err)
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	delete(repo.Blobs, g.Node(memory.Hash(gone)).Blobs[0].Digest)
	for _, jobs := range []int{0, 8} {
		got, err := Platforms(t.Context(), repo, plan, jobs)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Platforms(ctx, repo, plan, 2)
	require.ErrorIs(t, err, context.Canceled)
}
