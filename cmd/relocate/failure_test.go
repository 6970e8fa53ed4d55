package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// failExport runs an export that must fail with a status, naming parts. Nothing may be left of it: an
// old archive stays what it was, and where there was none, there is none.
func failExport(t *testing.T, status int, parts []string, args ...string) {
	t.Helper()
	for _, old := range []string{"", "the old archive"} {
		dir := t.TempDir()
		file := filepath.Join(dir, "repository.tar")
		want := []string{}
		if old != "" {
			want = []string{"repository.tar"}
			require.NoError(t, os.WriteFile(file, []byte(old), 0o600))
		}
		r := relocate(t, append(args, "--to-tar", file)...)
		assertFailed(t, r, status, parts...)
		assert.Equal(t, want, namesIn(t, dir))
		if old != "" {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, old, string(text))
		}
	}
}

// assertFailed wants a status, a message with parts, and nothing on stdout.
func assertFailed(t *testing.T, r result, status int, parts ...string) {
	t.Helper()
	assert.Equal(t, status, r.status, r.stderr)
	assert.Empty(t, r.stdout)
	assertAll(t, r.stderr, append(parts, "relocate: ")...)
}
