package relocate_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate"
	"relocate/custody"
	"relocate/report"
)

// TestReceiptsAtOnce: runs that append at the same time make one chain, without a fork, a tear or a step back in
// time.
func TestReceiptsAtOnce(t *testing.T) {
	t.Parallel()
	key, err := custody.NewKey()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "corp.tar.receipts.jsonl")
	w := &relocate.Receipts{Key: key, File: file, Program: "relocate"}
	v := &report.Verdict{OK: true, Archive: &report.Archive{Seal: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}}}
	const writers, each = 8, 12
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				assert.NoError(t, w.Judged("corp.tar", nil, v))
			}
		})
	}
	wg.Wait()
	trust := &custody.Trust{}
	require.NoError(t, trust.Add("signers", []byte("gate@site "+key.Public().Line())))
	c, seal, err := relocate.ReadReceipts(file, "", trust)
	require.NoError(t, err)
	assert.Zero(t, seal)
	assert.False(t, c.Broken() || c.Untrusted() || c.Torn)
	require.Len(t, c.Lines, writers*each)
	for _, l := range c.Lines {
		assert.Empty(t, l.Note)
		assert.Zero(t, l.Depth)
	}
	assert.NoFileExists(t, file+".lock")
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}
