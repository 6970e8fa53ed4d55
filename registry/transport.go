package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// transportRules is the RoundTripper below all others. It refuses plain HTTP, decides which hosts
// redirects may reach, and repeats requests with their bodies.
type transportRules struct {
	retries
	inner     http.RoundTripper
	shown     http.RoundTripper // like inner, with the client certificate; nil without one
	showTo    hostList          // hosts that get the certificate, beside those in named
	named     []string
	public    http.RoundTripper // like inner, for public addresses only
	proxy     func(*http.Request) (*url.URL, error)
	insecure  bool
	userAgent string
	idle      time.Duration
	redirects hostList // hosts that redirects may lead to
	limiter   limiter
	only      map[string]string // host:port → address; nil: any
	dialed    func(host string)
	connect   func(ctx context.Context, network, address string) (net.Conn, error) // nil: over the network
	inside    sync.Map                                                             // authority → true, if its address was not public
}

// newTransport returns the rules for opt.
func newTransport(opt Options) (*transportRules, error) {
	pool, err := certPool(opt.CACerts)
	if err != nil {
		return nil, err
	}
	certificate, err := clientCertificate(opt)
	if err != nil {
		return nil, err
	}
	t := &transportRules{
		retries:  retries{tries: opt.Tries, wait: opt.RetryWait, sleep: sleep, now: time.Now},
		insecure: opt.Insecure, userAgent: opt.UserAgent, idle: opt.IdleTimeout,
		redirects: opt.RedirectHosts,
		named:     opt.Named, showTo: opt.TokenHosts,
		proxy:   proxyFromEnvironment,
		dialed:  opt.Dialed,
		connect: opt.Dial,
		limiter: limiter{least: opt.Jobs, most: opt.MostJobs},
	}
	if opt.Only != nil {
		t.only = withPorts(opt.Only)
		t.proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	t.budget.reserve = int64(max(100, opt.MostJobs*(opt.Tries-1))) // enough for an outage before the first answer
	dialer := &net.Dialer{Timeout: opt.ConnectTimeout, KeepAlive: 30 * time.Second}
	inner := &http.Transport{
		Proxy:                  t.proxy,
		OnProxyConnectResponse: checkConnected,
		DialContext:            t.dial(dialer),
		TLSClientConfig:        &tls.Config{RootCAs: pool, InsecureSkipVerify: opt.SkipVerify, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    opt.ConnectTimeout,
		ResponseHeaderTimeout:  opt.HeaderTimeout,
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    2 * opt.MostJobs, // reading and writing
		IdleConnTimeout:        90 * time.Second,
		DisableCompression:     true,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1 only: each transfer has its own connection
	}
	outside := *dialer
	outside.ControlContext = onlyPublic
	public := inner.Clone()
	public.DialContext = t.dial(&outside)
	t.inner, t.public = inner, public
	if certificate != nil {
		shown := inner.Clone()
		shown.TLSClientConfig.Certificates = certificate
		t.shown = shown
	}
	return t, nil
}

// clientCertificate reads the client certificate; nil without one.
func clientCertificate(opt Options) ([]tls.Certificate, error) {
	if opt.ClientCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(opt.ClientCert, opt.ClientKey)
	if err != nil {
		return nil, fmt.Errorf("read the client certificate %s and its key %s: %w", opt.ClientCert, opt.ClientKey, err)
	}
	return []tls.Certificate{pair}, nil
}

// to returns the transport to a host that may be private. Only hosts that the operator named get
// the client certificate: it says who we are.
func (t *transportRules) to(u *url.URL) http.RoundTripper {
	if t.shown == nil {
		return t.inner
	}
	isNamed := func(host string) bool { return sameAuthority(u, &url.URL{Scheme: u.Scheme, Host: host}) }
	if slices.ContainsFunc(t.named, isNamed) || t.showTo.has(u) {
		return t.shown
	}
	return t.inner
}

func certPool(paths []string) (*x509.CertPool, error) {
	if len(paths) == 0 {
		return nil, nil // the system's
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for _, path := range paths {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read CA certificates: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read CA certificates: %s holds no PEM certificate", path)
		}
	}
	return pool, nil
}

// dial returns a function that connects with d, and notes which hosts have addresses that are not
// public.
func (t *transportRules) dial(d *net.Dialer) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		address, err := t.address(host)
		if err != nil {
			return nil, err
		}
		connect := d.DialContext
		if t.connect != nil {
			connect = t.connect
		}
		conn, err := connect(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if addr, ok := conn.RemoteAddr().(*net.TCPAddr); ok && !isPublic(addr.AddrPort().Addr()) {
			t.inside.Store(strings.ToLower(host), true)
		}
		return watchedConn{conn, t.idle}, nil
	}
}

// errNotAllowed says that Options.Only does not have a host.
var errNotAllowed = errors.New("not among the hosts that may be connected to")

// address returns the address for a host:port.
func (t *transportRules) address(host string) (string, error) {
	if t.dialed != nil {
		t.dialed(host)
	}
	if t.only == nil {
		return host, nil
	}
	address, ok := t.only[strings.ToLower(host)]
	if !ok {
		return "", refusal{fmt.Errorf("%s is %w", host, errNotAllowed)}
	}
	return address, nil
}

// withPorts adds the ports of HTTP and HTTPS to hosts without one.
func withPorts(hosts map[string]string) map[string]string {
	all := map[string]string{}
	for host, address := range hosts {
		u := &url.URL{Host: host}
		all[authority(u)] = address
		if u.Port() == "" {
			for _, scheme := range []string{"http", "https"} {
				all[authority(&url.URL{Scheme: scheme, Host: host})] = address
			}
		}
	}
	return all
}

// noRetryKey marks the context of a request that the transport does not repeat: its sender does.
type noRetryKey struct{}

func noRetry(ctx context.Context) context.Context { return context.WithValue(ctx, noRetryKey{}, true) }

// ErrPlainHTTP says that a host does not use TLS, and that plain HTTP is not allowed.
var ErrPlainHTTP = errors.New("plain HTTP is not allowed")

// RoundTrip implements http.RoundTripper. A temporary status is an *Error if every try got one.
func (t *transportRules) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "http" && !t.insecure && !isLoopback(req.URL.Hostname()) {
		return nil, fmt.Errorf("%s: %w", req.URL.Host, ErrPlainHTTP)
	}
	inner, err := t.route(req)
	if err != nil {
		return nil, err
	}
	ctx := req.Context()
	for a := t.attempt(req.Method, req.URL); ; {
		res, err := t.send(inner, req, a.tries > 0)
		if ctx.Value(noRetryKey{}) != nil || (req.Body != nil && req.GetBody == nil) {
			return res, err
		}
		if err == nil {
			if !isTemporaryStatus(res.StatusCode) {
				return res, nil
			}
			err = newError(res)
		}
		if err := t.again(ctx, a, err); err != nil {
			return nil, err
		}
	}
}

