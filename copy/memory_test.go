package copy

import (
	"runtime"
	"testing"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
