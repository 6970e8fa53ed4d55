// Package realregistry starts real registries for tests, each as a process of
// its own: [Start] the distribution project's current code (the program in
// testdata/registry), [StartDebian] the older one which Debian packages.
//
// In front of each stands a proxy in the test's process, which notes the
// requests. It passes everything on as it is, streaming, and notes a request
// before the client sees the answer: what a client has done is in
// [Registry.Requests] when its call returns.
package realregistry

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
)

// Options says how [Start] runs a registry. The zero value is an empty
// registry over plain HTTP which lets anyone read and write.
type Options struct {
	Kind     string // Distribution or another; empty: Distribution
	Program  string // to run in place of testdata/registry, with its flags; empty: none
	Dir      string // folder with the registry's content; empty: a new one, gone after the test
	Htpasswd string // file of names and bcrypt hashes; empty: no authentication
	CertFile string // certificate in PEM; empty: plain HTTP
	KeyFile  string // its key in PEM; required with CertFile
	ClientCA string // certificates in PEM, by one of which a client's must be; empty: clients need none
	NoURLs   bool   // Debian: refuse manifests of layers with URLs, as the registry does by default
	NoDelete bool   // Debian: delete nothing, as the registry does by default
}

// Kinds of registries. What testdata/registry runs is there on any machine;
// Debian's docker-registry only where it is installed.
const (
	Distribution = "distribution" // github.com/distribution/distribution/v3
	Sparse       = "sparse"       // the same, which takes an index without its children
	Listed       = "listed"       // the same, which takes an index if what it has for linux/amd64 is there
	Olareg       = "olareg"       // github.com/olareg/olareg
	Crane        = "crane"        // github.com/google/go-containerregistry/pkg/registry
	Ocimem       = "ocimem"       // cuelabs.dev/go/oci/ociregistry/ocimem
	Debian       = "debian"       // distribution 2.8
)

// Registry is a running registry. Its methods may be called concurrently.
type Registry struct {
	Addr string // "127.0.0.1:PORT"
	Dir  string // root of the storage: Dir/docker/registry/v2/{blobs,repositories}

	stop      func()
	kill      func() // of the process alone
	collector func() *exec.Cmd

	mu       sync.Mutex
	requests []string
}

// Start runs a registry until the test ends. The first use of the program in
// testdata/registry on a machine builds it, which takes up to a minute; go
// keeps the result in its build cache.
func Start(t testing.TB, opts Options) *Registry {
	t.Helper()
	if opts.Kind == Debian {
		return startDebian(t, opts)
	}
	path := opts.Program
	if path == "" {
		var err error
		if path, err = Program(); err != nil {
			t.Fatalf("build testdata/registry: %v", err)
		}
	}
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	cmd := exec.Command(path, "-kind", cmp.Or(opts.Kind, Distribution), "-dir", opts.Dir, "-htpasswd", opts.Htpasswd)
	r := start(t, cmd, opts)
	r.collector = func() *exec.Cmd { return exec.Command(path, "-collect", "-dir", opts.Dir) }
	return r
}

// StartDebian runs Debian's docker-registry until the test ends, and skips the
// test where that is not installed.
func StartDebian(t testing.TB) *Registry {
	t.Helper()
	return startDebian(t, Options{})
}

func startDebian(t testing.TB, opts Options) *Registry {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("docker-registry is not installed (Debian package docker-registry)")
	}
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	config := filepath.Join(t.TempDir(), "config.yml")
	text := fmt.Sprintf(debianConfig, opts.Dir)
	if opts.NoURLs {
		text, _, _ = strings.Cut(text, "validation:")
	}
	if opts.NoDelete {
		text = strings.Replace(text, "delete: {enabled: true}", "delete: {enabled: false}", 1)
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, exec.Command(program, "serve", config), opts)
	r.collector = func() *exec.Cmd { return exec.Command(program, "garbage-collect", config) }
	return r
}

// CollectGarbage runs the garbage collector of a registry of the distribution project, Debian's or the
// current one, over its content.
func (r *Registry) CollectGarbage(t testing.TB) {
	t.Helper()
	out, err := r.collector().CombinedOutput()
	if err != nil {
		t.Fatalf("collect garbage: %v\n%s", err, out)
	}
}

// debianConfig says what testdata/registry/main.go says in Go. The address it
// took is in the log, at level info.
const debianConfig = `
version: 0.1
log:
  level: info
  accesslog: {disabled: true}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
http:
  addr: 127.0.0.1:0
  draintimeout: 5s
validation:
  manifests:
    urls:
      allow: ['^https?://']
`

