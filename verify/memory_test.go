package verify_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/interop"
	"relocate/verify"
)

// measured is a repository that measures the memory that is live when the last layer is asked for.
type measured struct {
	*interop.Repo
	left atomic.Int64
	live uint64
}

func (m *measured) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	if m.left.Add(-1) == 0 {
		m.live = live()
	}
	return m.Repo.Blob(ctx, repo, d)
}

func live() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestMemoryOfLayers: while layers are read, each takes what its descriptor takes in the graph and in the
// plan, and nothing for the check. It has the program's memory for itself.
func TestMemoryOfLayers(t *testing.T) {
	const images, layers = 200, 100
	var src interop.Registry
	repo := src.Repo(origin)
	var locked []name.Digest
	for i := range images {
		var list []v1.Descriptor
		for j := range layers {
			list = append(list, repo.PutBlob(fmt.Append(nil, "layer ", i, j, " of an image")))
		}
		locked = append(locked, repo.PutPlain(fmt.Sprintf(`{"image":%d}`, i), list...))
	}
	root := repo.PutBundle(map[string]string{".imgpkg/images.yml": lock(locked...)})
	private, err := name.NewRepository(origin)
	require.NoError(t, err)
	layersOf := &measured{Repo: repo}
	layersOf.left.Store(images * layers)
	before := live()
	_, err = verify.Repository(t.Context(), repo, private, []v1.Hash{hash(root)}, verify.Options{Level: verify.Deep, Layers: layersOf})
	require.NoError(t, err)
	each := int64(layersOf.live-before) / (images * layers)
	t.Logf("%d bytes for each layer", each)
	assert.Less(t, each, int64(340), "bytes for each layer")
}
