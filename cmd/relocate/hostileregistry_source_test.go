package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	. "relocate/testdata/hostileregistry"
)

// only lets a manner stand before requests for one path's end.
func only(end string, m Manner) Manner {
	return func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
		if strings.HasSuffix(r.URL.Path, end) {
			m(w, r, n, next)
			return
		}
		next(w, r)
	}
}

// resumed lets a manner stand before a download that goes on; the first breaks off.
func resumed(m Manner) Manner {
	return only(largeLayer, func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
		if r.Header.Get("Range") != "" {
			m(w, r, n, next)
			return
		}
		if n == 1 {
			Cut(100_000)(w, r, n, next)
			return
		}
		next(w, r)
	})
}

func zipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}

func remove(keys ...string) func(http.Header) {
	return func(h http.Header) {
		for _, key := range keys {
			h.Del(key)
		}
	}
}

func set(key, value string) func(http.Header) {
	return func(h http.Header) { h[key] = []string{value} }
}

func spoil(b []byte) { b[len(b)-1] ^= 1 }

const loginPage = "<html><head><title>Sign in</title></head><body>\x1b[31mwelcome\x1b[0m</body></html>"

var otherDigest = digestOf([]byte("other"))

// hostileSources is the catalogue of registries to pull from.
func hostileSources(t *testing.T) []ordeal {
	everywhere := startStranger(t, func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
	away := func(*http.Request) string { return "http://" + everywhere.addr + "/away" }
	around := func(r *http.Request) string { return r.URL.Path + "?" + r.URL.RawQuery + "x" }
	list := []ordeal{
		{name: "resets at the start, once", manner: First(1, On("* *", Reset))},
		{name: "resets at the start, always", manner: On("GET blobs", Reset), status: []int{1}, says: []string{"no successful answer for"}},
		{name: "resets every 64 KiB", manner: On("GET blobs", Cut(64<<10))},
		{name: "resets every 1000 bytes", manner: On("GET blobs", Cut(1000)), status: []int{1}, says: []string{"(5 tries)"}, most: 12},
		{name: "resets after the header, always", manner: only(largeLayer, Cut(0)), status: []int{1}, says: []string{"broke off after 0 of 600000 bytes", "(5 tries)"}},
		{name: "a short manifest, once", manner: First(1, On("GET manifests", Cut(10)))},
		{name: "a short manifest, always", manner: On("GET manifests", Cut(10)), status: []int{1}, says: []string{"unexpected EOF (5 tries)"}},
		{name: "a short blob that ends well", manner: On("GET blobs", shortened), status: []int{5}, says: []string{"does not match its descriptor"}},
		{name: "a long blob", manner: On("GET blobs", Surplus), status: []int{5}, says: []string{"more than"}},
		{name: "a blob that stalls, once", manner: First(1, only(largeLayer, Stop(100_000))), args: quick},
		{name: "a blob that stalls, always", manner: only(largeLayer, Stop(0)), status: []int{1}, says: []string{"no data for 300ms", "(5 tries)"}, args: quick},
		{name: "no answer, once", manner: First(1, only(largeLayer, Silence)), args: quick},
		{name: "no answer, always", manner: only("1.0.0", Silence), status: []int{1}, says: []string{"no successful answer for"}, args: quick},
		{name: "a manifest in drips", manner: only("1.0.0", Drip(20, 30*time.Millisecond)), args: quick},
		{name: "a blob in drips", manner: only(largeLayer, Drip(20, 30*time.Millisecond)), args: quick},
		{name: "an error in drips", manner: only("1.0.0", drippingError), status: []int{4}, says: []string{"403 Forbidden"}, args: quick},

		{name: "429, Retry-After: 1", manner: First(1, only("1.0.0", Answer(429, "", "Retry-After: 1")))},
		{name: "429, Retry-After: date", manner: First(1, only("1.0.0", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			Answer(429, "", "Retry-After: "+time.Now().Add(time.Second).UTC().Format(http.TimeFormat))(w, r, n, next)
		}))},
		{name: "429, Retry-After: a day", manner: only("1.0.0", Answer(429, "", "Retry-After: 86400")), status: []int{1}, says: []string{"24h0m0s", "more than the limit of 5m0s"}},
		{name: "429, Retry-After: garbage", manner: First(2, On("* *", Answer(429, "", "Retry-After: soon, -1\x01")))},
		{name: "429, Retry-After: very many digits", manner: First(2, On("* *", Answer(429, "", "Retry-After: "+strings.Repeat("9", 400))))},
		{name: "429 with a page", manner: First(3, On("GET blobs, GET manifests", Answer(429, loginPage, "Content-Type: text/html")))},
		{name: "429 with the word quota", manner: First(3, On("GET blobs, GET manifests", Refuse(429, "TOOMANYREQUESTS", "quota of requests exceeded")))},
		{name: "429, always", manner: On("GET blobs", Answer(429, loginPage)), status: []int{1}, says: []string{"429 Too Many Requests", "no successful answer for", "--concurrency"}},
		{name: "every fifth request fails", manner: fifth(Answer(500, ""))},
		{name: "every fifth request is reset", manner: fifth(Reset)},
		{name: "every fifth request breaks off", manner: fifth(Cut(20))},

		{name: "500, always", manner: On("GET blobs", Answer(500, loginPage)), status: []int{1}, says: []string{"500 Internal Server Error", "(5 tries)", "hint: check the registry's log"}},
		{name: "a packed error, always", manner: On("GET blobs", Answer(500, zipped(loginPage), "Content-Encoding: gzip")), status: []int{1}, says: []string{"500"}},
		{name: "an endless error", manner: only("1.0.0", Endless(403)), status: []int{4}, says: []string{"403 Forbidden"}},
		{name: "an error that obeys no terminal", manner: only("1.0.0", Refuse(403, "\x1b]0;owned\a", "\x1b[2J\u202eevil\r\nrelocate: done")), status: []int{4}, says: []string{"403 Forbidden"}},
		{name: "an error of a deep nesting", manner: only("1.0.0", Answer(400, strings.Repeat("[", 60_000))), status: []int{1}, says: []string{"400 Bad Request"}},
		{name: "a header of 20 MB", manner: only("1.0.0", Answer(200, "", "X: "+strings.Repeat("x", 20<<20))), status: []int{1}, says: []string{"header"}},
		{name: "a page in place of manifests", manner: On("GET manifests", Answer(200, loginPage, "Content-Type: text/html")), status: []int{1, 2, 5}},
		{name: "a page in place of blobs", manner: On("GET blobs", Answer(200, loginPage, "Content-Type: text/html")), status: []int{2}, says: []string{"this is not a registry", "an HTML page instead of a blob"}},
		{name: "an endless manifest", manner: only("1.0.0", Endless(200, "Content-Type: application/vnd.oci.image.manifest.v1+json")), status: []int{1}, says: []string{"the manifest has more than 4194304 bytes"}},
		{name: "no /v2/", manner: On("* ping", Answer(404, "")), status: []int{2}, says: []string{"reach registry", "this is not a registry"}},
		{name: "an endless /v2/", manner: On("* ping", Endless(200))},
		{name: "/v2/ fails, twice", manner: First(2, On("* ping", Answer(503, "")))},

		{name: "manifests without a media type", manner: On("GET manifests", Header(set("Content-Type", "")))},
		{name: "manifests of a general media type", manner: On("GET manifests", Header(set("Content-Type", "text/plain")))},
		{name: "manifests of a wrong media type", manner: On("GET manifests", Header(set("Content-Type", "text/css"))), status: []int{1}, says: []string{"is served as"}},
		{name: "blobs of a wrong media type", manner: On("GET blobs", Header(set("Content-Type", "text/html")))},
		{name: "no Docker-Content-Digest", manner: On("* *", Header(remove("Docker-Content-Digest")))},
		{name: "a wrong Docker-Content-Digest for tags", manner: only("1.0.0", Header(set("Docker-Content-Digest", otherDigest))), status: []int{5}, says: []string{"the registry says " + otherDigest}},
		{name: "a wrong Docker-Content-Digest for tags, once", manner: First(1, only("1.0.0", Header(set("Docker-Content-Digest", otherDigest))))},
		{name: "a wrong Docker-Content-Digest for the rest", manner: On("GET digests", Header(set("Docker-Content-Digest", otherDigest)))},
		{name: "a wrong manifest", manner: On("GET manifests", Content(spoil)), status: []int{5}, says: []string{"does not match"}},
		{name: "a wrong manifest, once", manner: First(1, On("GET manifests", Content(spoil)))},
		{name: "a wrong blob", manner: only(largeLayer, Content(spoil)), status: []int{5}, says: []string{"does not match its descriptor"}},
		{name: "a wrong blob, once", manner: First(1, only(largeLayer, Content(spoil))), status: []int{0, 5}}, // the copy's affair
		{name: "packed, though nobody asked for it", manner: On("GET manifests", Answer(200, zipped("{}"), "Content-Encoding: gzip", "Content-Type: application/vnd.oci.image.manifest.v1+json")), status: []int{1, 2, 5}},
		{name: "a tag that moves", manner: movingTag()},
		{name: "a blob is missing", manner: only(largeLayer, Answer(404, "")), status: []int{6}, says: []string{largeLayer}},
		{name: "everything is missing", manner: On("GET manifests", Refuse(404, "MANIFEST_UNKNOWN", "no")), status: []int{6}, says: []string{"hint: check the spelling"}},

		{name: "ranges are not known", manner: resumed(func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
			r.Header.Del("Range")
			next(w, r)
		})},
		{name: "another range", manner: resumed(Answer(206, "0123456789", "Content-Range: bytes 0-9/10"))},
		{name: "a range of another size", manner: resumed(Header(set("Content-Range", "bytes 100000-599999/700000")))},
		{name: "no Content-Range", manner: resumed(Header(remove("Content-Range")))},
		{name: "a Content-Range of garbage", manner: resumed(Header(set("Content-Range", "bytes \xff-*/9999999999999999999999")))},
		{name: "a range with too much", manner: resumed(Surplus)}, // the second try is whole
		{name: "416 for the rest", manner: resumed(Answer(416, ""))},
		{name: "404 for the rest", manner: resumed(Answer(404, "")), status: []int{6}},
		{name: "206 unasked", manner: only(largeLayer, Answer(206, "x")), status: []int{1}, says: []string{"206 Partial Content"}},

		{name: "blobs redirected to a host without them", manner: On("GET blobs", Redirect(307, away)), status: []int{6}},
		{name: "redirects in a circle", manner: On("GET blobs", Redirect(307, around)), status: []int{1}, says: []string{"more than 5 redirects"}, most: 6},
		{name: "a redirect to nowhere", manner: On("GET blobs", Answer(307, "")), status: []int{1}, says: []string{"307 Temporary Redirect"}},
		{name: "a redirect to garbage", manner: On("GET blobs", Redirect(302, func(*http.Request) string { return "http://[::1" })), status: []int{1}},
		{name: "a redirect to a file", manner: On("GET blobs", Redirect(302, func(*http.Request) string { return "file:///etc/passwd" })), status: []int{1}},

		{name: "a token server at another host", manner: tokenManner("http://"+everywhere.addr+"/token", 1), status: []int{2}, says: []string{everywhere.addr, "--token-host"}},
		{name: "a token server at the metadata address", manner: tokenManner("http://169.254.169.254/token", 1), status: []int{2}, says: []string{"169.254.169.254", "--token-host"}},
		{name: "a token server that is no URL", manner: tokenManner("%zz", 1), status: []int{1}, says: []string{"names no token server"}},
		{name: "a token server that is a file", manner: tokenManner("file:///etc/passwd", 1), status: []int{1}, says: []string{"log in to"}},
		{name: "a token server without a realm", manner: On("* *", Answer(401, "", "WWW-Authenticate: Bearer")), status: []int{1}, says: []string{"names no token server"}},
		{name: "a token server that redirects to another host", manner: All(only("/token", Redirect(307, away)), tokenManner("", 1)), status: []int{2}, says: []string{everywhere.addr}},
		{name: "a token server that redirects in a circle", manner: All(only("/token", Redirect(307, around)), tokenManner("", 1)), status: []int{1}, says: []string{"more than 5 redirects"}},
		{name: "tokens that expire", manner: tokenManner("", 15)},
		{name: "tokens that are never good", manner: tokenManner("", 0), status: []int{4}, says: []string{"401 Unauthorized", "hint: the login lacks permission"}},
		{name: "a token server that fails, twice", manner: All(First(2, only("/token", Answer(503, ""))), tokenManner("", 100))},
		{name: "an endless token", manner: All(only("/token", Endless(200)), tokenManner("", 1)), status: []int{1}, says: []string{"has no token"}},
		{name: "a token with a line feed", manner: All(only("/token", Answer(200, `{"token":"secret\r\nX: y"}`)), tokenManner("", 1)), status: []int{1, 4}},
		{name: "a token server that sends a page", manner: All(only("/token", Answer(200, loginPage)), tokenManner("", 1)), status: []int{1}, says: []string{"sent an HTML page instead of a token"}},
		{name: "a login that is never enough", manner: On("* *", Answer(401, "", `WWW-Authenticate: Basic realm="r"`)), status: []int{4}, says: []string{"refused this login", "hint: check the user name"}},
		{name: "a login of an unknown kind", manner: On("* *", Answer(401, "", "WWW-Authenticate: Negotiate")), status: []int{4}},
	}
	for _, status := range []int{408, 425, 500, 502, 503, 504} {
		list = append(list, ordeal{name: fmt.Sprintf("%d, twice", status), manner: First(2, On("GET blobs, GET manifests", Answer(status, loginPage)))})
	}
	return list
}

