package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// interop has what imgpkg wrote.
const interop = "../../testdata/interop/"

// recorded is a repository of a recorded registry.
type recorded struct {
	Repository string            `json:"repository"`
	Tags       map[string]string `json:"tags"`
	Manifests  map[string]struct {
		MediaType string `json:"mediaType"`
		Raw       string `json:"raw"`
	} `json:"manifests"`
	Configs map[string]string `json:"configs"`
}

// TestInterop holds relocate to what imgpkg wrote for the same repository. The recorded digests hold
// for the recorded addresses only, so it takes their ports, and runs alone.
func TestInterop(t *testing.T) {
	source := listenAt(t, "127.0.0.1:5110")
	listenAt(t, "127.0.0.1:5111")
	layers := tarLayers(t, "repository")
	fillRecorded(t, readRecorded(t, "registry/source.json"), tarLayers(t, "repository", "foreign-included"))
	want := readRecorded(t, "registry/destination.json")[0]
	root := "127.0.0.1:5110/src/repository:1.0.0"
	file := export(t, root)

	t.Run("direct", func(t *testing.T) {
		lock := filepath.Join(t.TempDir(), "lock.yml")
		mustRelocate(t, "-b", root, "--to-repo", "127.0.0.1:5111/dst2/repository", "--lock-output", lock)
		assertRecorded(t, want, layers, "dst2/repository")
		assertSameFile(t, "locks/copy-direct.yml", lock)
	})
	t.Run("inspect", func(t *testing.T) {
		golden(t, "inspect-interop.txt", withoutSeal(mustRelocate(t, "inspect", file).stdout))
		golden(t, "inspect-interop-tree.txt", withoutSeal(mustRelocate(t, "inspect", file, "--tree").stdout))
		golden(t, "plan-interop.txt", mustRelocate(t, "plan", "-b", root).stdout)
	})
	t.Run("signed", func(t *testing.T) {
		want := readRecorded(t, "registry/destination-signed.json")[0]
		layers := maps.Clone(layers)
		signRecorded(t, want, layers, map[string]string{
			"sha256:4db59cf40bd2e3a247241f7af2df1cd8daf9af6e3858e5fcff8c777205a2cd54": "src/repository",
			"sha256:6dad8d3ae3a20211ecc6e8f34e221bc0bcfef40c66aaf379260efcab9f185371": "src/images/tool",
		})
		mustRelocate(t, "--from-tar", export(t, root), "--to-repo", "127.0.0.1:5111/sig/dst")
		assertRecorded(t, want, layers, "sig/dst")
	})
	source.Close()
	t.Run("from tar", func(t *testing.T) {
		lock := filepath.Join(t.TempDir(), "lock.yml")
		mustRelocate(t, "--from-tar", file, "--to-repo", "127.0.0.1:5111/dst/repository", "--lock-output", lock)
		assertRecorded(t, want, layers, "dst/repository")
		assertSameFile(t, "locks/copy-from-tar.yml", lock)
	})
	t.Run("repo-based tags", func(t *testing.T) {
		want := readRecorded(t, "registry/destination-repo-based-tags.json")[0]
		repo := "127.0.0.1:5111/rbt/repository"
		mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--repo-based-tags")
		assertRecorded(t, want, layers, "rbt/repository")
		mustRelocate(t, "verify", "--repo", repo, file, "--repo-based-tags")
		again := mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--repo-based-tags")
		assertAll(t, again.stderr, "uploaded         0 layers and configs (0 B), 0 manifests")
		assert.Equal(t, statusMissing, tryRelocate(t, "verify", "--repo", repo, file).status, "other tags are expected")
	})
	t.Run("relocated source", func(t *testing.T) {
		file := export(t, "127.0.0.1:5111/dst/repository:1.0.0")
		mustRelocate(t, "--from-tar", file, "--to-repo", "127.0.0.1:5111/third")
		assertRecorded(t, want, layers, "third")
		mustRelocate(t, "verify", "--repo", "127.0.0.1:5111/third", file, "--level", "deep")
	})
}

// listenAt starts a registry at an address, which must be free, and which nothing outlives.
func listenAt(t *testing.T, addr string) *http.Server {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("the recorded files name %s, which this test must have for itself: %v", addr, err)
	}
	server := &http.Server{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-done })
	return server
}

func readRecorded(t *testing.T, path string) []recorded {
	t.Helper()
	var list []recorded
	text, err := os.ReadFile(interop + path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &list))
	return list
}

