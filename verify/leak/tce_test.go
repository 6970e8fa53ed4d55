package leak

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/verify/leak/content"
)

// TestTCE looks at the 154 real bundles of Tanzu Community Edition, which are beside the lab that
// RELOCATE_TEST_LAB names, or in the checkout that RELOCATE_TEST_TCE names (vmware-tanzu/community-edition at
// fe3d3e73, which has the Starlark modules as well). testdata/tce.txt has every finding on them, and each is true;
// and every id of a lock that no text has.
func TestTCE(t *testing.T) {
	t.Parallel()
	tree := os.Getenv("RELOCATE_TEST_TCE")
	if lab := os.Getenv("RELOCATE_TEST_LAB"); tree == "" && lab != "" {
		tree = filepath.Join(lab, "..", "tce")
	}
	if tree == "" {
		t.Skip("RELOCATE_TEST_LAB does not name the lab, beside which the definitions of Tanzu Community Edition are")
	}
	packages := filepath.Join(tree, "addons", "packages")
	manifests, err := filepath.Glob(filepath.Join(packages, "*", "*", "package.yaml"))
	require.NoError(t, err)
	require.Len(t, manifests, 188)
	var got []string
	bundles, ids, unseen, spent := 0, 0, 0, time.Duration(0)
	for _, file := range manifests {
		name := strings.TrimPrefix(filepath.Dir(file), packages+string(filepath.Separator))
		c, pkg := readPackage(t, file)
		if len(c.files) == 0 {
			continue
		}
		bundles++
		start := time.Now()
		_, findings := c.references()
		findings = append(findings, c.schemaDefaults(pkg)...)
		spent += time.Since(start)
		for i, e := range c.locks[0].Images.Images {
			if ids++; !c.named[i] {
				unseen++
				got = append(got, fmt.Sprintf("unseen %s %s", name, e.Annotations[carvel.KbldID]))
			}
		}
		for _, f := range findings {
			got = append(got, fmt.Sprintf("%s %s %s/%s:%d %s", f.Level, f.Code, name, f.File, f.Line, f.Reference))
		}
	}
	t.Logf("%d of %d ids in %d bundles, %d findings, in %v", ids-unseen, ids, bundles, len(got)-unseen, spent)
	require.Equal(t, 154, bundles)
	require.Equal(t, 448, ids)
	want, err := os.ReadFile("testdata/tce.txt")
	require.NoError(t, err)
	require.Equal(t, sortedLines(string(want)), sorted(got))
	require.GreaterOrEqual(t, ids-unseen, 440)
}

// readPackage returns what is beside a Package: the content of its bundle, without files when there is none.
func readPackage(t *testing.T, file string) (*packageFiles, content.File) {
	t.Helper()
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		return data
	}
	c, pkg := &packageFiles{}, content.File{Path: "package.yaml", Data: read(file)}
	c.steps = readSteps(t, pkg.Data)
	dir := filepath.Join(filepath.Dir(file), "bundle")
	if _, err := os.Stat(dir); err != nil {
		return c, pkg
	}
	require.NoError(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		c.files = append(c.files, content.File{Path: filepath.ToSlash(rel), Data: read(path)})
		return err
	}))
	lock, err := carvel.ParseImagesLock(read(filepath.Join(dir, carvel.LockFile)))
	require.NoError(t, err)
	c.locks = bundleLock(lock)
	return c, pkg
}
