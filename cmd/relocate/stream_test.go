package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/hostileregistry"
)

// TestStreamSameBytes: on standard output there are the bytes of the file and nothing else, whatever the
// concurrency, also when a layer comes in damaged once.
func TestStreamSameBytes(t *testing.T) {
	t.Parallel()
	m := newMeter(t, startReal(t).Addr)
	root, layers := pushLarge(site{t: t, host: m.host}, 3<<20, 5<<20, 1<<20)
	want := digestOfFile(t, export(t, root))
	var damaged atomic.Int32
	behave(m, &m.change, func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
		if strings.HasSuffix(r.URL.Path, layers[0].Digest.String()) && damaged.Add(1) == 1 {
			return &flipping{ResponseWriter: w, at: 2 << 20}
		}
		return w
	})
	for _, jobs := range []string{"1", "3", "16"} {
		damaged.Store(0)
		r := mustRun(t, "-b", root, "--to-tar", "-", "--concurrency", jobs)
		assert.Equal(t, want, digestOf(r.stdout), "concurrency %s", jobs)
		assertAll(t, r.stderr, "exported ", "seal  sha256:")
		assert.Equal(t, int32(2), damaged.Load())
	}
}

// flipping changes a bit of what is written.
type flipping struct {
	http.ResponseWriter
	at int
}

