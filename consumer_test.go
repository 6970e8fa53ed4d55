package relocate_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestConsumer runs the examples in a module of their own, as a program that uses the library would: with
// the requirements of this one, a replace, and without what is below internal and testdata.
func TestConsumer(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short is given")
	}
	tree, err := filepath.Abs(".")
	require.NoError(t, err)
	dir := t.TempDir()
	read := func(file string) string {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		return string(text)
	}
	write := func(file, text string) {
		path := filepath.Join(dir, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	mod := strings.Replace(read("go.mod"), "module relocate\n", "module consumer.test\n", 1)
	write("go.mod", mod+fmt.Sprintf("\nrequire relocate v0.0.0\n\nreplace relocate => %q\n", tree))
	write("go.sum", read("go.sum"))
	examples := 0
	require.NoError(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.Name() == "testdata":
			return fs.SkipDir
		case entry.Name() != "example_test.go" && path != filepath.Join("render", "main_test.go"): // which its example needs
			return nil
		}
		text := read(path)
		require.NotContains(t, text, `"relocate/internal`, path)
		require.NotContains(t, text, `"relocate/testdata`, path)
		write(path, text)
		examples += strings.Count(text, "\nfunc Example")
		return nil
	}))

	cmd := exec.CommandContext(t.Context(), "go", "test", "-v", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, examples, strings.Count(string(out), "--- PASS: Example"), "%s", out)
}