// shortened lets the registry answer without the last byte, as if that were all.
func shortened(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
	if r.Header.Get("Range") == "" {
		r.Header.Set("Range", "bytes=0-9")
	}
	Header(remove("Content-Range"))(okay{w}, r, n, next)
}

// okay is a ResponseWriter that says 200.
type okay struct{ http.ResponseWriter }

func (o okay) WriteHeader(int) { o.ResponseWriter.WriteHeader(200) }

// drippingError is a refusal that goes on for ever, a byte at a time.
func drippingError(w http.ResponseWriter, r *http.Request, _ int, _ http.HandlerFunc) {
	w.WriteHeader(403)
	for r.Context().Err() == nil {
		_, _ = w.Write([]byte("x"))
		_ = http.NewResponseController(w).Flush()
		time.Sleep(10 * time.Millisecond)
	}
}

// movingTag lets the tag stand for something else from the second time on.
func movingTag() Manner {
	var mu sync.Mutex
	asked := false
	return only("/manifests/1.0.0", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
		mu.Lock()
		defer mu.Unlock()
		if !asked {
			asked = true
			next(w, r)
			return
		}
		Answer(200, `{"schemaVersion":2}`, "Content-Type: application/vnd.oci.image.manifest.v1+json")(w, r, n, next)
	})
}
