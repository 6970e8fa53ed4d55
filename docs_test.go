package relocate_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	mdLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	mdHeading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	noAnchor  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

	// cited is a page of the documentation in a comment, perhaps with a section. Comments are wrapped.
	cited = regexp.MustCompile(`docs/[a-z0-9/-]+\.md(, "([^"]+)")?`)
)

// TestLinks looks for the files and sections that the documentation and the comments of the code refer to.
func TestLinks(t *testing.T) {
	headings := func(file string) (titles []string) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range mdHeading.FindAllStringSubmatch(string(text), -1) {
			titles = append(titles, m[1])
		}
		return titles
	}
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && file != ".":
			return filepath.SkipDir
		}
		switch filepath.Ext(file) {
		case ".md":
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, m := range mdLink.FindAllStringSubmatch(string(text), -1) {
				target, fragment, _ := strings.Cut(m[1], "#")
				if strings.Contains(target, "://") {
					continue
				}
				to := file
				if target != "" {
					to = filepath.Join(filepath.Dir(file), filepath.FromSlash(target))
				}
				_, err := os.Stat(to)
				if !assert.NoError(t, err, "%s: %s", file, m[1]) || fragment == "" {
					continue
				}
				var anchors []string
				for _, title := range headings(to) {
					anchors = append(anchors, strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(title), ""), " ", "-"))
				}
				assert.Contains(t, anchors, fragment, "%s: %s", file, m[1])
			}
		case ".go":
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, m := range cited.FindAllStringSubmatch(regexp.MustCompile(`\n\s*// `).ReplaceAllString(string(text), " "), -1) {
				page, _, _ := strings.Cut(m[0], ",")
				if assert.FileExists(t, filepath.FromSlash(page), "%s", file) && m[2] != "" {
					assert.Contains(t, headings(page), m[2], "%s: %s", file, m[0])
				}
			}
		}
		return nil
	})
	require.NoError(t, err)
}

// splitLiteral is where a text goes on in the next line.
var splitLiteral = regexp.MustCompile(`" ?\+\n\s*"`)

// TestMessages looks in the code for the messages of docs/troubleshooting.md. Those of other programs are below the
// heading "On the cluster".
func TestMessages(t *testing.T) {
	text, err := os.ReadFile("docs/troubleshooting.md")
	require.NoError(t, err)
	own, _, found := strings.Cut(string(text), "## On the cluster")
	require.True(t, found)
	var code strings.Builder
	require.NoError(t, filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
			return err
		}
		source, err := os.ReadFile(file)
		code.Write(splitLiteral.ReplaceAll(source, nil))
		return err
	}))
	code.WriteString("certificate signed by unknown authority") // crypto/x509
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(own, -1) {
		for part := range strings.SplitSeq(strings.ReplaceAll(row[1], "…", "HOST"), "HOST") {
			if part = strings.TrimSpace(part); !strings.Contains(code.String(), part) {
				t.Errorf("docs/troubleshooting.md has the message %q, the code does not", part)
			}
		}
	}
}

// TestPackageMap looks for every package in CONTRIBUTING.md.
func TestPackageMap(t *testing.T) {
	text, err := os.ReadFile("CONTRIBUTING.md")
	require.NoError(t, err)
	for pkg := range allowed {
		if pkg == "." {
			pkg = "relocate"
		}
		assert.Contains(t, string(text), "`"+pkg+"`")
	}
}
