package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sampleArchive is an archive of the sample and what its source held.
func sampleArchive(t *testing.T) (archive []byte, source dump) {
	t.Helper()
	src := startReal(t)
	file := export(t, pushSample(t, src.Addr))
	archive, err := os.ReadFile(file)
	require.NoError(t, err)
	return archive, dumpReal(t, src, "")
}

// TestNoArchive: files that are no archive, or not all of one, are refused before anything is sent.
func TestNoArchive(t *testing.T) {
	t.Parallel()
	archive, _ := sampleArchive(t)
	dst := startReal(t)
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	_, err := zw.Write(archive)
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	header := bytes.Clone(archive)
	at := bytes.Index(header, []byte("blobs/sha256/")) + 100 // the mode of the first blob
	header[at+6] ^= 1
	seal := bytes.Clone(archive)
	seal[bytes.LastIndex(seal, []byte("sha256:"))+10] ^= 1
	inventory := bytes.Replace(archive, []byte(`"kind":"index"`), []byte(`"kind":"image"`), 1)
	docker := tarOf(t, "manifest.json", `[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l.tar"]}]`)
	for name, c := range map[string]struct {
		content []byte
		parts   []string
	}{
		"text":      {[]byte("apiVersion: v1\n"), []string{"is not an archive", "text", "hint: name a file"}},
		"empty":     {nil, []string{"is not an archive", "empty"}},
		"gzip":      {zipped.Bytes(), []string{"is not an archive", "gzip", "hint: name a file"}},
		"docker":    {docker, []string{"is not an archive", "docker save"}},
		"cut":       {archive[:len(archive)/2], []string{"is cut off", "hint: the archive is incomplete"}},
		"cut-early": {archive[:3000], []string{"is cut off", "hint: the archive is incomplete"}},
		"cut-late":  {archive[:len(archive)-1], []string{"is cut off"}},
		"longer":    {append(bytes.Clone(archive), 1), []string{"is damaged", "other bytes than zeros follow its end"}},
		"header":    {header, []string{"is damaged", "blobs/sha256/", "at byte ", "hint: the file was changed"}},
		"seal":      {seal, []string{"is damaged", "seal", "hint: the file was changed"}},
		"inventory": {inventory, []string{"is damaged"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "archive.tar")
			require.NoError(t, os.WriteFile(file, c.content, 0o600))
			dst.ResetRequests()
			for _, args := range [][]string{
				{"--from-tar", file, "--to-repo", dst.Addr + "/" + name},
				{"emit", file, "--to-repo", dst.Addr + "/" + name},
				{"verify", "--repo", dst.Addr + "/" + name, file},
			} {
				assertFailed(t, tryRelocate(t, args...), statusDamage, append(c.parts, file)...)
			}
			assert.Empty(t, dst.Requests())
			if name != "seal" { // which is after the head, where inspect ends
				assertFailed(t, tryRelocate(t, "inspect", file), statusDamage, append(c.parts, file)...)
			}
			r := tryRelocate(t, "verify", file)
			assert.Equal(t, statusDamage, r.status, r.stderr)
			assert.False(t, strings.HasPrefix(r.stdout, "OK"), r.stdout)
			for _, part := range c.parts {
				if !strings.HasPrefix(part, "hint:") && part != "is damaged" {
					assert.Contains(t, r.stdout+r.stderr, part)
				}
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "none.tar")
	assertFailed(t, tryRelocate(t, "--from-tar", missing, "--to-repo", dst.Addr+"/x"), statusUsage, missing, "no such file")
	assertFailed(t, tryRelocate(t, "verify", t.TempDir()), statusDamage, "is not an archive")
}

// TestFlippedBit: a layer that changed on the way. verify names it and its image; an import sends
// nothing that needs it.
func TestFlippedBit(t *testing.T) {
	skipShort(t)
	t.Parallel()
	archive, source := sampleArchive(t)
	dst := startReal(t)
	index := source.tags["corp/guestbook:1.1.0"]
	var arm string // its program's layer is in no other image
	for _, child := range source.manifests[index].document(t).Manifests {
		if layer := source.layersOf(t, child.Digest)[0]; !strings.Contains(source.manifests[source.tags["corp/status:1.0.0"]].raw, layer) {
			arm = child.Digest
		}
	}
	require.NotEmpty(t, arm)
	layer := source.layersOf(t, arm)[0]
	at := bytes.Index(archive, []byte(source.blobs[layer]))
	require.Positive(t, at)
	archive[at+len(source.blobs[layer])/2] ^= 0x10
	file := filepath.Join(t.TempDir(), "archive.tar")
	require.NoError(t, os.WriteFile(file, archive, 0o600))

	verified := tryRelocate(t, "verify", file)
	assert.Equal(t, statusDamage, verified.status)
	assertAll(t, verified.stdout, "NOT OK", strings.TrimPrefix(layer, "sha256:"), "corp/guestbook@"+arm)
	assert.Equal(t, 1, strings.Count(verified.stdout, "damaged: "), verified.stdout)

	imported := tryRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/x")
	assertFailed(t, imported, statusDamage, layer, "corp/guestbook@"+arm, "hint: ")
	needing := []string{arm, index, source.tags["corp/packages/guestbook:1.1.0"], source.tags["corp/repository:1.0.0"]}
	for _, digest := range needing {
		assert.False(t, has(t, dst.Addr, "/v2/x/manifests/"+digest), "manifest %s needs the layer", digest)
		assert.False(t, has(t, dst.Addr, "/v2/x/manifests/"+locationsTag(digest)))
	}
	assert.False(t, has(t, dst.Addr, "/v2/x/manifests/1.0.0"))
	assert.False(t, has(t, dst.Addr, "/v2/x/blobs/"+layer))

	archive[at+len(source.blobs[layer])/2] ^= 0x10 // carried again
	require.NoError(t, os.WriteFile(file, archive, 0o600))
	whole := mustRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/x")
	assert.Contains(t, whole.stderr, "its kbld refuses a repository with a name of one character")
	mustRelocate(t, "verify", "--repo", dst.Addr+"/x", file, "--level", "deep")
}

// TestVerifyOther: an archive that is whole, and not the one that was meant.
func TestVerifyOther(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	file := export(t, pushSample(t, host))
	root, other := rootDigest(t, host, "corp/repository", "1.0.0"), digestOf("other")
	mustRelocate(t, "--from-tar", file, "--to-repo", host+"/private")
	seal := strings.Fields(sealLine.FindString(mustRelocate(t, "inspect", file).stdout))[1]
	assertAll(t, mustRelocate(t, "verify", file, "--root", root, "--seal", seal).stdout, "OK: ")
	for _, args := range [][]string{
		{"verify", file, "--root", other},
		{"verify", file, "--root", root, "--root", other},
		{"verify", file, "--seal", other},
		{"verify", "--repo", host + "/private", file, "--root", other},
		{"verify", "--repo", host + "/private", file, "--seal", other},
		{"verify", "--repo", host + "/private", "--root", other},
		{"verify", "--repo", host + "/nowhere", file},
		{"verify", "--repo", host + "/corp/packages/common", "--root", rootDigest(t, host, "corp/packages/common", "1.0.0")}, // not relocated
	} {
		r := tryRelocate(t, args...)
		assert.Equal(t, statusMissing, r.status, "%v: %s", args, r.stderr)
		assert.True(t, strings.HasPrefix(r.stdout, "NOT OK: "), "%v: %s", args, r.stdout)
		if args[len(args)-1] == other {
			assertAll(t, r.stdout, other)
		}
	}
}
