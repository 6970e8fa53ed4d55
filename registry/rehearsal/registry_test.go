package rehearsal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/registry/rehearsal"
)

// archive is content by digest.
type archive map[v1.Hash]string

func (a archive) Content(d v1.Hash) (bundle.Content, error) {
	text, ok := a[d]
	if !ok {
		return bundle.Content{}, fmt.Errorf("%s: %w", d, fs.ErrNotExist)
	}
	return bundle.ContentOf(strings.NewReader(text), 0, int64(len(text))), nil
}

func archiveOf(texts ...string) archive {
	a := archive{}
	for _, text := range texts {
		a[digest.Of([]byte(text))] = text
	}
	return a
}

// client sends requests to a registry.
type client struct {
	t   *testing.T
	url string
	reg *rehearsal.Registry
}

func start(t *testing.T, a archive) client {
	t.Helper()
	reg := rehearsal.New(a)
	server := httptest.NewServer(reg)
	t.Cleanup(server.Close)
	return client{t, server.URL, reg}
}

type header map[string]string

// do sends a request and returns the answer and its body.
func (c client) do(method, at string, h header, body io.Reader) (*http.Response, string) {
	c.t.Helper()
	if !strings.HasPrefix(at, "http") {
		at = c.url + at
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, at, body)
	require.NoError(c.t, err)
	for key, value := range h {
		req.Header.Set(key, value)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(c.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(c.t, err)
	return res, string(text)
}

// want sends a request and requires a status and, for an error, a code.
func (c client) want(status int, code, method, at string, h header, body string) *http.Response {
	c.t.Helper()
	res, text := c.do(method, at, h, strings.NewReader(body))
	require.Equal(c.t, status, res.StatusCode, "%s %s: %s", method, at, text)
	if code != "" {
		var doc struct{ Errors []struct{ Code string } }
		require.NoError(c.t, json.Unmarshal([]byte(text), &doc), text)
		require.NotEmpty(c.t, doc.Errors)
		require.Equal(c.t, code, doc.Errors[0].Code)
	}
	return res
}

// begin begins an upload and returns its URL.
func (c client) begin(repo string) string {
	c.t.Helper()
	res := c.want(202, "", "POST", "/v2/"+repo+"/blobs/uploads/", nil, "")
	at, err := res.Location()
	require.NoError(c.t, err)
	return at.String()
}

func (c client) blob(repo, text string) v1.Descriptor {
	c.t.Helper()
	d := digest.Of([]byte(text))
	res := c.want(201, "", "PUT", c.begin(repo)+"?digest="+d.String(), nil, text)
	require.Equal(c.t, d.String(), res.Header.Get("Docker-Content-Digest"))
	return v1.Descriptor{MediaType: types.OCILayer, Size: int64(len(text)), Digest: d}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return string(raw)
}

const imageType, indexType = string(types.OCIManifestSchema1), string(types.OCIImageIndex)

func imageOf(t *testing.T, config v1.Descriptor, layers ...v1.Descriptor) string {
	t.Helper()
	return encode(t, v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: layers})
}

// TestManifestNeedsWhatItNames: everything must be pushed in this run to this repository, whatever
// the archive has.
func TestManifestNeedsWhatItNames(t *testing.T) {
	t.Parallel()
	c := start(t, archiveOf("config", "layer"))
	describe := func(text string) v1.Descriptor {
		return v1.Descriptor{MediaType: types.OCILayer, Size: int64(len(text)), Digest: digest.Of([]byte(text))}
	}
	config, layer := describe("config"), describe("layer")
	image := imageOf(t, config, layer)
	put := func(status int, code, repo, tag, kind, raw string) *http.Response {
		t.Helper()
		return c.want(status, code, "PUT", "/v2/"+repo+"/manifests/"+tag, header{"Content-Type": kind}, raw)
	}
	_, text := c.do("PUT", "/v2/a/b/manifests/v1", header{"Content-Type": imageType}, strings.NewReader(image))
	assert.Contains(t, text, config.Digest.String())
	assert.Contains(t, text, layer.Digest.String(), "all that is missing")
	c.blob("a/b", "config")
	c.blob("a/other", "layer")
	put(400, "MANIFEST_BLOB_UNKNOWN", "a/b", "v1", imageType, image)
	c.want(404, "", "HEAD", "/v2/a/b/blobs/"+layer.Digest.String(), nil, "")
	c.want(404, "", "HEAD", "/v2/a/b/manifests/v1", nil, "")
	c.blob("a/b", "layer")
	res := put(201, "", "a/b", "v1", imageType, image)
	d := digest.Of([]byte(image))
	assert.Equal(t, d.String(), res.Header.Get("Docker-Content-Digest"))

	index := func(child v1.Descriptor) string {
		return encode(t, v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{child}})
	}
	child := v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: int64(len(image)), Digest: d}
	put(400, "MANIFEST_BLOB_UNKNOWN", "a/other", "v1", indexType, index(child))
	put(400, "MANIFEST_BLOB_UNKNOWN", "a/b", "v2", indexType, index(layer)) // a blob is no child
	put(201, "", "a/b", "v2", indexType, index(child))
	child.Size++
	put(400, "MANIFEST_INVALID", "a/b", "v2", indexType, index(child))
	layer.Size--
	put(400, "MANIFEST_INVALID", "a/b", "v1", imageType, imageOf(t, config, layer))
	foreign := v1.Descriptor{MediaType: types.OCIUncompressedRestrictedLayer, Size: 9, Digest: digest.Of([]byte("foreign"))}
	put(201, "", "a/b", "foreign", imageType, imageOf(t, config, foreign))
	assert.Equal(t, rehearsal.Counts{Manifests: 3, Blobs: 3, Kept: len(image) + len(index(child)) + len(imageOf(t, config, foreign)), Refused: 4}, c.reg.Counts())
}

