package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/custody"
)

// again is what a kill may cost for each worker, in bytes, beside a twentieth of the whole.
const again = 8 << 20

// TestKillExport kills exports when some number of requests and pieces of blobs has passed, several times
// in a row, and lets the next one end. What has the final name is whole; the end is the same; little is
// fetched twice.
func TestKillExport(t *testing.T) {
	skipShort(t)
	t.Parallel()
	m := newMeter(t, startReal(t).Addr)
	root, _ := pushLarge(site{t: t, host: m.host}, sized(9, 4, 3, 2, 1)...)
	dir := t.TempDir()
	m.arm(0, nil)
	before := m.down.Load()
	mustRun(t, "-b", root, "--to-tar", filepath.Join(dir, "clean.tar"))
	want, steps, size := digestOfFile(t, filepath.Join(dir, "clean.tar")), m.settle(), m.down.Load()-before
	rnd := chance(t)
	var killed, moved, allowed int64
	for round := range rounds(8, 120) {
		jobs, dir := []int{1, 1, 2, 4}[rnd.IntN(4)], t.TempDir()
		file, old := filepath.Join(dir, "r.tar"), ""
		if rnd.IntN(2) == 0 {
			old = digestOf("old")
			require.NoError(t, os.WriteFile(file, []byte("old"), 0o600))
		}
		args := []string{"-b", root, "--to-tar", file, "--concurrency", fmt.Sprint(jobs)}
		before, kills := m.down.Load(), 0
		for left := 1 + rnd.IntN(4); digestOfFile(t, file) != want; left-- {
			p := newProcess(t, args...)
			if m.arm(0, nil); left > 0 {
				m.arm(1+rnd.IntN(steps), late(p, rnd.IntN(20)))
			}
			if r := p.run(t); left == 0 || r.status == 0 {
				require.Zero(t, r.status, r.stderr)
				assert.Equal(t, []string{"r.tar", "r.tar.seal"}, namesIn(t, dir))
				break
			}
			require.Equal(t, -1, p.cmd.ProcessState.ExitCode(), p.stderr.String())
			m.settle()
			kills++
			if got := digestOfFile(t, file); got != want { // the kill may come when it has its name
				require.Equal(t, old, got, "round %d: the file under the final name", round)
			}
		}
		require.Equal(t, want, digestOfFile(t, file), "round %d", round)
		m.settle()
		got, most := m.down.Load()-before, size*21/20+int64(kills*jobs)*again
		moved, killed, allowed = moved+got-size, killed+int64(kills), allowed+most-size
		assert.LessOrEqual(t, got, most, "round %d: bytes fetched with %d kills and %d workers; the archive has %d", round, kills, jobs, size)
		require.NoError(t, os.RemoveAll(dir))
	}
	t.Logf("%d kills; %d of %d bytes fetched again a kill; %d allowed", killed, moved/max(killed, 1), size, allowed/max(killed, 1))
}

// sized returns the sizes of layers in bytes, of some MiB; more when there is time.
func sized(mib ...int) []int {
	for i := range mib {
		mib[i] *= rounds(1, 3) << 20
	}
	return mib
}

// late kills a process some milliseconds from now: up to 10 of them; more is now.
func late(p *process, ms int) func() {
	if ms > 10 {
		return p.kill
	}
	return func() { time.AfterFunc(time.Duration(ms)*time.Millisecond, p.kill) }
}

