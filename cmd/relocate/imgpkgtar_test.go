package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// imported is what an import of one of imgpkg's tars must make.
type imported struct {
	name, repo string
	recorded   string            // by imgpkg, of the same import
	tags       map[string]string // else the tags; the manifests are the tar's
	noTag      bool              // what was recorded had a tag for the root, and the tar has none
	lock       string            // what --lock-output must say, if that was recorded
}

var importedTars = []imported{
	{name: "repository", repo: "127.0.0.1:5111/dst/repository", recorded: "destination", lock: "copy-from-tar"},
	{name: "repository.alt", repo: "127.0.0.1:5111/alt", recorded: "destination"},
	{name: "repository-by-digest", repo: "127.0.0.1:5111/digest", recorded: "destination", noTag: true},
	{name: "bundlelock", repo: "127.0.0.1:5111/bundlelock", recorded: "destination"},
	{name: "relocated", repo: "127.0.0.1:5111/relocated", recorded: "destination"},
	{name: "signed", repo: "127.0.0.1:5111/sig/dst", recorded: "destination-signed"},
	{name: "signed", repo: "127.0.0.1:5112/sig/src", recorded: "destination-signed"}, // from where it is exported again
	{name: "imageslock", repo: "127.0.0.1:5112/lock/tar", lock: "copy-imageslock-tar", tags: withDefaults(
		"sha256:1af6c5a0983cd9b31e3c341e8ee5400cf4644a02bc9beda3c6901c5b31c39b25", "sha256:6dad8d3ae3a20211ecc6e8f34e221bc0bcfef40c66aaf379260efcab9f185371")},
	{name: "image-web", repo: "127.0.0.1:5112/img/web", lock: "copy-image", tags: withDefaults(
		"sha256:cedf3838489263abf8b5bc9e3a7c8c1217c1612112f3f292328db6db8f4a6b67", "1.0.0")},
	{name: "image-tool-index", repo: "127.0.0.1:5112/img/tool", lock: "copy-index", tags: withDefaults(
		"sha256:6dad8d3ae3a20211ecc6e8f34e221bc0bcfef40c66aaf379260efcab9f185371", "build")},
	{name: "foreign", repo: "127.0.0.1:5112/foreign", tags: withDefaults("sha256:732c376657ae646ec048623c642df06c186cbb463e684b7b77e0c0d027b249f6", "1")},
	{name: "foreign-included", repo: "127.0.0.1:5112/foreign-included", tags: withDefaults("sha256:732c376657ae646ec048623c642df06c186cbb463e684b7b77e0c0d027b249f6", "1")},
	{name: "artifact", repo: "127.0.0.1:5112/weird/helmish", tags: withDefaults("sha256:b25b3e504c6fd96f433d113c794de48cc93a78776ff154987617cc1db5adf189", "x")},
}

// withDefaults returns the tags of digests at a destination; a name after one is another tag of it.
func withDefaults(list ...string) map[string]string {
	tags := map[string]string{}
	last := ""
	for _, s := range list {
		if digestForm.MatchString(s) {
			last, tags[selfTag(s)] = s, s
		} else {
			tags[s] = last
		}
	}
	return tags
}

// exportedTars are the command lines of the same exports.
var exportedTars = []struct {
	name  string
	other string // what imgpkg wrote on another day
	args  []string
}{
	{"repository", "repository.alt", []string{"-b", "127.0.0.1:5110/src/repository:1.0.0"}},
	{"repository-by-digest", "", []string{"-b", "127.0.0.1:5110/src/repository@sha256:4db59cf40bd2e3a247241f7af2df1cd8daf9af6e3858e5fcff8c777205a2cd54"}},
	{"bundlelock", "", []string{"--lock", interop + "locks/push/repository.lock.yml"}},
	{"imageslock", "", []string{"--lock", interop + "locks/imageslock-input.yml"}},
	{"image-web", "", []string{"-i", "127.0.0.1:5110/src/images/web:1.0.0"}},
	{"image-tool-index", "", []string{"-i", "127.0.0.1:5110/src/images/tool:build"}},
	{"relocated", "", []string{"-b", "127.0.0.1:5111/dst/repository:1.0.0"}},
	{"signed", "", []string{"-b", "127.0.0.1:5112/sig/src:1.0.0"}},
	{"foreign", "", []string{"-i", "127.0.0.1:5110/src/images/foreign:1"}},
	{"foreign-included", "", []string{"-i", "127.0.0.1:5110/src/images/foreign:1", "--include-non-distributable-layers"}},
	{"artifact", "", []string{"-i", "127.0.0.1:5112/weird/helmish:x"}},
}