// attempt returns the count of tries for requests to a URL.
func (t *transportRules) attempt(method string, u *url.URL) *attempt {
	host := authority(u)
	return &attempt{host: u.Host, gate: t.limiter.gate(host, method)}
}

// heldKey marks the context of requests whose sender holds a slot for them.
type heldKey struct{}

// hold waits for one slot for several requests, one after the other. They are sent with the context
// that it returns.
func (t *transportRules) hold(ctx context.Context, a *attempt) (_ context.Context, release func(), err error) {
	slot, err := a.gate.enter(ctx, a.tries > 0)
	if err != nil {
		return nil, nil, err
	}
	return context.WithValue(ctx, heldKey{}, true), slot.release, nil
}

// send sends the request once, when its host may get it. The body of the answer holds the request's
// slot until it is closed.
func (t *transportRules) send(inner http.RoundTripper, req *http.Request, again bool) (*http.Response, error) {
	g := t.limiter.gate(authority(req.URL), req.Method)
	ctx, cancel := context.WithCancelCause(req.Context())
	release := func() { cancel(nil) }
	if ctx.Value(heldKey{}) == nil && ctx.Value(briefKey{}) == nil {
		slot, err := g.enter(ctx, again)
		if err != nil {
			cancel(nil)
			return nil, err
		}
		release = func() {
			cancel(nil)
			slot.release()
		}
	}
	if err := t.pause(ctx, g); err != nil {
		release()
		return nil, err
	}
	wave, sent := g.begin(), time.Now()
	res, err := t.exchange(ctx, inner, req)
	if err != nil {
		if ctx.Err() == nil {
			t.refused(ctx, req.URL.Host, g, wave, err)
		}
		release()
		return nil, err
	}
	took := time.Since(sent)
	observerIn(ctx).moved()
	small := res.StatusCode >= http.StatusBadRequest || ctx.Value(briefKey{}) != nil
	res.Body = watch(ctx, cancel, res.Body, t.idle, small, release)
	if isTemporaryStatus(res.StatusCode) {
		t.refused(ctx, req.URL.Host, g, wave, statusOf(res))
	} else {
		g.succeeded()
		if k, ok := kindOf(req, res); ok {
			g.answered(k, took)
		}
		t.budget.answered.Add(1)
	}
	return res, nil
}

// exchange sends the request and returns the answer, whose body is not read yet.
func (t *transportRules) exchange(ctx context.Context, inner http.RoundTripper, req *http.Request) (res *http.Response, err error) {
	r := req.Clone(ctx)
	if t.userAgent != "" {
		r.Header.Set("User-Agent", t.userAgent)
	}
	if req.GetBody != nil { // the body may have been read with a token that was refused
		r.Body, err = req.GetBody()
	}
	if err == nil {
		res, err = inner.RoundTrip(r)
	}
	if isTLSRefused(err) {
		err = refusal{fmt.Errorf("%w: %w", ErrTLSRefused, err)}
	}
	return res, explainProxy(err)
}

// maxAnswer is the most that is read of a registry's answer to /v2/, and of its token server's
// answers, in bytes.
const maxAnswer = 1 << 20

// brief is a RoundTripper for small answers: it reads at most maxAnswer, and all of it must come
// within the idle time. go-containerregistry reads the answer to /v2/ to its end.
type brief struct{ http.RoundTripper }

type briefKey struct{}

// RoundTrip implements http.RoundTripper.
func (b brief) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(req.WithContext(context.WithValue(req.Context(), briefKey{}, true)))
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxAnswer), res.Body}
	return res, nil
}

// drain reads the rest of a small body, so that its connection can be used again.
func drain(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
	_ = res.Body.Close()
}
