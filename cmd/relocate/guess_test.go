package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGuesses: a command line that newcomers try gets the right one, ready to paste, and status 2.
func TestGuesses(t *testing.T) {
	t.Parallel()
	present := filepath.Join(t.TempDir(), "present")
	require.NoError(t, os.WriteFile(present, nil, 0o600))
	for _, c := range []struct{ given, says, meant string }{
		{"export", `unknown command "export"; use --to-tar`, "-b REF --to-tar FILE"},
		{"export r.test/a/b:1 tce.tar", "", "-b r.test/a/b:1 --to-tar tce.tar"},
		{"export r.test/a/b:1 tce", "", "-b r.test/a/b:1 --to-tar tce"},
		{"export -b r.test/a/b:1 --to-tar x.tar", "", "-b r.test/a/b:1 --to-tar x.tar"},
		{"exprot -b r.test/a/b:1", `unknown command "exprot"`, "-b r.test/a/b:1 --to-tar FILE"},
		{"import", `unknown command "import"; use --from-tar`, "--from-tar FILE --to-repo REPO"},
		{"import tce.tar r.test/x", "", "--from-tar tce.tar --to-repo r.test/x"},
		{"import tce.tar r.test/x:1", "", "--from-tar tce.tar --to-repo r.test/x --tag 1"},
		{"import --tar tce.tar", "", "--tar tce.tar --to-repo REPO"},

		{"-b r.test/a/b:1", "no destination", "-b r.test/a/b:1 --to-tar FILE"},
		{"--from-tar x.tar", "no destination", "--from-tar x.tar --to-repo REPO"},
		{"--to-tar x.tar", "no source", "--to-tar x.tar -b REF"},
		{"copy --to-repo r.test/x", "no source", "copy --to-repo r.test/x --from-tar FILE"},
		{"r.test/a/b:1", `unexpected argument "r.test/a/b:1": a copy takes flags only`, "-b r.test/a/b:1 --to-tar FILE"},
		{"r.test/a/b:1 --to-tar x.tar", "", "-b r.test/a/b:1 --to-tar x.tar"},
		{"r.test/a/b:1 r.test/x", "", "-b r.test/a/b:1 --to-repo r.test/x"},
		{"copy r.test/a/b:1 x.tar", "", "copy -b r.test/a/b:1 --to-tar x.tar"},
		{"x.tar --to-repo r.test/x", "", "--from-tar x.tar --to-repo r.test/x"},
		{present, "", "--from-tar " + present + " --to-repo REPO"},
		{"verify r.test/a/b:1", "is a reference; name a repository with --repo", "verify --repo r.test/a/b:1"},
		{"inspect r.test/a/b:1 packages", "is a reference; name a package repository with --repo", "inspect --repo r.test/a/b:1 packages"},
		{"render r.test/a/b:1 package a.test", "is a reference; name a package repository with --repo", "render --repo r.test/a/b:1 package a.test"},
		{"render x.tar a.test/1.0.0", `write "package NAME[/VERSION]", not "a.test/1.0.0"`, "render x.tar package a.test/1.0.0"},
		{"rendr x.tar package a.test", `unknown command "rendr"`, "render x.tar package a.test"},
		{"plan r.test/a/b:1", "name a reference with -b", "plan -b r.test/a/b:1"},
		{"plan x.tar", "is a file: name an archive with --from-tar", "plan --from-tar x.tar"},
		{"rehearse r.test/a/b:1", "is a reference; rehearse takes an archive", "-b r.test/a/b:1 --to-tar FILE"},
		{"serve localhost:5000/a", "is a reference; serve takes an archive", "-b localhost:5000/a --to-tar FILE"},
		{"emit r.test/a/b:1", "is a reference; emit takes an archive", "-b r.test/a/b:1 --to-tar FILE"},

		{"verfiy x.tar", `unknown command "verfiy"`, "verify x.tar"},
		{"inspct x.tar --tree", `unknown command "inspct"`, "inspect x.tar --tree"},
		{"cpoy -b r.test/a", `unknown command "cpoy"`, "copy -b r.test/a"},
		{"completion bsh", `unknown shell "bsh"`, "completion bash"},
		{"help verfy", `no help for "verfy"`, "help verify"},
		{"help export", `no help for "export"`, "help copy"},

		{"--form-tar x.tar --to-repo r.test/x", "unknown flag: --form-tar", "--from-tar x.tar --to-repo r.test/x"},
		{"--form-tar=x.tar", "", "--from-tar=x.tar"},
		{"inspect x.tar package a.test/1.0.0 --values-file x.yml", "unknown flag: --values-file", "inspect x.tar package a.test/1.0.0 --check-values x.yml"},
		{"verify x.tar --repotr y", "unknown flag: --repotr", "verify x.tar --report y"},
		{"-to-tar x.tar", "unknown shorthand flag", "--to-tar x.tar"},
		{"-bundle r.test/a", "a flag with a long name begins with two dashes", "--bundle r.test/a"},
		{"-b r.test/a -o x.tar", "", "-b r.test/a --to-tar x.tar"},
		{"--repo r.test/a", "unknown flag: --repo", "--to-repo r.test/a"},
		{"verify --to-repo r.test/a x.tar", "unknown flag: --to-repo", "verify --repo r.test/a x.tar"},
		{"inspect --from-tar x.tar", "unknown flag: --from-tar", "inspect x.tar"},
		{"verify --tar=x.tar", "unknown flag: --tar", "verify x.tar"},
		{"inspect x.tar --json", "unknown flag: --json", "inspect x.tar -o json"},
		{"--registry-pasword secret", "", "--registry-password …"},
		{"--registry-pasword=secret", "", "--registry-password=…"},

		{"-b --to-tar x", "-b has no value: it took --to-tar as its REF", "-b REF --to-tar x"},
		{"-b r.test/a --to-repo --report x.json", "--to-repo has no value: it took --report as its REPO", "-b r.test/a --to-repo REPO --report x.json"},
		{"verify --repo --level=deep", "--repo has no value: it took --level=deep as its REPO", "verify --repo REPO --level=deep"},
	} {
		t.Run(c.given, func(t *testing.T) {
			t.Parallel()
			r := tryRelocate(t, strings.Fields(c.given)...)
			assertFailed(t, r, statusUsage, c.says, "hint: did you mean: relocate "+c.meant+"\n")
			assert.NotContains(t, r.stderr, "secret")
		})
	}
}

