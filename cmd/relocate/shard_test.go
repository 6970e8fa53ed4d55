package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/realregistry"
)

// sharded is an archive that is uploaded in shards.
type sharded struct {
	file string
	root string // digest
	dst  *realregistry.Registry
	repo string
	all  map[string]bool // layers and configs that an import uploads
}

func newSharded(t *testing.T) *sharded {
	t.Helper()
	src := startReal(t)
	s := &sharded{dst: startReal(t), file: export(t, pushSample(t, src.Addr)), all: map[string]bool{}}
	s.root, s.repo = rootDigest(t, src.Addr, "corp/repository", "1.0.0"), s.dst.Addr+"/x"
	for i := range 3 {
		uploads := s.shard(t, fmt.Sprint(i, "/3"), s.dst.Addr+"/other")
		require.NotEmpty(t, uploads)
		for d := range uploads {
			assert.False(t, s.all[d], "shards overlap")
			s.all[d] = true
		}
	}
	return s
}

// shard uploads a shard to a repository, and returns what it has uploaded. Nobody sees anything of it.
func (s *sharded) shard(t *testing.T, shard, repo string) map[string]int {
	t.Helper()
	s.dst.ResetRequests()
	r := mustRelocate(t, "--from-tar", s.file, "--to-repo", repo, "--shard", shard)
	assert.Empty(t, r.stdout)
	uploads, manifests := written(s.dst.Requests())
	assert.Empty(t, manifests)
	assert.NotContains(t, r.stderr, "note:")
	assertAll(t, r.stderr, "shard "+shard+": uploaded "+count(len(uploads), "layer and config")+" (", " already present (")
	host, name, _ := strings.Cut(repo, "/")
	for _, path := range []string{"tags/list", "manifests/1.0.0", "manifests/" + s.root} {
		answer, err := http.Get("http://" + host + "/v2/" + name + "/" + path)
		require.NoError(t, err)
		answer.Body.Close()
		assert.Equal(t, http.StatusNotFound, answer.StatusCode, path)
	}
	return uploads
}

// complete imports what shards have begun, and returns what it has uploaded of their blobs.
func (s *sharded) complete(t *testing.T, args ...string) (result, map[string]int) {
	t.Helper()
	s.dst.ResetRequests()
	r := mustRelocate(t, append([]string{"--from-tar", s.file, "--to-repo", s.repo, "--await-blobs", "1ms"}, args...)...)
	assert.Contains(t, r.stdout, "kind: PackageRepository")
	uploads, _ := written(s.dst.Requests())
	for d := range uploads {
		if !s.all[d] { // of locations images
			delete(uploads, d)
		}
	}
	assertAll(t, mustRelocate(t, "verify", "--repo", s.repo, s.file, "--level", "deep").stdout, "OK: "+s.repo)
	return r, uploads
}

// TestShards: one shard comes twice, one is of another number of shards, and one of another archive. The import uploads what is
// missing, and nothing else.
func TestShards(t *testing.T) {
	t.Parallel()
	s := newSharded(t)
	there := map[string]int{}
	for _, shard := range []string{"0/4", "1/4", "0/4", "2/3"} {
		for d := range s.shard(t, shard, s.repo) {
			there[d]++
			assert.Equal(t, 1, there[d], "once")
		}
	}
	other := &sharded{file: export(t, pushSample(t, startReal(t).Addr), "--package", "guestbook.corp.com"), dst: s.dst, root: s.root}
	for d := range other.shard(t, "1/2", s.repo) {
		there[d]++
	}
	_, uploads := s.complete(t)
	for d := range s.all {
		assert.Equal(t, 1, there[d]+uploads[d], d)
	}
}

