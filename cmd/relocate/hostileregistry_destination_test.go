package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	. "relocate/testdata/hostileregistry"
)

// isLarge lets a manner stand before requests with more than 256 KiB.
func isLarge(m Manner) Manner {
	return func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
		if r.ContentLength > 256<<10 {
			m(w, r, n, next)
			return
		}
		next(w, r)
	}
}

// swallow reads what is sent and answers without keeping it.
func swallow(m Manner) Manner {
	return func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
		_, _ = io.Copy(io.Discard, r.Body)
		m(w, r, n, next)
	}
}

// taken says that what was put is there.
func taken(w http.ResponseWriter, r *http.Request, _ int, _ http.HandlerFunc) {
	body, _ := io.ReadAll(r.Body)
	digest := r.URL.Query().Get("digest")
	if digest == "" {
		digest = digestOf(body)
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

// immutable puts a tag, and says that it was there already: as after an answer that was lost.
func immutable(status int, code string) Manner {
	return On("PUT tags", func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
		next(httptest.NewRecorder(), r)
		Fail(w, status, code, "The image tag already exists and cannot be overwritten because the repository is immutable.")
	})
}

// hostileDestinations is the catalogue of registries to push to. The archive has the root.
func hostileDestinations(t *testing.T, root string) []ordeal {
	everywhere := startStranger(t, func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
	away := func(r *http.Request) string { return "http://" + everywhere.addr + r.URL.Path }
	location := func(change func(string) string) Manner {
		return On("POST uploads, PATCH uploads", Header(func(h http.Header) { h["Location"] = []string{change(h.Get("Location"))} }))
	}
	list := []ordeal{
		{name: "put: everything fails, twice", manner: First(2, On("* *", Answer(503, loginPage)))},
		{name: "put: every fifth request fails", manner: fifth(Answer(502, ""))},
		{name: "put: every fifth request is reset", manner: fifth(Reset)},
		{name: "put: every fifth answer is lost", manner: fifth(Lose)},
		{name: "put: uploads do not begin", manner: On("POST uploads", Answer(500, "")), status: []int{1}, says: []string{"upload blob", "(5 tries)"}},
		{name: "put: there is no such project", manner: On("POST uploads", Refuse(404, "NAME_UNKNOWN", "no project all")), status: []int{2}, says: []string{"NAME_UNKNOWN", "does not accept pushes to this path", "hint: check the path"}},
		{name: "put: no permission", manner: On("POST uploads", Refuse(403, "DENIED", "requested access is denied")), status: []int{4}, says: []string{"DENIED", "hint: a login does not help"}},
		{name: "put: 429 in a burst", manner: First(3, On("POST uploads, PUT uploads, PUT manifests", Answer(429, loginPage, "Retry-After: 0")))},
		{name: "put: uploads end with 500, always", manner: On("PUT uploads", swallow(Answer(500, ""))), status: []int{1}, says: []string{"500 Internal Server Error (5 tries)", "hint: check the registry's log"}, most: 8},

		{name: "put: Location at another host", manner: location(func(at string) string { return "http://" + everywhere.addr + at }), status: []int{2}, says: []string{"another host, " + everywhere.addr, "--redirect-host"}},
		{name: "put: Location at another port", manner: location(func(at string) string { return "http://127.0.0.1:1" + at }), status: []int{2}, says: []string{"another host", "hint: ", "--redirect-host"}},
		{name: "put: Location at another host, without a scheme", manner: location(func(at string) string { return "//" + everywhere.addr + at }), status: []int{2}, says: []string{"another host", "hint: ", "--redirect-host"}},
		{name: "put: no Location", manner: On("POST uploads", Header(remove("Location"))), status: []int{1}, says: []string{"no Location"}},
		{name: "put: a Location of garbage", manner: location(func(string) string { return "http://[%zz" }), status: []int{1}, says: []string{"is not a URL"}},
		{name: "put: a relative Location", manner: location(func(at string) string { return at[strings.LastIndex(at, "/")+1:] })},
		{name: "put: a Location without a query", manner: location(func(at string) string { at, _, _ = strings.Cut(at, "?"); return at })},

		{name: "put: an upload is reset, once", manner: First(1, isLarge(Take(200_000)))},
		{name: "put: an upload is reset in each request", manner: isLarge(Take(100_000))},
		{name: "put: an upload is reset at the start, always", manner: On("PUT uploads", Reset), status: []int{1}, says: []string{"(5 tries)"}, most: 8},
		{name: "put: no answer to an upload, once", manner: First(1, On("PUT uploads", isLarge(Silence))), args: quick},
		{name: "put: no answer to an upload, always", manner: On("PUT uploads", isLarge(Silence)), status: []int{1}, says: []string{"(5 tries)"}, args: quick},
		{name: "put: the answer to uploads is lost, the blob is there", manner: First(1, On("PUT uploads", Lose))},
		{name: "put: the answer to uploads is always lost", manner: On("PUT uploads", Lose)},
		{name: "put: the answer to uploads is lost, the blob is not there", manner: First(1, On("PUT uploads", swallow(Reset)))},
		{name: "put: the upload is lost", manner: First(1, On("PUT uploads", swallow(Refuse(404, "BLOB_UPLOAD_UNKNOWN", "gone"))))},
		{name: "put: the upload is always lost", manner: On("PUT uploads", swallow(Refuse(404, "BLOB_UPLOAD_UNKNOWN", "gone"))), status: []int{1, 6}, says: []string{"BLOB_UPLOAD_UNKNOWN"}},
		{name: "put: 416 for the rest", manner: All(First(1, On("PUT uploads", isLarge(Take(200_000)))), On("PATCH uploads", Answer(416, "")))},
		{name: "put: blobs are taken and not kept", manner: On("PUT uploads", taken), status: []int{1}, says: []string{"MANIFEST_BLOB_UNKNOWN"}},
		{name: "put: blobs are taken in silence and not kept", manner: On("PUT uploads", swallow(Answer(201, ""))), status: []int{1}, says: []string{"the registry accepted it, but does not have it"}},
		{name: "put: blobs are kept in silence", manner: On("PUT uploads", Header(remove("Docker-Content-Digest")))},
		{name: "put: another digest is kept", manner: On("PUT uploads", Header(set("Docker-Content-Digest", otherDigest))), status: []int{5}, says: []string{"the registry stored " + otherDigest}},
		{name: "put: another digest in control characters", manner: On("PUT uploads", Header(set("Docker-Content-Digest", "sha256:\x9b31m\u202e"))), status: []int{5}},

		{name: "put: requests are too large", manner: isLarge(Answer(413, loginPage))},
		{name: "put: all requests are too large", manner: On("PUT uploads, PATCH uploads", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			if r.ContentLength > 0 {
				Answer(413, loginPage)(w, r, n, next)
				return
			}
			next(w, r)
		}), status: []int{1}, says: []string{"413 Request Entity Too Large", "client_max_body_size"}},
		{name: "put: requests are too large, and chunks unknown", manner: All(On("PATCH uploads", Answer(405, "")), isLarge(Answer(413, ""))), status: []int{1}, says: []string{"405 Method Not Allowed"}},
		{name: "put: no content in the PUT", manner: On("PUT uploads", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			if r.ContentLength > 0 {
				Answer(405, "")(w, r, n, next)
				return
			}
			next(w, r)
		})},
		{name: "put: chunks that lie about their end", manner: All(On("PATCH uploads", Header(set("Range", "0-99999999999"))), isLarge(Answer(413, ""))), status: []int{1}, says: []string{"the registry reports 100000000000 bytes"}, most: 8},

		{name: "put: a blob is unknown, once", manner: First(1, On("PUT tags", Answer(400, fmt.Sprintf(`{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","detail":{"digest":%q}}]}`, largeLayer))))},
		{name: "put: a blob is unknown, always", manner: On("PUT tags", Answer(400, fmt.Sprintf(`{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","detail":{"digest":%q}}]}`, largeLayer))), status: []int{1}, says: []string{"MANIFEST_BLOB_UNKNOWN"}},
		{name: "put: a blob is damaged on its way, once", manner: First(1, On("PUT uploads", Refuse(400, "DIGEST_INVALID", "other content")))},
		{name: "put: blobs are damaged on their way, always", manner: On("PUT uploads", Refuse(400, "DIGEST_INVALID", "other content")), status: []int{5}, says: []string{"DIGEST_INVALID", "read twice"}},
		{name: "put: manifests are invalid", manner: On("PUT manifests", Refuse(400, "MANIFEST_INVALID", "no")), status: []int{1}, says: []string{"MANIFEST_INVALID"}},
		{name: "put: manifests fail, twice", manner: First(2, On("PUT manifests", Answer(500, loginPage)))},
		{name: "put: the answer to manifests is lost", manner: First(1, On("PUT manifests", Lose))},
		{name: "put: another manifest is kept", manner: On("PUT manifests", Header(set("Docker-Content-Digest", otherDigest))), status: []int{5}},
		{name: "put: manifests are kept in silence", manner: On("PUT manifests", Header(remove("Docker-Content-Digest")))},
		{name: "put: manifests are taken in silence and not kept", manner: On("PUT manifests", swallow(Answer(201, ""))), status: []int{1}, says: []string{"does not have it"}},
		{name: "put: the root is taken and not kept", manner: only("/manifests/1.0.0", On("PUT tags", taken)), status: []int{1}, says: []string{"the registry accepted it, but does not have it"}},
		{name: "put: an error that obeys no terminal", manner: On("PUT manifests", Refuse(400, "\x1b[2J", "\x1b]0;owned\a\u202e")), status: []int{1}},

		{name: "put: immutable tags, 409, of the same digest", manner: immutable(409, "CONFLICT")},
		{name: "put: immutable tags, 412, of the same digest", manner: immutable(412, "PRECONDITION")},
		{name: "put: immutable tags, as ECR has them, of the same digest", manner: immutable(400, "TAG_INVALID")},
		{name: "put: an immutable tag of another digest, 409", manner: only("/manifests/1.0.0", On("PUT tags", Refuse(409, "CONFLICT", "immutable"))), status: []int{1}, says: []string{"hint: the registry has immutable tags"}},
		{name: "put: an immutable tag of another digest, as ECR has it", manner: only("/manifests/1.0.0", On("PUT tags", Refuse(400, "TAG_INVALID", "immutable"))), status: []int{1}, says: []string{"hint: the registry has immutable tags"}},

		{name: "put: Harbor's quota", manner: On("PUT manifests", Refuse(403, "DENIED", "Quota exceeded when processing the request of adding 1.2 MiB of storage")), status: []int{8}, says: []string{"hint: make room in the registry"}},
		{name: "put: a quota as 413", manner: On("PUT uploads", Refuse(413, "DENIED", "storage quota")), status: []int{8}, says: []string{"hint: make room"}},
		{name: "put: a full disk, 507", manner: On("PUT uploads", swallow(Answer(507, ""))), status: []int{8}, says: []string{"507 Insufficient Storage"}},
		{name: "put: a full disk, 500", manner: On("PUT uploads", swallow(Answer(500, `{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{"Err":28}}]}`))), status: []int{8}, says: []string{"hint: make room"}},

		{name: "put: HEAD says that all blobs are there", manner: On("HEAD blobs", Answer(200, "", "Content-Length: 600000"))},
		{name: "put: HEAD says that blobs are there, of another size", manner: On("HEAD blobs", Answer(200, "", "Content-Length: 5"))},
		{name: "put: HEAD says that nothing is there", manner: On("HEAD blobs, HEAD manifests", Answer(404, ""))},
		{name: "put: HEAD says that the root is there", manner: only("/manifests/1.0.0", On("HEAD tags", Answer(200, "", "Docker-Content-Digest: "+root))), lies: true},
		{name: "put: HEAD is redirected to another host", manner: On("HEAD blobs", Redirect(307, away))},
		{name: "put: no HEAD, 405", manner: On("HEAD blobs, HEAD manifests", Answer(405, ""))},
		{name: "put: no HEAD, 501", manner: On("HEAD blobs, HEAD manifests", Answer(501, ""))},
		{name: "put: HEAD fails, always", manner: On("HEAD blobs", Answer(500, ""))}, // and is taken for an empty link
		{name: "put: HEAD fails, twice", manner: First(2, On("HEAD blobs, HEAD manifests", Answer(500, "")))},

		{name: "put: tokens that expire", manner: tokenManner("", 15)},
		{name: "put: tokens that expire in the middle of uploads", manner: All(First(1, isLarge(func(w http.ResponseWriter, r *http.Request, _ int, _ http.HandlerFunc) {
			_, _ = io.ReadFull(r.Body, make([]byte, 100_000))
			refuseToken("", w, r)
		})), tokenManner("", 1000))},
		{name: "put: tokens that are never good", manner: tokenManner("", 0), status: []int{4}, says: []string{"hint: the login lacks permission"}},
		{name: "put: a token server at another host", manner: tokenManner("http://"+everywhere.addr+"/token", 1), status: []int{2}, says: []string{"--token-host"}},
		{name: "put: uploads are redirected to another host", manner: On("POST uploads", Redirect(307, away)), status: []int{1}, says: []string{"307 Temporary Redirect"}},
		{name: "put: manifests are redirected to another host", manner: On("PUT manifests", Redirect(308, away)), status: []int{1}, says: []string{"308 Permanent Redirect"}},
		{name: "put: everything is redirected to another host", manner: On("* *", Redirect(307, away)), status: []int{2}, says: []string{"redirected to " + everywhere.addr, "--redirect-host"}},
	}
	return list
}
