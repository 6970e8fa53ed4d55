package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/webserver"
)

// TestVolumesByHTTPS reads an archive in volumes: beside its URL, in another folder, and by a signed link for each.
// A volume that is missing is named.
func TestVolumesByHTTPS(t *testing.T) {
	t.Parallel()
	p := publish(t)
	src := site{t: t, host: startMemory(t, nil)}
	file := filepath.Join(p.dir, "parts.tar")
	mustRelocate(t, "-b", pushSample(t, src.host), "--to-tar", file, "--volume-size", "20kB", "--parity", "1")
	verified := mustRelocate(t, "inspect", file, "--tree").stdout
	var names []string
	for _, pattern := range []string{"parts.tar.0*", "parts.tar.volumes"} {
		found, err := filepath.Glob(filepath.Join(p.dir, pattern))
		require.NoError(t, err)
		names = append(names, found...)
	}
	require.Greater(t, len(names), 3)

	files := http.FileServer(http.Dir(p.dir))
	store := webserver.Presigned{Secret: "hush", Objects: files}
	plain, signed := httptest.NewServer(files), httptest.NewServer(store)
	defer plain.Close()
	defer signed.Close()
	var links []string
	for _, name := range names {
		links = append(links, "--volumes", store.Presign(signed.URL+"/"+filepath.Base(name), time.Now(), 600))
	}
	for what, args := range map[string][]string{
		"beside": {plain.URL + "/parts.tar"},
		"folder": {plain.URL + "/elsewhere/parts.tar", "--volumes", plain.URL + "/"},
		"links":  append([]string{signed.URL + "/parts.tar"}, links...),
	} {
		r := mustRelocate(t, append([]string{"inspect", "--tree"}, args...)...)
		assert.Equal(t, verified, strings.ReplaceAll(r.stdout, args[0], file), what)
		host := startMemory(t, nil)
		r = mustRelocate(t, append([]string{"--to-repo", host + "/corp/repository", "--from-tar"}, args...)...)
		assertAll(t, r.stderr, "imported 3 versions", "  read             ")
		mustRelocate(t, "verify", "--repo", host+"/corp/repository", file, "--level", "deep")
	}
	assertFailed(t, tryRelocate(t, append([]string{"verify", signed.URL + "/parts.tar"}, slices.Concat(links[:2], links[4:])...)...),
		statusMissing, "parts.tar.002 is missing", "hint: upload it beside the archive, or name the URL where it is with --volumes URL")
	for _, part := range names {
		assertFailed(t, tryRelocate(t, "inspect", plain.URL+"/"+filepath.Base(part)), statusUsage, "is a part of an archive in volumes: "+plain.URL+"/parts.tar\n")
	}
	assertFailed(t, tryRelocate(t, "verify", file, "--volumes", plain.URL+"/"), statusUsage, "volumes at URLs need an archive that is named by a URL")
	require.NoError(t, os.Truncate(names[1], 100))
	assertFailed(t, tryRelocate(t, "verify", plain.URL+"/parts.tar"), statusDamage, "parts.tar.002 is damaged: it has 100 bytes; it must have")
}
