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

const page, sitesPage, schemaFile = "../docs/crossing.md", "../docs/sites.md", "../docs/crossing.schema.json"

// TestDocs: the schema, and the tables of the documentation, are those of the types.
func TestDocs(t *testing.T) {
	schema, err := crossing.Schema()
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(schemaFile, schema, 0o644))
	}
	have, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	assert.Equal(t, string(schema), string(have), "run make docs")
	checkTable(t, page, table(crossing.Keys()))
	checkTable(t, sitesPage, table(crossing.SitesKeys()))
}

// checkTable holds the table of a page to what it is to be.
func checkTable(t *testing.T, page, table string) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	const begin, end = "<!-- keys -->\n", "<!-- end of keys -->"
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok)
	_, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	want := before + begin + table + end + after
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o644))
		return
	}
	assert.Equal(t, want, string(text), "run make docs")
}

// table is the table of the keys.
func table(keys []crossing.Key) string {
	var b strings.Builder
	b.WriteString("| key | type | flag | meaning |\n| --- | --- | --- | --- |\n")
	for _, k := range keys {
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
	require.NoError(t, err)
	text, err := os.ReadFile(sitesPage)
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```yaml\n(apiVersion: relocate.*?)```").FindSubmatch(text)
	require.NotNil(t, block)
	_, err = crossing.ParseSites(sitesPage, block[1])
	assert.NoError(t, err)
}
