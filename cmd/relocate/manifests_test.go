package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pushManifests pushes a package repository and the image of kapp-controller, and writes kapp-controller's own manifests
// to a folder, with a Config by which kbld finds the image there.
func pushManifests(t *testing.T, host string) (repository, folder, text string) {
	t.Helper()
	s := site{t: t, host: host}
	s.image("carvel/kapp-controller", "v0.53.1", "kapp-controller")
	folder = t.TempDir()
	data, err := os.ReadFile("../../testdata/manifests/kapp-controller.yml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "release.yml"), data, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "kbld.yml"), []byte("apiVersion: kbld.k14s.io/v1alpha1\nkind: Config\noverrides:\n"+
		"- {image: kapp-controller, newImage: \""+host+"/carvel/kapp-controller:v0.53.1\"}\n"), 0o600))
	return pushSample(t, host), folder, string(data)
}

// TestManifests: kapp-controller's own manifests cross in one archive with a package repository, and come out with their
// image inside and nothing else changed.
func TestManifests(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	root, folder, text := pushManifests(t, host)
	source := []string{"-b", root, "--manifests", "kc=" + folder}

	plan := mustRelocate(t, append([]string{"plan", "--tree", "--strict"}, source...)...)
	assert.Contains(t, plan.stdout, "relocate.invalid/manifests:kc")
	t.Log(plan.stdout, plan.stderr)

	file := filepath.Join(t.TempDir(), "all.tar")
	r := mustRelocate(t, append([]string{"--to-tar", file, "--strict"}, source...)...)
	t.Log(r.stderr)
	again := filepath.Join(t.TempDir(), "again.tar")
	mustRelocate(t, append([]string{"--to-tar", again, "--concurrency", "1"}, source...)...)
	assert.Equal(t, readFile(t, file), readFile(t, again), "the same bytes each time")

	for _, args := range [][]string{{"verify", file}, {"rehearse", file}, {"inspect", file}, {"inspect", file, "--tree"}, {"diff", file, again}} {
		r := mustRelocate(t, args...)
		t.Log(args, r.stdout, r.stderr)
	}

	inside := startMemory(t, nil)
	repo := inside + "/all"
	r = mustRelocate(t, "--from-tar", file, "--to-repo", repo)
	t.Log(r.stderr)
	mustRelocate(t, "verify", "--repo", repo, file, "--level", "deep")
	out := mustRelocate(t, "emit", file, "--to-repo", repo, "--with", "manifests")
	t.Log(out.stderr)
	manifests, object, found := strings.Cut(out.stdout, "---\napiVersion: packaging.carvel.dev/v1alpha1\nkind: PackageRepository")
	require.True(t, found, "the PackageRepository is the last object:\n%s", object)
	got, want := strings.Split(strings.TrimPrefix(manifests, "---\n"), "\n"), strings.Split(text, "\n")
	changed := 0
	for i := range want {
		if got[i] != want[i] {
			changed++
			assert.Equal(t, "        image: kapp-controller", want[i])
			assert.Regexp(t, "^        image: "+repo+"@sha256:[0-9a-f]{64}$", got[i])
		}
	}
	assert.Equal(t, 2, changed)
	objects := filepath.Join(t.TempDir(), "objects.yml")
	require.NoError(t, os.WriteFile(objects, []byte(out.stdout), 0o600))
	r = mustRelocate(t, "verify", "--repo", repo, "-f", objects)
	t.Log(r.stdout)
}