// TestManifestFormat: Content-Type, mediaType and fields must agree.
func TestManifestFormat(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	config := c.blob("a", "config")
	image := imageOf(t, config)
	for name, row := range map[string]struct {
		status         int
		code, id, kind string
		raw            string
	}{
		"no-type":         {400, "MANIFEST_INVALID", "v1", "", image},
		"other-type":      {400, "MANIFEST_INVALID", "v1", "application/json", image},
		"docker-type":     {400, "MANIFEST_INVALID", "v1", string(types.DockerManifestSchema2), image},
		"index-type":      {400, "MANIFEST_INVALID", "v1", indexType, strings.ReplaceAll(image, imageType, indexType)},
		"no-json":         {400, "MANIFEST_INVALID", "v1", imageType, "text"},
		"key-twice":       {400, "MANIFEST_INVALID", "v1", imageType, strings.Replace(image, `"schemaVersion":2`, `"schemaVersion":1,"schemaVersion":2`, 1)},
		"schema-1":        {400, "MANIFEST_INVALID", "v1", imageType, strings.Replace(image, `"schemaVersion":2`, `"schemaVersion":1`, 1)},
		"no-config":       {400, "MANIFEST_INVALID", "v1", imageType, `{"schemaVersion":2}`},
		"other-digest":    {400, "DIGEST_INVALID", digest.Of([]byte("x")).String(), imageType, image},
		"sha512":          {400, "DIGEST_INVALID", "sha512:" + strings.Repeat("0", 128), imageType, image},
		"no-tag":          {400, "TAG_INVALID", "-v1", imageType, image},
		"too-large":       {413, "SIZE_INVALID", "v1", imageType, strings.Repeat(" ", 4<<20) + image},
		"sha512-in-it":    {400, "MANIFEST_INVALID", "v1", imageType, strings.Replace(image, "sha256:", "sha999:", 1)},
		"by-a-tag":        {201, "", "by-tag", imageType, image},
		"by-its-digest":   {201, "", digest.Of([]byte(image)).String(), imageType, image},
		"with-parameters": {201, "", "v3", imageType + "; charset=utf-8", image},
	} {
		t.Run(name, func(t *testing.T) {
			c := client{t, c.url, c.reg}
			c.want(row.status, row.code, "PUT", "/v2/a/manifests/"+row.id, header{"Content-Type": row.kind}, row.raw)
		})
	}
	c.want(404, "MANIFEST_UNKNOWN", "DELETE", "/v2/a/manifests/none", nil, "")
	c.want(405, "UNSUPPORTED", "DELETE", "/v2/a/manifests/by-tag", nil, "")
	c.want(405, "", "DELETE", "/v2/a/blobs/"+config.Digest.String(), nil, "")
	res, text := c.do("GET", "/v2/a/tags/list", nil, nil)
	assert.Equal(t, 200, res.StatusCode)
	assert.JSONEq(t, `{"name":"a","tags":["by-tag","v3"]}`, text)
	c.want(200, "", "GET", "/v2/_catalog", nil, "")
}

