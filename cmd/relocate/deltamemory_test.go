package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/internal/imgpkg"
	"relocate/inventory"
	"relocate/tarball"
)

// skipMemory leaves a test out where the memory of processes cannot be measured.
func skipMemory(t *testing.T) {
	t.Helper()
	switch {
	case runtime.GOOS != "linux":
		t.Skip("reads /proc/self/status")
	case testing.Short():
		t.Skip("makes hundreds of thousands of blobs")
	case raceEnabled:
		t.Skip("the race detector takes memory of its own")
	}
}

// countedLayers are n layers that do not exist, with their own digests.
func countedLayers(from, n int, mediaType types.MediaType) (list []v1.Descriptor) {
	for i := range n {
		list = append(list, v1.Descriptor{MediaType: mediaType, Size: int64(from + i), Digest: v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", from+i)}})
	}
	return list
}

// TestInventoryMemory: an inventory of a repository of 200,000 blobs takes no more memory than anything else.
func TestInventoryMemory(t *testing.T) {
	skipMemory(t)
	const images, layers = 1000, 200
	manifest := func(i int) []byte {
		return encode(t, v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
			Config: countedLayers(1_000_000+i, 1, types.OCIConfigJSON)[0], Layers: countedLayers(i*layers, layers, types.OCILayer)})
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/tags/list") {
			var tags []string
			for i := range images {
				tags = append(tags, "v"+strconv.Itoa(i))
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"name": "many", "tags": tags})
			return
		}
		if i, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/v2/many/manifests/v")); err == nil {
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			_, _ = w.Write(manifest(i))
		}
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "inventory.txt")
	peak := outputChild(t, file, "inventory", "--repo", strings.TrimPrefix(server.URL, "http://")+"/many")
	t.Logf("%d MiB", peak>>20)
	assert.Less(t, peak, int64(hostileMemory))
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	list, err := inventory.Read(f)
	require.NoError(t, err)
	assert.Equal(t, images*(2+layers), list.Len())
}

// outputChild runs the program in another process, which must succeed, with its output in a file, and returns the
// most that it had in memory.
func outputChild(t *testing.T, file string, args ...string) (peak int64) {
	t.Helper()
	text, err := json.Marshal(args)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOutputChild$")
	cmd.Env = append(os.Environ(), "RELOCATE_OUTPUT_ARGS="+string(text), "RELOCATE_OUTPUT_FILE="+file)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	_, after, found := strings.Cut(string(out), "peak: ")
	require.True(t, found, "%s", out)
	_, err = fmt.Sscan(after, &peak)
	require.NoError(t, err)
	return peak
}

// TestOutputChild is the program in the process that outputChild starts.
func TestOutputChild(t *testing.T) {
	text := os.Getenv("RELOCATE_OUTPUT_ARGS")
	if text == "" {
		t.Skip("runs in a process of its own")
	}
	var args []string
	require.NoError(t, json.Unmarshal([]byte(text), &args))
	debug.SetMemoryLimit(softLimit) // as main does
	growth.Set()
	f, err := os.Create(os.Getenv("RELOCATE_OUTPUT_FILE"))
	require.NoError(t, err)
	defer f.Close()
	var stderr bytes.Buffer
	require.Zero(t, run(t.Context(), args, f, &stderr), stderr.String())
	fmt.Println("peak:", peakMemory(t))
}

// imagined is a bundle.Source of manifests, configs and bundles; layers are never read.
type imagined struct {
	manifests map[v1.Hash][]byte
	blobs     map[v1.Hash][]byte
	types     map[v1.Hash]types.MediaType
}

func (m *imagined) Manifest(_ context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	d, err := v1.NewHash(ref.Identifier())
	raw, ok := m.manifests[d]
	if err != nil || !ok {
		return v1.Descriptor{}, nil, fmt.Errorf("%s: %w", ref, fs.ErrNotExist)
	}
	return v1.Descriptor{MediaType: m.types[d], Size: int64(len(raw)), Digest: d}, raw, nil
}

