package verify_test

import (
	"fmt"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
	"relocate/report"
	"relocate/testdata/interop"
	"relocate/verify"
)

// What no plan can be made of is damage of what is there, not a failure to look.
func TestBlobThatIsManifest(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo(origin)
	image := repo.PutPlain(`{"image":1}`)
	other := repo.PutPlain(`{}`, repo.PutBlob(repo.Manifests[hash(image)].Raw))
	root := repo.PutBundle(map[string]string{".imgpkg/images.yml": lock(image, other)})
	private, err := name.NewRepository(origin)
	require.NoError(t, err)
	_, problems, err := repository(t.Context(), repo, private, []v1.Hash{hash(root)}, verify.Options{})
	require.NoError(t, err)
	require.Len(t, problems, 1)
	assert.Equal(t, report.Damaged, problems[0].Kind)
	assert.Contains(t, problems[0].Reason, "is both a manifest and a blob")
}

// The list of what is missing has an end, which it tells.
func TestManyManifestsMissing(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo(origin)
	var gone []name.Digest
	for i := range 1_200 {
		gone = append(gone, repo.Ref(digest.Of(fmt.Append(nil, i))))
	}
	root := repo.PutBundle(map[string]string{".imgpkg/images.yml": lock(gone...)})
	private, err := name.NewRepository(origin)
	require.NoError(t, err)
	_, problems, err := repository(t.Context(), repo, private, []v1.Hash{hash(root)}, verify.Options{Jobs: 4})
	require.NoError(t, err)
	require.Len(t, problems, 1001)
	assert.Equal(t, report.Problem{Kind: report.Missing, What: "200 more manifests", Reason: "the registry does not have them"}, problems[1000])
}
