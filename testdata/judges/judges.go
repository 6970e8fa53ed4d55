// Package judges finds the real programs that tests compare ours with: ytt v0.51.1, kbld v0.44.0 and
// helm v3.22.0. "make judges" builds them from their modules into bin/judges, which takes minutes.
package judges

import (
	"os"
	"path/filepath"
	"testing"
)

// Program returns the path of a program in the folder that RELOCATE_TEST_JUDGES names. It skips the
// test without one.
func Program(t testing.TB, name string) string {
	t.Helper()
	folder := os.Getenv("RELOCATE_TEST_JUDGES")
	if folder == "" {
		t.Skip("RELOCATE_TEST_JUDGES does not name the folder bin/judges, which make judges fills with ytt, kbld and helm")
	}
	path, err := filepath.Abs(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}
