package tarball_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
	"relocate/internal/httpfile"
	"relocate/registry"
	"relocate/tarball"
)

// skipShort leaves a test with one goroutine out of make check's run with the race detector.
func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short is given")
	}
}

// served is an archive on a server that counts.
type served struct {
	*tarball.Archive
	file *httpfile.File

	mu      sync.Mutex
	archive []byte
	busy    int
	peak    int          // the most requests at once
	answer  http.Handler // in place of what a file server does; nil: none
}

// serveArchive opens an archive by its URL.
func serveArchive(t *testing.T, archive []byte) (*served, error) {
	t.Helper()
	s := &served{archive: archive}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.busy++
		s.peak = max(s.peak, s.busy)
		now, answer := s.archive, s.answer
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			s.busy--
			s.mu.Unlock()
		}()
		assert.Equal(t, http.MethodGet, r.Method)
		if answer != nil {
			answer.ServeHTTP(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(now))
	}))
	t.Cleanup(server.Close)
	var err error
	s.file, err = httpfile.Open(t.Context(), httpfile.Source{URL: server.URL + "/a.tar?key=secret"}, httpfile.Options{Options: registry.Options{RetryWait: time.Nanosecond}})
	require.NoError(t, err)
	if s.Archive, err = tarball.OpenRanged(s.file); err == nil {
		t.Cleanup(func() { assert.NoError(t, s.Close()) })
	}
	return s, err
}

// spent returns what the file has cost since an earlier count.
func (s *served) spent(since httpfile.Counts) (requests, bytes int64) {
	now := s.file.Counts()
	return now.Requests - since.Requests, now.Read - since.Read
}

// TestRanged: an archive on a server is what it is in a file, in either format.
func TestRanged(t *testing.T) {
	t.Parallel()
	imgpkg, err := os.ReadFile(filepath.Join("..", "testdata", "interop", "tar", "repository.tar"))
	require.NoError(t, err)
	for name, archive := range map[string][]byte{"own": repository(t, 3<<20, 100, 1<<20).bytes(t), "imgpkg": imgpkg} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, err := open(archive)
			require.NoError(t, err)
			want, err := file.CheckedPlan(t.Context(), 4, nil)
			require.NoError(t, err)
			s, err := serveArchive(t, archive)
			require.NoError(t, err)
			assert.True(t, strings.HasSuffix(s.Name(), "/a.tar"), s.Name())
			plan, err := s.CheckedPlan(t.Context(), 4, nil)
			require.NoError(t, err)
			assert.Equal(t, want.Blobs, plan.Blobs)
			assert.Equal(t, file.Seal(), s.Seal())
			for _, b := range plan.Blobs {
				c, err := s.Content(b.Descriptor.Digest)
				require.NoError(t, err)
				text, err := io.ReadAll(c)
				require.NoError(t, err)
				assert.Equal(t, b.Descriptor.Digest, digest.Of(text))
				if part := make([]byte, c.Size()/2); len(part) > 0 {
					_, err = c.ReadAt(part, c.Size()/4)
					require.NoError(t, err)
					assert.Equal(t, text[c.Size()/4:][:len(part)], part)
				}
				require.NoError(t, c.Close())
			}
			damage, err := s.Check(t.Context(), 4, nil)
			require.NoError(t, err)
			assert.Empty(t, damage)
			require.NoError(t, s.Unchanged())
		})
	}
}

// TestRangedDamage: what is wrong with an archive on a server is said as of a file.
func TestRangedDamage(t *testing.T) {
	skipShort(t)
	t.Parallel()
	archive := repository(t, 3<<20, 100).bytes(t)
	_, err := serveArchive(t, archive[:len(archive)-1])
	require.ErrorIs(t, err, tarball.ErrTruncated)
	assert.ErrorContains(t, err, "/a.tar is cut off")
	_, err = serveArchive(t, nil)
	require.ErrorIs(t, err, tarball.ErrNotArchive)
	assert.ErrorContains(t, err, "/a.tar is not an archive of relocate: it is empty")

	for _, at := range []int{600, len(archive) / 2, len(archive) - 100_000, len(archive) - 3000, len(archive) - 1} {
		bad := slices.Clone(archive)
		bad[at] ^= 1
		want, wantErr := inspect(bad)
		s, err := serveArchive(t, bad)
		if err != nil {
			require.Error(t, wantErr)
			continue
		}
		damage, err := s.Check(t.Context(), 4, nil)
		require.NoError(t, err)
		assert.NotEmpty(t, damage)
		assert.Equal(t, want, damage)
	}
}

// layered is a repository of an image with many layers of n bytes.
func layered(t *testing.T, layers, n int) *memory {
	t.Helper()
	m := newMemory()
	var list []v1.Descriptor
	for i := range layers {
		list = append(list, m.layer(n+i))
	}
	m.bundle(t, rootName, nil, "registry.example/app@"+m.image(t, list...).Digest.String())
	return m
}

