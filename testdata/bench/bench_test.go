package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/generated"
)

// TestMain lets the test binary be the floor, which runs as a process of its own.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "floor" {
		exit(floor(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// TestCrossing measures a small repository with the whole program: every stage is there, and counts.
func TestCrossing(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program; needs no race detector")
	}
	t.Parallel()
	kinds := []string{"distribution"}
	if _, err := exec.LookPath("docker-registry"); err == nil {
		kinds = append(kinds, "docker-registry")
	}
	program := filepath.Join(t.TempDir(), "relocate")
	out, err := exec.Command("go", "build", "-o", program, "relocate/cmd/relocate").CombinedOutput()
	require.NoError(t, err, string(out))
	tools, err := toolsOf(options{relocate: program, against: []string{"again=" + program}})
	require.NoError(t, err)
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			testCrossing(t, &crossing{tools: tools, stages: stages, rounds: 1, kind: kind})
		})
	}
}

func testCrossing(t *testing.T, c *crossing) {
	shape := generated.Shape{
		Packages: 2, Versions: 1, Images: []int{1, 2}, Indexes: 3, Layers: 2, Shared: 1, Bases: 2, Min: 1000, Max: 2000,
	}
	require.NoError(t, c.run(t.Context(), shape, t.TempDir()))

	assert.Equal(t, 3, c.pushed.Bundles)
	assert.Equal(t, 3, c.pushed.Images)
	assert.Equal(t, 8, c.pushed.Manifests) // one image is an index of two
	assert.Len(t, c.pushed.Blobs, 2*c.pushed.Bundles+4 /* configs */ +4+2 /* own layers, bases */)
	for _, name := range []string{"relocate", "again"} {
		for _, stage := range stages {
			what := measurement{stage, name}
			require.Len(t, c.costs[what], 1, stage)
			assert.Positive(t, c.costs[what][0].Wall, stage)
			assert.Positive(t, c.costs[what][0].CPU, stage)
		}
		least := int64(len(c.pushed.Blobs) + c.pushed.Manifests)
		assert.GreaterOrEqual(t, c.requests[measurement{"export", name}][0], least)
		assert.Zero(t, c.requests[measurement{"export", name}][1], "an export writes nothing to a registry")
		assert.GreaterOrEqual(t, c.requests[measurement{"import", name}][1], least)
		assert.Zero(t, c.requests[measurement{"import again", name}][1], "a second import writes nothing")
		assert.Greater(t, c.sizes[name], c.pushed.Bytes)
	}
	assert.Equal(t, int64(len(c.pushed.Blobs)), c.requests[measurement{"export", floorName}][0])
	assert.Equal(t, c.pushed.Bytes, c.sizes[floorName])
}

// TestDelay: with a delay every round goes through the proxy, and no request is faster.
func TestDelay(t *testing.T) {
	t.Parallel()
	const delay = 20 * time.Millisecond
	r, err := newRegistry("distribution", filepath.Join(t.TempDir(), "registry"))
	require.NoError(t, err)
	require.NoError(t, r.start(true, delay))
	defer r.stop()
	start := time.Now()
	assert.ErrorContains(t, r.holds("some/repository", "latest"), "404")
	assert.GreaterOrEqual(t, time.Since(start), delay)
	assert.Equal(t, int64(1), r.requests.Load())
	assert.Zero(t, r.writes.Load())
}
