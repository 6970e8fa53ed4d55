package serve

import (
	"errors"
	"math"
	"strings"
)

// span is n bytes from byte at on.
type span struct {
	at, n  int64
	isPart bool
}

var errUnsatisfiable = errors.New("no such bytes")

// parseRange reads a Range header for content of size bytes (RFC 9110, 14.1.2 and 14.2). What is not one range of bytes is
// ignored, as a server may: all of the content is the answer.
//
// Errors: errUnsatisfiable.
func parseRange(s string, size int64) (span, error) {
	all := span{n: size}
	unit, spec, ok := strings.Cut(s, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || strings.Contains(spec, ",") {
		return all, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	from, hasFrom := parsePosition(first)
	to, hasTo := parsePosition(last)
	switch {
	case !ok || (first != "" && !hasFrom) || (last != "" && !hasTo) || (first == "" && last == "") || (hasFrom && hasTo && to < from):
		return all, nil
	case !hasFrom: // the last bytes
		n := min(to, size)
		if n == 0 {
			return all, errUnsatisfiable
		}
		return span{size - n, n, true}, nil
	case from >= size:
		return all, errUnsatisfiable
	case !hasTo || to >= size:
		to = size - 1
	}
	return span{from, to - from + 1, true}, nil
}

// parsePosition reads digits. What is more than any size is as good as the largest.
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
