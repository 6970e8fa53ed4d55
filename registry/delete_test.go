package registry

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDelete: what the answers of registries mean.
func TestDelete(t *testing.T) {
	t.Parallel()
	status := func(status int) handler {
		return func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(status) }
	}
	refuse := func(status int, code string) handler {
		return func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"no"}]}`, code)
		}
	}
	for name, c := range map[string]struct {
		answer        handler
		manifest, tag error // nil: none
		other         bool  // the error has another meaning
	}{
		"deleted":                {status(202), nil, nil, false},
		"deleted, 200":           {status(200), nil, nil, false},
		"deleted, 204":           {status(204), nil, nil, false},
		"not there":              {refuse(404, "MANIFEST_UNKNOWN"), nil, nil, false},
		"deletes are off":        {refuse(405, "UNSUPPORTED"), ErrNoDelete, ErrNoDelete, false},
		"Harbor, a tag":          {refuse(400, "UNSUPPORTED"), ErrNoDelete, ErrNoDelete, false},
		"not implemented":        {refuse(501, ""), ErrNoDelete, ErrNoDelete, false},
		"docker-registry, a tag": {refuse(400, "DIGEST_INVALID"), nil, ErrNoDelete, true},
		"no permission":          {refuse(403, "DENIED"), fs.ErrPermission, fs.ErrPermission, false},
		"Harbor, immutable":      {refuse(412, "PRECONDITION"), nil, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.answer)
			client, _ := client(t, Options{Tries: 1})
			at := client.Deleter(s.repo(t))
			check := func(err, want error) {
				switch {
				case want != nil:
					require.ErrorIs(t, err, want)
				case c.other:
					var answer *Error
					require.ErrorAs(t, err, &answer)
					assert.NotErrorIs(t, err, ErrNoDelete)
					assert.True(t, answer.Refused())
				default:
					require.NoError(t, err)
				}
			}
			check(at.DeleteManifest(t.Context(), absent), c.manifest)
			check(at.DeleteTag(t.Context(), "1.0"), c.tag)
			assert.Equal(t, []string{"DELETE /manifests/" + absent.String(), "DELETE /manifests/1.0"}, s.log())
			if c.manifest == ErrNoDelete {
				require.ErrorIs(t, at.CanDelete(t.Context()), ErrNoDelete)
			}
		})
	}
}

// TestAllTagsOfNothing: a repository that the registry does not know is not one with a list that is cut off.
func TestAllTagsOfNothing(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"NAME_UNKNOWN", "NOT_FOUND"} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"unknown"}]}`, code)
		})
		client, _ := client(t, Options{Tries: 1})
		_, err := client.Reader(s.repo(t)).AllTags(t.Context())
		require.ErrorIs(t, err, ErrNoRepository)
		require.NotErrorIs(t, err, ErrNoTags)
		assert.True(t, client.Reader(s.repo(t)).IsNew(t.Context()))
		tags, all, err := client.Tags(t.Context(), s.repo(t), 1)
		assert.Empty(t, tags)
		assert.False(t, all)
		if code == "NAME_UNKNOWN" {
			require.ErrorIs(t, err, fs.ErrNotExist)
		} else { // of a Harbor that has not noticed the repository yet, as a cache of another registry
			require.NoError(t, err)
		}
	}
}

// TestIsNew: any other answer than that the repository is unknown says nothing.
func TestIsNew(t *testing.T) {
	t.Parallel()
	for status, body := range map[int]string{
		http.StatusOK:                  `{"name":"repo","tags":[]}`,
		http.StatusNotFound:            `{"errors":[{"code":"UNSUPPORTED"}]}`,
		http.StatusForbidden:           `{"errors":[{"code":"NAME_UNKNOWN"}]}`,
		http.StatusInternalServerError: `{"errors":[{"code":"NAME_UNKNOWN"}]}`,
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.WriteHeader(status)
				fmt.Fprint(w, body)
			})
			client, _ := client(t, Options{})
			assert.False(t, client.Reader(s.repo(t)).IsNew(t.Context()))
			assert.Len(t, s.log(), 1)
		})
	}
}

// TestAllTags: a list that may not be complete is an error.
func TestAllTags(t *testing.T) {
	t.Parallel()
	cut := func(n int) handler { // as by crane registry serve, which says nothing of the rest
		return func(w http.ResponseWriter, r *http.Request, _ int) {
			size, _ := strconv.Atoi(r.URL.Query().Get("n"))
			tags := []string{}
			for i := range min(size, n) {
				tags = append(tags, fmt.Sprintf("t%05d", i+1))
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"tags": tags})
		}
	}
	notFound := func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(http.StatusNotFound) }
	body := func(text string) handler {
		return func(w http.ResponseWriter, _ *http.Request, _ int) { fmt.Fprint(w, text) }
	}
	for name, c := range map[string]struct {
		answer handler
		want   int
		isAll  bool
	}{
		"pages":             {tagPages(2500, 1000), 2500, true},
		"a full page":       {tagPages(1000, 5000), 1000, true},
		"none":              {body(`{"tags":null}`), 0, true},
		"cut":               {cut(1500), 0, false},
		"cut, and complete": {cut(1000), 1000, true},
		"no list":           {notFound, 0, false},
		"too long a tag":    {body(`{"tags":["a","` + strings.Repeat("b", 129) + `"]}`), 0, false},
		"more than we read": {tagPages(200_000, 1000), 0, false},
		"a link to nowhere": {func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Link", `<%zz>; rel="next"`)
			fmt.Fprint(w, `{"tags":["a"]}`)
		}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.answer)
			client, _ := client(t, Options{Tries: 1})
			tags, err := client.Reader(s.repo(t)).AllTags(t.Context())
			if !c.isAll {
				require.ErrorIs(t, err, ErrNoTags)
				return
			}
			require.NoError(t, err)
			assert.Len(t, tags, c.want)
		})
	}
}

// TestDeleteScope: a deletion asks for no permission to push.
func TestDeleteScope(t *testing.T) {
	home(t)
	s := wantsTokens(t, 9, func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(http.StatusAccepted) })
	c, _ := client(t, Options{Username: "u", Password: "p", Named: []string{s.host}})
	require.NoError(t, c.Deleter(s.repo(t)).DeleteManifest(t.Context(), absent))
	assert.Equal(t, []string{basic("u", "p") + " repository:repo:pull,delete"}, s.scopes)
}
