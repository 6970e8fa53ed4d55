package serve_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
	"relocate/registry/serve"
)

// The size of the repository that conformance is checked with.
const (
	conformTags      = 20
	conformManifests = 30
	conformBlobs     = 60
	conformReferrers = 3
)

// conformFixture has 20 tags, 30 manifests (2 indexes, 3 referrers), 60 blobs and 3 subjects with referrers.
func conformFixture(t *testing.T) (f *fixture, subjects []name.Digest) {
	f = newFixture(t, "conform/repo")
	for i := range 18 {
		d := f.image(fmt.Sprint("image", i), 1)
		f.tag(fmt.Sprintf("v%d", i), d)
		if i < conformReferrers {
			subjects = append(subjects, d)
			f.refer(d, "application/vnd.example.sbom", fmt.Sprint("referrer", i))
		}
	}
	var children []name.Digest
	for i := range 7 {
		layers := 1
		if i < 4 {
			layers = 2
		}
		children = append(children, f.image(fmt.Sprint("child", i), layers))
	}
	f.tag("index-a", f.repo.PutIndex(children[:3]...))
	f.tag("index-b", f.repo.PutIndex(children[3:]...))
	require.Len(t, f.repo.Tags, conformTags)
	require.Len(t, f.repo.Manifests, conformManifests)
	require.Len(t, f.repo.Blobs, conformBlobs)
	return f, subjects
}

// checks counts the checks, as the conformance program of the distribution spec does.
type checks struct {
	t            *testing.T
	base         string
	done, failed int
}

// check sends one request and checks the answer.
func (c *checks) check(what string, a answer, ok func(a answer) bool) {
	c.t.Helper()
	c.done++
	if a.err != nil || !ok(a) {
		c.failed++
		c.t.Errorf("%s: %d %v %.200s %v", what, a.status, a.header, a.body, a.err)
	}
}

// content checks that HEAD and GET of a path return content, once each.
func (c *checks) content(path string, d v1.Hash, mediaType string) {
	c.t.Helper()
	got := send(c.t, http.MethodGet, c.base, path)
	c.check("GET "+path, got, func(a answer) bool {
		return a.status == http.StatusOK && digest.Of([]byte(a.body)) == d && a.header.Get("Content-Type") == mediaType &&
			a.header.Get("Docker-Content-Digest") == d.String() && a.header.Get("Content-Length") == fmt.Sprint(len(a.body))
	})
	c.check("HEAD "+path, send(c.t, http.MethodHead, c.base, path), func(a answer) bool {
		head, full := a.header.Clone(), got.header.Clone()
		head.Del("Date")
		full.Del("Date")
		return a.status == got.status && a.body == "" && assert.ObjectsAreEqual(full, head)
	})
}

// list checks a list of tags and its next page.
func (c *checks) list(path string, want []string, hasNext bool) (next string) {
	c.t.Helper()
	a := send(c.t, http.MethodGet, c.base, path)
	link := a.header.Get("Link")
	c.check("GET "+path, a, func(a answer) bool {
		var list struct {
			Name string
			Tags []string
		}
		return json.Unmarshal([]byte(a.body), &list) == nil && a.status == http.StatusOK && list.Name == "conform/repo" &&
			slices.Equal(list.Tags, want) && hasNext == (link != "")
	})
	next, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
	return next
}

// TestConformance mirrors the pull part of the distribution spec's conformance program, deletes and pushes off: of a
// repository with T tags, M manifests, B blobs and R subjects, 7 + 2 × (T + M + B) + R checks.
func TestConformance(t *testing.T) {
	t.Parallel()
	f, subjects := conformFixture(t)
	c := &checks{t: t, base: start(t, serve.Handler(f.store(), serve.Options{}))}
	const at = "/v2/conform/repo/"
	tags := slices.Sorted(maps.Keys(f.repo.Tags))
	missing := "sha256:" + strings.Repeat("0", 64)

	c.check("GET /v2/", send(t, http.MethodGet, c.base, "/v2/"), func(a answer) bool { return a.status == http.StatusOK })
	c.list(at+"tags/list", tags, false)
	next := c.list(at+"tags/list?n=4", tags[:4], true)
	c.list(next, tags[4:8], true)
	c.check("manifest that is not there", send(t, http.MethodGet, c.base, at+"manifests/"+missing), isError(http.StatusNotFound, "MANIFEST_UNKNOWN"))
	c.check("blob that is not there", send(t, http.MethodGet, c.base, at+"blobs/"+missing), isError(http.StatusNotFound, "BLOB_UNKNOWN"))
	c.check("referrers of nothing", send(t, http.MethodGet, c.base, at+"referrers/"+missing), func(a answer) bool { return isIndex(a, 0) })
	for tag, d := range f.repo.Tags {
		c.content(at+"manifests/"+tag, d, string(f.repo.Manifests[d].MediaType))
	}
	for d, m := range f.repo.Manifests {
		c.content(at+"manifests/"+d.String(), d, string(m.MediaType))
	}
	for d := range f.repo.Blobs {
		c.content(at+"blobs/"+d.String(), d, "application/octet-stream")
	}
	for _, subject := range subjects {
		c.check("referrers", send(t, http.MethodGet, c.base, at+"referrers/"+subject.DigestStr()), func(a answer) bool { return isIndex(a, 1) })
	}
	assert.Equal(t, 7+2*(conformTags+conformManifests+conformBlobs)+conformReferrers, c.done)
	assert.Equal(t, 230, c.done-c.failed)
}

