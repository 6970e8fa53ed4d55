package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPlanShards: plan says the same of an archive as of its source, and what the shards then upload.
func TestPlanShards(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	root, _ := pushLarge(site{t: t, host: host}, 3_000_000, 1_000_000, 1_000_000, 1_000_000)
	file := export(t, root)
	var fromSource, fromFile planReport
	for r, args := range map[*planReport][]string{&fromSource: {"-b", root}, &fromFile: {"--from-tar", file}} {
		args = append([]string{"plan", "--shards", "3", "--assume", "8MBps", "-o", "json"}, args...)
		require.NoError(t, json.Unmarshal([]byte(mustRelocate(t, args...).stdout), r))
	}
	assert.Equal(t, fromSource.Shards, fromFile.Shards)
	assert.Equal(t, fromSource.ArchiveSize, fromFile.ArchiveSize)
	assert.Equal(t, fromSource.Roots, fromFile.Roots)
	text := mustRelocate(t, "plan", "--from-tar", file, "--shards", "3", "--assume", "8MBps").stdout
	assertAll(t, text, "shards     3; the largest layer has 3.0 MB\n", "  1/3  ", "estimate   one machine: 0.8 s; 3 shards: 0.4 s; then",
		"           the largest layer takes up to 0.4 s: choose a longer --await-blobs\n")
	assertAll(t, mustRelocate(t, "plan", "--from-tar", file, "--shards", "3", "--assume", "8MBps,registry=10MBps").stdout, "           more than 2 shards gain nothing: the registry is the limit\n")
	assertAll(t, mustRelocate(t, "plan", "--from-tar", file, "--shards", "3", "--assume", "8MBps,source=8MBps").stdout, "           shards gain nothing: the source is the limit\n")
	assert.NotContains(t, mustRelocate(t, "plan", "--from-tar", file, "--shards", "1", "--assume", "8GBps").stdout, "--await-blobs")
	repo := startMemory(t, nil) + "/x"
	for i, s := range fromFile.Shards.Shards {
		r := mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--shard", string(rune('0'+i))+"/3")
		assertAll(t, r.stderr, "uploaded "+count(s.Blobs, "layer and config")+" ("+size(s.Bytes)+")")
	}
}

// TestEstimate: the figures of docs/shards.md.
func TestEstimate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		assume       string
		total        float64
		n            float64
		one, shards  float64
		useful       int
		limit        string
		largestLayer float64
		largest      float64 // takes at most
	}{
		{"1Gbps,registry=800MBps", 100e9, 4, 851, 213, 7, limitRegistry, 1e9, 8.5},
		{"1Gbps,registry=800MBps", 100e9, 10, 851, 125, 7, limitRegistry, 1e9, 12.5},
		{"10Gbps,registry=800MBps", 100e9, 4, 125, 125, 1, limitRegistry, 1e9, 5},
		{"10Gbps,registry=6.4GBps", 1e12, 5, 851, 170, 6, limitRegistry, 1e9, 0.85},
		{"1Gbps,source=1Gbps", 100e9, 4, 851, 851, 1, limitSource, 1e9, 34},
		{"1Gbps,registry=100MBps", 1e12, 3, 10000, 10000, 1, limitLayer, 1e12, 10000},
		{"1Gbps", 100e9, 8, 851, 170, 5, limitLayer, 20e9, 170},
	} {
		var r rates
		require.NoError(t, r.Set(c.assume))
		e := r.estimate(int(c.n), c.total, max(c.total/c.n, c.largestLayer), c.largestLayer)
		assert.InDelta(t, c.one, e.One, 1, c.assume)
		assert.InDelta(t, c.shards, e.Shards, 1, c.assume)
		assert.Equal(t, c.useful, e.Useful, c.assume)
		assert.Equal(t, c.limit, e.Limit, c.assume)
		assert.InDelta(t, c.largest, e.Largest, 1, c.assume)
	}
}

// TestPlanShardFlags refuses what does not fit.
func TestPlanShardFlags(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "r.tar")
	for says, args := range map[string]string{
		"--assume needs --shards":                                            "--from-tar FILE --assume 1Gbps",
		"--shards 1001: must be between 1 and 1000":                          "--from-tar FILE --shards 1001",
		"must be a rate such as 1Gbps (bits of a network) or 800MBps (bytes": "--from-tar FILE --shards 2 --assume 1G",
		"must be registry=RATE or source=RATE":                               "--from-tar FILE --shards 2 --assume 1Gbps,disk=1GBps",
		"must be a rate":                                                     "--from-tar FILE --shards 2 --assume 1Gbps,registry=-1Gbps",
		"two sources":                                                        "--from-tar FILE -b localhost:1/x:1",
		"--have and --base need a source in a registry":                      "--from-tar FILE --base FILE",
		"--tar-format needs a source in a registry":                          "--from-tar FILE --tar-format imgpkg",
		"need a source in a registry; relocate verify":                       "--from-tar FILE --strict",
		"an import that is planned has no page":                              "--from-tar FILE --report r.html",
	} {
		args := strings.Fields(strings.ReplaceAll("plan "+args, "FILE", file))
		assertFailed(t, tryRelocate(t, args...), statusUsage, says)
	}
	for _, bad := range []string{"NaNMBps", "InfGbps", "0MBps", "1e300Gbps", "Gbps", ",registry=1Gbps", "1Gbps,"} {
		assert.Error(t, new(rates).Set(bad), bad)
	}
}
