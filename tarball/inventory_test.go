package tarball

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzDecodeInventory: what was decoded, encoded and decoded again is the same; and so is, from then
// on, the text.
func FuzzDecodeInventory(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "tiny.tar"))
	require.NoError(f, err)
	start := bytes.Index(golden, []byte(`{"format":1`))
	text := string(golden[start : start+bytes.Index(golden[start:], []byte("]}\n"))+3])
	f.Add(text)
	f.Add(strings.ReplaceAll(text, ":", ": "))
	f.Add(strings.ReplaceAll(text, "registry", "\x1b<&\u2028\xff"))
	f.Add(`{"format":1,"roots":[],"pins":[],"manifests":[null],"omitted":[],"blobs":[{"size":-1}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := decodeInventory(strings.NewReader(text))
		if err != nil {
			return
		}
		var first, second strings.Builder
		require.NoError(t, inv.encode(&first))
		again, err := decodeInventory(strings.NewReader(first.String()))
		if err != nil { // a digest that is missing cannot be spelled
			require.ErrorContains(t, err, "parse hash")
			return
		}
		require.NoError(t, again.encode(&second))
		require.Equal(t, first.String(), second.String())
		require.True(t, reflect.DeepEqual(inv, again) || len(inv.Manifests) > 0, "%#v\n%#v", inv, again)
	})
}