// TestShardIsLost: the import says which one, and uploads exactly its blobs.
func TestShardIsLost(t *testing.T) {
	t.Parallel()
	s := newSharded(t)
	for _, shard := range []string{"0/4", "1/4", "3/4"} {
		s.shard(t, shard, s.repo)
	}
	lost := s.shard(t, "2/4", s.dst.Addr+"/known")
	file := filepath.Join(t.TempDir(), "r.json")
	r, uploads := s.complete(t, "--report", file)
	assert.Equal(t, lost, uploads)
	assertAll(t, r.stderr, "note: waits for layers and configs that shards upload, until none has appeared for 1ms")
	assertAll(t, r.stderr, fmt.Sprintf(") of %d: shard 2/4 did not finish?\n", len(s.all)))
	lacked := readReport(t, file).Result.Lacked
	require.NotNil(t, lacked)
	assert.Equal(t, len(lost), lacked.Blobs)
}

// TestShardsAreCollected: the garbage collector takes what all shards have uploaded, and the import uploads it again.
func TestShardsAreCollected(t *testing.T) {
	t.Parallel()
	s := newSharded(t)
	s.shard(t, "0/2", s.repo)
	s.shard(t, "1/2", s.repo)
	s.dst.CollectGarbage(t)
	_, uploads := s.complete(t)
	assert.Len(t, uploads, len(s.all))
}

// TestShardIsInterrupted: what it has uploaded is not uploaded again.
func TestShardIsInterrupted(t *testing.T) {
	t.Parallel()
	s := newSharded(t)
	g := newGate(func(r *http.Request) bool { return r.Method == http.MethodPost })
	m := newMeter(t, s.dst.Addr)
	s.dst.ResetRequests()
	m.behave(func(w http.ResponseWriter, r *http.Request) (answered bool) {
		answered = true
		g.wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { answered = false })).ServeHTTP(w, r)
		return answered
	}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan result, 1)
	go func() {
		ended <- relocateContext(ctx, "--from-tar", s.file, "--to-repo", m.host+"/x", "--shard", "0/1", "--concurrency", "1")
	}()
	for range 4 {
		g.wait(t)
		g.pass <- struct{}{}
	}
	g.wait(t)
	assertFailed(t, tryRelocate(t, "--from-tar", s.file, "--to-repo", m.host+"/x", "--shard", "0/1"), statusFailed,
		"shard 0/1 of "+m.host+"/x is locked by process ")
	cancel()
	assert.Equal(t, statusInterrupted, (<-ended).status)
	before, _ := written(s.dst.Requests())
	require.NotEmpty(t, before)
	after := s.shard(t, "0/1", s.repo)
	assert.Len(t, after, len(s.all)-len(before))
	for d := range before {
		assert.NotContains(t, after, d)
	}
	_, uploads := s.complete(t)
	assert.Empty(t, uploads)
}

// TestShardFlags refuses what a shard cannot do.
func TestShardFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.tar")
	for says, args := range map[string][]string{
		"the shards are 0/4 to 3/4":                                        {"--shard", "4/4"},
		"must be I/N or auto/N, with N from 1 to 1000":                     {"--shard", "1"},
		"--shard and --await-blobs cannot be used together":                {"--shard", "0/2", "--await-blobs", "1s"},
		"--await-blobs -1s: must not be negative":                          {"--await-blobs", "-1s"},
		"--tag cannot be used with --shard":                                {"--shard", "0/2", "--tag", "x"},
		"--lock-output cannot be used with --shard":                        {"--shard", "0/2", "--lock-output", file},
		"--report r.html with --shard: a shard has no page":                {"--shard", "0/2", "--report", "r.html"},
		"JOB_COMPLETION_INDEX is not set":                                  {"--shard", "auto/4"},
		"--shard needs --from-tar FILE and --to-repo: a stream has no":     {"--shard", "0/2", "--from-tar", "-"},
		"--await-blobs needs --from-tar FILE and --to-repo: a stream brin": {"--await-blobs", "1s", "--from-tar", "-"},
	} {
		assertFailed(t, tryRelocate(t, append([]string{"--from-tar", file, "--to-repo", "localhost:1/x"}, args...)...), statusUsage, says)
	}
	assertFailed(t, tryRelocate(t, "-b", "localhost:1/x:1", "--to-tar", file, "--shard", "0/2"), statusUsage, "--shard needs --from-tar FILE")
	t.Setenv("JOB_COMPLETION_INDEX", "7")
	assertFailed(t, tryRelocate(t, "--from-tar", file, "--to-repo", "localhost:1/x", "--shard", "auto/4"), statusUsage,
		`JOB_COMPLETION_INDEX is "7": the shards are 0/4 to 3/4`)
}

