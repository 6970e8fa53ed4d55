// Package seed has what fuzz tests of several packages begin with, and what they all hold errors to.
package seed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// YAML are the ends of the names of YAML files.
var YAML = []string{".yml", ".yaml"}

// Files returns the fixtures whose names end in one of the suffixes: what imgpkg wrote, and the sample's
// bundles. The test is of a package at the depth that up leads out of, such as "..".
func Files(tb testing.TB, up string, suffixes ...string) [][]byte {
	tb.Helper()
	var list [][]byte
	for _, dir := range []string{"interop", "sample/bundles"} {
		err := filepath.WalkDir(filepath.Join(up, "testdata", dir), func(path string, entry os.DirEntry, err error) error {
			for _, suffix := range suffixes {
				if err == nil && !entry.IsDir() && strings.HasSuffix(path, suffix) {
					var data []byte
					data, err = os.ReadFile(path)
					list = append(list, data)
				}
			}
			return err
		})
		require.NoError(tb, err)
	}
	require.NotEmpty(tb, list)
	return list
}

// RequireLine holds an error about foreign text to one line of a length for people.
func RequireLine(t *testing.T, err error) {
	t.Helper()
	if s := err.Error(); len(s) > 4000 || strings.ContainsAny(s, "\n\r") {
		t.Fatalf("the error is no line for people: %q", s)
	}
}
