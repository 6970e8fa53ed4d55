package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
)

// scripted is a RoundTripper without connections: a function answers.
type scripted struct {
	answer func(req *http.Request, n int) *http.Response // the n-th request, from 1

	mu       sync.Mutex
	requests []*http.Request
}

// RoundTrip implements http.RoundTripper.
func (a *scripted) RoundTrip(req *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, req)
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
		_ = req.Body.Close()
	}
	res := a.answer(req, len(a.requests))
	res.Request, res.Proto, res.ProtoMajor, res.ProtoMinor = req, "HTTP/1.1", 1, 1
	res.Status = fmt.Sprint(res.StatusCode, " ", http.StatusText(res.StatusCode))
	return res, nil
}

// reply is an answer with headers in pairs.
func reply(status int, body []byte, headers ...string) *http.Response {
	res := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
	for i := 0; i < len(headers); i += 2 {
		res.Header.Set(headers[i], headers[i+1])
	}
	return res
}

// over returns a client whose requests a answers. Its waits take no time.
func over(t *testing.T, opt Options, a *scripted) *Client {
	t.Helper()
	c, err := New(opt)
	require.NoError(t, err)
	c.base.inner = a
	c.base.sleep = func(ctx context.Context, wait time.Duration) error {
		if wait < 0 || wait > maxRetryAfter {
			t.Errorf("waits %v", wait)
		}
		return ctx.Err()
	}
	return c
}

// fuzzHost is not loopback, so that it is reached over https only.
const fuzzHost = "registry.test"

func fuzzRepo(t testing.TB) name.Repository {
	repo, err := name.NewRepository(fuzzHost + "/repo")
	require.NoError(t, err)
	return repo
}

// requireText requires one line that is safe to print on a terminal.
func requireText(t *testing.T, s string, most int) {
	t.Helper()
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			t.Fatalf("%q has %U", s, r)
		}
	}
	require.LessOrEqual(t, len(s), most)
}

// FuzzError: whatever body and headers a refusal has, the error is one line of bounded length
// without a query, and names only blobs that have a digest.
func FuzzError(f *testing.F) {
	d := digest.Of(nil).String()
	for _, body := range []string{
		"", "plain\r\ntext\x1b[2J\u202e", `{"errors":[]}`, `{"errors":null}`, `{"errors":[{"code":"DENIED","message":"no"}]}`, `{"errors":{}}`, `[]`,
		`{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","detail":"` + d + `"},{"code":"MANIFEST_BLOB_UNKNOWN","detail":{"digest":"` + d + `"}},{"code":"MANIFEST_BLOB_UNKNOWN","detail":5}]}`,
		`{"errors":[{"code":"A\u0000\u202e","message":"` + strings.Repeat("x\\n", 1000) + `","detail":{"Digest":"sha512:aa"}}]}`, "\xff\xfe", strings.Repeat(" ", maxErrorBody+1),
	} {
		f.Add(400, []byte(body), "5")
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, retry string) {
		req, err := http.NewRequest(http.MethodPut, "https://user:secret@registry.test/v2/a/manifests/b?_state=secret#f", nil)
		require.NoError(t, err)
		res := reply(status, body, "Retry-After", retry)
		res.Request = req
		e := newError(res)
		requireText(t, e.Error(), 2000)
		require.NotContains(t, plainURL(req.URL), "secret")
		named, missing := e.MissingBlobs()
		require.LessOrEqual(t, len(named), maxErrorBody/50)
		require.True(t, missing || len(named) == 0)
		for _, d := range named {
			_, err := v1.NewHash(d.String())
			require.NoError(t, err)
		}
		require.GreaterOrEqual(t, e.retryAfter, time.Duration(0))
	})
}

// FuzzRetryAfter: a Retry-After has the meaning of RFC 9110 or none, and no wait is longer than the
// limit.
func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "5", "-1", "+5", "1e3", " 5", "2147483647", "2147483648", "99999999999999999999", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 9999 07:28:00 GMT", "Wednesday, 21-Oct-15 07:28:00 GMT"} {
		f.Add(s)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, header string) {
		got := retryAfter(header, now)
		var seconds int64
		if n, err := fmt.Sscanf(header, "%d", &seconds); err == nil && n == 1 && header == fmt.Sprint(seconds) && seconds >= 0 && seconds < 1<<31 {
			require.Equal(t, time.Duration(seconds)*time.Second, got)
		} else if date, err := http.ParseTime(header); err == nil {
			require.True(t, got >= 0 && (got == 0) == !date.After(now), got)
		} else if strings.Trim(header, "0123456789") != "" {
			require.Zero(t, got)
		}
		require.GreaterOrEqual(t, got, time.Duration(0))

		a := &scripted{answer: func(*http.Request, int) *http.Response { return reply(503, nil, "Retry-After", header) }}
		c := over(t, Options{Anonymous: true}, a) // fails if it waits longer
		_, err := c.Writer(fuzzRepo(t)).Resolve(t.Context(), "a")
		var answer *Error
		require.ErrorAs(t, err, &answer)
		require.LessOrEqual(t, len(a.requests), Defaults().Tries)
	})
}

