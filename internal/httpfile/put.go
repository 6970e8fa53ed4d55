package httpfile

import (
	"bytes"
	"context"
	"net/http"

	"relocate/registry"
)

// Put uploads content to the URL of src, in place of what is there. It follows no redirect, and does not renew the
// URL.
//
// Errors: ErrURL; *registry.Error, of which errors.Is finds the meaning; those of registry.Transport.
func Put(ctx context.Context, src Source, opt Options, content []byte) error {
	l, err := newLink(ctx, src)
	if err != nil {
		return err
	}
	u := l.current()
	f := &File{opt: opt, link: l, name: Redacted(u)}
	if f.transport, err = registry.Transport(opt.Options, u); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, u.String(), bytes.NewReader(content))
	if err != nil {
		return err
	}
	for name, values := range opt.Header {
		req.Header[name] = values
	}
	f.login(req.Header, u)
	res, err := f.transport.RoundTrip(f.observed(ctx, req))
	if err != nil {
		return f.explain("upload", f.clean(req, err))
	}
	defer drain(res)
	if res.StatusCode/100 == 2 {
		return nil
	}
	return f.clean(req, refusal(res))
}
