package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestImageRefused: what cannot become an image, or has no destination, is refused before anything is written.
// Package release uploads and runs the image.
func TestImageRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own, err := program()
	require.NoError(t, err)
	text, out := filepath.Join(dir, "text"), filepath.Join(dir, "image.tar")
	require.NoError(t, os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755))
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"nowhere":    {nil, "--to-repo"},
		"two places": {[]string{"--to-repo", "reg.airgap.test/relocate", "--to-tar", out}, "cannot be used together"},
		"tag of tar": {[]string{"--to-tar", out, "--tag", "1"}, "--tag needs --to-repo"},
		"not an ELF": {[]string{"--to-tar", out, "--binary", text}, "not a Linux executable"},
		"missing":    {[]string{"--to-tar", out, "--binary", text + "2"}, "no such file"},
	} {
		r := tryRelocate(t, append([]string{"image"}, c.args...)...)
		assertFailed(t, r, statusUsage, c.says)
		assert.Empty(t, r.stdout, name)
	}
	if runtime.GOOS == "linux" {
		other, err := exec.LookPath("go")
		require.NoError(t, err)
		assertFailed(t, tryRelocate(t, "image", "--to-tar", out, "--binary", other), statusUsage, "it is not relocate")
		assertFailed(t, tryRelocate(t, "image", "--to-tar", out, "--binary", own, "--binary", own), statusUsage, "another file is for "+runtime.GOARCH)
	}
	assert.NoFileExists(t, out)
}
