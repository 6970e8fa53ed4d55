package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/crossing"
)

// configHead begins a crossing file.
const configHead = "apiVersion: relocate/v1alpha1\nkind: Crossing\n"

// writeConfig writes a crossing file into a folder of its own.
func writeConfig(t *testing.T, format string, args ...any) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "crossing.yml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf([]byte(configHead), format, args...), 0o600))
	return file
}

// TestConfigCrossing: one file drives both sides, and every command does what it does with the flags.
func TestConfigCrossing(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	root := pushSample(t, src.Addr)
	repo := dst.Addr + "/site/repository"
	file := writeConfig(t, `roots:
- bundle: %s
strict: true
allow: [docs.example.com]
render:
  packages: true
cluster:
  kubernetesVersion: "1.29"
destination:
  repository: %s
  tag: "9.9"
  name: site
  namespace: tce
  secretRef: login
`, root, repo)
	source := []string{"-b", root, "--strict", "--allow", "docs.example.com", "--render", "--kubernetes-version", "1.29"}
	object := []string{"--name", "site", "--namespace", "tce", "--secret-ref", "login"}

	planned := mustRelocate(t, append([]string{"plan", "-o", "json"}, source...)...)
	assert.Equal(t, planned.stdout, mustRelocate(t, "plan", "-o", "json", "--config", file).stdout)

	byFlags, byFile := filepath.Join(t.TempDir(), "a.tar"), filepath.Join(t.TempDir(), "a.tar")
	mustRelocate(t, append(source, "--to-tar", byFlags)...)
	mustRelocate(t, "--config", file, "--to-tar", byFile)
	want, err := os.ReadFile(byFlags)
	require.NoError(t, err)
	got, err := os.ReadFile(byFile)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want, got), "the archives differ")

	rehearsed := mustRelocate(t, "rehearse", "--config", file, byFile)
	assert.Contains(t, rehearsed.stdout, repo)
	mustRelocate(t, "verify", "--config", file, byFile)

	imported := mustRelocate(t, "--config", file, "--from-tar", byFile)
	assert.Equal(t, mustRelocate(t, append([]string{"emit", byFlags, "--to-repo", repo}, object...)...).stdout, mustRelocate(t, "emit", "--config", file, byFile).stdout)
	assertAll(t, imported.stdout, "name: site\n", "namespace: tce\n", "name: login\n", "image: "+repo+"@sha256:")
	assert.Contains(t, dumpReal(t, dst, "").tags, "site/repository:9.9")

	assertAll(t, mustRelocate(t, "verify", "--config", file).stdout, "OK: "+repo+":9.9@")
	assertAll(t, mustRelocate(t, "verify", "--config", file, "--repo", repo, byFile).stdout, "OK: "+repo, "everything that "+byFile)
	assert.Equal(t, mustRelocate(t, "inspect", "--repo", root).stdout, mustRelocate(t, "inspect", "--config", file).stdout)
	assert.Equal(t, mustRelocate(t, "inspect", byFile, "package", "simple-app.corp.com").stdout,
		mustRelocate(t, "inspect", "--config", file, byFile, "package", "simple-app.corp.com").stdout)
	assert.Contains(t, mustRelocate(t, "render", "--config", file, "package", "simple-app.corp.com", "--images").stdout, repo)

	assert.Equal(t, mustRelocate(t, "inventory", "--repo", repo).stdout, mustRelocate(t, "inventory", "--config", file).stdout)
	assert.Equal(t, mustRelocate(t, "inventory", byFile).stdout, mustRelocate(t, "inventory", "--config", file, byFile).stdout)
	assert.Equal(t, mustRelocate(t, "prune", "--repo", repo, "--drop", "9.9").stdout, mustRelocate(t, "prune", "--config", file, "--drop", "9.9").stdout)

	direct := mustRelocate(t, "--config", file)
	assert.Equal(t, imported.stdout, direct.stdout)
}

