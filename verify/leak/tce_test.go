package leak

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"relocate/bundle"
)

// TestTCE looks at the 154 real bundles of Tanzu Community Edition, which are beside the lab that
// RELOCATE_TEST_LAB names.
func TestTCE(t *testing.T) {
	t.Parallel()
	lab := os.Getenv("RELOCATE_TEST_LAB")
	if lab == "" {
		t.Skip("RELOCATE_TEST_LAB does not name the lab, beside which the definitions of Tanzu Community Edition are")
	}
	packages := filepath.Join(lab, "..", "tce", "addons", "packages")
	bundles, err := filepath.Glob(filepath.Join(packages, "*", "*", "bundle"))
	require.NoError(t, err)
	require.Len(t, bundles, 154)
	ids, seen, spent := 0, 0, time.Duration(0)
	for _, dir := range bundles {
		c, name := readBundle(t, dir), strings.TrimPrefix(filepath.Dir(dir), packages+"/")
		start := time.Now()
		_, findings := c.references()
		spent += time.Since(start)
		for i, there := range c.seen {
			ids++
			if there {
				seen++
			} else {
				fmt.Println("UNSEEN", name, c.lock.Images[i].Annotations[bundle.KbldID])
			}
		}
		for _, f := range findings {
			fmt.Printf("%s %s %s:%d %s %s | %s\n", f.Level, f.Code, name+"/"+f.File, f.Line, f.Reference, "", f.Message)
		}
	}
	t.Logf("%d of %d ids, in %v", seen, ids, spent)
}

func readBundle(t *testing.T, dir string) *content {
	t.Helper()
	c := &content{}
	require.NoError(t, filepath.Walk(dir, func(p string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		c.files = append(c.files, textFile{filepath.ToSlash(rel), data})
		return err
	}))
	lock, err := os.ReadFile(filepath.Join(dir, lockFile))
	require.NoError(t, err)
	c.lock, err = bundle.ParseImagesLock(lock)
	require.NoError(t, err)
	pkg, err := os.ReadFile(filepath.Join(dir, "..", "package.yaml"))
	require.NoError(t, err)
	c.steps = readSteps(t, pkg)
	return c
}
