package text

import (
	"errors"
	"strconv"
	"strings"
)

// Error puts an error of a parser, which may have several lines and quote what it read, on one
// short line.
func Error(err error) error {
	return errors.New(Clip(strings.Join(strings.Fields(err.Error()), " "), 500))
}

// Quote returns foreign text for a message: in quotes, control characters escaped, and not too
// long.
func Quote[T ~string](s T) string { return strconv.Quote(Clip(string(s), 200)) }

// Clip cuts s to about n bytes.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