// FuzzLocation: an upload continues at the registry's own host and scheme or not at all.
func FuzzLocation(f *testing.F) {
	for _, s := range []string{
		"", "/v2/a/blobs/uploads/1", "?_state=x", "https://registry.test/x?_state=a%20b", "http://registry.test/x", "//other.test/x", "https://registry.test:443/x", "https://registry.test:444/x",
		"https://u:p@registry.test/x", "https://REGISTRY.test/x", "https://registry.test@other.test/x", "\\\\other.test", "/x?digest=sha256:0", "/x#digest", "::", "javascript:x", "https:///x", "/%zz", "/a b\r\nHost: other.test",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		req, err := http.NewRequest(http.MethodPost, "https://registry.test/v2/a/blobs/uploads/", nil)
		require.NoError(t, err)
		res := reply(202, nil)
		res.Header["Location"] = []string{header}
		res.Request = req
		at, err := location(res, nil)
		if err != nil {
			require.False(t, isTemporary(err), "asking again changes nothing")
			requireText(t, err.Error(), 4000)
			return
		}
		next, err := http.NewRequest(http.MethodPut, at, nil)
		require.NoError(t, err)
		require.Equal(t, "https", next.URL.Scheme)
		require.True(t, sameAuthority(req.URL, next.URL), at)
		require.Equal(t, "registry.test", strings.ToLower(next.URL.Hostname()))
	})
}

// FuzzManifestAnswer: a manifest is returned only with the digest that was requested, and with a
// descriptor of its bytes; any other answer is an error on one line.
func FuzzManifestAnswer(f *testing.F) {
	good := string(types.OCIManifestSchema1)
	for _, mediaType := range []string{good, good + "; charset=utf-8", "", "text/html", "APPLICATION/VND.OCI.IMAGE.MANIFEST.V1+JSON", "application/vnd.docker.distribution.manifest.v1+json", "a/b;c", "\x00"} {
		f.Add(mediaType, manifestDesc.Digest.String(), "a", manifestRaw)
		f.Add(mediaType, "sha256:x\u202e", manifestDesc.Digest.String(), manifestRaw)
		f.Add(mediaType, "", digest.Of(nil).String(), manifestRaw)
	}
	f.Fuzz(func(t *testing.T, mediaType, said, id string, body []byte) {
		if len(id) > 128 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("/?#%", r) }) {
			return // ids are tags and digests
		}
		a := &scripted{answer: func(req *http.Request, _ int) *http.Response {
			if req.URL.Path == "/v2/" {
				return reply(200, nil)
			}
			return reply(200, body, "Content-Type", mediaType, "Docker-Content-Digest", said)
		}}
		c := over(t, Options{Anonymous: true}, a)
		r, err := c.Writer(fuzzRepo(t)).open(t.Context())
		require.NoError(t, err)
		desc, raw, err := r.manifest(t.Context(), id)
		if err != nil {
			requireText(t, err.Error(), 2000)
			return
		}
		require.Equal(t, body, raw)
		require.Equal(t, digest.Of(body), desc.Digest)
		require.Equal(t, int64(len(body)), desc.Size)
		require.NotContains(t, string(desc.MediaType), ";")
		if want, err := v1.NewHash(id); err == nil {
			require.Equal(t, want, desc.Digest)
		} else {
			require.True(t, said == "" || said == desc.Digest.String())
		}
	})
}

// broken is a body that breaks off.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// FuzzDownload: whatever a registry answers to requests for a blob and for its rest, the reader
// returns the blob's bytes or an error, never other bytes; and the number of requests is bounded.
func FuzzDownload(f *testing.F) {
	content := []byte("0123456789abcdef")
	want := v1.Descriptor{Digest: digest.Of(content), Size: int64(len(content))}
	for _, s := range []string{"bytes 5-15/16", "bytes 5-", "bytes 0-15/16", "bytes 5-4/16", "bytes 50-15/16", "bytes */16", "", "bytes 5-15/999999999999999999999", "items 5-15/16"} {
		f.Add(uint8(5), true, s, content[5:], true)
		f.Add(uint8(5), false, s, content, false)
		f.Add(uint8(5), true, s, []byte("other bytes"), false)
		f.Add(uint8(5), false, s, []byte("0123456789 other"), false)
	}
	f.Add(uint8(5), true, "bytes 5-15/16", content[5:], false)
	f.Fuzz(func(t *testing.T, cut uint8, partial bool, contentRange string, more []byte, breaks bool) {
		a := &scripted{}
		a.answer = func(req *http.Request, n int) *http.Response {
			if req.URL.Path == "/v2/" {
				return reply(200, nil)
			}
			if n == 2 {
				res := reply(200, nil)
				res.Body = io.NopCloser(broken{bytes.NewReader(content[:min(int(cut), len(content))])})
				return res
			}
			status := 200
			if partial {
				status = 206
			}
			res := reply(status, nil, "Content-Range", contentRange)
			res.Body = io.NopCloser(bytes.NewReader(more))
			if breaks {
				res.Body = io.NopCloser(broken{bytes.NewReader(more)})
			}
			return res
		}
		c := over(t, Options{Anonymous: true}, a)
		r, err := c.Blob(t.Context(), fuzzRepo(t), want)
		require.NoError(t, err)
		defer r.Close()
		got, err := io.ReadAll(r)
		require.LessOrEqual(t, len(a.requests), 2+Defaults().Tries*(len(content)+1))
		if err == nil {
			require.Equal(t, string(content), string(got))
			return
		}
		right := cut > 0 && partial && contentRange == fmt.Sprintf("bytes %d-15/16", cut) && bytes.Equal(more, content[min(int(cut), 16):]) || !partial && bytes.Equal(more, content)
		require.False(t, right && cut < 16 && !breaks, "the registry was right: %v", err)
		require.Less(t, len(got), len(content), "all was handed out before the digest was known")
		requireText(t, err.Error(), 2000)
	})
}
