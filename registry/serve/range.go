package serve

import (
	"errors"
	"math"
	"strings"
)

// span is n bytes from the offset at.
type span struct {
	at, n  int64
	isPart bool
}

var errUnsatisfiable = errors.New("no such bytes")

// parseRange reads a Range header for content of size bytes (RFC 9110, 14.1.2 and 14.2). A header that is not one range
// of bytes is ignored, as a server may: the answer is all of the content.
//
// Errors: errUnsatisfiable.
func parseRange(s string, size int64) (span, error) {
	all := span{n: size}
	first, last, ok := positions(s)
	switch {
	case !ok:
		return all, nil
	case first < 0: // the last bytes
		n := min(last, size)
		if n == 0 {
			return all, errUnsatisfiable
		}
		return span{size - n, n, true}, nil
	case first >= size:
		return all, errUnsatisfiable
	case last < 0 || last >= size:
		last = size - 1
	}
	return span{first, last - first + 1, true}, nil
}

// positions reads "bytes=FIRST-LAST". One of the two may be missing: it is -1 then.
func positions(s string) (first, last int64, ok bool) {
	unit, spec, isRange := strings.Cut(s, "=")
	from, to, isOne := strings.Cut(strings.TrimSpace(spec), "-")
	if !isRange || !isOne || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || from == "" && to == "" {
		return 0, 0, false
	}
	first, last = -1, -1
	if from != "" {
		if first, ok = parsePosition(from); !ok {
			return 0, 0, false
		}
	}
	if to != "" {
		if last, ok = parsePosition(to); !ok {
			return 0, 0, false
		}
	}
	return first, last, first < 0 || last < 0 || first <= last
}

// parsePosition reads digits. A number above every size becomes a number that is too large for content.
func parsePosition(s string) (n int64, ok bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n > (math.MaxInt64-9)/10 {
			n = math.MaxInt64 / 10
			continue
		}
		n = n*10 + int64(c-'0')
	}
	return n, s != ""
}
