package copy

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
)

// shard uploads a shard of the fixture.
func (f *fixture) shard(t *testing.T, dst Repository, i, n int) *Result {
	t.Helper()
	plan := f.plan.Shards(n)[i]
	result, waits, err := Arrived(t.Context(), plan, f, func(v1.Hash) bool { return true }, dst, target, Options{Jobs: 2, Trust: TrustBlobs})
	require.NoError(t, err)
	assert.Empty(t, waits)
	assert.Equal(t, len(plan.Blobs), result.Blobs+result.BlobsPresent)
	return result
}

// blobsIn returns what is put for the blobs of a shard.
func blobsIn(plan *bundle.Plan) (puts []string) {
	for _, b := range plan.Blobs {
		puts = append(puts, "blob "+b.Descriptor.Digest.String())
	}
	return puts
}

// TestShards: each shard uploads its blobs, whatever manifests are present, and nothing else. The import uploads what is
// missing of the shards.
func TestShards(t *testing.T) {
	t.Parallel()
	for _, lost := range []int{0, 1, 2, 3} {
		f, dst := newFixture(t), newMemory()
		shards := f.plan.Shards(4)
		for i := range shards {
			if i == lost {
				continue
			}
			dst.puts = nil
			f.shard(t, dst, i, 4)
			assert.ElementsMatch(t, blobsIn(shards[i]), dst.puts)
			dst.puts = nil
			f.shard(t, dst, i, 4)
			assert.Empty(t, dst.puts, "a second time")
		}
		f.shard(t, dst, 2, 3) // by mistake
		for _, b := range shards[lost].Blobs {
			delete(dst.blobs, b.Descriptor.Digest)
		}
		assert.Empty(t, dst.manifests)
		assert.Equal(t, 0, count(dst.asked, "manifest "))

		result, err := f.fill(t, dst)
		require.NoError(t, err)
		var blobs []string
		for _, put := range dst.puts {
			if strings.HasPrefix(put, "blob ") && f.isPlanned(put) {
				blobs = append(blobs, put)
			}
		}
		assert.ElementsMatch(t, blobsIn(shards[lost]), blobs)
		assert.Equal(t, len(shards[lost].Blobs), result.Blobs)
		assert.Nil(t, result.Lacked)
	}
}

// isPlanned reports whether a put is of a blob of the plan, and not of a locations image.
func (f *fixture) isPlanned(put string) bool {
	for _, b := range f.plan.Blobs {
		if put == "blob "+b.Descriptor.Digest.String() {
			return true
		}
	}
	return false
}

// TestShardTrustsNothing: with it, all blobs of a shard are uploaded again.
func TestShardTrustsNothing(t *testing.T) {
	t.Parallel()
	f, dst := newFixture(t), newMemory()
	_, err := f.fill(t, dst)
	require.NoError(t, err)
	dst.puts, dst.asked = nil, nil
	plan := f.plan.Shards(2)[1]
	result, _, err := Arrived(t.Context(), plan, f, func(v1.Hash) bool { return true }, dst, target, Options{Trust: TrustNothing})
	require.NoError(t, err)
	assert.Equal(t, len(plan.Blobs), result.Blobs)
	assert.ElementsMatch(t, blobsIn(plan), dst.puts)
	assert.Empty(t, dst.asked)
}

