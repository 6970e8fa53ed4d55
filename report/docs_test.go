package report

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// row finds the rows of the tables in docs/leaks.md: code, levels, meaning, what to do.
var row = regexp.MustCompile("(?m)^\\| (?:`([a-z-]+)`)? ?\\| ([^|]+) \\| [^|]+ \\| ([^|]+) \\|$")

// TestDocs holds the table of codes to docs/leaks.md.
func TestDocs(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../docs/leaks.md")
	require.NoError(t, err)
	_, tables, _ := strings.Cut(string(docs), "## Repositories")
	bundles, objects, _ := strings.Cut(tables, "## Objects of a cluster")
	var listed []kind
	for i, section := range []string{bundles, objects} {
		var code Code
		for _, m := range row.FindAllStringSubmatch(section, -1) {
			if m[2] == "level" || m[2] == "---" {
				continue
			}
			if m[1] != "" {
				code = Code(m[1])
			}
			k := kind{code: code, action: strings.ReplaceAll(m[3], "`", ""), object: i == 1}
			for _, l := range levels {
				if strings.Contains(m[2], string(l.level)) {
					k.levels = append(k.levels, l.level)
				}
			}
			listed = append(listed, k)
		}
	}
	require.Greater(t, len(listed), 40)
	assert.Equal(t, kinds, listed)
	for _, k := range kinds {
		if k.object {
			continue
		}
		for _, l := range k.levels {
			assert.Equal(t, k.action, Finding{Code: k.code, Level: l}.Advised().Action)
		}
	}
}

// TestCodes: every code that a package makes findings of is in the table, and no other.
func TestCodes(t *testing.T) {
	t.Parallel()
	used := map[Code]bool{}
	for _, pattern := range []string{"../bundle/*.go", "../verify/*/*.go", "../verify/*/*/*.go", "../render/*.go", "../render/*/*.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, m := range regexp.MustCompile(`(?m)^(?:const|\s)\s*\w+\s+report\.Code\s+= "([a-z-]+)"`).FindAllSubmatch(text, -1) {
				used[Code(m[1])] = true
			}
		}
	}
	known := map[Code]bool{}
	for _, k := range kinds {
		known[k.code] = true
	}
	assert.Equal(t, known, used)
	for _, codes := range [][]Code{fixedByImport, aboutPlaces} {
		for _, c := range codes {
			assert.True(t, known[c], c)
		}
	}
}
