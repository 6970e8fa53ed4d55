package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tagPages answers with a list of n tags, in pages of at most most.
func tagPages(n, most int) handler {
	return func(w http.ResponseWriter, r *http.Request, _ int) {
		size, _ := strconv.Atoi(r.URL.Query().Get("n"))
		size = min(size, most)
		at, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Query().Get("last"), "t"))
		tags := []string{}
		for i := at; i < min(at+size, n); i++ {
			tags = append(tags, fmt.Sprintf("t%05d", i+1))
		}
		if at+size < n {
			w.Header().Set("Link", fmt.Sprintf(`</v2/repo/tags/list?n=%d&last=t%05d>; rel="next"`, size, at+size))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"name": "repo", "tags": tags})
	}
}

// TestTags: lists of several pages, and the limit on requests.
func TestTags(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tags, page, allowed int
		want, requests      int
		all                 bool
	}{
		"none":              {0, 1000, 5, 0, 1, true},
		"one page":          {1000, 1000, 1, 1000, 1, true},
		"two pages":         {1001, 1000, 2, 1001, 2, true},
		"ten thousand":      {10_000, 1000, 1000, 10_000, 10, true},
		"small pages":       {10_000, 100, 1000, 10_000, 100, true},
		"more than allowed": {10_000, 1000, 3, 3000, 3, false},
		"smaller pages":     {10_000, 50, 1000, 5000, 100, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tagPages(c.tags, c.page))
			client, _ := client(t, Options{})
			tags, all, err := client.Tags(t.Context(), s.repo(t), c.allowed)
			require.NoError(t, err)
			assert.Len(t, tags, c.want)
			assert.Equal(t, c.all, all)
			assert.Len(t, s.log(), c.requests)
		})
	}
}

// TestTagsOtherwise: registries answer in many ways to a request for a list that they do not have.
func TestTagsOtherwise(t *testing.T) {
	t.Parallel()
	status := func(status int) handler {
		return func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(status) }
	}
	link := func(link string) handler {
		return func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Link", link)
			_, _ = w.Write([]byte(`{"tags":["a"]}`))
		}
	}
	body := func(body string) handler {
		return func(w http.ResponseWriter, _ *http.Request, _ int) { _, _ = w.Write([]byte(body)) }
	}
	for name, c := range map[string]struct {
		answer   handler
		want     []string
		all      bool
		fails    error
		says     string
		requests int
	}{
		"not there":         {status(404), nil, false, nil, "", 1},
		"not allowed":       {status(405), nil, false, nil, "", 1},
		"bad request":       {status(400), nil, false, nil, "", 1},
		"not implemented":   {status(501), nil, false, nil, "", 1},
		"refused":           {status(403), nil, false, fs.ErrPermission, "403", 1},
		"without login":     {status(401), nil, false, fs.ErrPermission, "401", 1},
		"broken":            {status(500), nil, false, nil, "500", 1},
		"too many requests": {status(429), nil, false, nil, "429", 1},
		"moved away": {func(w http.ResponseWriter, r *http.Request, _ int) {
			http.Redirect(w, r, "http://elsewhere.test/", http.StatusFound)
		}, nil, false, nil, "", 1},
		"no JSON":            {body("<html>"), nil, false, nil, "", 1},
		"null":               {body(`{"tags":null}`), nil, true, nil, "", 1},
		"a tag too long":     {body(`{"tags":["a","` + strings.Repeat("b", 129) + `"]}`), []string{"a"}, true, nil, "", 1},
		"a page too long":    {body(`{"tags":["` + strings.Repeat("b", maxManifest) + `"]}`), nil, false, nil, "the page has more than", 1},
		"a link away":        {link(`<http://elsewhere.test/v2/repo/tags/list>; rel="next"`), []string{"a"}, false, nil, "", 1},
		"another port":       {link(`<http://127.0.0.1:1/v2/repo/tags/list>; rel=next`), []string{"a"}, false, nil, "", 1},
		"another protocol":   {link(`<file:///etc/passwd>; rel="next"`), []string{"a"}, false, nil, "", 1},
		"a link of no form":  {link(`<%zz>; rel="next"`), []string{"a"}, false, nil, "", 1},
		"a link to the last": {link(`</v2/repo/tags/list?last=z>; rel="prev"`), []string{"a"}, true, nil, "", 1},
		"without end":        {link(`</v2/repo/tags/list?last=a>; rel="next"`), nil, false, nil, "", maxPages},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.answer)
			client, _ := client(t, Options{Tries: 1})
			tags, all, err := client.Tags(t.Context(), s.repo(t), 1<<30)
			if c.says != "" {
				require.ErrorContains(t, err, c.says)
				assert.Equal(t, c.fails != nil, errors.Is(err, fs.ErrPermission))
			} else {
				require.NoError(t, err)
				assert.Equal(t, c.all, all)
			}
			if c.want != nil {
				assert.Equal(t, c.want, tags)
			}
			assert.Len(t, s.log(), c.requests)
		})
	}
}

// TestTagsBreak: a list that breaks off is requested again.
func TestTagsBreak(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, n int) {
		if n == 1 {
			breakOff(w, http.StatusOK, []byte(`{"tags":["a"]}`), 5)
		}
		_, _ = w.Write([]byte(`{"tags":["a"]}`))
	})
	client, _ := client(t, Options{Tries: 2})
	tags, all, err := client.Tags(t.Context(), s.repo(t), 1)
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, tags)
	assert.True(t, all)
}