func (f *flipping) Write(p []byte) (int, error) {
	if f.at >= 0 && f.at < len(p) {
		p = bytes.Clone(p)
		p[f.at] ^= 1
	}
	f.at -= len(p)
	return f.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController find Flush.
func (f *flipping) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// TestStreamPipe exports into a pipe from which is imported. The destination is what a file makes of it, and
// a second import writes nothing.
func TestStreamPipe(t *testing.T) {
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	root, _ := pushLarge(site{t: t, host: src.Addr}, 3<<20, 5<<20, 1<<20)
	file := export(t, root)
	byFile := mustRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/file")
	for round := range 2 {
		dst.ResetRequests()
		out := newProcess(t, "-b", root, "--to-tar", "-")
		in := newProcess(t, "--from-tar", "-", "--to-repo", dst.Addr+"/pipe")
		var err error
		out.cmd.Stdout = nil
		in.cmd.Stdin, err = out.cmd.StdoutPipe()
		require.NoError(t, err)
		out.start(t)
		r := in.run(t)
		require.Zero(t, r.status, r.stderr)
		require.Zero(t, out.end(t).status)
		assert.Equal(t, strings.ReplaceAll(byFile.stdout, "/file", "/pipe"), r.stdout)
		assert.Equal(t, dumpReal(t, dst, "file").as("file"), dumpReal(t, dst, "pipe").as("pipe"))
		if round == 1 {
			noWrites(t, dst.Requests())
		}
	}
	mustRelocate(t, "verify", "--repo", dst.Addr+"/pipe", file)
}

// importBytes imports an archive from standard input.
func importBytes(t *testing.T, r io.Reader, args ...string) (result, *process) {
	t.Helper()
	p := newProcess(t, append([]string{"--from-tar", "-"}, args...)...)
	p.cmd.Stdin = r
	return p.run(t), p
}

// TestStreamDamaged: a stream that ends early, is damaged, or has something behind its end is refused
// before a manifest is put.
func TestStreamDamaged(t *testing.T) {
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	root, _ := pushLarge(site{t: t, host: src.Addr}, 100<<10, 5<<20, 200<<10)
	archive, err := os.ReadFile(export(t, root))
	require.NoError(t, err)
	n, end := len(archive), len(archive)-2*512-512-512 // of the last layer's padding
	refuse := func(what string, r io.Reader, parts ...string) {
		dst.ResetRequests()
		got, _ := importBytes(t, r, "--to-repo", dst.Addr+"/x")
		assertFailed(t, got, statusDamage, parts...)
		for _, request := range dst.Requests() {
			assert.NotRegexp(t, `PUT /v2/x/manifests/.`, strings.ReplaceAll(request, "sha256:"+strings.Repeat("0", 64), ""), what) // but the preflight's, which is refused
		}
	}
	rnd := chance(t)
	cuts := []int{0, 1, 511, 512, 5000, n / 2, end, end + 600, n - 1024, n - 1}
	for range rounds(5, 200) {
		cuts = append(cuts, rnd.IntN(n))
	}
	for _, at := range cuts {
		r := io.Reader(bytes.NewReader(archive[:at]))
		if at == 511 || at == 5000 {
			r = iotest.OneByteReader(r)
		}
		refuse(fmt.Sprint("cut at ", at), r)
	}
	for range rounds(8, 200) {
		at := rnd.IntN(n)
		damaged := bytes.Clone(archive)
		damaged[at] ^= 1 << rnd.IntN(8)
		refuse(fmt.Sprintf("byte %d flipped", at), bytes.NewReader(damaged))
	}
	for _, at := range []int{end, end + 10, n - 1100, n - 1, 600, 2000} { // frames and the seal
		damaged := bytes.Clone(archive)
		damaged[at] ^= 4
		refuse(fmt.Sprintf("byte %d flipped", at), bytes.NewReader(damaged))
	}
	refuse("more", io.MultiReader(bytes.NewReader(archive), strings.NewReader("x")), "other bytes than zeros follow its end")
	assert.False(t, has(t, dst.Addr, "/v2/x/manifests/1.0.0"))

	r, _ := importBytes(t, iotest.HalfReader(bytes.NewReader(archive)), "--to-repo", dst.Addr+"/x")
	require.Zero(t, r.status, r.stderr)
}

// TestStreamRetry: a layer whose upload breaks off is sent again from what was kept of it. When that cannot
// be kept, an upload that does not break goes through all the same.
func TestStreamRetry(t *testing.T) {
	t.Parallel()
	registry := startReal(t)
	root, _ := pushLarge(site{t: t, host: registry.Addr}, 3<<20, 6<<20)
	archive, err := os.ReadFile(export(t, root))
	require.NoError(t, err)
	m := newMeter(t, registry.Addr)
	var breaks atomic.Int32
	var at atomic.Int64
	behave(m, &m.piece, func(r *http.Request, passed int64) error {
		if isUpload(r) && passed > at.Load() && breaks.Add(-1) >= 0 {
			return io.ErrUnexpectedEOF
		}
		return nil
	})
	breaks.Store(2)
	at.Store(512 << 10)
	r, _ := importBytes(t, bytes.NewReader(archive), "--to-repo", m.host+"/retried")
	require.Zero(t, r.status, r.stderr)
	assert.Less(t, breaks.Load(), int32(0))
	whole := dumpReal(t, registry, "retried").as("retried")

	full := mountTemp(t, "size=2m")
	breaks.Store(0)
	r, _ = importBytes(t, bytes.NewReader(archive), "--to-repo", m.host+"/once", "--tmpdir", full)
	require.Zero(t, r.status, r.stderr)
	assert.Equal(t, whole, dumpReal(t, registry, "once").as("once"))
	breaks.Store(1)
	at.Store(4 << 20)
	r, _ = importBytes(t, bytes.NewReader(archive), "--to-repo", m.host+"/broken", "--tmpdir", full)
	assertFailed(t, r, statusNoSpace, "another try is not possible", full, "no space left")
	assert.False(t, has(t, registry.Addr, "/v2/broken/manifests/1.0.0"))
	assert.Empty(t, namesIn(t, full))

	fuller := mountTemp(t, "size=8k") // not even what comes before the layers
	r, _ = importBytes(t, bytes.NewReader(archive), "--to-repo", m.host+"/none", "--tmpdir", fuller)
	assertFailed(t, r, statusNoSpace, fuller, "no space left")
}

// TestStreamDamagedOnItsWay: layers of a stream that come to the registry damaged are sent once more.
func TestStreamDamagedOnItsWay(t *testing.T) {
	t.Parallel()
	src, dst := hostileregistry.Start(t), hostileregistry.Start(t)
	root, _ := pushLarge(site{t: t, host: src.Addr}, 100<<10, 5<<20)
	archive, err := os.ReadFile(export(t, root))
	require.NoError(t, err)
	damaged := hostileregistry.On("PUT uploads", swallow(hostileregistry.Refuse(400, "DIGEST_INVALID", "provided digest did not match uploaded content")))
	dst.Behave(hostileregistry.First(1, damaged))
	r, _ := importBytes(t, bytes.NewReader(archive), "--to-repo", dst.Addr+"/x")
	require.Zero(t, r.status, r.stderr)
	dst.Behave(damaged)
	r, _ = importBytes(t, bytes.NewReader(archive), "--to-repo", dst.Addr+"/y")
	assertFailed(t, r, statusDamage, "DIGEST_INVALID", "hint: the content was changed in transit")
}

// TestStreamSilent: an interrupt ends an import that waits for its input.
func TestStreamSilent(t *testing.T) {
	skipShort(t)
	t.Parallel()
	src := startReal(t)
	archive, err := os.ReadFile(export(t, pushSample(t, src.Addr)))
	require.NoError(t, err)
	for _, n := range []int{0, 700, len(archive) / 2, len(archive) - 5000, len(archive) - 1, len(archive)} {
		for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
			in, out, err := os.Pipe()
			require.NoError(t, err)
			p := newProcess(t, "--from-tar", "-", "--to-repo", src.Addr+"/silent")
			p.cmd.Stdin = in
			p.start(t)
			go func() { _, _ = out.Write(archive[:n]) }()
			lock := filepath.Join(cacheHome(), "relocate", "locks", digestOf(src.Addr + "/silent")[7:])
			require.Eventually(t, func() bool { _, err := os.Stat(lock); return err == nil }, 2*time.Minute, time.Millisecond)
			assertInterrupted(t, p, s)
			assert.NoFileExists(t, lock)
			in.Close()
			out.Close()
		}
	}
	assert.False(t, has(t, src.Addr, "/v2/silent/manifests/1.0.0"), "the end of the input has not come")
}