// TestKillImport kills imports, as TestKillExport does. Whatever the repository shows after each is complete.
// An upload that was cut off begins again: no layer here is larger than what a kill may cost.
func TestKillImport(t *testing.T) {
	skipShort(t)
	t.Parallel()
	registry := startReal(t)
	m := newMeter(t, registry.Addr)
	root, _ := pushLarge(site{t: t, host: registry.Addr}, 4<<20, 3<<20, 3<<20, 2<<20, 2<<20, 1<<20)
	file := filepath.Join(t.TempDir(), "r.tar")
	mustRun(t, "-b", root, "--to-tar", file)
	before := m.up.Load()
	m.arm(0, nil)
	mustRun(t, "--from-tar", file, "--to-repo", m.host+"/clean")
	steps, size := m.settle(), m.up.Load()-before
	clean := dumpReal(t, registry, "clean").as("clean")
	needs := clean.closures(t)
	rnd := chance(t)
	var killed, moved int64
	for round := range rounds(8, 120) {
		jobs, repo := []int{1, 1, 2, 4}[rnd.IntN(4)], fmt.Sprint("round", round)
		args := []string{"--from-tar", file, "--to-repo", m.host + "/" + repo, "--concurrency", fmt.Sprint(jobs)}
		if round%3 == 2 {
			args = append(args, "--trust-registry", "blobs")
		}
		before, kills := m.up.Load(), 0
		for range 1 + rnd.IntN(4) {
			p := newProcess(t, args...)
			m.arm(1+rnd.IntN(steps), late(p, rnd.IntN(20)))
			if r := p.run(t); r.status == 0 {
				break
			}
			require.Equal(t, -1, p.cmd.ProcessState.ExitCode(), p.stderr.String())
			m.settle()
			kills++
			assertComplete(t, registry.Addr, repo, clean, needs)
		}
		m.arm(0, nil)
		mustRun(t, args...)
		m.settle()
		got, most := m.up.Load()-before, size*21/20+int64(kills*jobs)*again
		moved, killed = moved+got-size, killed+int64(kills)
		assert.LessOrEqual(t, got, most, "round %d: bytes sent with %d kills and %d workers; the layers have %d", round, kills, jobs, size)
		assert.Equal(t, clean, dumpReal(t, registry, repo).as(repo), "round %d", round)
		require.NoError(t, os.RemoveAll(filepath.Join(registry.Dir, "docker/registry/v2/repositories", repo)))
	}
	t.Logf("%d kills; %d of %d bytes sent again a kill", killed, moved/max(killed, 1), size)
}

// as drops the name of the repository, and the content of blobs, which was found right.
func (d dump) as(repo string) dump {
	tags, blobs := map[string]string{}, map[string]string{}
	for tag, digest := range d.tags {
		tags[strings.TrimPrefix(tag, repo+":")] = digest
	}
	for digest, content := range d.blobs {
		if blobs[digest] = ""; strings.HasPrefix(content, "\x1f\x8b") {
			blobs[digest] = content
		}
	}
	return dump{tags, d.manifests, blobs}
}

var digestForm = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// closures returns, of each manifest, the paths of what it must not be seen without: its blobs and children
// and, as bundles and locations images list them in their layers, other manifests.
func (d dump) closures(t *testing.T) map[string][]string {
	t.Helper()
	needs := map[string][]string{}
	for digest, manifest := range d.manifests {
		doc := manifest.document(t)
		for _, child := range doc.Manifests {
			needs[digest] = append(needs[digest], "manifests/"+child.Digest)
		}
		for _, layer := range doc.Layers {
			needs[digest] = append(needs[digest], "blobs/"+layer.Digest)
			r, err := gzip.NewReader(strings.NewReader(d.blobs[layer.Digest]))
			if err != nil {
				continue
			}
			text, err := io.ReadAll(r)
			require.NoError(t, err)
			for _, listed := range digestForm.FindAll(text, -1) {
				if _, ok := d.manifests[string(listed)]; ok {
					needs[digest] = append(needs[digest], "manifests/"+string(listed))
				}
			}
		}
		if doc.Config != nil {
			needs[digest] = append(needs[digest], "blobs/"+doc.Config.Digest)
		}
	}
	return needs
}

