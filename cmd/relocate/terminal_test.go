package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPainter: only words at the beginning of a line are coloured, however the text is written.
func TestPainter(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	p := &painter{w: &b}
	for _, s := range []string{"half a ", "note: line\n", "note: a\nOK: b\n", "say note:\n", "live\r", "hint: c\n", "  OK: no\n"} {
		n, err := p.Write([]byte(s))
		require.NoError(t, err)
		assert.Len(t, s, n)
	}
	assert.Equal(t, "half a note: line\n\x1b[36mnote:\x1b[0m a\n\x1b[32mOK:\x1b[0m b\nsay note:\nlive\r\x1b[36mhint:\x1b[0m c\n  OK: no\n", b.String())
}