// TestImgpkgTars imports each tar that imgpkg wrote, with its source out of reach, to what imgpkg makes of it; and exports
// what it was made of to the same bytes. It takes the recorded addresses, and runs alone.
func TestImgpkgTars(t *testing.T) {
	listenAt(t, "127.0.0.1:5111")
	listenAt(t, "127.0.0.1:5112")
	t.Run("import", func(t *testing.T) {
		gone := startCanary(t, "127.0.0.1:5110")
		for _, c := range importedTars {
			t.Run(c.name, func(t *testing.T) { c.run(t) })
		}
		gone.assertSilent(t)
	})
	listenAt(t, "127.0.0.1:5110")
	fillRecorded(t, readRecorded(t, "registry/source.json"), tarLayers(t, "repository", "foreign-included"))
	for _, c := range exportedTars {
		t.Run("export "+c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "r.tar")
			args := append([]string{"--tar-format", "imgpkg"}, c.args...)
			mustRelocate(t, append(args, "--to-tar", file)...)
			got := readFile(t, file)
			want := readFile(t, interop+"tar/"+c.name+".tar")
			if !bytes.Equal(want, got) && c.other != "" {
				want = readFile(t, interop+"tar/"+c.other+".tar")
			}
			assert.True(t, bytes.Equal(want, got), "the tar is not imgpkg's")
			assertAll(t, mustRelocate(t, append([]string{"plan"}, args...)...).stdout, fmt.Sprintf("archive    %d bytes", len(want)))
			assert.Equal(t, string(want), mustRelocate(t, append(args, "--to-tar", "-")...).stdout)
		})
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

func (c imported) run(t *testing.T) {
	file := interop + "tar/" + c.name + ".tar"
	lock := filepath.Join(t.TempDir(), "lock.yml")
	mustRelocate(t, "--from-tar", file, "--to-repo", c.repo, "--lock-output", lock)
	if c.lock != "" {
		assertSameFile(t, "locks/"+c.lock+".yml", lock)
	}
	want := c.want(t)
	layers := tarLayers(t, c.name)
	host, repo := c.repo[:14], c.repo[15:]
	assertRecordedAt(t, host, want, nil, repo)
	if c.name == "foreign" {
		assert.False(t, has(t, host, "/v2/"+repo+"/blobs/sha256:922a165ad67921f2270bfa327f101949e18f4cf927e1ddb75dbee645ba20731e"))
	}
	for digest, layer := range layers {
		got, _ := get(t, host, "/v2/"+repo+"/blobs/"+digest)
		assert.Equal(t, layer, string(got))
	}
	verified := mustRelocate(t, "verify", file)
	assertAll(t, verified.stdout, "every manifest, config and layer was hashed", "has no seal")
	inRepo := tryRelocate(t, "verify", "--repo", c.repo, file, "--level", "deep")
	if c.name == "foreign" { // its layer is not there
		assertAll(t, verified.stdout, "NOT CLOSED: "+file, "left out: 1 layer")
		assert.Equal(t, statusMissing, inRepo.status, inRepo.stdout)
		assertAll(t, inRepo.stdout, "NOT OK: "+c.repo, "1 layer left out")
	} else {
		assertAll(t, verified.stdout, "OK: "+file)
		assert.Zero(t, inRepo.status, inRepo.stderr)
		assertAll(t, inRepo.stdout, "OK: "+c.repo)
	}
	assertAll(t, mustRelocate(t, "inspect", file, "--tree").stdout, "seal none (imgpkg's format)")
	again := mustRelocate(t, "--from-tar", file, "--to-repo", c.repo)
	assertAll(t, again.stderr, "uploaded         0 layers and configs (0 B), 0 manifests, 0 locations images, 0 tags")
}

// want returns the repository that the import must make.
func (c imported) want(t *testing.T) recorded {
	t.Helper()
	if c.recorded != "" {
		r := readRecorded(t, "registry/"+c.recorded+".json")[0]
		if c.noTag {
			r.Tags = maps.Clone(r.Tags)
			delete(r.Tags, "1.0.0")
		}
		return r
	}
	r := recorded{Tags: c.tags}
	var doc []struct{ Image, ImageIndex *tarImage }
	_, text, _ := bytes.Cut(readFile(t, interop+"tar/"+c.name+".tar"), []byte("[{"))
	require.NoError(t, json.NewDecoder(bytes.NewReader(append([]byte("[{"), text...))).Decode(&doc))
	require.NoError(t, json.Unmarshal([]byte(`{"manifests":{},"configs":{}}`), &r))
	for _, e := range doc {
		e.Image.addTo(&r)
		e.ImageIndex.addTo(&r)
	}
	return r
}

// tarImage is an image or an index of manifest.json.
type tarImage struct {
	Config                 struct{ Digest, Raw string }
	Manifest               struct{ MediaType, Digest, Raw string }
	Images                 []*tarImage
	MediaType, Digest, Raw string
}

func (i *tarImage) addTo(r *recorded) {
	if i == nil {
		return
	}
	m := r.Manifests[""]
	if i.Raw != "" {
		m.MediaType, m.Raw = i.MediaType, i.Raw
		r.Manifests[i.Digest] = m
	} else {
		m.MediaType, m.Raw = i.Manifest.MediaType, i.Manifest.Raw
		r.Manifests[i.Manifest.Digest], r.Configs[i.Config.Digest] = m, i.Config.Raw
	}
	for _, child := range i.Images {
		child.addTo(r)
	}
}
