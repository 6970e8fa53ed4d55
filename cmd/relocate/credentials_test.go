package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/realregistry"
)

// htpasswd lets "user" in with "password".
const htpasswd = "user:$2a$04$YL.Rzc3nVYKoNZkISMeL4.JFocFxde/U4GA26pHiBoSigC5lHuqw.\n"

// TestCredentials: a registry that wants a password, as source and as destination.
func TestCredentials(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "htpasswd")
	require.NoError(t, os.WriteFile(file, []byte(htpasswd), 0o600))
	private := realregistry.Start(t, realregistry.Options{Htpasswd: file})
	s := site{t, private.Addr, "user", "password"}
	pkg := s.bundle("corp/pkg", "1", nil, s.ref("corp/app", s.image("corp/app", "1", "app")))
	s.bundle("corp/repository", "1", map[string]string{
		"packages/a.yml": packageText("a.corp.com", "1.0.0", s.ref("corp/pkg", pkg)),
	}, s.ref("corp/pkg", pkg))
	ref, repo := private.Addr+"/corp/repository:1", private.Addr+"/relocated"
	right := []string{"--registry-username", "user", "--registry-password", "password"}
	for name, wrong := range map[string][]string{
		"none":      nil,
		"wrong":     {"--registry-username", "user", "--registry-password", "hunter2"},
		"anonymous": {"--registry-anon"},
	} {
		parts := []string{"no login found for " + private.Addr, "hint: log in"}
		if name == "wrong" {
			parts = []string{private.Addr + " refused this login", "hint: check the user name"}
		}
		failExport(t, statusPermission, parts, append([]string{"-b", ref}, wrong...)...)
		assertFailed(t, tryRelocate(t, append([]string{"plan", "-b", ref}, wrong...)...), statusPermission, parts...)
		archive := filepath.Join(t.TempDir(), name+".tar")
		mustRelocate(t, append([]string{"-b", ref, "--to-tar", archive}, right...)...)
		private.ResetRequests()
		for _, args := range [][]string{
			{"--from-tar", archive, "--to-repo", repo},
			{"verify", "--repo", repo, archive},
		} {
			r := tryRelocate(t, append(args, wrong...)...)
			assertFailed(t, r, statusPermission, parts...)
			assert.NotContains(t, r.stderr, "hunter2")
		}
		for _, request := range private.Requests() {
			assert.Contains(t, []string{"401", "502"}, request[:3], request) // 502: given up, because another was refused
		}
	}
	archive := filepath.Join(t.TempDir(), "right.tar")
	for _, args := range [][]string{
		{"-b", ref, "--to-tar", archive},
		{"--from-tar", archive, "--to-repo", repo},
		{"verify", "--repo", repo, archive, "--level", "deep"},
		{"-b", ref, "--to-repo", repo + "2"},
	} {
		r := mustRelocate(t, append(args, right...)...)
		assert.NotContains(t, r.stdout+r.stderr, "password")
	}
	text, err := os.ReadFile(archive)
	require.NoError(t, err)
	assert.False(t, bytes.Contains(text, []byte("password")), "a credential in the archive")

	r := tryRelocate(t, "-b", ref, "--to-tar", archive, "--registry-password", "password")
	assertFailed(t, r, statusUsage, "--registry-username")
}
