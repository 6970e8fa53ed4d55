package httpfile

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// ErrHeaders says that a text has no headers that can be sent.
var ErrHeaders = errors.New("is not a list of headers")

const (
	maxHeaders     = 100
	maxHeaderBytes = 32 << 10 // servers take less
)

// ownHeaders belong to the reader or to the connection.
var ownHeaders = []string{
	"Accept-Encoding", "Connection", "Content-Length", "Expect", "Host", "If-Match", "If-Modified-Since",
	"If-None-Match", "If-Range", "If-Unmodified-Since", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection",
	"Range", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// headerLine is a field line of RFC 9110, 5.1 and 5.5, in ASCII.
var headerLine = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~\t]*)$")

// ParseHeaders reads headers, a line "Name: value" for each. Empty lines are ignored.
//
// Errors: ErrHeaders, with the line. Values are not in it: they are secret.
func ParseHeaders(text []byte) (http.Header, error) {
	if len(text) > maxHeaderBytes {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrHeaders, maxHeaderBytes)
	}
	headers, n := http.Header{}, 0
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			continue
		}
		match := headerLine.FindStringSubmatch(line)
		if match == nil {
			return nil, fmt.Errorf("%w: line %d is not a name, a colon and a value", ErrHeaders, i+1)
		}
		name := http.CanonicalHeaderKey(match[1])
		switch n++; {
		case slices.Contains(ownHeaders, name):
			return nil, fmt.Errorf("%w: line %d sets %s, which relocate sets itself", ErrHeaders, i+1, name)
		case n > maxHeaders:
			return nil, fmt.Errorf("%w: it has more than %d", ErrHeaders, maxHeaders)
		}
		headers.Add(name, strings.TrimRight(match[2], " \t"))
	}
	return headers, nil
}
