package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/realregistry"
)

var verifyWith = regexp.MustCompile(`(?m)^  verify with +relocate (.+)$`)

// asWords splits a command of words without blanks, as a shell does.
func asWords(command string) []string { return strings.Fields(strings.ReplaceAll(command, "'", "")) }

// TestVerifyWith: the commands with which an import says that it can be verified do so, also where it imports
// a part of the archive. They fail when something is missing.
func TestVerifyWith(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	s := newPlatformSite(t, startReal(t).Addr)
	whole := export(t, s.root)
	dst := realregistry.Start(t, realregistry.Options{Kind: realregistry.Sparse}).Addr
	for i, args := range [][]string{
		nil, {"--package", "app.*"}, {"--platform", "linux/amd64"}, {"--platform", "linux/amd64", "--platform", "windows/amd64", "--package", "app.*"},
		{"--platform", "linux/amd64", "--platform-mode", "derive"}, {"--platform", "linux/amd64", "--platform-mode", "derive", "--package", "app.*"}, {"--tag", "v1"}, {"--no-tag"}, {"--repo-based-tags"},
	} {
		repo := fmt.Sprintf("%s/verify/%d", dst, i)
		said := mustRelocate(t, append([]string{"--from-tar", whole, "--to-repo", repo}, args...)...).stderr
		commands := verifyWith.FindAllStringSubmatch(said, -1)
		require.Len(t, commands, 1, "%v\n%s", args, said)
		mustRelocate(t, asWords(commands[0][1])...)
		require.Equal(t, statusMissing, tryRelocate(t, asWords(strings.Replace(commands[0][1], "/verify/", "/nothing/", 1))...).status)
	}
}

// TestVerifyWithOfFile: an import with a crossing file says how to verify it with that file, and with the flags
// that it had besides.
func TestVerifyWithOfFile(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	s := newPlatformSite(t, startReal(t).Addr)
	whole := export(t, s.root)
	dst := realregistry.Start(t, realregistry.Options{Kind: realregistry.Sparse}).Addr
	file := writeConfig(t, "roots:\n- bundle: %s\nplatforms: [linux/amd64]\nplatformMode: derive\ndestination:\n  repository: %s/none\n", s.root, dst)
	for i, args := range [][]string{
		nil, {"--platform", "windows/amd64"}, {"--package", "app.*"}, {"--tag", "v1"}, {"--no-tag"}, {"--platform-mode", "sparse"},
	} {
		repo := fmt.Sprintf("%s/verify/%d", dst, i)
		said := mustRelocate(t, append([]string{"--config", file, "--from-tar", whole, "--to-repo", repo}, args...)...).stderr
		command := verifyWith.FindStringSubmatch(said)
		require.NotNil(t, command, said)
		assert.True(t, strings.HasPrefix(command[1], "verify --config "+file+" --repo "+repo+" "+whole), command[1])
		mustRelocate(t, asWords(command[1])...)
		require.Equal(t, statusMissing, tryRelocate(t, asWords(strings.Replace(command[1], "/verify/", "/nothing/", 1))...).status)
	}
}

// TestConditionalDependency: a choice derives the same bundle whether packages are rendered or not, and with any
// values. What a package installs only with some of them comes along.
func TestConditionalDependency(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	s := site{t: t, host: src.Addr}
	app := s.bundle("pkg/app", "1.0", map[string]string{
		"config/install.yml": `#@ load("@ytt:data", "data")
#@ if data.values.all:
---
apiVersion: packaging.carvel.dev/v1alpha1
kind: PackageInstall
metadata: {name: needed, annotations: {ext.packaging.carvel.dev/fetch-0-secret-name: login}}
spec: {packageRef: {refName: db.corp.com, versionSelection: {constraints: 1.0.0}}}
#@ end
`,
		"config/values.yml": "#@data/values\n---\nall: false\n",
	})
	db := s.bundle("pkg/db", "1.0", map[string]string{"config/app.yml": "kind: ConfigMap\n"})
	s.bundle("shop/repository", "1.0", map[string]string{
		"packages/app.yml": kbldText("app.corp.com", "1.0.0", s.ref("pkg/app", app)), "packages/db.yml": kbldText("db.corp.com", "1.0.0", s.ref("pkg/db", db)),
	}, s.ref("pkg/app", app), s.ref("pkg/db", db))
	root := src.Addr + "/shop/repository:1.0"
	choice, repo := []string{"--package", "app.corp.com"}, dst.Addr+"/closed/app"
	values := []string{"--values-file", "app.corp.com=" + shopValues(t, "all: false\n")}
	whole := export(t, root)
	object := mustRelocate(t, append(choice, "--from-tar", whole, "--to-repo", repo)...).stdout
	for _, more := range [][]string{nil, values} {
		mustRelocate(t, slices.Concat([]string{"verify", "--repo", repo, whole}, choice, more)...)
		mustRelocate(t, slices.Concat([]string{"rehearse", whole}, choice, more)...)
	}
	assert.Equal(t, object, mustRelocate(t, append(choice, "-b", root, "--to-repo", repo, "--render")...).stdout)
	for _, more := range [][]string{nil, {"--render"}, append(values, "--render")} {
		part := export(t, slices.Concat([]string{root}, choice, more)...)
		assert.Equal(t, []string{"a 1.0.0", "d 1.0.0"}, versionsIn(t, part), more)
		mustRelocate(t, "rehearse", part)
	}
}