// TestConfigOverridden: a flag wins over the file; a list replaces the list, and a flag that excludes
// another replaces it.
func TestConfigOverridden(t *testing.T) {
	skipShort(t)
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	root := pushSample(t, src.Addr)
	open := pushOpen(t, src.Addr)
	file := writeConfig(t, `roots:
- bundle: none.invalid/a:1
- image: none.invalid/b:1
strict: true
allow: [example.com, quay.io]
destination:
  repository: none.invalid/a
  tag: filed
  name: filed
`)
	repo := dst.Addr + "/a"
	r := mustRelocate(t, "--config", file, "-b", root, "--to-repo", repo, "--no-tag", "--name", "flag")
	assert.Contains(t, r.stdout, "name: flag\n")
	assert.NotContains(t, dumpReal(t, dst, "").tags, "a:filed")

	archive := filepath.Join(t.TempDir(), "a.tar")
	mustRelocate(t, "--config", file, "-b", open, "--to-tar", archive)
	replaced := tryRelocate(t, "--config", file, "-b", open, "--to-tar", archive, "--allow", "example.com")
	assert.Equal(t, statusMissing, replaced.status)
	assertAll(t, replaced.stderr, "quay.io/corp/sidecar", "config: --strict is strict in "+file+":6\n")
	mustRelocate(t, "--config", file, "-b", open, "--to-tar", archive, "--strict=false")
}

// TestConfigPaths: paths are relative to the file.
func TestConfigPaths(t *testing.T) {
	t.Parallel()
	src := startReal(t)
	root := pushOpen(t, src.Addr)
	file := writeConfig(t, "roots:\n- bundle: %s\nstrict: true\naccept: known/report.json\n", root)
	known := filepath.Join(filepath.Dir(file), "known", "report.json")
	missing := tryRelocate(t, "plan", "--config", file)
	assert.Equal(t, statusUsage, missing.status)
	assertAll(t, missing.stderr, "--accept: open "+known, "config: --accept is accept in "+file+":6\n")

	require.NoError(t, os.Mkdir(filepath.Dir(known), 0o700))
	found := tryRelocate(t, "plan", "-b", root, "-o", "json")
	require.Zero(t, found.status)
	require.NoError(t, os.WriteFile(known, []byte(found.stdout), 0o600))
	assert.Contains(t, mustRelocate(t, "plan", "--config", file).stdout, "accepted: ")
}

// TestConfigRefused: what is wrong with a file, or with what a command does with it, and where.
func TestConfigRefused(t *testing.T) {
	t.Parallel()
	src := startReal(t)
	root := pushSample(t, src.Addr)
	archive := export(t, root)
	other := writeConfig(t, "roots:\n- bundle: %s\n- bundle: reg.example.com/other:1\ndestination:\n  repository: none.invalid/a\n", root)
	fewer := writeConfig(t, "roots:\n- image: %s\n", root)
	for name, c := range map[string]struct {
		status int
		args   []string
		parts  []string
	}{
		"typo":        {statusUsage, []string{"plan", "--config", writeConfig(t, "rots: []\n")}, []string{`crossing.yml:3: unknown key "rots"`, "hint: see relocate help config"}},
		"login":       {statusUsage, []string{"plan", "--config", writeConfig(t, "password: hunter2\n")}, []string{`crossing.yml:3: "password": this file must not contain logins`, "hint: remove it"}},
		"missing":     {statusUsage, []string{"plan", "--config", "none.yml"}, []string{"--config: open none.yml", "hint: check the path"}},
		"empty":       {statusUsage, []string{"plan", "--config", writeConfig(t, "strict: true\n")}, []string{"no source"}},
		"two-sided":   {statusUsage, []string{"plan", "--config", writeConfig(t, "roots:\n- bundle: %s\nattachments: none\nsignaturesFrom: a.example.com/b\n", root)}, []string{"--signatures-from needs", "config: --signatures-from is signaturesFrom in ", "crossing.yml:6", "config: --attachments is attachments in ", "crossing.yml:5"}},
		"value":       {statusUsage, []string{"plan", "--config", writeConfig(t, "roots:\n- bundle: %s\nrender:\n  packages: true\ncluster:\n  kubernetesVersion: new\n", root)}, []string{"--kubernetes-version new", "config: --kubernetes-version is cluster.kubernetesVersion in ", "crossing.yml:8"}},
		"kind":        {statusUsage, []string{"plan", "--config", fewer}, []string{"Use -b instead of -i"}},
		"import":      {statusMissing, []string{"--config", other, "--from-tar", archive}, []string{archive + " is not the archive of " + other + ": it does not have the root reg.example.com/other:1", "hint: name the archive"}},
		"rehearse":    {statusMissing, []string{"rehearse", "--config", other, archive}, []string{"does not have the root reg.example.com/other:1"}},
		"verify":      {statusMissing, []string{"verify", "--config", other, archive}, []string{"does not have the root reg.example.com/other:1"}},
		"surplus":     {statusMissing, []string{"verify", "--config", writeConfig(t, "roots:\n- bundle: reg.example.com/other:1\n"), archive}, []string{"does not have the root"}},
		"inspect-two": {statusUsage, []string{"inspect", "--config", other}, []string{"name an archive, or a package repository with --repo"}},
		"no-to":       {statusUsage, []string{"--config", fewer}, []string{"no destination"}},
	} {
		r := tryRelocate(t, c.args...)
		assert.Equal(t, c.status, r.status, "%s: %s", name, r.stderr)
		assertAll(t, r.stderr, c.parts...)
		assert.NotContains(t, r.stderr, "hunter2")
	}
}

