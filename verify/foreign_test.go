package verify_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/report"
	"relocate/testdata/interop"
	"relocate/verify"
)

// A registry takes a manifest without its foreign layers, so those that were carried are asked for.
func TestForeignLayers(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo(origin)
	layer := repo.PutBlob([]byte("foreign"))
	layer.MediaType = types.DockerForeignLayer
	image := repo.PutPlain(`{}`, layer)
	root := repo.PutBundle(map[string]string{".imgpkg/images.yml": lock(image)})
	private, err := name.NewRepository("private.test/all")
	require.NoError(t, err)
	for _, level := range []verify.Level{"", verify.Manifests, verify.Blobs, verify.Deep} {
		for _, carried := range []bool{true, false} {
			g, err := bundle.Walk(t.Context(), repo, []name.Reference{root}, bundle.WalkOptions{})
			require.NoError(t, err)
			want, err := bundle.NewPlan(g, bundle.PlanOptions{NonDistributable: carried})
			require.NoError(t, err)
			target := fill(t, want, repo)
			opt := verify.Options{Level: level, Want: want}
			_, problems, err := repository(t.Context(), target, private, []v1.Hash{hash(root)}, opt)
			require.NoError(t, err)
			assert.Empty(t, problems)

			alone := verify.Options{Level: level} // whether it was carried is not known
			plan, problems, err := repository(t.Context(), target, private, []v1.Hash{hash(root)}, alone)
			require.NoError(t, err)
			assert.Empty(t, problems, level)
			assert.Empty(t, plan.Omitted, "%s: it is there", level)
			assert.Len(t, plan.Blobs, 6, level)
			target.Blobs[layer.Digest] = []byte("damaged")
			plan, problems, err = repository(t.Context(), target, private, []v1.Hash{hash(root)}, alone)
			require.NoError(t, err)
			assert.Empty(t, plan.Omitted, level)
			if level != verify.Deep {
				assert.Empty(t, problems, level)
			} else if assert.Len(t, problems, 1) {
				assert.Equal(t, report.Damaged, problems[0].Kind)
				assert.Equal(t, []string{image.Name()}, problems[0].Images)
			}

			if level != verify.Deep { // it is asked for, not read
				_, problems, err = repository(t.Context(), target, private, []v1.Hash{hash(root)}, opt)
				require.NoError(t, err)
				assert.Empty(t, problems)
			}

			delete(target.Blobs, layer.Digest)
			_, problems, err = repository(t.Context(), target, private, []v1.Hash{hash(root)}, opt)
			require.NoError(t, err)
			if carried {
				assert.Equal(t, []report.Problem{{Kind: report.Missing, What: "blob " + layer.Digest.String(), Images: []string{image.Name()}, Reason: "the registry does not have it"}}, problems, level)
			} else {
				assert.Empty(t, problems, level)
			}

			plan, problems, err = repository(t.Context(), target, private, []v1.Hash{hash(root)}, alone)
			require.NoError(t, err)
			assert.Empty(t, problems, level)
			if assert.Len(t, plan.Omitted, 1, level) {
				assert.Equal(t, layer.Digest, plan.Omitted[0].Digest)
			}
			assert.Len(t, plan.Blobs, 5, level)
		}
	}
}
