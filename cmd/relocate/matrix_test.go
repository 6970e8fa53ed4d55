package main

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/hostileregistry"
	"relocate/testdata/realregistry"
)

// registryMatrix are the real registries that everything is tried with, and what each cannot do. The versions are
// those of testdata/registry/go.mod, and Debian's.
var registryMatrix = []matrixRegistry{
	{kind: realregistry.Distribution, version: "github.com/distribution/distribution v3.1.2",
		full: []int{statusNoSpace}}, // 500 UNKNOWN, with "no space left" in the detail
	{kind: realregistry.Debian, version: "Debian docker-registry 2.8.2+ds1",
		full: []int{statusNoSpace, statusFailed}, litter: true},
	{kind: realregistry.Olareg, version: "github.com/olareg/olareg v0.2.2",
		full: []int{statusFailed}}, // 500 without a body
	{kind: realregistry.Crane, version: "github.com/google/go-containerregistry v0.22.1, pkg/registry",
		memory: "manifests", full: []int{statusFailed, statusNoSpace}},
	{kind: realregistry.Ocimem, version: "cuelabs.dev/go/oci/ociregistry v0.0.0-20251212221603",
		memory: "everything"}, // and it takes Docker's manifests, though it has lost their blobs
}

// matrixRegistry is a registry of the matrix.
type matrixRegistry struct {
	kind    string
	version string
	program string // that runs it; "": testdata/registry
	memory  string // what it keeps in memory, which is lost when it restarts; "": nothing
	full    []int  // statuses of an import that fills its disk; nil: it has none
	litter  bool   // a full disk may leave files of no bytes: what they stand for is taken, and answered with 500
}

// TestRegistries does with each real registry what happens to it in the course of time. One more can be
// tried by hand: RELOCATE_TEST_REGISTRY names a program with the flags of testdata/registry, which prints
// the address that it listens at.
func TestRegistries(t *testing.T) {
	skipShort(t)
	t.Parallel()
	file := matrixArchive(t)
	list := registryMatrix
	if program := os.Getenv("RELOCATE_TEST_REGISTRY"); program != "" {
		list = []matrixRegistry{{kind: "other", version: program, program: program, full: []int{statusFailed, statusNoSpace}}}
	}
	for _, m := range list {
		t.Run(m.kind, func(t *testing.T) {
			t.Parallel()
			t.Run("crossing", func(t *testing.T) { t.Parallel(); m.crossing(t, file) })
			t.Run("rate limit", func(t *testing.T) { t.Parallel(); m.rateLimit(t, file) })
			t.Run("restart", func(t *testing.T) { t.Parallel(); m.restart(t, file) })
			t.Run("full disk", func(t *testing.T) { t.Parallel(); m.fullDisk(t, file) })
		})
	}
}

// matrixArchive exports a package repository with images of OCI's and of Docker's types, an index, large
// layers, and everything signed.
func matrixArchive(t *testing.T) string {
	t.Helper()
	s := newSignedSite(t, startReferrers(t))
	large := s.image("signed/large", "", noise("first", 2<<20), noise("second", 1<<20), noise("third", 1<<20))
	bundle := s.bundle("signed/bundle", "large", nil, s.ref("signed/large", large))
	refs := []string{s.ref("signed/bundle", s.bundles[1]), s.ref("signed/bundle", bundle)}
	s.bundle("signed/repository", matrixTag, map[string]string{
		"packages/app.yml":   packageText("app.example.com", "1.0.0", refs[0]),
		"packages/large.yml": packageText("large.example.com", "1.0.0", refs[1]),
	}, refs...)
	return export(t, s.host+"/signed/repository:"+matrixTag)
}

const matrixTag = "2.0" // of the root

// start runs the registry, behind a door that stays at its address.
func (m matrixRegistry) start(t *testing.T, dir string) (*realregistry.Registry, *hostileregistry.Registry) {
	t.Helper()
	reg := m.startAgain(t, dir)
	return reg, hostileregistry.StartAt(t, freeAddress(t), reg.Addr)
}

// startAgain runs the registry over a folder that may have content.
func (m matrixRegistry) startAgain(t *testing.T, dir string) *realregistry.Registry {
	t.Helper()
	return realregistry.Start(t, realregistry.Options{Kind: m.kind, Program: m.program, Dir: dir})
}

// No two tests are given the same port: one whose registry restarts is free for a moment.
var (
	firstPort = rand.Int32N(2_000)
	ports     atomic.Int32
)

// freeAddress is an address below those that systems give to whoever asks for any, so that it stays
// free while nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		addr := fmt.Sprint("127.0.0.1:", 30_002+(firstPort+ports.Add(1))%2_000)
		listener, err := net.Listen("tcp", addr)
		if err == nil {
			require.NoError(t, listener.Close())
			return addr
		}
	}
}