// Requests returns the requests since the start or the last ResetRequests, in
// the order of their answers, each as "STATUS METHOD PATH?QUERY". The status is
// 502 where the registry did not answer, or the client left before it did.
func (r *Registry) Requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// ResetRequests forgets the requests so far.
func (r *Registry) ResetRequests() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = nil
}

// Kill ends the registry as a power cut would. The content of Dir stays, in
// whatever state it is, for another registry of the same kind.
func (r *Registry) Kill() {
	r.kill()
	r.stop()
}

// Stop ends the registry and breaks its connections: from then on, Addr
// refuses. The content of Dir stays. A second call does nothing.
func (r *Registry) Stop() { r.stop() }

func (r *Registry) note(status int, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, fmt.Sprintf("%d %s %s", status, req.Method, req.URL.RequestURI()))
}

// start runs cmd, which prints the address it listens on, and the proxy.
func start(t testing.TB, cmd *exec.Cmd, opts Options) *Registry {
	t.Helper()
	addr, stop := startProcess(t, cmd)
	r := &Registry{Dir: opts.Dir, kill: func() { _ = cmd.Process.Kill() }}
	server := httptest.NewUnstartedServer(r.proxy(addr))
	if opts.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(opts.CertFile, opts.KeyFile)
		if err != nil {
			stop()
			t.Fatal(err)
		}
		server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		if opts.ClientCA != "" {
			server.TLS.ClientAuth, server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, clientCAs(t, opts.ClientCA)
		}
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.EnableHTTP2 = true
		server.StartTLS()
	} else {
		server.Start()
	}
	r.Addr = server.Listener.Addr().String()
	r.stop = sync.OnceFunc(func() {
		// Close alone would wait for clients which still read.
		server.CloseClientConnections()
		server.Close()
		stop()
	})
	t.Cleanup(r.stop)
	return r
}

// proxy passes requests on to the registry at addr. The Host header stays the
// client's, because the registry builds its Location headers from it.
func (r *Registry) proxy(addr string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetXForwarded()
			p.Out.URL.Scheme = "http"
			p.Out.URL.Host = addr
		},
		// The environment's proxy is none of the registry's business, and the
		// answer to one who did not ask for compression is not compressed.
		Transport:     &http.Transport{DisableCompression: true},
		FlushInterval: -1,
		ModifyResponse: func(resp *http.Response) error {
			r.note(resp.StatusCode, resp.Request)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, req *http.Request, _ error) {
			r.note(http.StatusBadGateway, req)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
}

// listening finds the address in what a registry prints: the program of
// testdata/registry prints nothing else, Debian's has it in a line of its log.
var listening = regexp.MustCompile(`127\.0\.0\.1:[1-9][0-9]*`)

// startProcess runs cmd, waits for the address, and returns it with what ends
// the process.
func startProcess(t testing.TB, cmd *exec.Cmd) (addr string, stop func()) {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	// REGISTRY_… in the environment would change the configuration.
	cmd.Env = []string{}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the registry: %v", err)
	}
	stop = sync.OnceFunc(func() {
		kill := time.AfterFunc(stopTimeout, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		// Its status says only that a signal ended it.
		_ = cmd.Wait()
	})
	t.Cleanup(stop)

	kill := time.AfterFunc(startTimeout, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	var output strings.Builder
	lines := bufio.NewReader(stdout)
	for addr == "" {
		line, err := lines.ReadString('\n')
		output.WriteString(line)
		if err != nil {
			t.Fatalf("%s ended, or did not listen within %v; it printed:\n%s", cmd.Path, startTimeout, &output)
		}
		addr = listening.FindString(line)
	}
	// The rest is a line for each 404. It is read so that the registry does
	// not block, until Wait closes the pipe.
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return addr, stop
}

// Program builds testdata/registry and returns the executable's path, which is
// in go's build cache: there is nothing to remove, and test processes which do
// the same at the same time share it.
var Program = sync.OnceValues(func() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	if !filepath.IsAbs(file) {
		return "", errors.New("the test does not know its source folder: build it without -trimpath")
	}
	cmd := exec.Command("go", "tool", "-n", "registry")
	cmd.Dir = filepath.Join(filepath.Dir(file), "..", "registry")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%s in %s: %w\n%s", cmd, cmd.Dir, err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
})
