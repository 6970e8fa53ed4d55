package tarball

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
)

// tinyInventory is the relocate.json of the golden archive.
func tinyInventory(t testing.TB) string {
	t.Helper()
	golden, err := os.ReadFile(filepath.Join("testdata", "tiny.tar"))
	require.NoError(t, err)
	start := bytes.Index(golden, []byte(`{"format":1`))
	return string(golden[start : start+bytes.Index(golden[start:], []byte("]}\n"))+3])
}

// manyAnnotations are as many as no lock of an archive may have, in their one order.
func manyAnnotations() string {
	var list []string
	for i := range maxPins {
		list = append(list, fmt.Sprintf("\"%06d\":\"\"", i))
	}
	return strings.Join(list, ",")
}

// TestDecodeLimits: what is over a limit is refused before it is held. (TestInventorySpelling has the
// other spellings.)
func TestDecodeLimits(t *testing.T) {
	t.Parallel()
	good := tinyInventory(t)
	_, err := decodeInventory(strings.NewReader(good))
	require.NoError(t, err)
	for name, test := range map[string]struct{ old, text, says string }{
		"no comma":     {"},\n{", "}\n{", "no comma after it"},
		"long line":    {`"reference":"`, `"reference":"` + strings.Repeat("x", maxElement), "roots[0]: has a line of more than 4194304 bytes"},
		"endless line": {`"reference":"`, `"reference":"` + strings.Repeat("x", 20<<20), "roots[0]: has a line of more than 4194304 bytes"},
		"long digest":  {`sha256:`, `sha256:` + strings.Repeat("0", maxElement/2), "roots[0]: "},
		"empty lock":   {"\"blobs\":[", "\"lock\":[],\n\"blobs\":[", "has an empty list lock"},
		"many annotations": {"\"blobs\":[", "\"lock\":[\n{\"image\":\"a\",\"annotations\":{" + manyAnnotations() + "}}],\n\"blobs\":[",
			"more lock than an archive can have (50000)"},
		"many references": {`"references":[`, `"references":[` + strings.Repeat(`"",`, maxElement/3-200), "more manifests and references than an archive can have (250000)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, good, test.old)
			_, err := decodeInventory(strings.NewReader(strings.Replace(good, test.old, test.text, 1)))
			require.ErrorContains(t, err, test.says)
			require.Less(t, len(err.Error()), 1000)
			require.NotErrorIs(t, err, errUnreadable)
		})
	}
}

// TestDecodeUnreadable: what the medium does not give is not wrong, not even when it ends too early.
func TestDecodeUnreadable(t *testing.T) {
	t.Parallel()
	good := tinyInventory(t)
	for n := 0; n <= len(good); n += 7 {
		for _, broken := range []error{errors.New("input/output error"), io.ErrUnexpectedEOF} {
			_, err := decodeInventory(io.MultiReader(strings.NewReader(good[:n]), iotest.ErrReader(broken)))
			require.ErrorIs(t, err, errUnreadable)
			require.ErrorIs(t, err, broken)
		}
	}
}

// TestListed: the lock of the roots comes back from an archive as it was. One that names no root is refused.
func TestListed(t *testing.T) {
	t.Parallel()
	golden := tinyInventory(t)
	root := golden[strings.Index(golden, "sha256:"):][:len("sha256:")+64]
	lock := `"lock":[` + "\n" + `{"image":"reg.test/a@` + root + `","annotations":{"a":"b","c":"d"}},` + "\n" + `{"image":"reg.test/a@` + root + `"}],` + "\n"
	text := strings.Replace(golden, `"blobs":[`, lock+`"blobs":[`, 1)
	inv, err := decodeInventory(strings.NewReader(text))
	require.NoError(t, err)
	var again bytes.Buffer
	require.NoError(t, inv.encode(&again))
	require.Equal(t, text, again.String())

	digest, err := v1.NewHash(root)
	require.NoError(t, err)
	g := &bundle.Graph{Roots: []bundle.Root{{Digest: digest}}}
	require.NoError(t, inv.listed(g))
	require.Len(t, g.Listed.Images, 2)
	require.Equal(t, map[string]string{"a": "b", "c": "d"}, g.Listed.Images[0].Annotations)
	for _, image := range []string{"reg.test/a@sha256:" + strings.Repeat("0", 64), "reg.test/a:1", "", "a@" + root} {
		inv.Lock[1].Image = image
		require.ErrorIs(t, inv.listed(g), ErrDamaged, image)
	}
}

// TestIndexOfOneName: an archive whose index.json has one entry for each digest, as at first, is read.
func TestIndexOfOneName(t *testing.T) {
	t.Parallel()
	inv, err := decodeInventory(strings.NewReader(strings.Replace(tinyInventory(t), `"references":[`, `"references":["a.test/a:1",`, 1)))
	require.NoError(t, err)
	var old, all counter
	inv.oneName = true
	require.NoError(t, inv.encodeIndex(&old))
	inv.oneName = false
	require.NoError(t, inv.encodeIndex(&all))
	require.Less(t, old, all)
	require.NoError(t, inv.detectNames(int64(old)))
	require.True(t, inv.oneName)
	require.NoError(t, inv.detectNames(int64(all)))
	require.False(t, inv.oneName)
}