func isIndex(a answer, n int) bool {
	var index v1.IndexManifest
	err := json.Unmarshal([]byte(a.body), &index)
	return err == nil && a.status == http.StatusOK && a.header.Get("Content-Type") == string(types.OCIImageIndex) && index.MediaType == types.OCIImageIndex &&
		index.SchemaVersion == 2 && index.Manifests != nil && len(index.Manifests) == n
}

// isError matches an OCI error.
func isError(status int, code string) func(answer) bool {
	return func(a answer) bool {
		var doc struct {
			Errors []struct{ Code, Message string }
		}
		err := json.Unmarshal([]byte(a.body), &doc)
		return err == nil && a.status == status && a.header.Get("Content-Type") == "application/json" && len(doc.Errors) == 1 &&
			doc.Errors[0].Code == code && doc.Errors[0].Message != ""
	}
}

// TestReferrers: descriptors of referrers have the values of their manifests, and are filtered by
// type.
func TestReferrers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "repo")
	subject := f.image("subject", 1)
	f.tag("v1", subject)
	var want []string
	for i := range 5 {
		want = append(want, f.refer(subject, fmt.Sprintf("application/vnd.example.%d", i%2), fmt.Sprint(i)).DigestStr())
	}
	slices.Sort(want)
	base := start(t, serve.Handler(f.store(), serve.Options{}))
	a := send(t, http.MethodGet, base, "/v2/repo/referrers/"+subject.DigestStr())
	require.True(t, isIndex(a, 5), a.body)
	var index v1.IndexManifest
	require.NoError(t, json.Unmarshal([]byte(a.body), &index))
	var got []string
	for _, d := range index.Manifests {
		got = append(got, d.Digest.String())
		raw := f.repo.Manifests[d.Digest]
		var m v1.Manifest
		require.NoError(t, json.Unmarshal(raw.Raw, &m))
		assert.Equal(t, v1.Descriptor{
			MediaType: raw.MediaType, Size: int64(len(raw.Raw)), Digest: d.Digest, ArtifactType: string(m.Config.MediaType), Annotations: m.Annotations,
		}, d)
	}
	slices.Sort(got)
	assert.Equal(t, want, got)
	assert.Empty(t, a.header.Get("OCI-Filters-Applied"))
	filtered := send(t, http.MethodGet, base, "/v2/repo/referrers/"+subject.DigestStr()+"?artifactType=application/vnd.example.1")
	assert.True(t, isIndex(filtered, 2), filtered.body)
	assert.Equal(t, "artifactType", filtered.header.Get("OCI-Filters-Applied"))
	last := send(t, http.MethodGet, base, "/v2/repo/referrers/"+subject.DigestStr()+"?last="+index.Manifests[2].Digest.String())
	assert.True(t, isIndex(last, 2), last.body)
	for _, path := range []string{"/v2/other/referrers/" + subject.DigestStr(), "/v2/repo/referrers/sha512:" + strings.Repeat("a", 128), "/v2/repo/referrers/" + want[0]} {
		assert.True(t, isIndex(send(t, http.MethodGet, base, path), 0), path)
	}
}

// TestReferrersPages: a list too long for a manifest continues on another page.
func TestReferrersPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "repo")
	subject := f.image("subject", 1)
	f.tag("v1", subject)
	const n = 9
	for i := range n {
		f.refer(subject, "application/vnd.example", fmt.Sprint(i)+strings.Repeat("x", 1<<20))
	}
	base := start(t, serve.Handler(f.store(), serve.Options{}))
	seen := map[string]bool{}
	pages := 0
	for path := "/v2/repo/referrers/" + subject.DigestStr() + "?artifactType=application/vnd.example"; path != ""; pages++ {
		a := send(t, http.MethodGet, base, path)
		require.Equal(t, http.StatusOK, a.status)
		assert.LessOrEqual(t, len(a.body), 4<<20)
		var index v1.IndexManifest
		require.NoError(t, json.Unmarshal([]byte(a.body), &index))
		for _, d := range index.Manifests {
			seen[d.Digest.String()] = true
		}
		path, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
	}
	assert.Len(t, seen, n)
	assert.Equal(t, 3, pages)
}
