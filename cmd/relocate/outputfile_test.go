package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
)

// TestOutputLinks: a file that is named by a link is replaced where it is, and the link stays.
func TestOutputLinks(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	file := export(t, pushSample(t, host))
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
	outputs := []string{"lock.yml", "object.yml", "report.json"}
	for _, name := range outputs {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "real", name), []byte("old"), 0o600))
		require.NoError(t, os.Symlink(filepath.Join("real", name), filepath.Join(dir, name)))
	}
	mustRelocate(t, "--from-tar", file, "--to-repo", host+"/private", "--lock-output", filepath.Join(dir, outputs[0]),
		"--repository-output", filepath.Join(dir, outputs[1]), "--report", filepath.Join(dir, outputs[2]))
	for i, part := range []string{"kind: BundleLock", "kind: PackageRepository", `"action": "import"`} {
		info, err := os.Lstat(filepath.Join(dir, outputs[i]))
		require.NoError(t, err)
		assert.Equal(t, os.ModeSymlink, info.Mode().Type(), outputs[i])
		text, err := os.ReadFile(filepath.Join(dir, "real", outputs[i]))
		require.NoError(t, err)
		assert.Contains(t, string(text), part)
	}
	assert.ElementsMatch(t, append(outputs, "real"), namesIn(t, dir))
}

// TestOutputPipes: what is no file is written to, by any name: standard output, also of a file, a descriptor that a shell
// opened, a named pipe, the null device.
func TestOutputPipes(t *testing.T) {
	t.Parallel()
	skipShort(t)
	binary, err := program()
	require.NoError(t, err)
	host := startMemory(t, nil)
	file := export(t, pushSample(t, host))
	dir := t.TempDir()
	shell := func(script string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "bash", "-euc", `run() { "$PROGRAM" "$@" 2>>errors; }; `+script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PROGRAM="+binary, "ARCHIVE="+file, "REPO="+host+"/private", "ROOT="+host+"/corp/repository:1.0.0")
		out, err := cmd.Output()
		messages, _ := os.ReadFile(filepath.Join(dir, "errors"))
		require.NoError(t, err, "%s\n%s", out, messages)
		return string(out)
	}
	const both = `run --from-tar "$ARCHIVE" --to-repo "$REPO" `
	for name, script := range map[string]string{
		"pipe":       both + "--lock-output /dev/stdout | cat",
		"descriptor": both + "--lock-output /dev/fd/1 | cat",
		"same pipe":  both + "--lock-output /dev/stdout --repository-output /dev/stdout | cat",
		"file":       both + "--lock-output /dev/stdout >file; cat file",
		"named pipe": `mkfifo pipe; cat pipe >lock & ` + both + `--lock-output pipe >object; wait; cat lock object`,
		"another":    both + `--lock-output >(cat >lock2) --repository-output /dev/fd/3 3>object2; while [ ! -s lock2 ]; do :; done; cat lock2 object2`,
	} {
		out := shell(script)
		documents := strings.Split(out, "---\n")
		require.Len(t, documents, 3, "%s: %s", name, out)
		_, err := carvel.ParseBundleLock([]byte(documents[1]))
		require.NoError(t, err, "%s: %s", name, out)
		require.Len(t, objects(t, documents[2]), 1, name)
	}
	nothing := shell(both + `--lock-output /dev/null --repository-output /dev/null --report /dev/null; run -b "$ROOT" --to-tar /dev/null`)
	assert.Empty(t, nothing)
	null, err := os.Stat("/dev/null")
	require.NoError(t, err)
	assert.NotZero(t, null.Mode()&os.ModeCharDevice)

	want := digestOfFile(t, file)
	for _, script := range []string{
		`run -b "$ROOT" --to-tar /dev/stdout`, `run -b "$ROOT" --to-tar /dev/stdout >a.tar; cat a.tar`,
		`mkfifo archive; cat archive & run -b "$ROOT" --to-tar archive; wait`,
	} {
		assert.Equal(t, want, digestOf(shell(script)), script)
	}
}
