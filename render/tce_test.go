package render_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/render"
	"relocate/render/kbld"
	"relocate/render/ytt"
)

// TestTCE renders the packages of Tanzu Community Edition, and compares with what the real programs
// print (testdata/tce.txt). RELOCATE_TEST_LAB names the lab, beside which the definitions are without
// their Starlark modules: 36 render. RELOCATE_TEST_TCE names a whole tree.
func TestTCE(t *testing.T) {
	t.Parallel()
	lab, tree := os.Getenv("RELOCATE_TEST_LAB"), os.Getenv("RELOCATE_TEST_TCE")
	if lab == "" {
		t.Skip("RELOCATE_TEST_LAB does not name the lab, beside which the definitions of Tanzu Community Edition are")
	}
	whole := tree != ""
	tree = cmp.Or(tree, filepath.Join(lab, "..", "tce"))
	record, err := os.ReadFile(filepath.Join("testdata", "tce.txt"))
	require.NoError(t, err)
	r := renderer(t)
	var rendered, failed, images, covered atomic.Int32
	t.Run("packages", func(t *testing.T) {
		for line := range strings.Lines(string(record)) {
			name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			kind, want, _ := strings.Cut(rest, " ")
			if name == "#" || kind == "values" && !whole {
				continue
			}
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(tree, "addons", "packages", filepath.FromSlash(name))
				app := readPackage(t, filepath.Join(dir, "package.yaml"), filepath.Join(dir, "bundle"))
				if values, err := os.ReadFile(filepath.Join(lab, "..", "rendering", "tce-values", strings.Split(name, "/")[0]+".yml")); kind == "values" && err == nil {
					app.Values = []ytt.File{{Path: "values.yml", Data: values}}
				}
				got, err := r.App(t.Context(), app)
				if message := (*render.FailedError)(nil); errors.As(err, &message) {
					failed.Add(1)
					if lacksModule := strings.Contains(message.Message, "Expected to find file"); whole || !lacksModule {
						assert.Equal(t, want, message.Kind+" fails")
						assert.NotEmpty(t, message.Needs, message.Message)
					}
					return
				}
				require.NoError(t, err)
				rendered.Add(1)
				assert.Empty(t, got.Faults)
				for _, image := range got.Images {
					images.Add(1)
					assert.NotZero(t, image.Place.Line, image.Path)
					if image.Result.Outcome == kbld.Rewritten {
						covered.Add(1)
					}
				}
				for _, doc := range got.Documents {
					for _, s := range doc.Strings {
						assert.NotZero(t, s.Place.Line, s.Path)
					}
				}
				if want != "kbld fails" { // it asks a registry
					sum := sha256.Sum256(got.Text)
					assert.Equal(t, want, hex.EncodeToString(sum[:]))
				}
			})
		}
	})
	if whole {
		assert.Equal(t, []int32{265, 43, 883, 881}, []int32{rendered.Load(), failed.Load(), images.Load(), covered.Load()}, "rendered, failed, images, covered")
	} else {
		assert.Equal(t, []int32{36, 118, 118, 118}, []int32{rendered.Load(), failed.Load(), images.Load(), covered.Load()}, "rendered, failed, images, covered")
	}
}
