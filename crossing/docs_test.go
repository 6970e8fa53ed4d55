package crossing_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/crossing"
)

var update = flag.Bool("update", false, "write docs/crossing.schema.json and the table in docs/crossing.md again")

const page, schemaFile = "../docs/crossing.md", "../docs/crossing.schema.json"

// TestDocs: the schema, and the table of the documentation, are those of the types.
func TestDocs(t *testing.T) {
	schema, err := crossing.Schema()
	require.NoError(t, err)
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	const begin, end = "<!-- keys -->\n", "<!-- end of keys -->"
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok)
	_, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	want := before + begin + table() + end + after
	if *update {
		require.NoError(t, os.WriteFile(schemaFile, schema, 0o644))
		require.NoError(t, os.WriteFile(page, []byte(want), 0o644))
		return
	}
	have, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	assert.Equal(t, string(schema), string(have), "run make docs")
	assert.Equal(t, want, string(text), "run make docs")
}

// table is the table of the keys.
func table() string {
	var b strings.Builder
	b.WriteString("| key | type | flag | meaning |\n| --- | --- | --- | --- |\n")
	for _, k := range crossing.Keys() {
		flag, kind := "", k.Type
		if k.Flag != "" {
			flag = "`--" + k.Flag + "`"
		}
		if k.Values != nil {
			kind = "`" + strings.Join(k.Values, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, kind, flag, k.Help)
	}
	return b.String()
}

// TestExamples: the files of the documentation can be read.
func TestExamples(t *testing.T) {
	for _, file := range []string{page, "../README.md"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		blocks := regexp.MustCompile("(?s)```yaml\n(apiVersion: relocate.*?)```").FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, blocks, file)
		for _, block := range blocks {
			_, err := crossing.Parse(file, []byte(block[1]))
			assert.NoError(t, err)
		}
	}
	_, err := crossing.Read(filepath.Join("..", "docs", "examples", "crossing.yml"))
	assert.NoError(t, err)
}