// TestConfigFlags: the flag of every key exists.
func TestConfigFlags(t *testing.T) {
	t.Parallel()
	flags := newRoot().Flags()
	for _, k := range crossing.Keys() {
		if k.Flag != "" {
			assert.NotNil(t, flags.Lookup(k.Flag), k.Name)
		}
	}
}

// TestConfigChoices: a root has its own choice or that for all, a flag overrides what the file says of both, and
// the other side needs no more than the file.
func TestConfigChoices(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	root := pushSample(t, src.Addr)
	image := src.Addr + "/corp/status:1.0.0"
	repo := dst.Addr + "/site/repository"
	file := writeConfig(t, `roots:
- bundle: %s
  choose:
    packages: [guestbook.corp.com]
    latest: 1
- image: %s
choose:
  packages: [simple-app.corp.com]
destination:
  repository: %s
`, root, image, repo)
	chosen := func(args ...string) (versions []string) {
		var r planReport
		require.NoError(t, json.Unmarshal([]byte(mustRelocate(t, append([]string{"plan", "-o", "json", "--config", file}, args...)...).stdout), &r))
		for _, s := range r.Selection {
			for _, v := range s.Versions {
				versions = append(versions, v.Name+"@"+v.Version)
			}
		}
		return versions
	}
	assert.Equal(t, []string{"guestbook.corp.com@1.1.0"}, chosen())
	assert.Equal(t, []string{"guestbook.corp.com@1.0.0", "guestbook.corp.com@1.1.0"}, slices.Sorted(slices.Values(chosen("--latest", "2"))))
	assert.Equal(t, []string{"simple-app.corp.com@1.0.0"}, chosen("--package", "simple-app.corp.com"))
	assert.Equal(t, []string{"simple-app.corp.com@1.0.0"}, chosen("-b", root), "roots of the command line have the choice for all")

	byFlags, byFile := filepath.Join(t.TempDir(), "a.tar"), filepath.Join(t.TempDir(), "a.tar")
	mustRelocate(t, "-b", root, "-i", image, "--package", "guestbook.corp.com", "--latest", "1", "--to-tar", byFlags)
	mustRelocate(t, "--config", file, "--to-tar", byFile)
	want, err := os.ReadFile(byFlags)
	require.NoError(t, err)
	got, err := os.ReadFile(byFile)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want, got), "the archives differ")

	mustRelocate(t, "rehearse", "--config", file, byFile)
	mustRelocate(t, "verify", "--config", file, byFile)
	imported := mustRelocate(t, "--config", file, "--from-tar", byFile)
	assert.Contains(t, imported.stdout, "relocate/choice: ")
	mustRelocate(t, "verify", "--config", file, "--repo", repo, byFile)

	whole := export(t, root, "-i", image)
	part := mustRelocate(t, "--config", file, "--from-tar", whole)
	assert.Equal(t, imported.stdout, part.stdout, "a part of an archive that has everything")
	other := tryRelocate(t, "verify", "--config", writeConfig(t, "roots:\n- bundle: %s\n  choose: {latest: 2}\n- image: %s\n", root, image), byFile)
	assert.Equal(t, statusMissing, other.status, "another choice is another archive")
	assert.Contains(t, other.stderr, "does not have the root "+root+"-selected-")

	assert.Contains(t, mustRelocate(t, "diff", file, byFile).stdout, "\nno differences\n")
	assert.Equal(t, statusDifferent, tryRelocate(t, "diff", file, whole).status)

	one := writeConfig(t, "roots:\n- bundle: %s\n  choose:\n    packages: [guestbook.corp.com]\n    latest: 1\ndestination:\n  repository: %s\n", root, repo)
	assert.Contains(t, mustRelocate(t, "verify", "--config", one).stdout, "OK: "+repo+":1.0.0-selected-")
}

