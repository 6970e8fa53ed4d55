package webserver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// timeFormat is that of X-Amz-Date.
const timeFormat = "20060102T150405Z"

// Presigned answers GET of an object whose link is signed for it as S3 does, with version 4, and 403 to
// everything else: a HEAD, too, because the method is signed.
type Presigned struct {
	Secret  string       // key
	Objects http.Handler // has them
}

// Presign returns a link for GET of the object at address, valid from a time on for as many seconds.
func (p Presigned) Presign(address string, from time.Time, seconds int) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	date := from.UTC().Format(timeFormat)
	q := url.Values{
		"X-Amz-Algorithm": {"AWS4-HMAC-SHA256"}, "X-Amz-Credential": {"key/" + date[:8] + "/eu-central-1/s3/aws4_request"},
		"X-Amz-Date": {date}, "X-Amz-Expires": {strconv.Itoa(seconds)}, "X-Amz-SignedHeaders": {"host"},
	}
	u.RawQuery = encode(q)
	u.RawQuery += "&X-Amz-Signature=" + p.signature(http.MethodGet, u.EscapedPath(), u.Host, q)
	return u.String()
}

// encode writes a query as signatures take it: sorted, and a space as %20.
func encode(q url.Values) string { return strings.ReplaceAll(q.Encode(), "+", "%20") }

// signature is version 4 of a request whose payload is not signed.
func (p Presigned) signature(method, path, host string, q url.Values) string {
	date, scope, _ := strings.Cut(strings.TrimPrefix(q.Get("X-Amz-Credential"), "key/"), "/")
	canonical := strings.Join([]string{method, path, encode(q), "host:" + host + "\n", "host", "UNSIGNED-PAYLOAD"}, "\n")
	text := fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s/%s\n%x", q.Get("X-Amz-Date"), date, scope, sha256.Sum256([]byte(canonical)))
	key := []byte("AWS4" + p.Secret)
	for _, part := range append([]string{date}, strings.Split(scope, "/")...) {
		key = sum(key, part)
	}
	return hex.EncodeToString(sum(key, text))
}

func sum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// ServeHTTP implements http.Handler.
func (p Presigned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	got := q.Get("X-Amz-Signature")
	q.Del("X-Amz-Signature")
	if !hmac.Equal([]byte(got), []byte(p.signature(r.Method, r.URL.EscapedPath(), r.Host, q))) {
		refuse(w, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
		return
	}
	from, err := time.Parse(timeFormat, q.Get("X-Amz-Date"))
	seconds, _ := strconv.Atoi(q.Get("X-Amz-Expires")) // 0 has expired
	if err != nil || time.Since(from) > time.Duration(seconds)*time.Second {
		refuse(w, "AccessDenied", "Request has expired")
		return
	}
	p.Objects.ServeHTTP(w, r)
}

func refuse(w http.ResponseWriter, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}
