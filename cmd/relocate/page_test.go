package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate"
	"relocate/internal/digest"
	"relocate/report"
	"relocate/tarball"
)

// TestPageOfCopy makes pages of what a copy reports.
func TestPageOfCopy(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	archive, _ := sampleArchive(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "shop.tar")
	require.NoError(t, os.WriteFile(file, archive, 0o600))
	a, err := tarball.Open(file)
	require.NoError(t, err)
	defer a.Close()
	plan, err := a.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
	c := &copying{copyFlags: &copyFlags{}}
	c.attachments = attachmentsAuto
	r, err := c.newReport(t.Context(), "export", &relocate.Result{Plan: plan})
	require.NoError(t, err)
	r.command = "relocate -b registry.example/acme:1.0 --to-tar shop.tar"
	r.Archive = &report.Archive{File: "shop.tar", Size: 1, Form: "relocate", Seal: digest.Of(nil)}
	r.Moved = []relocate.MovedTag{{Reference: "registry.example/acme:1.0", Was: digest.Of(nil), Is: digest.Of([]byte("1"))}}
	r.Reread = 2
	text := func() string {
		path := filepath.Join(dir, "page.html")
		require.NoError(t, r.write(path))
		page, err := os.ReadFile(path)
		require.NoError(t, err)
		return pageText(t, page)
	}
	assertAll(t, text(), "Export report", "OK", "Exported to shop.tar: 3 versions of 2 packages", digest.Of(nil).String(), "has moved since", "2 blobs arrived damaged",
		"Listed images without any", "Every repository that an image comes from was asked.", "Commandrelocate -b registry.example/acme:1.0 --to-tar shop.tar", "Programrelocate "+version)

	c.attachments = attachmentsNone
	r, err = c.newReport(t.Context(), "import", &relocate.Result{Plan: plan})
	require.NoError(t, err)
	r.Repository, r.Tags = "private.test/all", []string{"1.0"}
	assertAll(t, text(), "Import report", "Imported to private.test/all", "tagged 1.0", "not looked for (--attachments none)")
	r.Failures = []failureReport{{"registry.example/acme/db", digest.Of(nil), "refused"}}
	assertAll(t, text(), "NOT OK", "1 manifest and blob could not be imported", "failed", "needed by registry.example/acme/db")
	require.Error(t, r.write(filepath.Join(dir, "none", "page.html")))
}

// TestCommandLine: a page shows the command, and no secret.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	cmd := newVerify()
	require.NoError(t, cmd.ParseFlags([]string{"--registry-password", "hunter2", "--registry-token=t0ken", "--strict", "--root", "sha256:a", "--root", "sha256:b", "--repo", "r.test/x"}))
	line := commandLine(cmd, []string{"a.tar"})
	assert.Equal(t, "verify --registry-password … --registry-token … --strict --root sha256:a,sha256:b --repo r.test/x a.tar", line)
}
