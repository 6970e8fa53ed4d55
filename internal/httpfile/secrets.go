package httpfile

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"relocate/registry"
)

// leastSecret is the length of the shortest text that is hidden wherever it stands. Shorter ones, such as the seconds
// for which a link is valid, are no secrets, and stand in other words, too.
const leastSecret = 5

// secrets are what a server may repeat of a request, and nobody else may see.
type secrets []string

// add adds texts, and how they are written in URLs.
func (s *secrets) add(texts ...string) {
	for _, text := range texts {
		for _, form := range []string{text, url.QueryEscape(text), url.PathEscape(text)} {
			if len(form) >= leastSecret {
				*s = append(*s, form)
			}
		}
	}
}

// addURL adds the query and the login of a URL, and their parts.
func (s *secrets) addURL(u *url.URL) {
	if u.RawQuery != "" {
		*s = append(*s, "?"+u.RawQuery)
		s.add(u.RawQuery)
	}
	for _, pair := range strings.Split(u.RawQuery, "&") {
		_, raw, _ := strings.Cut(pair, "=")
		value, _ := url.QueryUnescape(raw)
		s.add(pair, raw, value)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		*s = append(*s, u.User.String()+"@")
		s.add(u.User.String(), u.User.Username(), password)
	}
}

// addHeader adds the values of headers, and their words: the second one of Authorization is the secret.
func (s *secrets) addHeader(header http.Header) {
	for _, values := range header {
		for _, value := range values {
			s.add(value)
			s.add(strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" ;,=", r) })...)
		}
	}
}

// hide takes from a text what was secret in a request, in those that were redirected to it, and in all links so
// far. The name of the file stays as it is.
func (f *File) hide(req *http.Request, text string) string {
	var s secrets
	s.add(f.opt.Username, f.opt.Password, f.opt.Token)
	for _, u := range f.link.all() {
		s.addURL(u)
		s.addHeader(f.header(u))
	}
	for req != nil {
		s.addURL(req.URL)
		if req.Response == nil {
			break
		}
		req = req.Response.Request
	}
	known := map[string]string{}
	for _, secret := range s {
		quoted := strconv.Quote(secret) // as net/http quotes an answer
		known[secret], known[quoted[1:len(quoted)-1]] = "…", "…"
	}
	for _, public := range []string{f.name, f.link.current().Host} {
		known[public] = public
	}
	var pairs []string
	longest := func(a, b string) int { return len(b) - len(a) } // first: one may be a part of another
	for _, old := range slices.SortedFunc(maps.Keys(known), longest) {
		pairs = append(pairs, old, known[old])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// clean takes from an error what the server may have repeated of the request: the text of an error page, and what
// hide finds.
func (f *File) clean(req *http.Request, err error) error {
	text := err.Error()
	if answer, ok := errors.AsType[*registry.Error](err); ok && answer.Message != "" {
		short := *answer
		short.Code, short.Message = codeIn(answer.Message), ""
		err, text = &short, strings.ReplaceAll(text, answer.Error(), short.Error())
	}
	if text = f.hide(req, text); text != err.Error() {
		return cleaned{err, text}
	}
	return err
}

// cleaned is an error with another text.
type cleaned struct {
	error
	text string
}

func (c cleaned) Error() string { return c.text }

func (c cleaned) Unwrap() error { return c.error }

// observed is a request of whose waits those who observe its context get clean errors.
func (f *File) observed(ctx context.Context, req *http.Request) *http.Request {
	return req.WithContext(registry.ObserveCleaned(ctx, func(cause error) error { return f.clean(req, cause) }))
}