// TestStreamToTerminal is refused before anything is read.
func TestStreamToTerminal(t *testing.T) {
	t.Parallel()
	script, err := exec.LookPath("script")
	if err != nil {
		t.Skip("needs script (util-linux), for a terminal")
	}
	path, err := program()
	require.NoError(t, err)
	gone := startCanary(t, "127.0.0.1:0")
	out, err := exec.CommandContext(t.Context(), script, "-qec", path+" -b "+gone.addr+"/a:1 --to-tar -", "/dev/null").CombinedOutput()
	require.Error(t, err)
	assert.Equal(t, statusUsage, err.(*exec.ExitError).ExitCode(), "%s", out)
	assertAll(t, string(out), "standard output is a terminal")
	gone.assertSilent(t)
}

// TestStreamMemory sends more through a pipe than the two programs may hold.
func TestStreamMemory(t *testing.T) {
	skipShort(t)
	t.Parallel()
	const most = 128 << 10 // KiB
	layers := &generated{small: map[v1.Hash][]byte{}, size: map[v1.Hash]int64{}, got: map[v1.Hash]bool{}}
	src, dst := layers.serve(t, false), layers.serve(t, true)
	s := site{t: t, host: src}
	var list []v1.Descriptor
	for _, mib := range []int64{int64(rounds(160, 1024)), 40, 3, 30, 4, 4, 3, 20} {
		list = append(list, layers.add(t, mib<<20+int64(len(list))))
	}
	image := s.imageOf("load/app", "", s.blob("load/app", types.OCIConfigJSON, []byte("{}")), list...)
	s.bundle("load/repository", "1", nil, s.ref("load/app", image))

	out := newProcess(t, "-b", src+"/load/repository:1", "--to-tar", "-")
	in := newProcess(t, "--from-tar", "-", "--to-repo", dst+"/x", "--tmpdir", t.TempDir())
	var err error
	out.cmd.Stdout = nil
	in.cmd.Stdin, err = out.cmd.StdoutPipe()
	require.NoError(t, err)
	out.start(t)
	in.start(t)
	peaks := map[string]int{}
	for running := true; running; { // the marks are gone when the programs are
		select {
		case <-in.ended:
			running = false
		case <-time.After(20 * time.Millisecond):
			peaks["export"], peaks["import"] = max(peaks["export"], out.peak()), max(peaks["import"], in.peak())
		}
	}
	require.Zero(t, in.end(t).status, in.stderr.String())
	require.Zero(t, out.end(t).status, out.stderr.String())
	for name := range peaks {
		assert.Positive(t, peaks[name])
		t.Logf("%s: %d MiB at most", name, peaks[name]>>10)
		assert.Less(t, peaks[name], most, name)
	}
}

