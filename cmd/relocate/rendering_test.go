package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
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
		if args[0] == "rehearse" || args[0] == "verify" {
			r := tryRelocate(t, append(args[:len(args):len(args)], "--values-file", "nothing.test="+values, "--progress", "json")...)
			hashing := strings.Count(r.stderr, `"phase":"verify"`) // of a file, which goes on while its plan is made, and then ends
			assert.Equal(t, hashing, strings.Count(r.stderr, `"phase"`), "before any other work")
		}
		assertFailed(t, with("guestbook.corp.com/7.0.0="+values), statusUsage, "package guestbook.corp.com does not have version 7.0.0, only 1.1.0, 1.0.0")
	}
}

// TestProofWithValues: what a package deploys with the values given is in the proof, and only that is certain.
func TestProofWithValues(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	s := site{t: t, host: host}
	app := s.ref("corp/app", s.image("corp/app", "1", "app"))
	pkg := s.ref("pkg/a", s.bundle("pkg/a", "1", map[string]string{
		"config/schema.yml": "#@data/values-schema\n---\nhost: \"\"\n",
		"config/app.yml":    "#@ load(\"@ytt:data\", \"data\")\n#@ load(\"@ytt:assert\", \"assert\")\nimage: " + app + "\nagent: #@ (data.values.host or assert.fail(\"a host is required\")) + \"/corp/agent:1\"\n",
	}, app))
	s.bundle("root/values", "1", map[string]string{"packages/a.yml": kbldText("a.corp.com", "1.0.0", pkg)}, pkg)
	root := host + "/root/values:1"
	archive, report := export(t, root), filepath.Join(t.TempDir(), "report.json")
	mustRelocate(t, "--from-tar", archive, "--to-repo", host+"/private")

	const outside = "quay.io/corp/agent:1"
	given := []string{"--values-file", "a.corp.com=" + valuesFile(t, "host: quay.io\n")}
	for _, args := range [][]string{{"rehearse", archive}, {"verify", archive}, {"verify", "--repo", host + "/private", archive}} {
		with := func(more ...string) result {
			return tryRelocate(t, append(append(args[:len(args):len(args)], more...), "--report", report)...)
		}
		r := with()
		assert.Zero(t, r.status, r.stderr)
		assertAll(t, r.stdout, "rendered 0 of 1 package version, examined 1 as text only\n", "(needs-values", "a host is required",
			"what 1 package version deploys: its files were examined as text only, 1 because values are missing (--values-file)")
		assert.NotContains(t, r.stdout, outside)

		r = with(given...)
		assertAll(t, r.stdout, "rendered 1 of 1 package version\n", "(outside-key, rendered)", outside)
		assert.NotContains(t, r.stdout, "deploys: its files")
		assert.Contains(t, string(readFile(t, report)), `"basis": "rendered"`)
		assert.Contains(t, string(readFile(t, report)), `"packagesRendered": 1`)
		assert.Equal(t, args[0] == "verify" && len(args) == 2, r.status == 0, "an archive is to be --strict")

		r = with("--no-render")
		assert.Zero(t, r.status, r.stderr)
		assertAll(t, r.stdout, "rendered 0 of 1 package version, examined 1 as text only\n")
		assert.NotContains(t, r.stdout, "needs-values")
	}

	assert.Contains(t, mustRelocate(t, "plan", "-b", root).stdout, "templates  rendered 0 of 1 package version, examined 1 as text only\n")
	planned := mustRelocate(t, append([]string{"plan", "-b", root, "--render"}, given...)...)
	assertAll(t, planned.stdout, "templates  rendered 1 of 1 package version\n", outside)
	file := filepath.Join(t.TempDir(), "strict.tar")
	strict := tryRelocate(t, append([]string{"-b", root, "--to-tar", file, "--strict"}, given...)...)
	assertFailed(t, strict, statusMissing, outside, "not closed")
	assert.NoFileExists(t, file)
	exported := mustRelocate(t, append([]string{"-b", root, "--to-tar", file, "--render"}, given...)...)
	assertAll(t, exported.stderr, "  rendered 1 of 1 package version\n", outside)
}

// TestHelmProgram: --helm names the program, also relative to the folder of the command.
func TestHelmProgram(t *testing.T) {
	root := pushRenderable(t, startMemory(t, nil))
	t.Chdir(t.TempDir())
	t.Setenv("PATH", "/usr/bin:/bin")
	require.NoError(t, os.WriteFile("myhelm", []byte("#!/bin/sh\necho 'kind: ConfigMap'\necho \"arguments: '$*'\"\n"), 0o700))
	r := mustRelocate(t, "render", "--repo", root, "package", "chart.corp.com", "--helm", "./myhelm", "--kubernetes-version", "v1.31")
	assertAll(t, r.stdout, "kind: ConfigMap\n", "arguments: 'template chart ", "--kube-version 1.31.0")
	file := writeConfig(t, "roots:\n- bundle: %s\ncluster:\n  kubernetesVersion: v1.31.3-gke.1\n", root)
	for _, from := range [][]string{{"--repo", root, "--kubernetes-version", "v1.31.3-gke.1"}, {"--config", file}, {"--repo", root, "--kubernetes-version", "1.31.3+k3s1"}} {
		r = mustRelocate(t, append([]string{"render", "package", "chart.corp.com", "--helm", "./myhelm"}, from...)...)
		assertAll(t, r.stdout, "--kube-version 1.31.3'\n")
	}
}
