package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// man is the folder for the man pages of a release; "make release" gives one.
var man = flag.String("man", "", "folder that TestManPages writes the man pages to")

// TestManPages writes a man page for each command, which has its help and flags.
func TestManPages(t *testing.T) {
	dir := *man
	if dir == "" {
		dir = t.TempDir()
	}
	root := newRoot()
	root.DisableAutoGenTag = true
	verbatim(root)
	header := &doc.GenManHeader{Section: "1", Manual: "relocate", Source: "relocate"}
	require.NoError(t, doc.GenManTree(root, header, dir))

	names, err := filepath.Glob(filepath.Join(dir, "*.1"))
	require.NoError(t, err)
	assert.Contains(t, names, filepath.Join(dir, "relocate.1"))
	assert.Contains(t, names, filepath.Join(dir, "relocate-verify.1"))
	text, err := os.ReadFile(filepath.Join(dir, "relocate-verify.1"))
	require.NoError(t, err)
	for _, want := range []string{`.TH "RELOCATE-VERIFY" "1"`, `\fB--no-render\fP`, "relocate verify --repo"} {
		assert.Contains(t, string(text), want)
	}
}

// verbatim keeps the lines of the help of cmd and those below it: a man page is made by way of Markdown, which
// would join them.
func verbatim(cmd *cobra.Command) {
	if cmd.Long != "" {
		cmd.Long = "```\n" + strings.Trim(cmd.Long, "\n") + "\n```"
	}
	for _, sub := range cmd.Commands() {
		verbatim(sub)
	}
}