// TestRangedBudget: opening an archive on a server and what inspect reads of it take three requests. All of it
// takes a request for each frame, up to 16 at once, and few for the layers, and hardly more bytes than it has.
func TestRangedBudget(t *testing.T) {
	skipShort(t)
	t.Parallel()
	for _, c := range []struct {
		layers, size int
		most         int64 // requests for the layers
	}{
		{180, 60_000, 5}, // 10 MiB: what the front has of it, 256 KiB, 1 MiB, 4 MiB, and the rest
		{3, 5 << 20, 3},  // large ones
	} {
		t.Run(fmt.Sprint(c.layers), func(t *testing.T) {
			t.Parallel()
			m := layered(t, c.layers, c.size)
			archive := m.bytes(t)
			s, err := serveArchive(t, archive)
			require.NoError(t, err)
			_, err = s.HeadPlan(t.Context(), 8, nil)
			require.NoError(t, err)
			requests, read := s.spent(httpfile.Counts{})
			assert.LessOrEqual(t, requests, int64(3))
			assert.LessOrEqual(t, read, int64(1<<20+8192))

			s, err = serveArchive(t, archive)
			require.NoError(t, err)
			plan, err := s.CheckedPlan(t.Context(), 8, nil)
			require.NoError(t, err)
			requests, _ = s.spent(httpfile.Counts{})
			assert.LessOrEqual(t, requests, int64(len(plan.Blobs)+3))
			assert.LessOrEqual(t, s.peak, 16)
			before := s.file.Counts()
			for _, b := range plan.Blobs[plan.Small:] {
				require.NoError(t, s.readBlob(t.Context(), *b.Descriptor))
			}
			requests, _ = s.spent(before)
			assert.LessOrEqual(t, requests, c.most)
			_, read = s.spent(httpfile.Counts{})
			assert.LessOrEqual(t, float64(read), 1.02*float64(len(archive)))
			t.Logf("%d blobs, %d bytes: %+v", len(plan.Blobs), len(archive), s.file.Counts())
		})
	}
}

// readBlob reads a blob, which is checked, to its end.
func (s *served) readBlob(ctx context.Context, d v1.Descriptor) error {
	r, err := s.Blob(ctx, name.Repository{}, d)
	if err != nil {
		return err
	}
	if _, err = io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("%s: %w", d.Digest, err)
	}
	return r.Close()
}

// TestRangedHead: a large head is read with one request more than a small one.
func TestRangedHead(t *testing.T) {
	skipShort(t)
	t.Parallel()
	m := newMemory()
	app := m.bundle(t, "registry.example/app-bundle:1.0", map[string]string{"noise": string(noise(5 << 20))}, "registry.example/app@"+m.image(t, m.layer(1<<20)).Digest.String())
	other := m.bundle(t, "registry.example/other:1.0", map[string]string{"text": "other"})
	m.bundle(t, rootName, nil, "registry.example/app-bundle@"+app.Digest.String(), "registry.example/other@"+other.Digest.String())
	s, err := serveArchive(t, m.bytes(t))
	require.NoError(t, err)
	_, err = s.HeadPlan(t.Context(), 8, nil)
	require.NoError(t, err)
	requests, _ := s.spent(httpfile.Counts{})
	assert.EqualValues(t, 3, requests, "the front, the rest of the head, the seal")
}

// TestRangedContent: what serve sends piece by piece is one request, and again one from another place on.
func TestRangedContent(t *testing.T) {
	t.Parallel()
	m := layered(t, 2, 3<<20)
	s, err := serveArchive(t, m.bytes(t))
	require.NoError(t, err)
	plan, err := s.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
	layer := plan.Blobs[plan.Small+1].Descriptor.Digest
	c, err := s.Content(layer)
	require.NoError(t, err)
	before := s.file.Counts()
	for range 2 {
		text, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size())) // in small pieces
		require.NoError(t, err)
		assert.Equal(t, layer, digest.Of(text))
	}
	_, err = c.ReadAt(make([]byte, 10), 1000)
	require.NoError(t, err)
	requests, _ := s.spent(before)
	assert.EqualValues(t, 3, requests)
	n, err := c.ReadAt(make([]byte, 10), c.Size()-4)
	require.ErrorIs(t, err, io.EOF)
	assert.Equal(t, 4, n)
	_, err = c.ReadAt(make([]byte, 10), c.Size())
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
}

// TestRangedFrames: 16 frames are asked for at once.
func TestRangedFrames(t *testing.T) {
	t.Parallel()
	archive := layered(t, 40, 60_000).bytes(t)
	s, err := serveArchive(t, archive)
	require.NoError(t, err)
	full := make(chan struct{})
	s.mu.Lock()
	s.peak = 0
	s.answer = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if s.busy == 16 && s.peak == 16 {
			select {
			case <-full:
			default:
				time.AfterFunc(20*time.Millisecond, func() { close(full) }) // more would come meanwhile
			}
		}
		s.mu.Unlock()
		select {
		case <-full:
		case <-r.Context().Done():
		}
		http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(archive))
	})
	s.mu.Unlock()
	_, err = s.CheckedPlan(t.Context(), 1, nil)
	require.NoError(t, err)
	assert.Equal(t, 16, s.peak)
}