// TestNoGuess: where nothing is near, the help is named.
func TestNoGuess(t *testing.T) {
	t.Parallel()
	for given, says := range map[string]string{
		"nonsense":      `unknown command "nonsense"`,
		"help nonsense": `no help for "nonsense"`,
		"--nonsense":    "unknown flag: --nonsense",
		"verify -z":     "unknown shorthand flag",
	} {
		r := tryRelocate(t, strings.Fields(given)...)
		assertFailed(t, r, statusUsage, says, "hint: see relocate", "--help\n")
		assert.NotContains(t, r.stderr, "did you mean")
	}
}

// TestGuessPasted: a shell reads from a guess the words that it is made of.
func TestGuessPasted(t *testing.T) {
	t.Parallel()
	words := []string{"a b", "it's", "$HOME", "*", "", `\`, "a=b", "…", "plain/x:1@sha256:0"}
	text, err := exec.CommandContext(t.Context(), "sh", "-c", `printf '%s\n' `+shellLine(words)).Output()
	require.NoError(t, err)
	assert.Equal(t, strings.Join(words, "\n")+"\n", string(text))
}

// TestCopyCommand: copy is the root command by another name.
func TestCopyCommand(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	root, dir := pushSample(t, host), t.TempDir()
	one, two := filepath.Join(dir, "1.tar"), filepath.Join(dir, "2.tar")
	mustRelocate(t, "-b", root, "--to-tar", one)
	mustRelocate(t, "copy", "-b", root, "--to-tar", two)
	assert.Equal(t, readFile(t, one), readFile(t, two))
	imported := mustRelocate(t, "copy", "--tar", two, "--to-repo", host+"/x")
	assert.Equal(t, mustRelocate(t, "--from-tar", one, "--to-repo", host+"/x").stdout, imported.stdout)
	help := mustRelocate(t, "copy", "--help").stdout
	assertAll(t, help, "Usage:\n  relocate copy (-b", "--to-tar FILE")
	assert.Equal(t, hintResume, hintFor(commandOf(t, "copy"), hintResume))
}

// TestVersionFlag: --version prints what the command version prints.
func TestVersionFlag(t *testing.T) {
	t.Parallel()
	assert.Equal(t, mustRelocate(t, "version"), mustRelocate(t, "--version"))
}

// TestImgpkgFlags: flags of imgpkg copy in scripts are accepted where they ask for what a copy does; others name what
// to use.
func TestImgpkgFlags(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	root, file := pushSample(t, host), filepath.Join(t.TempDir(), "x.tar")
	accepted := []string{"--tty", "-y", "--yes", "--color", "--color=false", "--cosign-signatures", "--resume", "--json=false", "--debug=false"}
	mustRelocate(t, append([]string{"copy", "-b", root, "--to-tar", file}, accepted...)...)
	mustRelocate(t, append([]string{"copy", "--tar", file, "--to-repo", host + "/x", "--include-non-distributable-layers"}, accepted...)...)

	for flag, use := range map[string]string{"--json": "--report FILE", "--debug": "--progress json", "--resume": "--to-tar FILE"} {
		r := tryRelocate(t, "copy", "-b", root, "--to-tar", "-", flag)
		assertFailed(t, r, statusUsage, "relocate: "+flag+": ", use)
	}
	assertFailed(t, tryRelocate(t, "-b", root, "--to-tar", file, "--resume", "--no-resume"), statusUsage, "--resume and --no-resume cannot be used together")
}

// TestCompletion: scripts for every shell, and what they ask the program for.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for shell := range completions {
		assert.Contains(t, mustRelocate(t, "completion", shell).stdout, "__complete", shell)
		assert.Contains(t, mustRelocate(t, "completion", shell, "--no-descriptions").stdout, "__completeNoDesc", shell)
	}
	for given, wanted := range map[string]string{"ver": "verify\t", "--from": "--from-tar\t", "copy --to-t": "--to-tar\t", "help reh": "rehearse\t", "completion z": "zsh"} {
		r := tryRelocate(t, append([]string{"__complete"}, strings.Fields(given)...)...)
		assert.Contains(t, "\n"+r.stdout, "\n"+wanted, given)
	}
	hidden := tryRelocate(t, "__complete", "--t").stdout
	assert.NotContains(t, hidden, "--tty", "flags of imgpkg are not offered")
}

// commandOf returns the command with a name.
func commandOf(t *testing.T, name string) *cobra.Command {
	t.Helper()
	cmd, _, err := newRoot().Find([]string{name})
	require.NoError(t, err)
	return cmd
}
