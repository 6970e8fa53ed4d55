package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// broken is a source two of whose layers cannot be had: one is missing, one is damaged.
type broken struct {
	*meter
	root   string
	layers []v1.Descriptor // missing, damaged, whole
	whole  dump            // of a destination, from before it broke
}

func newBroken(t *testing.T) *broken {
	t.Helper()
	registry := startReal(t)
	b := &broken{meter: newMeter(t, registry.Addr)}
	b.root, b.layers = pushLarge(site{t: t, host: b.host}, 1<<20, 5<<20, 300<<10)
	mustRun(t, "-b", b.root, "--to-repo", registry.Addr+"/whole")
	b.whole = dumpReal(t, registry, "whole").as("whole")
	b.behave(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, b.layers[0].Digest.String()) && r.Method == http.MethodGet {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		return false
	}, func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
		if strings.HasSuffix(r.URL.Path, b.layers[1].Digest.String()) {
			return &flipping{ResponseWriter: w, at: 700_000}
		}
		return w
	})
	return b
}

func (b *broken) mend() { b.behave(nil, nil) }

// needing returns the manifests that need, by themselves or through others, one of the two.
func (b *broken) needing(t *testing.T) map[string]bool {
	t.Helper()
	needs, needing := b.whole.closures(t), map[string]bool{}
	for grown := true; grown; {
		grown = false
		for digest, list := range needs {
			for _, path := range list {
				name := path[strings.Index(path, "/")+1:]
				if hit := name == b.layers[0].Digest.String() || name == b.layers[1].Digest.String() || needing[name]; hit && !needing[digest] {
					needing[digest], grown = true, true
				}
			}
		}
	}
	return needing
}

// assertFailures holds what a run said to the two layers.
func (b *broken) assertFailures(t *testing.T, r result, report string) {
	t.Helper()
	assert.Equal(t, statusPartly, r.status, r.stderr)
	assert.Empty(t, r.stdout)
	failures := readReport(t, report).Failures
	for _, layer := range b.layers[:2] {
		assertAll(t, r.stderr, layer.Digest.String()+" of "+b.host+"/load/app@sha256:")
		assert.True(t, slices.ContainsFunc(failures, func(f failureReport) bool {
			return f.Digest == layer.Digest && strings.HasPrefix(f.Image, b.host+"/load/app@sha256:") && f.Reason != ""
		}), "%v", failures)
	}
	assert.Len(t, failures, 2)
	assertAll(t, r.stderr, "404 Not Found", "content does not match its descriptor", "(read twice)", "failed: 2 manifests and blobs", "hint: fix the causes, then run the same command again")
}

// TestKeepGoingExport: every failure is told; there is no archive, and the rest is kept for when the source
// is mended.
func TestKeepGoingExport(t *testing.T) {
	t.Parallel()
	b := newBroken(t)
	dir, report := t.TempDir(), filepath.Join(t.TempDir(), "report.json")
	file := filepath.Join(dir, "r.tar")
	require.NoError(t, os.WriteFile(file, []byte("old"), 0o600))
	args := []string{"-b", b.root, "--to-tar", file, "--keep-going", "--report", report}
	for range 2 {
		r := newProcess(t, args...).run(t)
		b.assertFailures(t, r, report)
		assertAll(t, r.stderr, "kept: "+file+".part has ")
		assert.Equal(t, []string{"r.tar", "r.tar.part", "r.tar.part.journal"}, namesIn(t, dir))
		assert.Equal(t, digestOf("old"), digestOfFile(t, file))
		said := readReport(t, report)
		assert.Nil(t, said.Archive)
		assert.Equal(t, said.Contents.Blobs-2, said.Result.Manifests+said.Result.Blobs)
		assert.Equal(t, said.Contents.Bytes-b.layers[0].Size-b.layers[1].Size, said.Result.Bytes)
	}
	r := newProcess(t, "-b", b.root, "--to-tar", file).run(t)
	assert.Contains(t, []int{statusMissing, statusDamage}, r.status, "without --keep-going the first failure is the end")
	b.mend()
	b.settle()
	before := b.down.Load()
	mustRun(t, args...)
	assert.Less(t, b.down.Load()-before, b.layers[0].Size+b.layers[1].Size+1<<20)
	assert.Equal(t, digestOfFile(t, export(t, b.root)), digestOfFile(t, file))
	assert.Equal(t, []string{"r.tar", "r.tar.seal"}, namesIn(t, dir))
}

