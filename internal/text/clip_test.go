package text_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"relocate/internal/text"
)

// TestForeign: whatever others write is one line of a limited length in a message.
func TestForeign(t *testing.T) {
	t.Parallel()
	assert.Equal(t, `"a\nb\x1b"`, text.Quote("a\nb\x1b"))
	assert.Equal(t, 200+len(`""…`), len(text.Quote(strings.Repeat("a", 300))))
	assert.Equal(t, "a…", text.Clip("aé", 2), "a letter is not cut in two")
	assert.Equal(t, "ab", text.Clip("ab", 2))
	assert.EqualError(t, text.Error(errors.New("a:\n  b")), "a: b")
}
