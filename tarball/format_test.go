package tarball_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/tarball"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden pins the format: an archive that an older relocate wrote must stay readable, byte by
// byte. A change here is a change of the format version.
func TestGolden(t *testing.T) {
	t.Parallel()
	golden := filepath.Join("testdata", "tiny.tar")
	m := tiny(t)
	got := m.bytes(t)
	if *update {
		require.NoError(t, os.WriteFile(golden, got, 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "the archive is not the one of %s", golden)
	a, err := tarball.Open(golden)
	require.NoError(t, err)
	defer a.Close()
	damage, err := a.Check(t.Context(), 1, nil)
	require.NoError(t, err)
	assert.Empty(t, damage)
	plan, err := a.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
	assert.Equal(t, m.plan(t).Graph.Nodes, plan.Graph.Nodes)
}

func TestSeal(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]*memory{"tiny": tiny(t), "repository": repository(t, 1<<20, 1<<20-512)} {
		b := m.bytes(t)
		seal, at := sealOf(t, b)
		assert.Equal(t, len(b)-1024-512, at, "%s: the seal is last", name)
		assert.Equal(t, seal, string(b[at:at+len(seal)]), name)
		a, err := open(b)
		require.NoError(t, err)
		assert.Equal(t, seal, a.Seal().String()+"\n", name)
	}
}
