package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/sample"
)

// Registries of the documentation. In a test they are registries of this process.
const (
	documentedSource      = "registry.example.com"
	documentedDestination = "registry.airgap.internal"
)

// varying is what differs from one run to another: digests, sizes, times, ports.
var varying = regexp.MustCompile(`\b[0-9a-f]{64}\b|\b[0-9.]+ [kMG]?B\b|\b[0-9]+ bytes\b|\bin [0-9.]+ m?s\b(, with up to [0-9]+ requests at once)?|\b127\.0\.0\.1:[0-9]+\b`)

// TestDocumentedSamples runs the commands in the console blocks of the documentation and compares what they
// print: of a command with a pipe, what goes to standard error. -update writes the output again, with
// the digests and sizes of the sample as make demo pushes it.
func TestDocumentedSamples(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	for _, file := range append(files, "../../README.md") {
		file, err := filepath.Abs(file)
		require.NoError(t, err)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if !bytes.Contains(text, []byte("```console\n")) {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			app := sample.Tiny
			if *update {
				app = sample.Compile(t.Context(), t.TempDir())
			}
			source, destination := startMemory(t, nil), startReferrers(t)
			_, err := sample.Push(t.Context(), source, app)
			require.NoError(t, err)
			pushOpen(t, source)
			t.Setenv("XDG_CACHE_HOME", t.TempDir())
			t.Chdir(t.TempDir())
			hosts := strings.NewReplacer(documentedSource, source, documentedDestination, destination)
			documented := strings.NewReplacer(source, documentedSource, destination, documentedDestination,
				strings.ReplaceAll(destination, ":", "-"), documentedDestination) // in the name of a Secret
			want := strings.ReplaceAll(string(text), "\r\n", "\n")
			got := samples(want, func(command string) string {
				command, _, piped := strings.Cut(command, " | ")
				command, redirected := strings.CutSuffix(command, " >/dev/null")
				command, quiet := strings.CutSuffix(command, " 2>/dev/null")
				args := strings.Fields(hosts.Replace(command))
				require.Equal(t, "relocate", args[0])
				if args[1] != "emit" {
					args = append(args, "--progress=none") // on a slow machine it prints lines of its own
				}
				var shown bytes.Buffer
				var stdout, stderr io.Writer = &shown, &shown
				if piped || redirected {
					stdout = io.Discard
				}
				if quiet {
					stderr = io.Discard
				}
				run(t.Context(), args[1:], stdout, stderr)
				return documented.Replace(shown.String())
			})
			wantLines, gotLines := stable(want), stable(got)
			if slices.Equal(wantLines, gotLines) {
				return
			}
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			assert.Equal(t, wantLines, gotLines, "run make docs")
		})
	}
}

// stable returns the lines of text without what varies.
func stable(text string) []string { return strings.Split(varying.ReplaceAllString(text, "…"), "\n") }

// samples replaces the output of each command in the console blocks of a Markdown text by what run returns. A
// command is a line that begins with "$ "; a blank line is between its output and the next one.
func samples(text string, run func(command string) string) string {
	var b strings.Builder
	inBlock, ran := false, false
	for line := range strings.Lines(text) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case line == "```console\n":
			inBlock = true
		case line == "```\n":
			inBlock, ran = false, false
		case inBlock && isCommand:
			if ran {
				b.WriteString("\n")
			}
			ran = true
			b.WriteString(line + run(strings.TrimSpace(command)))
		}
		if !ran {
			b.WriteString(line)
		}
	}
	return b.String()
}
