package httpfile_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/httpfile"
)

// TestParseHeaders: what is sent is what the file says, and no error repeats a value.
func TestParseHeaders(t *testing.T) {
	t.Parallel()
	h, err := httpfile.ParseHeaders([]byte("PRIVATE-TOKEN: glpat-1\r\n\nx-jfrog-art-api:  a b \nx-jfrog-art-api: c"))
	require.NoError(t, err)
	assert.Equal(t, http.Header{"Private-Token": {"glpat-1"}, "X-Jfrog-Art-Api": {"a b", "c"}}, h)
	for text, says := range map[string]string{
		"a: 1\nsecret":                     "line 2 is not a name, a colon and a value",
		"a b: secret":                      "line 1 is not",
		"a: sec\x00ret":                    "line 1 is not",
		": secret":                         "line 1 is not",
		"range: secret":                    "line 1 sets Range, which relocate sets itself",
		"HOST: secret":                     "line 1 sets Host",
		strings.Repeat("a: secret\n", 101): "more than 100",
		strings.Repeat("a", 1<<16):         "more than 32768 bytes",
	} {
		_, err := httpfile.ParseHeaders([]byte(text))
		require.ErrorIs(t, err, httpfile.ErrHeaders)
		assert.ErrorContains(t, err, says)
		assert.NotContains(t, err.Error(), "secret")
	}
}

// FuzzParseHeaders: headers that are taken are what net/http writes and reads.
func FuzzParseHeaders(f *testing.F) {
	for _, s := range []string{"A: b", "A: b\r\nC:d\n", "a:", "A: b\n c", "é: 1", "A: \x7f", "Range: 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := httpfile.ParseHeaders(text)
		if err != nil {
			require.ErrorIs(t, err, httpfile.ErrHeaders)
			return
		}
		var sent bytes.Buffer
		sent.WriteString("GET / HTTP/1.1\r\nHost: a\r\n")
		require.NoError(t, h.Write(&sent))
		sent.WriteString("\r\n")
		req, err := http.ReadRequest(bufio.NewReader(&sent))
		require.NoError(t, err)
		require.Equal(t, h, req.Header)
		require.Equal(t, "a", req.Host)
		require.Empty(t, req.Header.Get("Range"))
	})
}

// FuzzContentRange: a range that is taken has one meaning, and lies in the file.
func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-0/1", "bytes 5-9/10", "bytes 5-9/*", "bytes */10", "bytes 9-5/10", "bytes 0-9/5", "bytes +1-2/9", "bytes 1-2/99999999999999999999", "Bytes 0-0/1", "bytes 0-0/1, 2-3/4", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r, ok := httpfile.ParseRange(header)
		if !ok {
			return
		}
		first, last, total := r.Bounds()
		require.True(t, 0 <= first && first <= last && last < total, header)
		require.Equal(t, fmt.Sprintf("bytes %d-%d/%d", first, last, total), header)
	})
}

// FuzzCode: a code is short, and a word.
func FuzzCode(f *testing.F) {
	f.Add("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Request has expired.</Message></Error>")
	f.Add("<Code>\x1b[31m</Code>")
	f.Add("<Code><Code>A</Code>")
	f.Fuzz(func(t *testing.T, body string) {
		code := httpfile.CodeIn(body)
		require.LessOrEqual(t, len(code), 64)
		require.Empty(t, strings.Trim(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))
		require.Contains(t, body, code)
	})
}

// TestExpiry: until when a link is valid, as each kind says it.
func TestExpiry(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	for _, query := range []string{
		"X-Amz-Date=20261130T090000Z&X-Amz-Expires=3600&X-Amz-Signature=x",
		"X-Goog-Date=20261130T090000Z&X-Goog-Expires=3600",
		"AWSAccessKeyId=x&Signature=x&Expires=1796032800",
		"sv=2024-11-04&se=2026-11-30T10%3A00%3A00Z&sr=b&sp=r&sig=x",
	} {
		u, err := url.Parse("https://example.com/a.tar?" + query)
		require.NoError(t, err)
		assert.Equal(t, until, httpfile.Expiry(u), query)
	}
}

// FuzzExpiry: no query of a link makes a time that cannot be shown.
func FuzzExpiry(f *testing.F) {
	f.Add("X-Amz-Date=20261130T090000Z&X-Amz-Expires=3600")
	f.Add("Expires=99999999999999")
	f.Add("se=9999-12-31T23:59:59Z")
	f.Fuzz(func(t *testing.T, query string) {
		at := httpfile.Expiry(&url.URL{Scheme: "https", Host: "a", RawQuery: query})
		if !at.IsZero() {
			require.Regexp(t, `^-?\d{4,6}-\d\d-\d\d \d\d:\d\d:\d\d UTC$`, at.Format("2006-01-02 15:04:05 UTC"))
		}
	})
}