// TestConfigPlatforms: platforms and bases of a file.
func TestConfigPlatforms(t *testing.T) {
	skipShort(t)
	t.Parallel()
	src := startReal(t)
	root := pushSample(t, src.Addr)
	base := export(t, root)
	file := writeConfig(t, "roots:\n- bundle: %s\nplatforms: [linux/amd64]\nbases: [%s]\n", root, base)
	byFlags, byFile := filepath.Join(t.TempDir(), "a.tar"), filepath.Join(t.TempDir(), "a.tar")
	mustRelocate(t, "-b", root, "--platform", "linux/amd64", "--base", base, "--to-tar", byFlags)
	mustRelocate(t, "--config", file, "--to-tar", byFile)
	want, err := os.ReadFile(byFlags)
	require.NoError(t, err)
	got, err := os.ReadFile(byFile)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want, got), "the archives differ")
	mustRelocate(t, "rehearse", "--config", file, byFile)
	assert.Equal(t, statusMissing, tryRelocate(t, "rehearse", byFile).status, "without its base")
	assert.Equal(t, mustRelocate(t, "plan", "-b", root, "--platform", "linux/amd64", "--base", base).stdout, mustRelocate(t, "plan", "--config", file).stdout)
}

// TestConfigDerived: what is made for platforms and by a choice is known on the other side by the file.
func TestConfigDerived(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	root := pushSample(t, src.Addr)
	repo, part := dst.Addr+"/site/derived", dst.Addr+"/site/part"
	file := writeConfig(t, "roots:\n- bundle: %s\n  choose: {latest: 1}\nplatforms: [linux/amd64]\nplatformMode: derive\ndestination:\n  repository: %s\n", root, repo)
	archive, whole := filepath.Join(t.TempDir(), "a.tar"), export(t, root)
	mustRelocate(t, "--config", file, "--to-tar", archive)
	mustRelocate(t, "rehearse", "--config", file, archive)
	mustRelocate(t, "verify", "--config", file, archive)
	imported := mustRelocate(t, "--config", file, "--from-tar", archive)
	assertAll(t, imported.stdout, "relocate/platforms: linux/amd64", "relocate/choice: ")
	mustRelocate(t, "verify", "--config", file)
	mustRelocate(t, "verify", "--config", file, "--repo", repo, archive)

	mustRelocate(t, "rehearse", "--config", file, whole)
	again := mustRelocate(t, "--config", file, "--from-tar", whole, "--to-repo", part)
	assert.Equal(t, again.stdout, mustRelocate(t, "emit", "--config", file, whole, "--to-repo", part).stdout)
	assert.Contains(t, mustRelocate(t, "inspect", "--config", file, whole).stdout, "contains 2 versions of 2 packages, ")
	assert.Contains(t, mustRelocate(t, "inspect", "--config", file, archive).stdout, "contains 2 versions of 2 packages, ")
	assert.Equal(t, strings.ReplaceAll(imported.stdout, repo, part), again.stdout, "of an archive that has everything")
	mustRelocate(t, "verify", "--config", file, "--repo", part, whole)

	other := writeConfig(t, "roots:\n- bundle: %s\n  choose: {latest: 1}\nplatforms: [linux/arm64]\nplatformMode: derive\n", root)
	assert.Equal(t, statusMissing, tryRelocate(t, "verify", "--config", other, archive).status, "for another platform")
}

