package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"
)

// meter is a proxy in front of a registry that counts how far its clients are: a step for each request
// and for each piece of a blob that passes.
type meter struct {
	host     string
	up, down atomic.Int64                                                     // bytes of blobs that passed
	fault    func(w http.ResponseWriter, r *http.Request) bool                // answers some requests in the registry's place; nil: none
	piece    func(r *http.Request, passed int64) error                        // is told how much of a blob has passed, and may break it off
	change   func(w http.ResponseWriter, r *http.Request) http.ResponseWriter // nil: nothing
	mu       sync.Mutex
	steps    int
	at       int
	do       func()
	requests []string   // "METHOD PATH RANGE"
	active   int        // requests under way
	idle     *sync.Cond // of mu: active has become less
}

// pieceSize is how much of a blob is a step, in bytes.
const pieceSize = 64 << 10

// behave lets the registry answer otherwise from now on.
func (m *meter) behave(fault func(http.ResponseWriter, *http.Request) bool, change func(http.ResponseWriter, *http.Request) http.ResponseWriter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault, m.change = fault, change
}

func newMeter(t *testing.T, registry string) *meter {
	t.Helper()
	m := &meter{}
	m.idle = sync.NewCond(&m.mu)
	quiet := log.New(io.Discard, "", 0)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", registry
		},
		Transport:     &http.Transport{DisableCompression: true},
		FlushInterval: -1,
		ErrorLog:      quiet,
		ModifyResponse: func(res *http.Response) error {
			if res.Request.Method == http.MethodGet && strings.Contains(res.Request.URL.Path, "/blobs/") {
				res.Body = &metered{ReadCloser: res.Body, m: m, r: res.Request, bytes: &m.down}
			}
			return nil
		},
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer m.leave()
		m.mu.Lock()
		m.active++
		m.requests = append(m.requests, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")))
		fault, change := m.fault, m.change
		m.mu.Unlock()
		if m.step(); fault != nil && fault(w, r) {
			return
		}
		if change != nil {
			w = change(w, r)
		}
		if isUpload(r) {
			r.Body = &metered{ReadCloser: r.Body, m: m, r: r, bytes: &m.up}
		}
		proxy.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = quiet
	server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		_ = c.(*net.TCPConn).SetWriteBuffer(pieceSize) // what the system holds has not been read by the client
		return ctx
	}
	server.Start()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	m.host = server.Listener.Addr().String()
	return m
}

// behave changes what a meter does while requests may be under way.
func behave[T any](m *meter, field *T, value T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*field = value
}

// isUpload reports whether a request brings some of a blob.
func isUpload(r *http.Request) bool {
	return (r.Method == http.MethodPut || r.Method == http.MethodPatch) && strings.Contains(r.URL.Path, "/blobs/uploads/") && r.ContentLength > 0
}

// arm forgets the steps so far, and calls do at one of those to come; 0 is none.
func (m *meter) arm(at int, do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.steps, m.at, m.do = 0, at, do
}

func (m *meter) step() {
	m.mu.Lock()
	m.steps++
	reached, do := m.steps == m.at, m.do
	m.mu.Unlock()
	if reached {
		do()
	}
}

// leave ends a request.
func (m *meter) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active--
	m.idle.Broadcast()
}

// settle waits for requests whose client is gone, and returns the steps since arm.
func (m *meter) settle() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.active > 0 {
		m.idle.Wait()
	}
	return m.steps
}

// asked returns the requests that begin with prefix, and forgets all.
func (m *meter) asked(prefix string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for _, r := range m.requests {
		if strings.HasPrefix(r, prefix) {
			list = append(list, r)
		}
	}
	m.requests = nil
	return list
}

// metered is a body that is counted.
type metered struct {
	io.ReadCloser
	m      *meter
	r      *http.Request
	bytes  *atomic.Int64
	passed int64
}

func (b *metered) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), pieceSize)])
	b.bytes.Add(int64(n))
	b.passed += int64(n)
	b.m.step()
	b.m.mu.Lock()
	piece := b.m.piece
	b.m.mu.Unlock()
	if piece != nil && err == nil {
		err = piece(b.r, b.passed)
	}
	return n, err
}

