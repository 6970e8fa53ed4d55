package httpfile

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"relocate/internal/inputfile"
)

// MaxURL is the most that a file with a URL may have, in bytes.
const MaxURL = 64 << 10

// link is the URL of a file. It may be renewed.
type link struct {
	file string // that holds it; "" when it is fixed

	mu   sync.Mutex
	url  *url.URL
	past []*url.URL // that were refused
}

func newLink(ctx context.Context, src Source) (*link, error) {
	if src.URL != "" || src.File == "" {
		u, err := parseURL(src.URL, "the argument")
		return &link{file: src.File, url: u}, err
	}
	u, err := readURL(ctx, src.File)
	return &link{file: src.File, url: u}, err
}

// readURL reads a file that has a URL, and white space around it.
func readURL(ctx context.Context, file string) (*url.URL, error) {
	text, err := inputfile.Read(ctx, file, MaxURL+1)
	if err != nil {
		return nil, err
	}
	if len(text) > MaxURL {
		return nil, fmt.Errorf("the content of %s %w: it has more than %d bytes", file, ErrURL, MaxURL)
	}
	return parseURL(strings.TrimSpace(string(text)), "the content of "+file)
}

// parseURL parses a URL. Its errors do not have it: it may be secret.
func parseURL(s, what string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "":
		return nil, fmt.Errorf("%s %w", what, ErrURL)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%s %w: it must begin with https://", what, ErrURL)
	case signsRange(u):
		return nil, fmt.Errorf("%s %w: %s is signed for one range only; sign it without the header Range",
			what, ErrURL, Redacted(u))
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// signsRange reports whether the signature of a URL holds for one range.
func signsRange(u *url.URL) bool {
	query := u.Query()
	signed := query.Get("X-Amz-SignedHeaders") + ";" + query.Get("X-Goog-SignedHeaders")
	for _, name := range strings.Split(signed, ";") {
		if strings.EqualFold(name, "range") {
			return true
		}
	}
	return false
}

func (l *link) current() *url.URL {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.url
}

// all returns the URL, and those before it.
func (l *link) all() []*url.URL {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(slices.Clone(l.past), l.url)
}

// renew returns whether there is another URL than refused, which the server refused: the file is read again.
func (l *link) renew(ctx context.Context, refused *url.URL) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == "" || l.url != refused { // another request has renewed it
		return l.url != refused
	}
	u, err := readURL(ctx, l.file)
	if err != nil || u.String() == refused.String() || !sameHost(u, refused) {
		return false
	}
	l.past, l.url = append(l.past, refused), u
	return true
}

// sameHost reports whether two URLs have the same scheme, host and port.
func sameHost(a, b *url.URL) bool { return a.Scheme == b.Scheme && authority(a) == authority(b) }

func authority(u *url.URL) string {
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// expiry returns until when a signed URL is valid, as its query says: of S3 (signature version 4 and 2), GCS or
// Azure. It is the zero time where nothing says so.
func expiry(u *url.URL) time.Time {
	query := u.Query()
	for _, of := range []string{"X-Amz-", "X-Goog-"} {
		from, err := time.Parse("20060102T150405Z", query.Get(of+"Date"))
		seconds, secondsErr := strconv.ParseUint(query.Get(of+"Expires"), 10, 31)
		if err == nil && secondsErr == nil {
			return from.Add(time.Duration(seconds) * time.Second)
		}
	}
	if seconds, err := strconv.ParseInt(query.Get("Expires"), 10, 33); err == nil {
		return time.Unix(seconds, 0).UTC()
	}
	until, _ := time.Parse(time.RFC3339, query.Get("se"))
	return until.UTC()
}