// assertComplete fails when a repository shows a manifest and not all that it needs, or the root's tag
// and not everything.
func assertComplete(t *testing.T, host, repo string, clean dump, needs map[string][]string) {
	t.Helper()
	known := map[string]bool{}
	there := func(path string) bool {
		if _, asked := known[path]; !asked {
			known[path] = has(t, host, "/v2/"+repo+"/"+path)
		}
		return known[path]
	}
	var visible []string // first: more may come while this asks, and none goes
	for digest := range clean.manifests {
		if there("manifests/" + digest) {
			visible = append(visible, digest)
		}
	}
	clear(known)
	for tag, digest := range clean.tags {
		if there("manifests/" + tag) {
			assert.True(t, there("manifests/"+digest), "%s shows tag %s without its manifest", repo, tag)
		}
	}
	for _, digest := range visible {
		for _, path := range needs[digest] {
			assert.True(t, there(path), "%s shows manifest %s without %s", repo, digest, path)
		}
	}
	if has(t, host, "/v2/"+repo+"/manifests/1.0.0") {
		for _, tag := range slices.Sorted(maps.Keys(clean.tags)) {
			assert.True(t, there("manifests/"+tag), "%s shows the root's tag without %s", repo, tag)
		}
	}
}

// TestKillAtSystemCall kills exports at each call that changes what is on the disk, by strace: with the
// archive's end, which no request tells of. Strace counts the calls of each thread by itself.
func TestKillAtSystemCall(t *testing.T) {
	skipShort(t)
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace, to kill at a system call")
	}
	root := pushSample(t, startReal(t).Addr)
	want := digestOfFile(t, export(t, root))
	keys := t.TempDir()
	key := newSealer(t, keys, "ops")
	signed := []string{"-b", root, "--sign-key", key + ".key", "--sign-key-password-file", filepath.Join(keys, "password"), "--to-tar"}
	for _, call := range []string{"fallocate", "ftruncate", "fsync", "renameat", "unlinkat", "openat", "pwrite64"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			for n, step := 1, 1; ; n += step {
				dir := t.TempDir()
				file := filepath.Join(dir, "r.tar")
				require.NoError(t, os.WriteFile(file, []byte("old"), 0o600))
				for _, ending := range companions {
					require.NoError(t, os.WriteFile(file+ending, []byte("old"), 0o600))
				}
				p := newProcess(t, append(signed, file)...)
				wrap := []string{strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", call, n)}
				if call == "openat" {
					wrap = append(wrap, "-P", file+".part") // its journal is there already
				}
				p.cmd.Args = slices.Concat(wrap, []string{p.cmd.Path}, p.cmd.Args[1:])
				p.cmd.Path = strace
				r := p.run(t)
				if strings.Contains(r.stderr, "PTRACE") || strings.Contains(r.stderr, "invalid system call") {
					t.Skipf("strace does not work here: %s", r.stderr)
				}
				got := digestOfFile(t, file)
				if r.status == 0 {
					require.Greater(t, n, 1, "there is no such call")
					require.Equal(t, want, got)
					return
				}
				if got != want {
					require.Equal(t, digestOf("old"), got, "killed at %s %d", call, n)
				} else {
					requireOwnCompanions(t, file, key)
				}
				if n > 12 && !isSoak() {
					step = 5
				}
				mustRun(t, append(signed, file)...)
				mustRun(t, "verify", file, "--trust", key+".pub")
				require.Equal(t, want, digestOfFile(t, file), "killed at %s %d", call, n)
				left := slices.DeleteFunc(namesIn(t, dir), func(name string) bool { // killed before a scratch file was unlinked or renamed
					return strings.HasPrefix(name, ".relocate-")
				})
				require.Equal(t, []string{"r.tar", "r.tar.seal", "r.tar.seal.sigstore.json"}, left, "killed at %s %d", call, n)
			}
		})
	}
}

// companions are the endings of what may lie beside an archive, but for parts of it.
var companions = []string{custody.SealEnding, custody.BundleEnding, custody.SSHEnding, custody.ReceiptsEnding}

// requireOwnCompanions: what lies beside a new archive is about that one, or is not there.
func requireOwnCompanions(t *testing.T, file, key string) {
	t.Helper()
	for _, ending := range companions {
		text, err := os.ReadFile(file + ending)
		require.True(t, err != nil || string(text) != "old", ending)
	}
	if _, err := os.Lstat(file + custody.BundleEnding); err == nil {
		mustRun(t, "verify", file, "--trust", key+".pub")
	}
}
