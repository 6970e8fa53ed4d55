package copy

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"weak"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
)

// TestResultIsAlone: a result does not keep the plan, which may be most of the memory of a program that goes
// on with the result.
func TestResultIsAlone(t *testing.T) {
	t.Parallel()
	f, dst := newFixture(t), newMemory()
	plan := weak.Make(f.plan)
	result, err := f.fill(t, dst)
	require.NoError(t, err)
	f, dst = nil, nil
	runtime.GC()
	runtime.GC()
	assert.Nil(t, plan.Value())
	assert.NotZero(t, result.Manifests)
	runtime.KeepAlive(result)
}

// forgetful takes blobs without keeping them, and measures the memory that is live when the last one arrives.
type forgetful struct {
	*memory
	left atomic.Int64
	live uint64
}

func (f *forgetful) HasBlob(context.Context, v1.Descriptor) (bool, error) { return false, nil }

func (f *forgetful) PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context) (io.ReadCloser, error)) error {
	if f.blobs[d.Digest] == nil { // of a locations image
		return f.memory.PutBlob(ctx, d, open)
	}
	if f.left.Add(-1) == 0 {
		f.live = live()
	}
	return nil
}

func live() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestMemoryOfBlobs: while a repository is filled, each blob takes little beside its descriptor in the graph.
// An import of 200,000 blobs has room for no more. It has the program's memory for itself.
func TestMemoryOfBlobs(t *testing.T) {
	const images, layers = 200, 100
	f := newMemory()
	var locked []v1.Descriptor
	for i := range images {
		var list []v1.Descriptor
		for j := range layers {
			list = append(list, f.addBlob(types.OCILayer, fmt.Append(nil, "layer ", i, j, " of an image")))
		}
		locked = append(locked, f.addImage(t, fmt.Sprint(i), list...))
	}
	root, err := name.NewDigest(source + "@" + f.addBundle(t, locked...).Digest.String())
	require.NoError(t, err)
	before := live()
	g, err := bundle.Walk(t.Context(), f, []name.Reference{root}, bundle.WalkOptions{Jobs: 4})
	require.NoError(t, err)
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	dst := &forgetful{memory: newMemory()}
	dst.blobs = f.blobs // what its manifests may name
	dst.left.Store(images * layers)
	_, err = ToRepository(t.Context(), plan, f, dst, target, Options{Jobs: 1})
	require.NoError(t, err)
	each := (int64(dst.live) - int64(before)) / (images * layers)
	t.Logf("%d bytes for each blob", each)
	assert.Less(t, each, int64(340), "bytes for each blob")
}