// crossing imports, verifies at each level, imports again without a write, and copies to another registry
// and back.
func (m matrixRegistry) crossing(t *testing.T, file string) {
	_, door := m.start(t, "")
	repo := door.Addr + "/inside/repository"
	mustRun(t, "--from-tar", file, "--to-repo", repo)
	for _, level := range []string{"manifests", "blobs", "deep"} {
		mustRun(t, "verify", "--repo", repo, file, "--level", level)
	}
	door.Behave(nil) // forgets the requests
	mustRun(t, "--from-tar", file, "--to-repo", repo)
	for _, request := range door.Requests() {
		assert.Regexp(t, "^(GET|HEAD) ", request, "a second import writes")
	}
	away := startReal(t).Addr + "/away/repository"
	for _, c := range [][2]string{{repo, away}, {away, door.Addr + "/back/again"}} {
		mustRun(t, "-b", c[0]+":"+matrixTag, "--to-repo", c[1])
		mustRun(t, "verify", "--repo", c[1], file, "--level", "deep")
	}
}

// rateLimit imports while 20 requests a second are answered.
func (m matrixRegistry) rateLimit(t *testing.T, file string) {
	_, door := m.start(t, "")
	repo := door.Addr + "/inside/repository"
	door.Behave(hostileregistry.AtMost(20))
	mustRun(t, "--from-tar", file, "--to-repo", repo)
	door.Behave(nil)
	mustRun(t, "verify", "--repo", repo, file, "--level", "deep")
}

// restart kills the registry in the middle of an import, at a write, and starts it again: the import goes
// through, unless the registry has lost what it said it had. Then another import does it, which asks for
// each blob.
func (m matrixRegistry) restart(t *testing.T, file string) {
	rnd := chance(t)
	for range rounds(1, 20) {
		dir := t.TempDir()
		reg, door := m.start(t, dir)
		repo := door.Addr + "/inside/repository"
		at, writes, restarted := int32(1+rnd.IntN(60)), atomic.Int32{}, sync.WaitGroup{}
		door.Behave(hostileregistry.On("PUT uploads, PUT manifests", func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
			if writes.Add(1) != at {
				next(w, r)
				return
			}
			door.Shut()
			reg.Kill()
			restarted.Go(func() { door.Reopen(m.startAgain(t, dir).Addr) })
			panic(http.ErrAbortHandler)
		}))
		r := newProcess(t, "--from-tar", file, "--to-repo", repo).run(t)
		restarted.Wait()
		door.Behave(nil)
		if m.litter && r.status != 0 { // a kill, too, may leave an empty manifest, which the registry never replaces
			require.Contains(t, r.stderr, "remove that manifest's file from its storage")
			removeEmpty(t, dir)
			r = newProcess(t, "--from-tar", file, "--to-repo", repo).run(t)
		}
		if m.memory == "" {
			require.Zero(t, r.status, "restart at write %d: %s", at, r.stderr)
		} else {
			t.Logf("%s keeps %s in memory; restart at write %d: status %d", m.version, m.memory, at, r.status)
			mustRun(t, "--from-tar", file, "--to-repo", repo, "--trust-registry", "blobs")
		}
		mustRun(t, "verify", "--repo", repo, file, "--level", "deep")
	}
}

// fullDisk fills the registry's disk. The import says so; with more room the same command goes through.
func (m matrixRegistry) fullDisk(t *testing.T, file string) {
	if m.full == nil {
		t.Skipf("%s keeps everything in memory: it has no disk", m.version)
	}
	for i := range rounds(1, 10) {
		dir := mountTemp(t, fmt.Sprint("size=", 1000+290*i, "k"))
		_, door := m.start(t, dir)
		repo := door.Addr + "/inside/repository"
		args := []string{"--from-tar", file, "--to-repo", repo, "--registry-retry-wait", "1ms"}
		r := newProcess(t, args...).run(t)
		require.Contains(t, m.full, r.status, r.stderr)
		require.NotZero(t, newProcess(t, "verify", "--repo", repo, file).run(t).status)
		out, err := exec.Command("mount", "-o", "remount,size=64m", dir).CombinedOutput()
		require.NoError(t, err, "%s", out)
		again := newProcess(t, args...).run(t)
		if m.litter && again.status != 0 {
			require.Contains(t, again.stderr, "remove that manifest's file from its storage")
			removeEmpty(t, dir)
			again = newProcess(t, args...).run(t)
		}
		require.Zero(t, again.status, again.stderr)
		mustRun(t, "verify", "--repo", repo, file, "--level", "deep")
	}
}

// removeEmpty removes manifests, blobs and links to them that have no bytes, as only the registry's
// administrator can.
func removeEmpty(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || (entry.Name() != "data" && entry.Name() != "link") {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Size() == 0 {
			t.Logf("removes %s, of no bytes", path)
			err = os.Remove(path)
		}
		return err
	}))
}