// tarLayers returns every layer of imgpkg's tars, by digest.
func tarLayers(t *testing.T, names ...string) map[string]string {
	t.Helper()
	layers := map[string]string{}
	for _, name := range names {
		addLayers(t, layers, interop+"tar/"+name+".tar")
	}
	return layers
}

func addLayers(t *testing.T, layers map[string]string, path string) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		hex, found := strings.CutPrefix(strings.TrimSuffix(h.Name, ".tar.gz"), "sha256-")
		if !found {
			continue
		}
		content, err := io.ReadAll(tr)
		require.NoError(t, err)
		require.Equal(t, "sha256:"+hex, digestOf(content))
		layers["sha256:"+hex] = string(content)
	}
}

// fillRecorded makes the source registry answer as the recorded one.
func fillRecorded(t *testing.T, repos []recorded, layers map[string]string) {
	t.Helper()
	s := site{t: t, host: "127.0.0.1:5110"}
	for _, r := range repos {
		for _, config := range r.Configs {
			s.blob(r.Repository, types.DockerConfigJSON, []byte(config))
		}
		for _, digest := range imagesFirst(r) {
			manifest := r.Manifests[digest]
			for _, layer := range (stored{raw: manifest.Raw}).document(t).Layers {
				require.Contains(t, layers, layer.Digest)
				s.blob(r.Repository, types.DockerLayer, []byte(layers[layer.Digest]))
			}
			s.manifest(r.Repository, digest, types.MediaType(manifest.MediaType), []byte(manifest.Raw))
		}
		for tag, digest := range r.Tags {
			manifest := r.Manifests[digest]
			s.manifest(r.Repository, tag, types.MediaType(manifest.MediaType), []byte(manifest.Raw))
		}
	}
}

// signRecorded pushes the recorded signatures to where the images are, and adds their layers.
func signRecorded(t *testing.T, r recorded, layers, repos map[string]string) {
	t.Helper()
	s := site{t: t, host: "127.0.0.1:5110"}
	for digest, repo := range repos {
		tag := strings.Replace(digest, ":", "-", 1) + ".sig"
		manifest := r.Manifests[r.Tags[tag]]
		doc := (stored{raw: manifest.Raw}).document(t)
		payload := `{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":"` + digest + `"},"type":"cosign container image signature"},"optional":null}`
		layers[doc.Layers[0].Digest] = payload
		s.blob(repo, types.DockerConfigJSON, []byte(r.Configs[doc.Config.Digest]))
		s.blob(repo, simpleSigning, []byte(payload))
		s.manifest(repo, tag, types.MediaType(manifest.MediaType), []byte(manifest.Raw))
	}
}

// imagesFirst orders manifests so that indexes come after the images that they name.
func imagesFirst(r recorded) []string {
	var images, indexes []string
	for digest, manifest := range r.Manifests {
		if types.MediaType(manifest.MediaType).IsIndex() {
			indexes = append(indexes, digest)
		} else {
			images = append(images, digest)
		}
	}
	return append(images, indexes...)
}

// assertRecorded compares a repository at the destination with the recorded one.
func assertRecorded(t *testing.T, want recorded, layers map[string]string, repo string) {
	t.Helper()
	assertRecordedAt(t, "127.0.0.1:5111", want, layers, repo)
}

func assertRecordedAt(t *testing.T, host string, want recorded, layers map[string]string, repo string) {
	t.Helper()
	got := dumpRepositories(t, host, repo)
	wantTags := map[string]string{}
	for tag, digest := range want.Tags {
		wantTags[repo+":"+tag] = digest
	}
	assert.Equal(t, wantTags, got.tags)
	wantManifests := map[string]stored{}
	for digest, m := range want.Manifests {
		wantManifests[digest] = stored{m.MediaType, m.Raw}
	}
	assert.Equal(t, wantManifests, got.manifests)
	for digest, config := range want.Configs {
		assert.Equal(t, config, got.blobs[digest])
	}
	for digest, layer := range layers {
		assert.True(t, got.blobs[digest] == layer, "layer %s", digest)
	}
}

func assertSameFile(t *testing.T, want, got string) {
	t.Helper()
	a, err := os.ReadFile(interop + want)
	require.NoError(t, err)
	b, err := os.ReadFile(got)
	require.NoError(t, err)
	assert.Equal(t, string(a), string(b))
}

// golden compares text with a file in testdata, or writes it with -update.
func golden(t *testing.T, file, text string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "go test ./cmd/relocate -update writes it")
	assert.Equal(t, string(want), text, "%s (go test ./cmd/relocate -update writes it again)", path)
}
