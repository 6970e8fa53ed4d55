package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/net/publicsuffix"
)

// maxRedirects is the most redirects of one request.
const maxRedirects = 5

var (
	// ErrRedirected says that a redirect, or the Location of an upload, points to a host that may not be reached.
	ErrRedirected = errors.New("redirected")

	// ErrTokenHost says that a registry names a token server of another domain, which is not in Options.TokenHosts.
	ErrTokenHost = errors.New("the token server is on another host")
)

// hostList is a list of hosts: host:port, or host for any port.
type hostList []string

func (l hostList) has(u *url.URL) bool {
	return slices.ContainsFunc(l, func(host string) bool {
		return strings.EqualFold(host, u.Hostname()) || strings.EqualFold(host, u.Host) || strings.EqualFold(host, authority(u))
	})
}

// authority returns host:port of a URL. The port may follow from the scheme.
func authority(u *url.URL) string {
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// sameAuthority reports whether two URLs have the same host and port.
func sameAuthority(a, b *url.URL) bool { return a.Host == b.Host || authority(a) == authority(b) }

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// route returns the transport for a request. A request that a registry redirected to another host
// may reach public addresses only: otherwise a registry could make us read a server behind our
// firewall. A registry that is behind it, too, may redirect there, and so may any registry to a
// host in Options.RedirectHosts. With a proxy, the proxy decides about addresses.
func (t *transportRules) route(req *http.Request) (http.RoundTripper, error) {
	redirects, first := 0, req
	for ; first.Response != nil; redirects++ {
		first = first.Response.Request
	}
	if redirects == 0 {
		return t.to(req.URL), nil
	}
	from, to := req.Response.Request.URL, req.URL
	switch {
	case redirects > maxRedirects:
		return nil, refusal{fmt.Errorf("more than %d redirects", maxRedirects)}
	case to.Scheme != "https" && to.Scheme != from.Scheme:
		return nil, refusal{fmt.Errorf("redirected from %s to %s", from.Scheme, to.Scheme)}
	case sameAuthority(first.URL, to) || t.redirects.has(to):
		return t.to(to), nil
	}
	if _, inside := t.inside.Load(authority(first.URL)); inside {
		return t.inner, nil
	}
	if proxy, err := t.proxy(req); err != nil || proxy != nil {
		return t.inner, err
	}
	return t.public, nil
}

// onlyPublic is a net.Dialer's ControlContext. It sees the address that a name resolved to.
func onlyPublic(_ context.Context, _, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return refusal{err}
	}
	if !isPublic(addr.Addr()) {
		return refusal{fmt.Errorf("%w to %s, which is not a public address", ErrRedirected, addr.Addr())}
	}
	return nil
}

// nat64 embeds IPv4 addresses in its last 32 bits (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// notPublic are special addresses (RFC 6890) that reach into a network, or contain an address of
// one. netip knows the others.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carriers' NAT
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"),          // IPv4-compatible
	netip.MustParsePrefix("64:ff9b:1::/48"), // local NAT64
	netip.MustParsePrefix("2001::/32"),      // Teredo
	netip.MustParsePrefix("2002::/16"),      // 6to4
	netip.MustParsePrefix("fec0::/10"),      // site-local
}

func isPublic(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	return addr.IsGlobalUnicast() && !addr.IsPrivate() &&
		!slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// oneHost is a RoundTripper that reaches one host, and those that the operator named.
type oneHost struct {
	inner http.RoundTripper
	host  *url.URL
	named hostList
}

// RoundTrip implements http.RoundTripper.
func (o oneHost) RoundTrip(req *http.Request) (*http.Response, error) {
	if !o.has(req.URL) {
		return nil, refusal{fmt.Errorf("%w to %s, but only %s may be reached", ErrRedirected, req.URL.Host, o.host.Host)}
	}
	return o.inner.RoundTrip(req)
}

// has reports whether a URL may be reached. It ignores the scheme, which transportRules checks.
func (o oneHost) has(u *url.URL) bool {
	return sameAuthority(u, &url.URL{Scheme: u.Scheme, Host: o.host.Host}) || o.named.has(u)
}

// tokenServer is a RoundTripper to the token server of one registry. It checks redirects, too.
type tokenServer struct {
	inner    http.RoundTripper
	registry *url.URL
	named    hostList
}

// RoundTrip implements http.RoundTripper.
func (t tokenServer) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.check(req.URL); err != nil {
		return nil, err
	}
	return t.inner.RoundTrip(req)
}

// check allows token servers on the registry's host or in its registrable domain, and those that
// the operator named: they get credentials, and requests even without.
func (t tokenServer) check(u *url.URL) error {
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || t.registry.Scheme != "http"):
		return refusal{fmt.Errorf("registry %s names the token server %s://%s, which does not use TLS", t.registry.Host, u.Scheme, u.Host)}
	case strings.EqualFold(u.Hostname(), t.registry.Hostname()), t.named.has(u):
		return nil
	case u.Scheme == "https" && sameDomain(u.Hostname(), t.registry.Hostname()):
		return nil
	}
	return refusal{fmt.Errorf("%w: registry %s names %s", ErrTokenHost, t.registry.Host, u.Host)}
}

// sameDomain reports whether two hosts have the same registrable domain, such as docker.io.
func sameDomain(a, b string) bool {
	domain := func(host string) string {
		if _, err := netip.ParseAddr(host); err == nil {
			return ""
		}
		d, _ := publicsuffix.EffectiveTLDPlusOne(strings.TrimSuffix(strings.ToLower(host), "."))
		return d
	}
	return domain(a) != "" && domain(a) == domain(b)
}
