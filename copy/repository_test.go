package copy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/internal/digest"
	"relocate/internal/imgpkg"
)

// progressOf returns a Progress function and the sum of its steps.
func progressOf() (func(Step), func() (int, int64)) {
	var blobs, bytes atomic.Int64
	return func(s Step) { blobs.Add(int64(s.Blobs)); bytes.Add(s.Moved + s.Present) },
		func() (int, int64) { return int(blobs.Load()), bytes.Load() }
}

func count(list []string, prefix string) int {
	n := 0
	for _, s := range list {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

func TestToRepository(t *testing.T) {
	t.Parallel()
	for _, jobs := range []int{0, 1, 3, 16} {
		t.Run(fmt.Sprint(jobs), func(t *testing.T) {
			t.Parallel()
			f, dst := newFixture(t), newMemory()
			var done func() (int, int64)
			f.opt.Jobs = jobs
			f.opt.Progress, done = progressOf()
			result, err := f.fill(t, dst)
			require.NoError(t, err)

			checkOrder(t, f.plan, dst.puts, func(v1.Hash) bool { return false })
			assert.Equal(t, "manifest "+f.root.Digest.String()+" 1.0", dst.puts[len(dst.puts)-1], "the root's tag is last")
			assert.Equal(t, f.tags, slices.Sorted(maps.Keys(dst.tags)))
			for _, child := range []v1.Descriptor{f.child1, f.child2} {
				assert.Contains(t, dst.puts, "manifest "+child.Digest.String()+" ", "by digest only")
			}
			for _, b := range f.plan.Blobs {
				what := "blob " + b.Descriptor.Digest.String()
				if b.IsManifest {
					assert.Equal(t, f.manifests[b.Descriptor.Digest], dst.manifests[b.Descriptor.Digest])
					continue
				}
				assert.Equal(t, 1, count(dst.puts, what), "%s is sent once", what)
				assert.Equal(t, 1, f.reads[what], "%s is read once", what)
			}
			assert.NotContains(t, dst.blobs, f.foreign.Digest)
			assert.Equal(t, 8, result.Manifests)
			assert.Equal(t, 3, result.Locations)
			assert.Equal(t, 1, result.Tags)
			blobs, bytes := done()
			assert.Equal(t, len(f.plan.Blobs), blobs)
			assert.Equal(t, f.plan.Size(), bytes)

			// A second run asks for each tag and each untagged child, and writes nothing.
			f.opt.Progress, done = progressOf()
			f.reads = map[string]int{}
			second, err := f.fill(t, dst)
			require.NoError(t, err)
			assert.Empty(t, dst.puts)
			assert.Empty(t, f.reads)
			assert.Len(t, dst.asked, len(f.tags)+2)
			assert.Equal(t, &Result{
				ManifestsPresent: result.Manifests, BlobsPresent: result.Blobs, BytesPresent: result.Bytes, LocationsPresent: 3, TagsPresent: 1,
			}, second)
			blobs, bytes = done()
			assert.Equal(t, len(f.plan.Blobs), blobs)
			assert.Equal(t, f.plan.Size(), bytes)
		})
	}
}

// TestInterrupted fails the n-th thing that a copy does, for each n. What is there is complete; the
// next copy sends the rest, and no blob again.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	t.Run("asked for everything", func(t *testing.T) {
		t.Parallel()
		checkInterrupted(t, func(m *memory) Repository { return m })
	})
	t.Run("new", func(t *testing.T) {
		t.Parallel()
		checkInterrupted(t, func(m *memory) Repository { return tagged{m} })
	})
}

func checkInterrupted(t *testing.T, as func(*memory) Repository) {
	broken := errors.New("broken")
	f := newFixture(t)
	whole := newMemory()
	_, err := f.fill(t, whole)
	require.NoError(t, err)
	for n := 1; ; n++ {
		dst := newMemory()
		var acts atomic.Int32
		dst.before = func(context.Context, string) error {
			if int(acts.Add(1)) >= n {
				return broken
			}
			return nil
		}
		_, err := ToRepository(t.Context(), f.plan, f, as(dst), target, f.opt)
		if err == nil {
			require.Greater(t, n, 40)
			break
		}
		require.ErrorIs(t, err, broken)
		checkOrder(t, f.plan, dst.puts, func(v1.Hash) bool { return false })
		if _, tagged := dst.tags["1.0"]; tagged { // what failed is reading it back
			assert.Equal(t, whole.manifests, dst.manifests)
			assert.Equal(t, whole.blobs, dst.blobs)
		}

		dst.before = nil
		manifests, blobs := len(dst.manifests), maps.Clone(dst.blobs)
		had := maps.Clone(dst.manifests)
		dst.puts = nil
		result, err := ToRepository(t.Context(), f.plan, f, as(dst), target, f.opt)
		require.NoError(t, err)
		checkOrder(t, f.plan, dst.puts, func(d v1.Hash) bool {
			_, manifest := had[d]
			_, blob := blobs[d]
			return manifest || blob
		})
		assert.Equal(t, whole.tags, dst.tags)
		assert.Equal(t, whole.manifests, dst.manifests)
		assert.Equal(t, whole.blobs, dst.blobs)
		assert.LessOrEqual(t, result.ManifestsPresent, manifests)
		for d := range blobs {
			assert.NotContains(t, dst.puts, "blob "+d.String())
		}
	}
}

