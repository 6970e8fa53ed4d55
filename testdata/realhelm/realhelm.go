// Package realhelm finds a real helm for tests: that of RELOCATE_TEST_HELM, or one in PATH. "make
// helm" builds one from its module (testdata/helm), which takes minutes.
package realhelm

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Program returns the path of a helm program. It skips the test where there is none.
func Program(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath(cmp.Or(os.Getenv("RELOCATE_TEST_HELM"), "helm"))
	if err != nil {
		t.Skip("helm is not installed (make helm builds bin/helm; RELOCATE_TEST_HELM names it)")
	}
	if path, err = filepath.Abs(path); err != nil {
		t.Fatal(err)
	}
	return path
}