// TestUploads: each way to push a blob, right and wrong.
func TestUploads(t *testing.T) {
	t.Parallel()
	c := start(t, archiveOf("in the archive"))
	d := func(s string) string { return digest.Of([]byte(s)).String() }
	stored := func(s string) {
		t.Helper()
		res, text := c.do("GET", "/v2/a/blobs/"+d(s), nil, nil)
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, s, text)
	}
	c.blob("a", "in the archive")
	stored("in the archive")
	assert.Zero(t, c.reg.Counts().Kept, "it is read from the archive")
	c.blob("a", "not in it")
	stored("not in it")
	c.blob("a", "")
	stored("")
	assert.Equal(t, len("not in it"), c.reg.Counts().Kept)
	c.want(201, "", "POST", "/v2/a/blobs/uploads/?digest="+d("in one"), nil, "in one")
	stored("in one")
	res := c.want(202, "", "POST", "/v2/b/blobs/uploads/?from=a&mount="+d("in one"), nil, "")
	assert.NotEmpty(t, res.Header.Get("Location"), "a mount is declined")

	at := c.begin("a")
	res = c.want(202, "", "PATCH", at, header{"Content-Range": "0-4"}, "in pi")
	assert.Equal(t, "0-4", res.Header.Get("Range"))
	c.want(416, "BLOB_UPLOAD_INVALID", "PATCH", at, header{"Content-Range": "4-5"}, "ec")
	c.want(416, "BLOB_UPLOAD_INVALID", "PATCH", at, header{"Content-Range": "5-9"}, "ec")
	c.want(416, "BLOB_UPLOAD_INVALID", "PATCH", at, header{"Content-Range": "odd"}, "ec")
	assert.Equal(t, "0-4", c.want(204, "", "GET", at, nil, "").Header.Get("Range"))
	c.want(202, "", "PATCH", at, nil, "ec")
	c.want(201, "", "PUT", at+"?digest="+d("in pieces"), nil, "es")
	stored("in pieces")
	c.want(404, "BLOB_UPLOAD_UNKNOWN", "PUT", at+"?digest="+d("in pieces"), nil, "")

	var wrong []string
	c.reg.OnWrong(func(d v1.Hash) { wrong = append(wrong, d.String()) })
	for name, query := range map[string]string{"other": d("other"), "sha512": "sha512:" + strings.Repeat("0", 128), "none": "", "odd": "x"} {
		at := c.begin("a")
		c.want(400, "DIGEST_INVALID", "PUT", at+"?digest="+query, nil, "wrong")
		c.want(404, "BLOB_UPLOAD_UNKNOWN", "GET", at, nil, "")
		c.want(404, "", "HEAD", "/v2/a/blobs/"+d("wrong"), nil, name)
	}
	assert.Equal(t, []string{d("other")}, wrong)
	at = c.begin("a")
	c.want(404, "BLOB_UPLOAD_UNKNOWN", "PUT", strings.Replace(at, "/a/", "/b/", 1)+"?digest="+d("x"), nil, "x")
	c.want(204, "", "DELETE", at, nil, "")
	c.want(404, "BLOB_UPLOAD_UNKNOWN", "PUT", at+"?digest="+d("x"), nil, "x")
	c.want(405, "UNSUPPORTED", "PUT", "/v2/a/blobs/uploads/", nil, "")
	c.want(405, "UNSUPPORTED", "POST", c.begin("a"), nil, "")
	large := strings.Repeat("x", 5<<20)
	c.want(400, "BLOB_UPLOAD_INVALID", "PUT", c.begin("a")+"?digest="+d(large), nil, large)
	c.want(404, "", "HEAD", "/v2/a/blobs/"+d(large), nil, "")
}

// TestBrokenUpload: incomplete content is not a blob, and the upload continues from there.
func TestBrokenUpload(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	want := digest.Of([]byte("one and two")).String()
	at := c.begin("a")
	req, err := http.NewRequestWithContext(t.Context(), "PATCH", at, io.MultiReader(strings.NewReader("one and "), broken{}))
	require.NoError(t, err)
	_, err = http.DefaultClient.Do(req) //nolint:bodyclose // there is none
	require.Error(t, err)
	require.Eventually(t, func() bool {
		res, _ := c.do("GET", at, nil, nil)
		return res.Header.Get("Range") == "0-7"
	}, 2*time.Minute, time.Millisecond, "the upload has what came")
	c.want(404, "", "HEAD", "/v2/a/blobs/"+want, nil, "")
	c.want(201, "", "PUT", at+"?digest="+want, nil, "two")
}

// TestClient pushes and pulls with a client of another project.
func TestClient(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	index, err := random.Index(1000, 2, 3)
	require.NoError(t, err)
	ref, err := name.ParseReference(strings.TrimPrefix(c.url, "http://") + "/some/image:v1")
	require.NoError(t, err)
	require.NoError(t, remote.WriteIndex(ref, index))
	got, err := remote.Index(ref)
	require.NoError(t, err)
	want, err := index.Digest()
	require.NoError(t, err)
	have, err := got.Digest()
	require.NoError(t, err)
	require.Equal(t, want, have)
	manifest, err := got.IndexManifest()
	require.NoError(t, err)
	for _, child := range manifest.Manifests {
		image, err := got.Image(child.Digest)
		require.NoError(t, err)
		layers, err := image.Layers()
		require.NoError(t, err)
		for _, layer := range layers {
			in, err := layer.Compressed()
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, in) // the client hashes it
			require.NoError(t, err)
		}
	}
}