// peak returns the most memory that the program has had so far, in KiB; 0 when it has ended.
func (p *process) peak() int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	_, mark, _ := strings.Cut(string(text), "VmHWM:")
	kib := 0
	_, _ = fmt.Sscan(mark, &kib)
	return kib
}

// generated is blobs of registries, of which large ones are made when they are asked for, and hashed by the
// registry and dropped when they come.
type generated struct {
	mu    sync.Mutex
	small map[v1.Hash][]byte
	size  map[v1.Hash]int64
	got   map[v1.Hash]bool
}

// layerOf gives size bytes that do not compress, and differ with the size.
func layerOf(size int64) io.Reader {
	block := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{byte(size), byte(size >> 20), byte(size >> 28)}).Read(block)
	var blocks []io.Reader
	for left := size; left > 0; left -= int64(len(block)) {
		blocks = append(blocks, bytes.NewReader(block))
	}
	return io.LimitReader(io.MultiReader(blocks...), size)
}

func (g *generated) add(t *testing.T, size int64) v1.Descriptor {
	t.Helper()
	sum := sha256.New()
	_, err := io.Copy(sum, layerOf(size))
	require.NoError(t, err)
	h := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
	g.size[h] = size
	return v1.Descriptor{MediaType: types.OCILayer, Digest: h, Size: size}
}

// serve starts a registry that has all layers, or those that came.
func (g *generated) serve(t *testing.T, empty bool) (host string) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithBlobHandler(&generatedBlobs{g, empty})))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return strings.TrimPrefix(server.URL, "http://")
}

type generatedBlobs struct {
	*generated
	empty bool
}

// Get implements registry.BlobHandler.
func (g *generatedBlobs) Get(_ context.Context, _ string, h v1.Hash) (io.ReadCloser, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b, ok := g.small[h]; ok {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	if size, ok := g.size[h]; ok && (!g.empty || g.got[h]) {
		return io.NopCloser(layerOf(size)), nil
	}
	return nil, registry.ErrNotFound
}

// Stat implements registry.BlobStatHandler.
func (g *generatedBlobs) Stat(_ context.Context, _ string, h v1.Hash) (int64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b, ok := g.small[h]; ok {
		return int64(len(b)), nil
	}
	if size, ok := g.size[h]; ok && (!g.empty || g.got[h]) {
		return size, nil
	}
	return 0, registry.ErrNotFound
}

// Put implements registry.BlobPutHandler.
func (g *generatedBlobs) Put(_ context.Context, _ string, h v1.Hash, r io.ReadCloser) error {
	defer r.Close()
	if _, ok := g.size[h]; ok {
		_, err := io.Copy(io.Discard, r)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.got[h] = err == nil
		return err
	}
	b, err := io.ReadAll(r)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.small[h] = b
	return err
}

// assertInterrupted sends a signal, upon which the program must end soon and say how to go on.
func assertInterrupted(t *testing.T, p *process, s os.Signal) result {
	t.Helper()
	p.signal(s)
	sent := time.Now()
	r := p.end(t)
	assert.Less(t, time.Since(sent), time.Minute)
	assert.Equal(t, statusInterrupted, r.status, "%v: %s", s, r.stderr)
	assertAll(t, r.stderr, "hint: run the same command again")
	return r
}