// A blob that cannot be read stops what needs it, and the root's tag.
func TestFailingBlob(t *testing.T) {
	t.Parallel()
	f, dst := newFixture(t), newMemory()
	delete(f.blobs, f.layer.Digest)
	_, err := f.fill(t, dst)
	assert.ErrorContains(t, err, "copy blob "+f.layer.Digest.String()+" of "+source+"@"+f.lone.Digest.String()+": read: ")
	checkOrder(t, f.plan, dst.puts, func(v1.Hash) bool { return false })
	for _, d := range []v1.Descriptor{f.lone, f.root} {
		assert.NotContains(t, dst.manifests, d.Digest)
		assert.NotContains(t, dst.tags, imgpkg.LocationsTag(d.Digest))
	}
	assert.NotContains(t, dst.tags, "1.0")
}

func TestErrorsNameImages(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	f := newFixture(t)
	lone := source + "@" + f.lone.Digest.String()
	for act, want := range map[string]string{
		"manifest " + f.lone.Digest.String() + " " + imgpkg.DefaultTag(f.lone.Digest): "put manifest of " + lone + ": broken",
		"manifest " + imgpkg.DefaultTag(f.lone.Digest):                                "ask for " + imgpkg.DefaultTag(f.lone.Digest) + ", a tag of " + f.lone.Digest.String() + ": broken",
		"manifest " + f.root.Digest.String() + " 1.0":                                 "put tag 1.0: put manifest of " + source + ":1.0: broken",
		"blob " + f.layer.Digest.String():                                             "ask for blob " + f.layer.Digest.String() + " of " + lone + ": broken",
		"manifest " + imgpkg.LocationsTag(f.root.Digest):                              "put locations image of " + source + ":1.0: broken",
	} {
		dst := newMemory()
		dst.before = func(_ context.Context, s string) error {
			if s == act {
				return broken
			}
			return nil
		}
		_, err := f.fill(t, dst)
		assert.EqualError(t, err, want)
	}
	f.opt.Tags = append(f.opt.Tags, Tag{"x", f.foreign.Digest})
	dst := newMemory()
	_, err := f.fill(t, dst)
	assert.EqualError(t, err, "put tag x: the plan has no manifest "+f.foreign.Digest.String())
	assert.Empty(t, dst.asked)
}

// TestTrust loses blobs of a filled repository behind its manifests' back, as garbage collectors do.
func TestTrust(t *testing.T) {
	t.Parallel()
	for trust, heals := range map[Trust]bool{"": false, TrustManifests: false, TrustBlobs: true, TrustNothing: true} {
		t.Run(string(trust), func(t *testing.T) {
			t.Parallel()
			f, dst := newFixture(t), newMemory()
			_, err := f.fill(t, dst)
			require.NoError(t, err)
			whole := maps.Clone(dst.blobs)
			delete(dst.blobs, f.layer.Digest)
			image, err := imgpkg.Locations(f.plan.Graph.Locations(f.plan.Graph.Node(f.root.Digest)))
			require.NoError(t, err)
			delete(dst.blobs, digest.Of(image.Layer))

			f.opt.Trust = trust
			result, err := f.fill(t, dst)
			require.NoError(t, err)
			if !heals {
				assert.Empty(t, dst.puts)
				assert.Len(t, dst.blobs, len(whole)-2)
				return
			}
			assert.Equal(t, whole, dst.blobs)
			if trust == TrustBlobs {
				assert.ElementsMatch(t, []string{"blob " + f.layer.Digest.String(), "blob " + digest.Of(image.Layer).String()}, dst.puts)
				assert.Equal(t, 1, result.Blobs)
				return
			}
			assert.Empty(t, dst.asked)
			assert.Equal(t, 8, result.Manifests)
			assert.Equal(t, 1, result.Tags)
			assert.Zero(t, result.BlobsPresent)
			checkOrder(t, f.plan, dst.puts, func(v1.Hash) bool { return false })
		})
	}
}

// TestMissingBlobs has a repository that says it has a blob which it then misses.
func TestMissingBlobs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		deaf, mute bool
	}{{"named", false, false}, {"not named", false, true}, {"for ever", true, false}, {"for ever, not named", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, m := newFixture(t), newMemory()
			dst := &liar{memory: m, about: f.layer.Digest, deaf: c.deaf, mute: c.mute}
			var done func() (int, int64)
			f.opt.Progress, done = progressOf()
			result, err := ToRepository(t.Context(), f.plan, f, dst, target, f.opt)
			puts := "manifest " + f.lone.Digest.String() + " " + imgpkg.DefaultTag(f.lone.Digest)
			assert.Equal(t, 2, count(m.puts, puts))
			if c.deaf {
				assert.ErrorContains(t, err, "put manifest of "+source+"@"+f.lone.Digest.String()+": PUT: blobs unknown: ")
				assert.NotContains(t, m.tags, "1.0")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, 1, count(m.puts, "blob "+f.layer.Digest.String()))
			assert.Equal(t, map[bool]int{false: 1, true: 2}[c.mute], count(m.puts, "blob "+f.base.Digest.String()), "the manifest needs it, too")
			assert.Equal(t, count(m.puts, "blob ")-6, result.Blobs, "but the locations images'")
			blobs, bytes := done()
			assert.Equal(t, len(f.plan.Blobs), blobs)
			assert.Equal(t, f.plan.Size(), bytes)
		})
	}
}

