package registry

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestMeaning: the meanings of what registries answer.
func TestMeaning(t *testing.T) {
	t.Parallel()
	meanings := []error{ErrNoSpace, fs.ErrNotExist, fs.ErrPermission, fs.ErrExist}
	for _, c := range []struct {
		name      string
		status    int
		body      string
		want      error
		temporary bool
	}{
		{"storage", 507, ``, ErrNoSpace, false},
		{"a full disk", 500, `{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{"Op":"write","Path":"/var/lib","Err":28}}]}`, ErrNoSpace, false},
		{"another error of the disk", 500, `{"errors":[{"code":"UNKNOWN","detail":{"Op":"write","Path":"/var/lib","Err":280}}]}`, nil, true},
		{"a full disk in words", 503, `write /data: no space left on device`, ErrNoSpace, false},
		{"Harbor's quota", 403, `{"errors":[{"code":"DENIED","message":"Quota exceeded when processing the request of adding 1.2 MiB"}]}`, ErrNoSpace, false},
		{"Harbor's quota, as 2.15 has it", 403, `{"errors":[{"code":"DENIED","message":"adding 2.6 MiB of storage resource, which when updated to current usage of 8.3 KiB will exceed the configured upper limit of 1.0 MiB."}]}`, ErrNoSpace, false},
		{"a quota in the second error", 403, `{"errors":[{"code":"UNKNOWN","message":"unknown error"},{"code":"DENIED","message":"x","detail":{"reason":"quota"}}]}`, ErrNoSpace, false},
		{"a storage that limits requests", 503, `storage driver: rate limit exceeded`, nil, true},
		{"Harbor's old quota", 412, `quota exceeded`, ErrNoSpace, false},
		{"a quota as a size", 413, `{"errors":[{"code":"DENIED","message":"storage quota reached"}]}`, ErrNoSpace, false},
		{"a quota of requests", 429, `Quota exceeded for quota metric 'Requests'`, nil, true},
		{"no permission", 403, `denied`, fs.ErrPermission, false},
		{"no login", 401, ``, fs.ErrPermission, false},
		{"a tag that stays, of ECR", 400, `{"errors":[{"code":"TAG_INVALID","message":"The image tag 'a' already exists in the 'b' repository and cannot be overwritten because the repository is immutable."}]}`, fs.ErrExist, false},
		{"a tag that stays, of Harbor", 412, `{"errors":[{"code":"PRECONDITION","message":"configured as immutable"}]}`, fs.ErrExist, false},
		{"a tag that stays", 409, ``, fs.ErrExist, false},
		{"a bad request", 400, `{"errors":[{"code":"MANIFEST_INVALID"}]}`, nil, false},
		{"a page", 502, `<html><body>Bad gateway: "quota" is a word</body></html>`, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := newError(&http.Response{
				StatusCode: c.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(c.body)),
				Request: &http.Request{Method: http.MethodPut, URL: &url.URL{Path: "/v2/repo/manifests/tag"}},
			})
			for _, meaning := range meanings {
				assert.Equal(t, meaning == c.want, errors.Is(err, meaning), meaning)
			}
			assert.Equal(t, c.temporary, isTemporary(err))
		})
	}
}

// The body of an error that breaks off does not hide its status.
func TestErrorThatBreaksOff(t *testing.T) {
	t.Parallel()
	err := newError(&http.Response{
		StatusCode: 507, Header: http.Header{}, Body: io.NopCloser(io.MultiReader(bytes.NewReader([]byte("no ")), failing{io.ErrUnexpectedEOF})),
		Request: &http.Request{Method: http.MethodPut, URL: &url.URL{Scheme: "https", Host: "host", Path: "/p"}},
	})
	assert.ErrorIs(t, err, ErrNoSpace)
	assert.EqualError(t, err, "PUT https://host/p: 507 Insufficient Storage")
}