// TestAwait: an import waits while blobs appear. When all are there it goes on at once, and otherwise after the time given; then it
// uploads what is missing, and says which shard that is.
func TestAwait(t *testing.T) {
	t.Parallel()
	const patience = 5 * time.Minute
	for name, c := range map[string]struct {
		shards []int // of 3, each 100 seconds after the one before
		begun  int   // blobs of shard 1/3 that are there from the beginning
		lacks  string
		atMost time.Duration
	}{
		"all":       {[]int{2, 0, 1}, 0, "", 300*time.Second + longestWait},
		"one lost":  {[]int{0, 2}, 0, "1/3", 200*time.Second + patience + longestWait},
		"one begun": {[]int{0, 2}, 1, "", 200*time.Second + patience + longestWait},
		"none":      {nil, 0, "", patience},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, dst := newFixture(t), newMemory()
				f.opt.AwaitBlobs = patience
				var blobs int
				f.opt.Progress = func(s Step) { blobs += s.Blobs }
				f.opt.Jobs = 1
				for _, b := range f.plan.Shards(3)[1].Blobs[:c.begun] {
					dst.addBlob("", f.blobs[b.Descriptor.Digest])
				}
				go func() {
					for _, i := range c.shards {
						time.Sleep(100 * time.Second)
						f.shard(t, dst, i, 3)
					}
				}()
				start, uploaded := time.Now(), c.begun
				result, err := f.fill(t, dst)
				require.NoError(t, err)
				for _, i := range c.shards {
					uploaded += len(f.plan.Shards(3)[i].Blobs)
				}
				missing := len(f.plan.Blobs) - len(f.plan.Graph.Nodes) - uploaded
				assert.Equal(t, uploaded, result.BlobsPresent)
				assert.Equal(t, missing, result.Blobs)
				assert.LessOrEqual(t, time.Since(start), c.atMost)
				assert.Equal(t, len(f.plan.Blobs), blobs, "progress")
				if missing == 0 {
					assert.Nil(t, result.Lacked)
					return
				}
				assert.GreaterOrEqual(t, time.Since(start), patience)
				assert.LessOrEqual(t, count(dst.asked, "blob "), 30*len(f.plan.Blobs), "waits grow")
				require.NotNil(t, result.Lacked)
				assert.Equal(t, missing, result.Lacked.Blobs)
				assert.Equal(t, c.lacks, result.Lacked.Shard)
			})
		})
	}
}

// TestAwaitNothing: what a manifest proves is not awaited, nor is anything where nothing is trusted.
func TestAwaitNothing(t *testing.T) {
	t.Parallel()
	f, dst := newFixture(t), newMemory()
	_, err := f.fill(t, dst)
	require.NoError(t, err)
	f.opt.AwaitBlobs = time.Hour
	_, err = f.fill(t, dst)
	require.NoError(t, err)
	assert.Empty(t, dst.puts)
	assert.Equal(t, 0, count(dst.asked, "blob "))
	f.opt.Trust = TrustNothing
	_, err = f.fill(t, newMemory())
	require.NoError(t, err)
}

// TestAwaitEnds: waiting ends with its context, and with an error of the destination.
func TestAwaitEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, dst := newFixture(t), newMemory()
		f.opt.AwaitBlobs = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := ToRepository(ctx, f.plan, f, dst, target, f.opt)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		dst.before = func(_ context.Context, act string) error {
			if strings.HasPrefix(act, "blob ") {
				return errCut
			}
			return nil
		}
		_, err = f.fill(t, dst)
		require.ErrorIs(t, err, errCut)
		assert.Empty(t, dst.puts)
	})
}

// TestAwaitedBlobIsGone: a registry says that it has a blob, and its garbage collector took it. The refusal of its
// manifest brings it back.
func TestAwaitedBlobIsGone(t *testing.T) {
	t.Parallel()
	f, dst := newFixture(t), newMemory()
	for i := range 2 {
		f.shard(t, dst, i, 2)
	}
	delete(dst.blobs, f.layer.Digest)
	f.opt.AwaitBlobs = time.Hour
	result, err := ToRepository(t.Context(), f.plan, f, &liar{memory: dst, about: f.layer.Digest}, target, f.opt)
	require.NoError(t, err)
	assert.Contains(t, dst.blobs, f.layer.Digest)
	assert.Equal(t, 1, result.Blobs)
}

// TestAwaitAsksAgain: what was missing when the waiting ended may have come since. So it is asked for before it is
// uploaded, also in a repository without tags, where else only some blobs are.
func TestAwaitAsksAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, dst := newLayered(t, 100), newMemory()
		f.opt.AwaitBlobs = time.Second
		rounds, late := 0, f.plan.Shards(1)[0].Blobs[20].Descriptor.Digest
		dst.before = func(_ context.Context, act string) error {
			if act == "blob "+f.layer.Digest.String() { // the last one of a round
				if rounds++; rounds == 2 {
					dst.mu.Lock()
					defer dst.mu.Unlock()
					dst.blobs[late] = f.blobs[late]
				}
			}
			return nil
		}
		result, err := ToRepository(t.Context(), f.plan, f, tagged{dst}, target, f.opt)
		require.NoError(t, err)
		assert.Equal(t, 1, result.BlobsPresent)
		assert.Equal(t, 0, count(dst.puts, "blob "+late.String()))
	})
}