// process is one run of the program that was built.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	started, ended chan struct{}
}

// newProcess prepares a run. Its locks are apart from the user's.
func newProcess(t *testing.T, args ...string) *process {
	t.Helper()
	skipShort(t)
	path, err := program()
	require.NoError(t, err)
	p := &process{cmd: exec.CommandContext(t.Context(), path, args...), started: make(chan struct{}), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+cacheHome())
	return p
}

// cacheHome is where the locks of processes are.
func cacheHome() string { return filepath.Join(os.Getenv("DOCKER_CONFIG"), "cache") }

// start starts the program.
func (p *process) start(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Start())
	close(p.started)
	go func() {
		_ = p.cmd.Wait() // its status is in the state
		close(p.ended)
	}()
}

// end waits for the end of the program, which must come.
func (p *process) end(t *testing.T) result {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(120 * time.Second):
		_ = p.cmd.Process.Signal(os.Interrupt)
		require.Fail(t, "the program does not end", p.stderr.String())
	}
	return result{p.cmd.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String()}
}

func (p *process) run(t *testing.T) result {
	t.Helper()
	p.start(t)
	return p.end(t)
}

// kill ends the program as a power cut would, and returns when it is gone.
func (p *process) kill() { p.signal(os.Kill); <-p.ended }

func (p *process) signal(s os.Signal) {
	<-p.started
	_ = p.cmd.Process.Signal(s) // it may have ended
}

// mustRun runs the program that was built, which must succeed.
func mustRun(t *testing.T, args ...string) result {
	t.Helper()
	r := newProcess(t, args...).run(t)
	require.Zero(t, r.status, "relocate %s\n%s%s", strings.Join(args, " "), r.stdout, r.stderr)
	return r
}

// pushLarge pushes a package repository with layers of the sizes given, in images, an index and a bundle
// in the bundle, and small things beside them. It returns its reference and the large layers.
func pushLarge(s site, sizes ...int) (root string, layers []v1.Descriptor) {
	s.t.Helper()
	var refs, inner []string
	image := func(repo string, i int, more ...string) v1.Descriptor {
		content := []string{noise(fmt.Sprint(repo, i), sizes[i])}
		layers = append(layers, descriptor(s.t, "", []byte(content[0])))
		return s.image(repo, "", append(content, more...)...)
	}
	var children []v1.Descriptor
	for i := range sizes {
		switch d := image("load/app", i, "a small layer", noise(fmt.Sprint("small", i), 1000+i)); i % 3 {
		case 0:
			refs = append(refs, s.ref("load/app", d))
		case 1:
			inner = append(inner, s.ref("load/app", d))
		default:
			children = append(children, d)
		}
	}
	if children != nil {
		inner = append(inner, s.ref("load/app", s.index("load/app", "", children...)))
	}
	for i := range 5 {
		refs = append(refs, s.ref("load/tool", s.image("load/tool", "", noise(fmt.Sprint("tool", i), 3000*i+1))))
	}
	refs = append(refs, s.ref("load/inner", s.bundle("load/inner", "", map[string]string{"config/a.yml": "a: 1\n"}, inner...)))
	pkg := s.ref("load/pkg", s.bundle("load/pkg", "", nil, refs...))
	s.bundle("load/repository", "1.0.0", map[string]string{"packages/p.yml": packageText("load.corp.com", "1.0.0", pkg)}, pkg)
	return s.host + "/load/repository:1.0.0", layers
}

// isSoak reports whether the tests may take long.
func isSoak() bool { return os.Getenv("RELOCATE_TEST_SOAK") == "1" }

// rounds returns how often a test with chance in it runs.
func rounds(normal, soak int) int {
	if isSoak() {
		return soak
	}
	return normal
}

// chance returns random numbers. RELOCATE_TEST_SEED gives those of an earlier run again.
func chance(t *testing.T) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(anySeed(t), 0))
}

// anySeed returns a number for each run, or RELOCATE_TEST_SEED.
func anySeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("RELOCATE_TEST_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("RELOCATE_TEST_SEED=%d", seed)
	return seed
}

// readFile returns the digest of a file; "" when there is none.
func digestOfFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return ""
	}
	require.NoError(t, err)
	return digestOf(b)
}
