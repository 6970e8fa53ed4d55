package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// failExport runs an export that must fail with a status, naming parts. Under the final name nothing may be
// left of it: an old archive stays what it was, and where there was none, there is none. What a later run
// goes on with is named.
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
		r := tryRelocate(t, append(args, "--to-tar", file)...)
		assertFailed(t, r, status, parts...)
		if strings.Contains(r.stderr, "kept: "+file+".part has ") {
			want = append(want, "repository.tar.part", "repository.tar.part.journal")
		}
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
