package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"

	. "relocate/testdata/hostileregistry"
)

// TestOddSources: what registries have that is legal, or that imgpkg copies, is carried; what cannot be is not
// called malformed.
func TestOddSources(t *testing.T) {
	t.Parallel()
	r, dst := Start(t), Start(t)
	s := site{t: t, host: r.Addr}
	under := s.ref("x/_under", s.image("x/_under", "1", "one"))
	trail := s.ref("x/trail-", s.image("x/trail-", "1", "two"))
	repo := s.host + "/repository:1"
	s.bundle("repository", "1", nil, under, trail)
	for _, contentType := range []string{string(types.DockerManifestSchema2), "application/json", "text/plain; charset=utf-8", ""} {
		r.Behave(On("* manifests", Header(func(h http.Header) {
			if contentType != string(types.DockerManifestSchema2) {
				h["Content-Type"] = []string{contentType}
			}
			if contentType == "" {
				h["Content-Type"] = nil
			}
		})))
		file := export(t, repo)
		mustRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/x/y")
		mustRelocate(t, "verify", "--repo", dst.Addr+"/x/y", file)
	}
	r.Behave(On("* manifests", Header(func(h http.Header) { h.Set("Content-Type", string(types.OCIImageIndex)) })))
	assertFailed(t, relocate(t, "plan", "-b", repo), statusFailed, "is served as", "hint: have it pushed again")

	r.Behave(nil)
	config := s.blob("a", types.OCIConfigJSON, []byte(`{}`))
	raw := `{"schemaVersion":2,"config":{"mediaType":"` + string(config.MediaType) + `","size":2,"digest":"` + config.Digest.String() +
		`"},"layers":[{"mediaType":"x/y","size":1,"digest":"sha512:` + strings.Repeat("0", 128) + `","urls":["https://a.test/"]}]}`
	s.bundle("odd", "1", nil, s.ref("a", s.manifest("a", "1", types.OCIManifestSchema1, []byte(raw))))
	got := relocate(t, "plan", "-b", s.host+"/odd:1")
	assertFailed(t, got, statusFailed, "not supported: names sha512:", "hint: have the image pushed again")
	assert.NotContains(t, got.stderr, "malformed")
	assert.NotContains(t, got.stderr, "imgpkg")
	s.bundle("tag", "1", nil, s.host+"/a:1")
	assertFailed(t, relocate(t, "plan", "-b", s.host+"/tag:1"), statusFailed, "has no digest", "hint: imgpkg refuses it, too")
}