// liar says that it has a blob; deaf, it also does not keep it; mute, it never names a blob that it misses.
type liar struct {
	*memory
	about      v1.Hash
	deaf, mute bool
}

func (l *liar) HasBlob(ctx context.Context, d v1.Descriptor) (bool, error) {
	if d.Digest == l.about {
		return true, nil
	}
	return l.memory.HasBlob(ctx, d)
}

func (l *liar) PutManifest(ctx context.Context, d v1.Descriptor, raw []byte, tag string) error {
	if l.deaf {
		l.mu.Lock()
		delete(l.blobs, l.about)
		l.mu.Unlock()
	}
	err := l.memory.PutManifest(ctx, d, raw, tag)
	if _, missing := missingBlobs(err); missing && l.mute {
		return fmt.Errorf("PUT: %w", missingError(nil))
	}
	return err
}

// A blob that is not of the plan is not sent, whatever the repository says that it misses.
func TestMissingForeignBlob(t *testing.T) {
	t.Parallel()
	f, dst := newFixture(t), newMemory()
	f.addBlob("", []byte("foreign"))
	dst.before = func(_ context.Context, act string) error {
		if strings.HasPrefix(act, "manifest "+f.lone.Digest.String()+" ") {
			return missingError{f.foreign.Digest}
		}
		return nil
	}
	_, err := f.fill(t, dst)
	assert.ErrorContains(t, err, "blobs unknown")
	assert.NotContains(t, dst.blobs, f.foreign.Digest)
}

// TestOtherLocations has a locations image of another program's at the destination.
func TestOtherLocations(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*carvel.ImageLocations)
		kept   bool
	}{
		{"same list", func(*carvel.ImageLocations) {}, true},
		{"shorter list", func(l *carvel.ImageLocations) { l.Images = l.Images[1:] }, false},
		{"other kind", func(l *carvel.ImageLocations) { l.Images[0].IsBundle = !l.Images[0].IsBundle }, false},
		{"unreadable", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, dst := newFixture(t), newMemory()
			l := f.plan.Graph.Locations(f.plan.Graph.Node(f.root.Digest))
			ours, err := imgpkg.Locations(l)
			require.NoError(t, err)
			text := []byte("nonsense")
			if c.change != nil {
				c.change(l)
				text, err = l.Encode()
				require.NoError(t, err)
			}
			other, err := imgpkg.Build(map[string][]byte{"image-locations.yml": text, "else": nil}, nil)
			require.NoError(t, err)
			tag := imgpkg.LocationsTag(f.root.Digest)
			dst.addBlob("", other.Layer)
			dst.addBlob("", other.Config)
			dst.manifests[other.Descriptor.Digest] = stored{other.Descriptor, other.Manifest}
			dst.tags[tag] = other.Descriptor.Digest

			result, err := f.fill(t, dst)
			require.NoError(t, err)
			if c.kept {
				assert.Equal(t, other.Descriptor.Digest, dst.tags[tag])
				assert.Equal(t, 1, result.LocationsPresent)
				return
			}
			assert.Equal(t, ours.Descriptor.Digest, dst.tags[tag])
			assert.Equal(t, 3, result.Locations)
		})
	}
}

// TestCancelled cancels at each act in turn: the copy returns at once, with no goroutine left (synctest
// fails when one is).
func TestCancelled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for n := int32(1); n < 60; n += 3 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var acts atomic.Int32
			dst := newMemory()
			dst.before = func(ctx context.Context, _ string) error {
				if acts.Add(1) == n {
					cancel()
				}
				if acts.Load() >= n {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}
			_, err := ToRepository(ctx, f.plan, f, dst, target, f.opt)
			cancel()
			assert.ErrorIs(t, err, context.Canceled, "act %d", n)
			assert.NotContains(t, dst.tags, "1.0")
		})
	}
}

// TestNoMoreThanJobs counts what runs at once.
func TestNoMoreThanJobs(t *testing.T) {
	t.Parallel()
	f, dst := newFixture(t), newMemory()
	f.opt.Jobs = 3
	var mu sync.Mutex
	running, most := 0, 0
	dst.before = func(context.Context, string) error {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		runtime.Gosched()
		mu.Lock()
		running--
		mu.Unlock()
		return nil
	}
	_, err := f.fill(t, dst)
	require.NoError(t, err)
	assert.LessOrEqual(t, most, 3)
}
