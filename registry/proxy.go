package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// ErrProxy says that it was the proxy that refused or could not be reached, and no registry.
var ErrProxy = errors.New("the proxy")

// proxyFromEnvironment is http.ProxyFromEnvironment, whose error has the proxy's password in it.
func proxyFromEnvironment(req *http.Request) (*url.URL, error) {
	proxy, err := http.ProxyFromEnvironment(req)
	if err != nil {
		return nil, refusal{fmt.Errorf("%w in HTTPS_PROXY or HTTP_PROXY is not a valid URL", ErrProxy)}
	}
	return proxy, nil
}

// checkConnected is an http.Transport's OnProxyConnectResponse. What a proxy forbids, it forbids the next time, too.
func checkConnected(_ context.Context, proxy *url.URL, req *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	err := fmt.Errorf("%w %s refused to connect to %s: %s", ErrProxy, proxy.Host, req.Host, oneLine(res.Status))
	if isTemporaryStatus(res.StatusCode) {
		return err
	}
	return refusal{err}
}

// explainProxy says of an error that it was the proxy that could not be reached.
func explainProxy(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "proxyconnect" || strings.HasPrefix(op.Op, "socks")) {
		return fmt.Errorf("%w cannot be reached: %w", ErrProxy, err)
	}
	return err
}
