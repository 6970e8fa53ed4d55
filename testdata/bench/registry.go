package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"relocate/testdata/realregistry"
)

// command returns what runs a registry of a kind at address, over the folder dir, with its configuration
// beside that folder.
func command(kind, address, dir string) (*exec.Cmd, error) {
	switch kind {
	case "distribution":
		program, err := realregistry.Program()
		return exec.Command(program, "-dir", dir, "-addr", address), err
	case "docker-registry":
		config := fmt.Appendf(nil, `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
http: {addr: %q}
`, dir, address)
		return exec.Command(kind, "serve", dir+".yml"), os.WriteFile(dir+".yml", config, 0o600)
	}
	if !strings.HasPrefix(filepath.Base(kind), "zot") {
		return nil, fmt.Errorf("%s is not docker-registry, distribution, or the path of zot's program", kind)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(map[string]any{
		"storage": map[string]any{"rootDirectory": dir, "gc": false},
		"http":    map[string]any{"address": host, "port": port, "compat": []string{"docker2s2"}},
		"log":     map[string]any{"level": "error"},
	})
	if err != nil {
		return nil, err
	}
	return exec.Command(kind, "serve", dir+".json"), os.WriteFile(dir+".json", config, 0o600)
}

// registry is a running registry, at an address that stays the same however often it is started.
type registry struct {
	kind, dir string
	address   string // of clients
	cmd       *exec.Cmd
	proxy     *http.Server // nil: clients reach the registry itself
	requests  atomic.Int64 // through the proxy
	writes    atomic.Int64 // of these, all but GET and HEAD
}

// newRegistry returns a registry that is not started yet.
func newRegistry(kind, dir string) (*registry, error) {
	address, err := freeAddress()
	return &registry{kind: kind, dir: dir, address: address}, err
}

// start starts the registry: with proxied behind a proxy, which counts requests and lets each wait for delay.
func (r *registry) start(proxied bool, delay time.Duration) error {
	address := r.address
	if proxied {
		var err error
		if address, err = freeAddress(); err != nil {
			return err
		}
	}
	cmd, err := command(r.kind, address, r.dir)
	if err != nil {
		return err
	}
	output, err := os.Create(r.dir + ".log") // a line for each 404
	if err != nil {
		return err
	}
	defer output.Close()
	cmd.Stderr = output
	if err := cmd.Start(); err != nil {
		return err
	}
	r.cmd = cmd
	if proxied {
		if err := r.serveProxy(address, delay); err != nil {
			r.stop()
			return err
		}
	}
	if err := r.wait(); err != nil {
		r.stop()
		return err
	}
	r.requests.Store(0)
	r.writes.Store(0)
	return nil
}

// serveProxy passes requests on to the registry at address.
func (r *registry) serveProxy(address string, delay time.Duration) error {
	listener, err := net.Listen("tcp", r.address)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { // the Host header stays the client's: Location headers need it
			to := *p.In.URL
			to.Scheme, to.Host = "http", address
			p.Out.URL = &to
		},
		Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 256},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // what a client sees is enough; until wait returns, there is nobody
	}
	r.proxy = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.requests.Add(1)
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			r.writes.Add(1)
		}
		time.Sleep(delay)
		proxy.ServeHTTP(w, req)
	})}
	go func() { _ = r.proxy.Serve(listener) }() // until stop
	return nil
}

// wait returns when the registry answers.
func (r *registry) wait() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.address+"/v2/", nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			output, _ := os.ReadFile(r.dir + ".log")
			return fmt.Errorf("%s does not answer at %s\n%s", r.kind, r.address, output)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the registry, whose content stays.
func (r *registry) stop() {
	if r.proxy != nil {
		_ = r.proxy.Close()
		r.proxy = nil
	}
	http.DefaultClient.CloseIdleConnections()
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(10*time.Second, func() { _ = r.cmd.Process.Kill() })
	defer kill.Stop()
	_ = r.cmd.Wait() // says only that a signal ended it
}

// holds reports whether the registry has a manifest.
func (r *registry) holds(repository, digest string) error {
	req, err := http.NewRequest(http.MethodHead, "http://"+r.address+"/v2/"+repository+"/manifests/"+digest, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json") // as every bundle is
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("HEAD %s: %s", req.URL, res.Status)
	}
	return nil
}

// freeAddress returns an address on loopback at which nothing listens.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
