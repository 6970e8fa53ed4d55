package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/realregistry"
)

// dump is what a registry holds. It is read over plain HTTP with nothing of relocate's own.
type dump struct {
	tags      map[string]string // repository:tag → digest
	manifests map[string]stored // by digest
	blobs     map[string]string // by digest: every config and layer that a manifest names
}

type stored struct {
	mediaType, raw string
}

// dumpReal reads the repository called name of a real registry, and those below it; all of them when
// name is empty. The registry's folder lists them.
func dumpReal(t *testing.T, r *realregistry.Registry, name string) dump {
	t.Helper()
	root := filepath.Join(r.Dir, "docker/registry/v2/repositories")
	var repos []string
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		repo, found := strings.CutSuffix(strings.TrimPrefix(path, root+"/"), "/_manifests")
		if found && (name == "" || strings.HasPrefix(repo+"/", name+"/")) {
			repos = append(repos, repo)
		}
		if errors.Is(err, fs.ErrNotExist) { // an empty registry
			return nil
		}
		return err
	}))
	return dumpRepositories(t, r.Addr, repos...)
}

// dumpRepositories reads repositories. Each tag's manifests, the children of indexes and all blobs
// must be there, but for layers with urls.
func dumpRepositories(t *testing.T, host string, repos ...string) dump {
	t.Helper()
	d := dump{map[string]string{}, map[string]stored{}, map[string]string{}}
	for _, repo := range repos {
		var list struct{ Tags []string }
		body, _ := get(t, host, "/v2/"+repo+"/tags/list")
		require.NoError(t, json.Unmarshal(body, &list))
		for _, tag := range list.Tags {
			d.tags[repo+":"+tag] = d.addManifest(t, host, repo, tag)
		}
	}
	return d
}

// document has the fields of manifests and indexes that lead further.
type document struct {
	Config    *described  `json:"config"`
	Layers    []described `json:"layers"`
	Manifests []described `json:"manifests"`
}

type described struct {
	Digest string   `json:"digest"`
	URLs   []string `json:"urls"`
}

func (s stored) document(t *testing.T) document {
	t.Helper()
	var doc document
	require.NoError(t, json.Unmarshal([]byte(s.raw), &doc))
	return doc
}

func (d dump) addManifest(t *testing.T, host, repo, id string) (digest string) {
	t.Helper()
	raw, mediaType := get(t, host, "/v2/"+repo+"/manifests/"+id)
	digest = digestOf(raw)
	if strings.HasPrefix(id, "sha256:") {
		require.Equal(t, id, digest)
	}
	if _, known := d.manifests[digest]; known {
		return digest
	}
	d.manifests[digest] = stored{mediaType, string(raw)}
	doc := d.manifests[digest].document(t)
	for _, child := range doc.Manifests {
		d.addManifest(t, host, repo, child.Digest)
	}
	blobs := doc.Layers
	if doc.Config != nil {
		blobs = append(blobs, *doc.Config)
	}
	for _, b := range blobs {
		if len(b.URLs) > 0 {
			continue
		}
		content, _ := get(t, host, "/v2/"+repo+"/blobs/"+b.Digest)
		require.Equal(t, b.Digest, digestOf(content))
		d.blobs[b.Digest] = string(content)
	}
	return digest
}

// children are the digests that indexes name.
func (d dump) children(t *testing.T) []string {
	t.Helper()
	var children []string
	for _, m := range d.manifests {
		for _, child := range m.document(t).Manifests {
			children = append(children, child.Digest)
		}
	}
	slices.Sort(children)
	return slices.Compact(children)
}

// isBundle looks for imgpkg's label in the config.
func (d dump) isBundle(t *testing.T, digest string) bool {
	t.Helper()
	doc := d.manifests[digest].document(t)
	return doc.Config != nil && strings.Contains(d.blobs[doc.Config.Digest], `"dev.carvel.imgpkg.bundle"`)
}

func (d dump) bundles(t *testing.T) []string {
	t.Helper()
	var bundles []string
	for _, digest := range slices.Sorted(maps.Keys(d.manifests)) {
		if d.isBundle(t, digest) {
			bundles = append(bundles, digest)
		}
	}
	return bundles
}

// assertRelocated holds a destination repository to its source: the same manifests and blobs, byte
// for byte, and beside them a locations image for each bundle and nothing else; imgpkg's tags, and
// rootTags. All of the source must be needed.
func assertRelocated(t *testing.T, src, dst dump, repo string, rootTags map[string]string) {
	t.Helper()
	children := src.children(t)
	wantTags, locations := map[string]string{}, map[string]bool{}
	for tag, digest := range rootTags {
		wantTags[repo+":"+tag] = digest
	}
	for digest, manifest := range src.manifests {
		assert.Equal(t, manifest, dst.manifests[digest], "manifest %s", digest)
		if !slices.Contains(children, digest) {
			wantTags[repo+":"+selfTag(digest)] = digest
		}
		if !src.isBundle(t, digest) {
			continue
		}
		tag := repo + ":" + locationsTag(digest)
		image := dst.tags[tag]
		require.NotEmpty(t, image, "locations image of bundle %s", digest)
		wantTags[tag], wantTags[repo+":"+selfTag(image)] = image, image
		locations[image] = true
	}
	for digest, content := range src.blobs {
		assert.True(t, dst.blobs[digest] == content, "blob %s", digest)
	}
	assert.Equal(t, wantTags, dst.tags)
	for digest := range dst.manifests {
		assert.True(t, locations[digest] || src.manifests[digest].raw != "", "manifest %s is not the source's", digest)
	}
}

func selfTag(digest string) string { return strings.Replace(digest, ":", "-", 1) + ".imgpkg" }
func locationsTag(digest string) string {
	return strings.Replace(digest, ":", "-", 1) + ".image-locations.imgpkg"
}

func digestOf[T string | []byte](content T) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content)))
}

const anyManifest = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " +
	"application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"

// get reads from a registry, which must have it.
func get(t *testing.T, host, path string) (body []byte, mediaType string) {
	t.Helper()
	status, body, mediaType := ask(t, http.MethodGet, host, path)
	require.Equal(t, http.StatusOK, status, "GET %s%s: %s", host, path, body)
	return body, mediaType
}

// has tells whether a registry has what path names.
func has(t *testing.T, host, path string) bool {
	t.Helper()
	status, _, _ := ask(t, http.MethodHead, host, path)
	require.Contains(t, []int{http.StatusOK, http.StatusNotFound}, status, "HEAD %s%s", host, path)
	return status == http.StatusOK
}

func ask(t *testing.T, method, host, path string) (status int, body []byte, mediaType string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, nil)
	require.NoError(t, err)
	req.Header.Set("Accept", anyManifest)
	res, err := visitor.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, body, res.Header.Get("Content-Type")
}
