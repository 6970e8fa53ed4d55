package custody_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/custody"
)

// TestSiteLatest: the latest receipt counts, in whatever order the lines of two chains are.
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
		assert.Equal(t, []string{"line 3: it names none before it, and begins a chain of its own"}, at.Notes)
		slices.Reverse(lines)
	}
}

// TestSiteClock: a receipt is later than those before it in its chain, whatever its clock said. One from the
// future does not count.
func TestSiteClock(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	at := func(list []custody.Receipt) custody.Site {
		c, err := custody.ReadChain("site.jsonl", []byte(join(chain(t, key, list))), sealA, trustOf(t, key, ""), noon)
		require.NoError(t, err)
		return c.At("registry.airgap.internal/corp", sealA)
	}
	list := receipts()[3:]
	failed := list[1]
	failed.Levels, failed.Time = []string{custody.LevelFailed}, failed.Time.Add(-2*time.Hour)
	assert.Equal(t, custody.SiteFailed, at(append(list, failed)).State)

	list[1].Time = noon.Add(25 * time.Hour)
	site := at(append(list, failed))
	assert.Equal(t, custody.SiteFailed, site.State)
	assert.Equal(t, []string{"line 2: it claims the time 2026-12-01T13:00:00Z, which is still to come: a clock was wrong"}, site.Problems)
}
