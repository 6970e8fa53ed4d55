package custody_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/custody"
)

// TestSiteLatest: the latest receipt counts, in whatever order the lines are.
func TestSiteLatest(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	list := receipts()[3:]
	failed := list[1]
	failed.Levels, failed.Time = []string{custody.LevelFailed}, failed.Time.Add(time.Hour)
	lines := append(chain(t, key, list), lineOf(t, key, failed))
	for range 2 {
		c, err := custody.ReadChain("site.jsonl", []byte(join(lines)), sealA, trustOf(t, key, ""), noon)
		require.NoError(t, err)
		at := c.At("registry.airgap.internal/corp", sealA)
		assert.Equal(t, custody.SiteFailed, at.State)
		slices.Reverse(lines)
	}
}