// TestShardAuto: the index comes from the environment of a Job's pod. The report says which shard it is.
func TestShardAuto(t *testing.T) {
	file := export(t, pushSample(t, startReal(t).Addr))
	t.Setenv("JOB_COMPLETION_INDEX", "1")
	r := mustRelocate(t, "--from-tar", file, "--to-repo", startMemory(t, nil)+"/x", "--shard", "auto/4", "--progress", "json")
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	var summary struct {
		Event  string
		Report copyReport
	}
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &summary))
	assert.Equal(t, "shard", summary.Report.Action)
	assert.Equal(t, "1/4", summary.Report.Shard.String())
	assert.Equal(t, summary.Report.Result.Blobs, summary.Report.Contents.Blobs)
	assert.Empty(t, r.stdout)
}

// TestShardConcurrency: all shards together send as many requests at once as one import.
func TestShardConcurrency(t *testing.T) {
	t.Parallel()
	for of, want := range map[int]concurrency{0: automatic, 1: automatic, 2: {8, 16}, 3: {8, 11}, 4: {8, 8}, 8: {4, 4}, 100: {4, 4}} {
		f := shardFlags{shard: shard{Of: of}}
		assert.Equal(t, want, f.concurrency(automatic), of)
		assert.Equal(t, concurrency{16, 16}, f.concurrency(concurrency{16, 16}))
	}
}

// TestShardFromServer: a shard reads little more than its own layers, and not from another archive.
func TestShardFromServer(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	root, _ := pushLarge(site{t: t, host: host}, 5_000_000, 5_000_000, 5_000_000, 5_000_000)
	file := export(t, root)
	server := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(file))))
	t.Cleanup(server.Close)
	url := server.URL + "/" + filepath.Base(file)
	repo := startMemory(t, nil) + "/x"
	for i := range 4 {
		r := mustRelocate(t, "--from-tar", url, "--to-repo", repo, "--shard", fmt.Sprint(i, "/4"), "--progress", "json")
		lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
		var summary struct{ Report copyReport }
		require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &summary))
		assert.Equal(t, url, summary.Report.Source.URL)
		assert.Less(t, summary.Report.Source.Read, int64(6_500_000), "a quarter of the layers, which are too large to be read ahead, and the first MiB")
	}
	r := mustRelocate(t, "--from-tar", url, "--to-repo", repo, "--await-blobs", "1ms")
	assertAll(t, r.stderr, "  uploaded         0 layers and configs (0 B)")
	r = mustRelocate(t, "--from-tar", url, "--to-repo", repo, "--shard", "0/1")
	assert.Equal(t, 1, strings.Count(r.stderr, "\n  read             "))
	assertFailed(t, tryRelocate(t, "--from-tar", url, "--to-repo", repo, "--shard", "0/1", "--seal", digestOf("")), statusMissing, "is another archive")
}

// TestShardOfVolumes: a shard uploads what it has of its layers, and waits for the other volumes.
func TestShardOfVolumes(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	root, _ := pushLarge(site{t: t, host: host}, 3<<20, 1<<20)
	dir := t.TempDir()
	file, repo := filepath.Join(dir, "r.tar"), startMemory(t, nil)+"/x"
	mustRelocate(t, "-b", root, "--to-tar", file, "--volume-size", "1MB")
	move(t, dir, t.TempDir(), "r.tar.003")
	r := tryRelocate(t, "--from-tar", file, "--to-repo", repo, "--shard", "0/1")
	assertFailed(t, r, statusPartly, "waits for r.tar.003: ", "no manifest or tag was uploaded yet")
}
