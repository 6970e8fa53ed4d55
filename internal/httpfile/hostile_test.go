package httpfile_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/httpfile"
	"relocate/registry"
)

// lie answers a range with other headers and another body.
func lie(header http.Header, status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h[pairs[i]] = []string{pairs[i+1]}
	}
	return h
}

// endless sends bytes until its client goes away.
func endless(w http.ResponseWriter, _ *http.Request) {
	for {
		if _, err := w.Write(make([]byte, 1<<16)); err != nil {
			return
		}
	}
}

// TestLies: whatever a server answers in place of the range that was asked for is an error that says what it is. It
// ends, and no part of the URL that may be secret is in it.
func TestLies(t *testing.T) {
	t.Parallel()
	file := content(2 << 20)
	ten := content(10)
	part := func(of string) http.Header {
		return headers("Content-Range", of, "Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT")
	}
	for name, c := range map[string]struct {
		first  bool // the first request is answered so; else the one after it, for bytes 1500000 to 1500009
		answer http.HandlerFunc
		is     error
		says   string
	}{
		"no ranges":          {true, lie(nil, 200, "whole"), httpfile.ErrNoRanges, "the server answers without ranges"},
		"no ranges, endless": {true, endless, httpfile.ErrNoRanges, "the server answers without ranges"},
		"a login page":       {true, lie(headers("Content-Type", "text/html; charset=utf-8"), 200, "<html>"), httpfile.ErrPage, "the server sent a web page in place of the file"},
		"no ranges any more": {false, lie(nil, 200, string(file)), httpfile.ErrNoRanges, "the server answers without ranges"},
		"gzip": {true, lie(headers("Content-Encoding", "gzip", "Content-Range", "bytes 0-9/10"), 206, "gzip"), httpfile.ErrAnswer,
			`it is encoded with "gzip", which was not asked for; switch compression off at the server or proxy for this file`},
		"several ranges": {true, lie(headers("Content-Type", "multipart/byteranges; boundary=x"), 206, "--x"), httpfile.ErrAnswer, `its Content-Range is ""`},
		"unknown size":   {true, lie(part("bytes 0-9/*"), 206, string(ten)), httpfile.ErrAnswer, `its Content-Range is "bytes 0-9/*"`},
		"another range":  {true, lie(part("bytes 1-9/10"), 206, string(ten[1:])), httpfile.ErrAnswer, "asked for bytes 0-9, got 1-9"},
		"a part of it":   {true, lie(part("bytes 0-8/10"), 206, string(ten[:9])), httpfile.ErrAnswer, "asked for bytes 0-9, got 0-8"},
		"more than the size says": {true, lie(part("bytes 0-9/10"), 206, string(content(11))), httpfile.ErrAnswer,
			"it has 11 bytes for a range of 10"},
		"past the end":   {false, lie(headers("Content-Range", "bytes */2097152"), 416, ""), nil, "416 Requested Range Not Satisfiable"},
		"past nothing":   {false, lie(nil, 416, ""), nil, "416 Requested Range Not Satisfiable"},
		"a shorter file": {false, lie(headers("Content-Range", "bytes */1000"), 416, ""), httpfile.ErrChanged, "it had 2097152 bytes, and has 1000 now"},
		"another size": {false, lie(part("bytes 1500000-1500009/1500010"), 206, string(ten)), httpfile.ErrChanged,
			"it had 2097152 bytes, and has 1500010 now"},
		"another time": {false, lie(headers("Content-Range", "bytes 1500000-1500009/2097152", "Last-Modified", "now"), 206, string(ten)), httpfile.ErrChanged,
			`it was identified by Last-Modified "Tue, 14 Nov 2023 22:13:20 GMT", and is now identified by Last-Modified "now"`},
		"no time any more": {false, lie(headers("Content-Range", "bytes 1500000-1500009/2097152"), 206, string(ten)), httpfile.ErrChanged, "and is now identified by nothing"},
		"an ETag now": {false, lie(headers("Content-Range", "bytes 1500000-1500009/2097152", "Etag", `"a\x1b[31m"`), 206, string(ten)), httpfile.ErrChanged,
			`and is now identified by ETag "a\\x1b[31m"`},
		"not found":  {true, lie(nil, 404, "no https://x/?secret"), fs.ErrNotExist, "404 Not Found"},
		"no entry":   {true, lie(nil, 403, "<Error><Code>AccessDenied</Code><Message>secret</Message></Error>"), fs.ErrPermission, "403 Forbidden AccessDenied"},
		"overloaded": {true, lie(nil, 503, "<Error><Code>SlowDown</Code><Resource>?secret</Resource></Error>"), nil, "503 Service Unavailable SlowDown"},
		"a loop":     {true, lie(headers("Location", "/?secret"), 302, ""), nil, "more than 5 redirects"},
		"nowhere":    {true, lie(nil, 307, ""), httpfile.ErrAnswer, "a redirect without a valid Location"},
		"no URL":     {true, lie(headers("Location", "http://a:secret:b@%zz"), 301, ""), httpfile.ErrAnswer, "a redirect without a valid Location"},
		"always short": {false, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			lie(part("bytes 1500000-1500009/2097152"), 206, "")(w, nil)
		}, io.ErrUnexpectedEOF, "broke off at byte 1500000, 10 before the end of a range: unexpected EOF (3 tries)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			s := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, http.MethodGet, r.Method)
				if n.Add(1) == 1 && !c.first {
					http.ServeContent(w, r, "", time.Unix(1_700_000_000, 0), bytes.NewReader(file))
					return
				}
				c.answer(w, r)
			})
			url := strings.Replace(s.URL, "http://", "http://user:secret@", 1) + "/a.tar?X-Amz-Signature=secret"
			f, err := open(t, url, quick())
			if !c.first {
				require.NoError(t, err)
				_, err = f.ReadAt(make([]byte, 10), 1_500_000)
			}
			require.Error(t, err)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			assert.ErrorContains(t, err, c.says)
			assert.ErrorContains(t, err, s.URL+"/")
			assert.NotContains(t, err.Error(), "secret")
			assert.NotContains(t, err.Error(), "user")
			assert.NotContains(t, err.Error(), "\x1b")
		})
	}
}

