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

// ErrProxy says that the proxy refused a request or could not be reached. The registry was not
// reached.
var ErrProxy = errors.New("the proxy")

// proxyFromEnvironment is http.ProxyFromEnvironment, but its error has no password of the proxy.
func proxyFromEnvironment(req *http.Request) (*url.URL, error) {
	proxy, err := http.ProxyFromEnvironment(req)
	if err != nil {
		return nil, refusal{fmt.Errorf("%w in HTTPS_PROXY or HTTP_PROXY is not a valid URL", ErrProxy)}
	}
	return proxy, nil
}

// checkConnected is an http.Transport's OnProxyConnectResponse. A refusal is final, unless its
// status is temporary.
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

// explainProxy marks the error of a connection to the proxy.
func explainProxy(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "proxyconnect" || strings.HasPrefix(op.Op, "socks")) {
		return fmt.Errorf("%w cannot be reached: %w", ErrProxy, err)
	}
	return err
}