// TestKeepGoingCopy: from registry to registry, nothing comes of what is broken, nor of what needs it; all else
// is there. Mended, the same command ends it.
func TestKeepGoingCopy(t *testing.T) {
	t.Parallel()
	b, dst := newBroken(t), startReal(t)
	report := filepath.Join(t.TempDir(), "report.json")
	args := []string{"-b", b.root, "--to-repo", dst.Addr + "/x", "--keep-going", "--report", report}
	r := newProcess(t, args...).run(t)
	b.assertFailures(t, r, report)
	assert.False(t, has(t, dst.Addr, "/v2/x/manifests/1.0.0"))
	needing := b.needing(t)
	require.Greater(t, len(needing), 4)
	for digest := range b.whole.manifests {
		assert.Equal(t, !needing[digest], has(t, dst.Addr, "/v2/x/manifests/"+digest), "manifest %s", digest)
	}
	for digest := range b.whole.blobs {
		gone := digest == b.layers[0].Digest.String() || digest == b.layers[1].Digest.String()
		if gone || !onlyOf(b.whole, needing, digest) { // what only a missing manifest names may be there or not
			assert.Equal(t, !gone, has(t, dst.Addr, "/v2/x/blobs/"+digest), "blob %s", digest)
		}
	}
	assert.Empty(t, dumpReal(t, dst, "x").rootTags("x"))
	b.mend()
	r = mustRun(t, args...)
	assertAll(t, r.stdout, "kind: PackageRepository")
	assert.True(t, has(t, dst.Addr, "/v2/x/manifests/1.0.0"))
	mustRun(t, "verify", "--repo", dst.Addr+"/x", export(t, b.root), "--level", "deep")
}

// onlyOf reports whether only some manifests name a blob.
func onlyOf(d dump, manifests map[string]bool, blob string) bool {
	for digest, m := range d.manifests {
		if strings.Contains(m.raw, blob) && !manifests[digest] {
			return false
		}
	}
	return true
}

// TestKeepGoingImport: an archive two of whose layers are damaged.
func TestKeepGoingImport(t *testing.T) {
	t.Parallel()
	b, dst := newBroken(t), startReal(t)
	b.mend()
	file := export(t, b.root)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	damaged := slices.Clone(text)
	for _, layer := range b.layers[:2] {
		at := strings.Index(string(text), "blobs/sha256/"+layer.Digest.Hex+"\x00")
		require.Positive(t, at)
		damaged[at+512+1000] ^= 1
	}
	require.NoError(t, os.WriteFile(file, damaged, 0o600))
	report := filepath.Join(t.TempDir(), "report.json")
	args := []string{"--from-tar", file, "--to-repo", dst.Addr + "/x", "--keep-going", "--report", report}
	r := newProcess(t, args...).run(t)
	assert.Equal(t, statusPartly, r.status, r.stderr)
	assert.Empty(t, r.stdout)
	assert.Len(t, readReport(t, report).Failures, 2)
	needing := b.needing(t)
	for digest := range b.whole.manifests {
		assert.Equal(t, !needing[digest], has(t, dst.Addr, "/v2/x/manifests/"+digest), "manifest %s", digest)
	}
	require.NoError(t, os.WriteFile(file, text, 0o600))
	mustRun(t, args...)
	mustRun(t, "verify", "--repo", dst.Addr+"/x", file, "--level", "deep")
}
