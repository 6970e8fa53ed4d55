package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// valuesFile writes data values to a file and returns its path.
func valuesFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// TestUnusedValues: values for a package that was not read are an error, never ignored.
func TestUnusedValues(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	root := pushSample(t, host)
	archive, values := export(t, root), valuesFile(t, "a: 1\n")
	repo := host + "/private"
	mustRelocate(t, "--from-tar", archive, "--to-repo", repo)
	for _, args := range [][]string{
		{"rehearse", archive}, {"verify", archive}, {"verify", "--repo", repo, archive},
		{"plan", "-b", root, "--render"}, {"plan", "-b", root, "--strict"},
		{"-b", root, "--to-tar", filepath.Join(t.TempDir(), "no.tar"), "--render"},
		{"-b", root, "--to-repo", host + "/other", "--strict"},
	} {
		with := func(given string) result {
			return tryRelocate(t, append(args[:len(args):len(args)], "--values-file", given)...)
		}
		assertFailed(t, with("nothing.test="+values), statusUsage, "values file "+values+": package nothing.test was not found", "hint: list the packages with relocate inspect")
		assertFailed(t, with("guestbok.corp.com/1.0.0="+values), statusUsage, "package guestbok.corp.com was not found",
			"hint: did you mean: relocate "+args[0], "--values-file guestbook.corp.com/1.0.0="+values)
		assertFailed(t, with("guestbook.corp.com/7.0.0="+values), statusUsage, "package guestbook.corp.com does not have version 7.0.0, only 1.1.0, 1.0.0")
	}
}
