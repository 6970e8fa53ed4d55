package httpfile_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/httpfile"
	"relocate/registry"
)

// content returns n bytes that are the same in each run.
func content(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return b
}

// served is a server of one file that records what it was asked.
type served struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

// serve answers with answer; nil answers as net/http's file server does.
func serve(t *testing.T, file []byte, answer http.HandlerFunc) *served {
	s := &served{}
	modified := time.Unix(1_700_000_000, 0)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r)
		s.mu.Unlock()
		if answer != nil {
			answer(w, r)
			return
		}
		http.ServeContent(w, r, "", modified, bytes.NewReader(file))
	}))
	t.Cleanup(s.Close)
	return s
}

// asked returns the ranges that were asked for, and forgets them.
func (s *served) asked() (ranges []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		ranges = append(ranges, r.Header.Get("Range"))
	}
	s.requests = nil
	return ranges
}

// quick are options that wait for no retry.
func quick() httpfile.Options {
	return httpfile.Options{Options: registry.Options{RetryWait: time.Nanosecond, Tries: 3}}
}

func open(t *testing.T, url string, opt httpfile.Options) (*httpfile.File, error) {
	f, err := httpfile.Open(t.Context(), httpfile.Source{URL: url}, opt)
	if err == nil {
		t.Cleanup(func() { assert.NoError(t, f.Close()) })
	}
	return f, err
}

// TestRead: what is read is what the server has, and each read beyond the first MiB is one request for it.
func TestRead(t *testing.T) {
	t.Parallel()
	file := content(3 << 20)
	s := serve(t, file, nil)
	f, err := open(t, s.URL+"/dir/a%20b.tar?X-Amz-Signature=secret", quick())
	require.NoError(t, err)
	assert.Equal(t, s.URL+"/dir/a%20b.tar", f.Name())
	assert.EqualValues(t, len(file), f.Size())
	assert.Equal(t, []string{"bytes=0-1048575"}, s.asked())

	p := make([]byte, 1000)
	for _, at := range []int64{0, 1<<20 - 1000, 1<<20 - 1, 2 << 20, 3<<20 - 1000} {
		n, err := f.ReadAt(p, at)
		require.NoError(t, err)
		assert.Equal(t, file[at:at+1000], p[:n])
	}
	assert.Equal(t, []string{"bytes=1048576-1049574", "bytes=2097152-2098151", "bytes=3144728-3145727"}, s.asked())
	n, err := f.ReadAt(p, 3<<20-10)
	require.ErrorIs(t, err, io.EOF)
	assert.Equal(t, file[3<<20-10:], p[:n])
	_, err = f.ReadAt(p, 3<<20)
	require.ErrorIs(t, err, io.EOF)
	_, err = f.ReadAt(p, 1<<40)
	require.ErrorIs(t, err, io.EOF)
	s.asked()

	r, err := f.Range(t.Context(), 17, 2<<20)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	assert.True(t, bytes.Equal(file[17:17+2<<20], got))
	require.NoError(t, f.Unchanged())
	assert.Equal(t, []string{"bytes=1048576-2097168", "bytes=0-0"}, s.asked())
	_, err = f.Range(t.Context(), 1, 3<<20)
	require.Error(t, err)
}

// TestEnd: reading ends with the file, and with the context of Open or of Range, although the server sends nothing.
func TestEnd(t *testing.T) {
	t.Parallel()
	for _, end := range []func(f *httpfile.File, opened, ranged context.CancelFunc){
		func(f *httpfile.File, _, _ context.CancelFunc) { _ = f.Close() },
		func(_ *httpfile.File, opened, _ context.CancelFunc) { opened() },
		func(_ *httpfile.File, _, ranged context.CancelFunc) { ranged() },
	} {
		silent := make(chan struct{}, 10)
		s := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "bytes=0-1048575" {
				http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(make([]byte, 2<<20)))
				return
			}
			lie(headers("Content-Range", "bytes 1048576-2097151/2097152", "Last-Modified", "Thu, 01 Jan 1970 00:00:01 GMT"), 206, "abc")(w, r)
			_ = http.NewResponseController(w).Flush()
			silent <- struct{}{}
			<-r.Context().Done()
		})
		opened, cancelOpened := context.WithCancel(t.Context())
		ranged, cancelRanged := context.WithCancel(t.Context())
		f, err := httpfile.Open(opened, httpfile.Source{URL: s.URL}, quick())
		require.NoError(t, err)
		r, err := f.Range(ranged, 1<<20, 1<<20)
		require.NoError(t, err)
		<-silent
		go end(f, cancelOpened, cancelRanged)
		n, err := io.Copy(io.Discard, r)
		require.ErrorIs(t, err, context.Canceled)
		assert.LessOrEqual(t, n, int64(3))
		require.NoError(t, r.Close())
		cancelOpened()
		cancelRanged()
	}
}

// BenchmarkRange streams 64 MiB, from a server in the same process.
func BenchmarkRange(b *testing.B) {
	file := content(64 << 20)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(file))
	}))
	defer s.Close()
	f, err := httpfile.Open(b.Context(), httpfile.Source{URL: s.URL}, httpfile.Options{})
	require.NoError(b, err)
	defer f.Close()
	b.SetBytes(63 << 20)
	b.ReportAllocs()
	for b.Loop() {
		r, err := f.Range(b.Context(), 1<<20, 63<<20)
		require.NoError(b, err)
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 256<<10))
		require.NoError(b, err)
		require.NoError(b, r.Close())
	}
}

// TestPlus: the sum of counts has all of them.
func TestPlus(t *testing.T) {
	one := httpfile.Counts{Requests: 1, Asked: 2, Read: 3, Resumed: 4, Waits: 5, Renewed: 6}
	assert.Equal(t, httpfile.Counts{Requests: 2, Asked: 4, Read: 6, Resumed: 8, Waits: 10, Renewed: 12}, one.Plus(one))
}