// TestReferrers: a referrer is listed once, even before its subject was pushed.
func TestReferrers(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	config := c.blob("a", "{}")
	subject := digest.Of([]byte("subject"))
	raw := encode(t, v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config,
		Layers: []v1.Descriptor{config}, Subject: &v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: 7, Digest: subject}})
	for range 2 {
		res := c.want(201, "", "PUT", "/v2/a/manifests/"+digest.Of([]byte(raw)).String(), header{"Content-Type": imageType}, raw)
		assert.Equal(t, subject.String(), res.Header.Get("OCI-Subject"))
	}
	_, text := c.do("GET", "/v2/a/referrers/"+subject.String(), nil, nil)
	var index v1.IndexManifest
	require.NoError(t, json.Unmarshal([]byte(text), &index))
	require.Len(t, index.Manifests, 1)
	assert.Equal(t, digest.Of([]byte(raw)), index.Manifests[0].Digest)
	_, text = c.do("GET", "/v2/b/referrers/"+subject.String(), nil, nil)
	assert.Contains(t, text, `"manifests":[]`)
}

// TestDamagedArchive: content that the archive no longer has as it was pushed is not an answer.
func TestDamagedArchive(t *testing.T) {
	t.Parallel()
	a := archiveOf("content")
	c := start(t, a)
	d := c.blob("a", "content").Digest
	a[d] = "cOntent"
	res, _ := c.do("GET", "/v2/a/blobs/"+d.String(), header{"Range": "bytes=0-1"}, nil)
	assert.Equal(t, 503, res.StatusCode)
}

// broken is a body that breaks off.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// FuzzHandler: whatever requests arrive, all stored content has its digest, and no answer is a 5xx.
func FuzzHandler(f *testing.F) {
	f.Add("PUT", "/v2/a/manifests/v1", imageType, []byte(`{"schemaVersion":2}`))
	f.Add("POST", "/v2/a/blobs/uploads/?digest="+digest.Of([]byte("x")).String(), "", []byte("x"))
	f.Add("PATCH", "/v2/a/blobs/uploads/1", "", []byte("x"))
	f.Add("DELETE", "/v2/a/manifests/v1", "", []byte(""))
	f.Fuzz(func(t *testing.T, method, path, contentType string, body []byte) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://test.invalid/", bytes.NewReader(body))
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		if req.URL, err = req.URL.Parse(path); err != nil {
			return
		}
		req.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		rehearsal.New(archive{}).ServeHTTP(w, req)
		require.Less(t, w.Code, 500)
		if w.Code == 201 {
			require.Equal(t, digest.Of(body).String(), w.Header().Get("Docker-Content-Digest"))
		}
	})
}

// TestDelete: a manifest goes by its digest, unless a tag means it.
func TestDelete(t *testing.T) {
	t.Parallel()
	c := start(t, archive{})
	config := c.blob("app", "config")
	subject := imageOf(t, config)
	at := "/v2/app/manifests/" + digest.Of([]byte(subject)).String()
	c.want(404, "NAME_UNKNOWN", "DELETE", "/v2/other/manifests/1.0", nil, "")
	c.want(404, "MANIFEST_UNKNOWN", "DELETE", at, nil, "")
	c.want(201, "", "PUT", "/v2/app/manifests/1.0", header{"Content-Type": imageType}, subject)
	c.want(405, "UNSUPPORTED", "DELETE", at, nil, "")
	c.want(405, "UNSUPPORTED", "DELETE", "/v2/app/manifests/1.0", nil, "")

	artifact := encode(t, v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: []v1.Descriptor{}, Subject: &v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: int64(len(subject)), Digest: digest.Of([]byte(subject))}})
	of := "/v2/app/manifests/" + digest.Of([]byte(artifact)).String()
	c.want(201, "", "PUT", of, header{"Content-Type": imageType}, artifact)
	c.want(202, "", "DELETE", of, nil, "")
	c.want(404, "MANIFEST_UNKNOWN", "GET", of, nil, "")
	_, list := c.do("GET", "/v2/app/referrers/"+digest.Of([]byte(subject)).String(), nil, nil)
	assert.NotContains(t, list, digest.Of([]byte(artifact)).Hex)
	assert.Equal(t, 1, c.reg.Counts().Manifests)
}