// TestEmpty: a file without content has no range, which servers say in two ways.
func TestEmpty(t *testing.T) {
	t.Parallel()
	for _, answer := range []http.HandlerFunc{lie(nil, 200, ""), lie(headers("Content-Range", "bytes */0"), 416, "")} {
		f, err := open(t, serve(t, nil, answer).URL, quick())
		require.NoError(t, err)
		assert.Zero(t, f.Size())
		_, err = f.ReadAt(make([]byte, 1), 0)
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, f.Unchanged())
	}
}

// TestEndless: of an answer without an end only the range is read.
func TestEndless(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		var first, last int64
		_, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last)
		assert.NoError(t, err)
		lie(headers("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, 3<<20)), 206, "")(w, r)
		endless(w, r)
	})
	f, err := open(t, s.URL, quick())
	require.NoError(t, err)
	n, err := f.ReadAt(make([]byte, 2<<20), 1<<20)
	require.NoError(t, err)
	assert.Equal(t, 2<<20, n)
	assert.EqualValues(t, 3<<20, f.Counts().Read)
}

// TestBroken: a range goes on where it broke off, and ends the same. A server that sends no bytes in between is
// given up after some tries, one that sends many is not.
func TestBroken(t *testing.T) {
	t.Parallel()
	file := content(3 << 20)
	s := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		breaking := &breaker{ResponseWriter: w, left: 300_000}
		http.ServeContent(breaking, r, "", time.Unix(1, 0), bytes.NewReader(file))
	})
	f, err := open(t, s.URL, quick())
	require.NoError(t, err)
	r, err := f.Range(t.Context(), 1000, 3<<20-1000)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	assert.True(t, bytes.Equal(file[1000:], got))
	asked := s.asked()
	assert.Equal(t, []string{"bytes=0-1048575", "bytes=300000-1048575", "bytes=600000-1048575", "bytes=900000-1048575",
		"bytes=1048576-3145727", "bytes=1348576-3145727"}, asked[:6])
	assert.EqualValues(t, len(asked), f.Counts().Requests)
	assert.EqualValues(t, len(asked)-2, f.Counts().Resumed)
	assert.EqualValues(t, 3<<20, f.Counts().Read)
}

// breaker breaks the connection after some bytes.
type breaker struct {
	http.ResponseWriter
	left int
}

func (b *breaker) Write(p []byte) (int, error) {
	n, err := b.ResponseWriter.Write(p[:min(len(p), b.left)])
	if b.left -= n; b.left == 0 {
		_ = http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// TestReplaced: a file that was replaced is noticed by its ETag, whether the server compares it or not.
func TestReplaced(t *testing.T) {
	t.Parallel()
	file := content(3 << 20)
	for _, compares := range []bool{true, false} {
		var etag atomic.Value
		etag.Store(`"1"`)
		s := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", etag.Load().(string))
			if !compares {
				r.Header.Del("If-Match")
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
		})
		f, err := open(t, s.URL, quick())
		require.NoError(t, err)
		assert.Equal(t, `ETag "1"`, f.Validator())
		require.NoError(t, f.Unchanged())
		r, err := f.Range(t.Context(), 0, 1<<20)
		require.NoError(t, err)
		etag.Store(`"2"`)
		_, err = io.Copy(io.Discard, r)
		require.NoError(t, err, "it is of the file that was opened")
		require.ErrorIs(t, f.Unchanged(), httpfile.ErrChanged)
		_, err = f.ReadAt(make([]byte, 1), 2<<20)
		require.ErrorIs(t, err, httpfile.ErrChanged)
		assert.ErrorContains(t, err, s.URL)
	}
}

// TestWaits: what a server refuses for the moment is asked for again, and counted; who observes the requests of the
// context is told, too.
func TestWaits(t *testing.T) {
	t.Parallel()
	var n, told atomic.Int32
	s := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) < 3 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(content(10)))
	})
	ctx := registry.Observe(t.Context(), registry.Observer{Retrying: func(string, error, time.Duration) { told.Add(1) }})
	f, err := httpfile.Open(ctx, httpfile.Source{URL: s.URL}, quick())
	require.NoError(t, err)
	defer f.Close()
	assert.EqualValues(t, 2, f.Counts().Waits)
	assert.EqualValues(t, 1, f.Counts().Requests)
	assert.EqualValues(t, 2, told.Load())
}