func (m *imagined) Blob(_ context.Context, _ name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	raw, ok := m.blobs[d.Digest]
	if !ok {
		raw, ok = m.manifests[d.Digest]
	}
	if !ok {
		return nil, fmt.Errorf("%s: %w", d.Digest, fs.ErrNotExist)
	}
	return io.NopCloser(digest.Reader(bytes.NewReader(raw), d.Digest, d.Size)), nil
}

func (m *imagined) add(mediaType types.MediaType, raw []byte) v1.Descriptor {
	d := v1.Descriptor{MediaType: mediaType, Size: int64(len(raw)), Digest: digest.Of(raw)}
	m.manifests[d.Digest], m.types[d.Digest] = raw, mediaType
	return d
}

// manyLeftOut writes an archive of a bundle of images with 1,000 layers each, of which it carries none.
func manyLeftOut(t *testing.T, images int, mediaType types.MediaType, bases ...bundle.Base) string {
	t.Helper()
	const layers = 1000
	m := &imagined{map[v1.Hash][]byte{}, map[v1.Hash][]byte{}, map[v1.Hash]types.MediaType{}}
	config := []byte("{}")
	m.blobs[digest.Of(config)] = config
	var locked []string
	for i := range images {
		d := m.add(types.OCIManifestSchema1, encode(t, v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
			Config: v1.Descriptor{MediaType: types.OCIConfigJSON, Size: 2, Digest: digest.Of(config)}, Layers: countedLayers(1+i*layers, layers, mediaType)}))
		locked = append(locked, "registry.example/app@"+d.Digest.String())
	}
	built, err := imgpkg.Build(map[string][]byte{".imgpkg/images.yml": []byte(lockText(locked...))}, map[string]string{imgpkg.Label: "true"})
	require.NoError(t, err)
	m.blobs[digest.Of(built.Config)], m.blobs[digest.Of(built.Layer)] = built.Config, built.Layer
	root := m.add(built.Descriptor.MediaType, built.Manifest)
	ref, err := name.NewDigest("registry.example/repo@" + root.Digest.String())
	require.NoError(t, err)
	g, err := bundle.Walk(t.Context(), m, []name.Reference{ref}, bundle.WalkOptions{})
	require.NoError(t, err)
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{Bases: bases})
	require.NoError(t, err)
	require.Equal(t, images*layers, len(plan.Assumed)+len(plan.Omitted))
	draft, err := tarball.New(t.Context(), plan, m, tarball.Request{})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "archive.tar")
	w, err := draft.Create(path, 1)
	require.NoError(t, err)
	for _, b := range plan.Blobs {
		require.NoError(t, w.PutBlob(t.Context(), *b.Descriptor, func(ctx context.Context, _ int64) (io.ReadCloser, error) {
			return m.Blob(ctx, name.Repository{}, *b.Descriptor)
		}))
	}
	require.NoError(t, w.Commit())
	return path
}

// TestLeftOutMemory: an archive may leave out as many blobs as it may have, as far as relocate.json has room.
// Reading it takes no more memory.
func TestLeftOutMemory(t *testing.T) {
	skipMemory(t)
	t.Parallel()
	everything := bundle.Base{Kind: bundle.BaseInventory, Digest: digest.Of(nil), Has: func(v1.Descriptor) bool { return true }}
	for what, path := range map[string]string{
		"assumed": manyLeftOut(t, 240, types.OCILayer, everything), "omitted": manyLeftOut(t, 83, types.DockerForeignLayer),
	} {
		debug.FreeOSMemory()
		for _, args := range [][]string{{"verify", path}, {"inspect", path, "-o", "json"}, {"inventory", path}} {
			peak := outputChild(t, filepath.Join(t.TempDir(), "out"), args...)
			t.Logf("%s: %s: %d MiB", what, args[0], peak>>20)
			assert.Less(t, peak, int64(hostileMemory), "%s: %v", what, args)
		}
	}
}
