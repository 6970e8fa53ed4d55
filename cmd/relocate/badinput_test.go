package main

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"relocate/internal/imgpkg"
)

// badSource is a registry with references that cannot be exported.
func badSource(t *testing.T) (s site, missing []string) {
	t.Helper()
	s = site{t: t, host: startReal(t).Addr}
	image := s.image("img/app", "1", "app")
	s.index("img/index", "1", s.image("img/index", "", "amd64"))
	good := s.ref("img/app", image)
	missing = []string{s.host + "/img/gone@" + digestOf("gone"), s.host + "/img/app@" + digestOf("lost")}
	s.bundle("bad/missing", "1", nil, good, missing[0], missing[1])
	s.pushBuilt("bad/tag", map[string]string{".imgpkg/images.yml": lockText(s.host + "/img/app:1")})
	s.pushBuilt("bad/kind", map[string]string{".imgpkg/images.yml": strings.Replace(lockText(good), "ImagesLock", "BundleLock", 1)})
	s.pushBuilt("bad/nolock", map[string]string{"config/a.yml": "a: b\n"})
	config := s.blob("bad/layers", types.DockerConfigJSON, []byte(`{"config":{"Labels":{"dev.carvel.imgpkg.bundle":"true"}}}`))
	layer := s.blob("bad/layers", types.DockerLayer, []byte("no gzip"))
	s.imageOf("bad/layers", "1", config, layer)
	s.imageOf("bad/layers", "2", config, layer, layer)
	return s, missing
}

// pushBuilt pushes files as they are with the bundle label.
func (s site) pushBuilt(repo string, files map[string]string) {
	s.t.Helper()
	all := map[string][]byte{}
	for path, text := range files {
		all[path] = []byte(text)
	}
	built, err := imgpkg.Build(all, map[string]string{imgpkg.Label: "true"})
	require.NoError(s.t, err)
	s.blob(repo, types.DockerLayer, built.Layer)
	s.blob(repo, types.DockerConfigJSON, built.Config)
	s.manifest(repo, "1", built.Descriptor.MediaType, built.Manifest)
}

// TestBadSource: exports of what cannot be exported.
func TestBadSource(t *testing.T) {
	t.Parallel()
	s, missing := badSource(t)
	// A port that was free a moment ago: nothing listens.
	silent := "127.0.0.1:1" // which no other test is given
	for name, c := range map[string]struct {
		ref    string
		status int
		parts  []string
	}{
		"image":         {s.host + "/img/app:1", statusUsage, []string{s.host + "/img/app:1: Expected bundle image but found plain image (hint: Did you use -i instead of -b?)"}},
		"index":         {s.host + "/img/index:1", statusUsage, []string{s.host + "/img/index:1: Expected bundle image"}},
		"lock-with-tag": {s.host + "/bad/tag:1", statusFailed, []string{s.host + "/bad/tag:1", ".imgpkg/images.yml", "images[0].image", s.host + "/img/app:1", "has no digest"}},
		"lock-of-other": {s.host + "/bad/kind:1", statusFailed, []string{s.host + "/bad/kind:1", ".imgpkg/images.yml", "kind", "BundleLock", "ImagesLock"}},
		"no-lock":       {s.host + "/bad/nolock:1", statusFailed, []string{s.host + "/bad/nolock:1", "has no .imgpkg/images.yml"}},
		"no-gzip":       {s.host + "/bad/layers:1", statusFailed, []string{s.host + "/bad/layers:1", "gzip"}},
		"two-layers":    {s.host + "/bad/layers:2", statusFailed, []string{s.host + "/bad/layers:2", "2 layers"}},
		"missing":       {s.host + "/bad/missing:1", statusMissing, []string{missing[0], missing[1], "referenced by " + s.host + "/bad/missing:1", "hint: push what is missing"}},
		"no-such-tag":   {s.host + "/bad/missing:2", statusMissing, []string{s.host + "/bad/missing:2", "hint: check the spelling"}},
		"no-such-repo":  {s.host + "/no/such:1", statusMissing, []string{s.host + "/no/such:1", "hint: check the spelling"}},
		"no-reference":  {s.host + "/UPPER:1", statusUsage, []string{s.host + "/UPPER:1", "hint: "}},
		"no-such-host":  {"registry.relocate.invalid/a/b:1", statusFailed, []string{"registry.relocate.invalid", "hint: check the registry's name"}},
		"refused":       {silent + "/a/b:1", statusFailed, []string{silent, "refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failExport(t, c.status, c.parts, "-b", c.ref)
		})
	}
}

// TestBadSourceDirect: nothing of a failed copy from registry to registry shows at the destination.
func TestBadSourceDirect(t *testing.T) {
	t.Parallel()
	s, missing := badSource(t)
	dst := startReal(t)
	r := tryRelocate(t, "-b", s.host+"/bad/missing:1", "--to-repo", dst.Addr+"/x")
	assertFailed(t, r, statusMissing, missing...)
	r = tryRelocate(t, "-b", s.host+"/img/app:1", "--to-repo", dst.Addr+"/x")
	assertFailed(t, r, statusUsage, "Expected bundle image")
	noWrites(t, dst.Requests())
}