// TestConfigNames: of the tags of the destination, verify takes the one that the file gives its root.
func TestConfigNames(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	s := newPlatformSite(t, src.Addr)
	repo, whole := dst.Addr+"/site/names", export(t, s.root)
	derived := func(platform, more string) string {
		return writeConfig(t, "roots:\n- bundle: %s\n%splatforms: [%s]\nplatformMode: derive\ndestination:\n  repository: %s\n", s.root, more, platform, repo)
	}
	digests := map[string]string{} // by file
	amd, windows, chosen := derived("linux/amd64", ""), derived("windows/amd64", ""), derived("linux/amd64", "  choose: {packages: [app.*]}\n")
	for _, file := range []string{amd, windows, chosen} {
		object := mustRelocate(t, "--config", file, "--from-tar", whole).stdout
		_, rest, ok := strings.Cut(object, repo+"@")
		require.True(t, ok, object)
		digests[file] = rest[:len(digestOf(""))]
	}
	assert.Len(t, slices.Compact(slices.Sorted(maps.Values(digests))), 3)
	assertFailed(t, tryRelocate(t, "verify", "--repo", repo), statusUsage, "name one of its tags")
	for file, digest := range digests {
		r := mustRelocate(t, "verify", "--config", file)
		assert.Contains(t, r.stdout, "OK: "+repo)
		assert.Contains(t, r.stdout, digest)
		assert.NotContains(t, r.stderr, "note:")
	}

	mustRelocate(t, "--from-tar", whole, "--to-repo", repo)
	none, nothing := derived("linux/s390x", ""), derived("linux/s390x", "  choose: {packages: [app.*]}\n")
	assertAll(t, mustRelocate(t, "verify", "--config", none).stderr, "note: "+repo+" has no :1.0-selected-", "; :1.0 is verified")
	r := tryRelocate(t, "verify", "--config", nothing)
	assertFailed(t, r, statusMissing, "it has none of the names that "+nothing+" gives its root: :1.0-selected-", ", :1.0\n", "hint: ")
	mustRelocate(t, "--config", amd, "--from-tar", whole, "--tag", "stable")
	tagged := writeConfig(t, "roots:\n- bundle: %s\nplatforms: [linux/amd64]\nplatformMode: derive\ndestination:\n  repository: %s\n  tag: stable\n", s.root, repo)
	assert.Contains(t, mustRelocate(t, "verify", "--config", tagged).stdout, "OK: "+repo+":stable@"+digests[amd])

	part := export(t, s.root, "--platform", "linux/amd64", "--platform-mode", "derive")
	refused := tryRelocate(t, "verify", "--config", chosen, part)
	tag := mustRelocate(t, "verify", "--config", chosen).stdout
	tag = tag[strings.Index(tag, "1.0-selected-"):][:len("1.0-selected-01234567")]
	assertFailed(t, refused, statusMissing, "it does not have the root "+s.root[:strings.LastIndex(s.root, ":")+1]+tag)
}

// TestConfigLock: what a BundleLock beside the file names, and what is chosen of it.
func TestConfigLock(t *testing.T) {
	skipShort(t)
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	repo := dst.Addr + "/a"
	file := writeConfig(t, "roots:\n- lock: bundle.lock.yml\nchoose: {latest: 1}\ndestination:\n  repository: %s\n", repo)
	mustRelocate(t, "-b", pushSample(t, src.Addr), "--to-repo", src.Addr+"/copy", "--lock-output", filepath.Join(filepath.Dir(file), "bundle.lock.yml"))
	archive := filepath.Join(t.TempDir(), "a.tar")
	mustRelocate(t, "--config", file, "--to-tar", archive)
	object := mustRelocate(t, "--config", file, "--from-tar", archive).stdout
	assert.Contains(t, object, "relocate/choice: ")
	assert.Contains(t, mustRelocate(t, "verify", "--config", file).stdout, "OK: "+repo+":1.0.0-selected-")

	objects := filepath.Join(t.TempDir(), "objects.yml")
	require.NoError(t, os.WriteFile(objects, []byte(object), 0o600))
	assert.Contains(t, mustRelocate(t, "verify", "--config", file, "-f", objects).stdout, "OK: ")
}

// TestConfigWhole: inspect and render say that they show a root as a whole, of which the file chooses a part.
func TestConfigWhole(t *testing.T) {
	skipShort(t)
	t.Parallel()
	src := startReal(t)
	root := pushSample(t, src.Addr)
	archive := export(t, root)
	for _, view := range [][]string{{"inspect"}, {"render", "package", "guestbook.corp.com"}} {
		for part, says := range map[string]bool{"": false, "  choose: {latest: 1}\n": true, "choose: {latest: 1}\n": true, "platforms: [linux/amd64]\n": true} {
			file := writeConfig(t, "roots:\n- bundle: %s\n%s", root, part)
			args := append(slices.Clone(view), "--config", file)
			stderr := mustRelocate(t, args...).stderr
			want := 0
			if says {
				want = 1
			}
			assert.Equal(t, want, strings.Count(stderr, "note: this is the whole root, not only what "+file+" chooses of it"), "%v %q: %s", args, part, stderr)
			of := slices.Insert(args, 1, archive)
			assert.NotContains(t, mustRelocate(t, of...).stderr, "whole root")
		}
	}
}
