package tarball

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// tinyInventory is the relocate.json of the golden archive.
func tinyInventory(t testing.TB) string {
	t.Helper()
	golden, err := os.ReadFile(filepath.Join("testdata", "tiny.tar"))
	require.NoError(t, err)
	start := bytes.Index(golden, []byte(`{"format":1`))
	return string(golden[start : start+bytes.Index(golden[start:], []byte("]}\n"))+3])
}

// TestDecodeLimits: what is over a limit is refused before it is held. (TestInventorySpelling has the
// other spellings.)
func TestDecodeLimits(t *testing.T) {
	t.Parallel()
	good := tinyInventory(t)
	_, err := decodeInventory(strings.NewReader(good))
	require.NoError(t, err)
	for name, test := range map[string]struct{ old, text, says string }{
		"no comma":        {"},\n{", "}\n{", "no comma after it"},
		"long line":       {`"reference":"`, `"reference":"` + strings.Repeat("x", maxElement), "roots[0]: has a line of more than 4194304 bytes"},
		"endless line":    {`"reference":"`, `"reference":"` + strings.Repeat("x", 20<<20), "roots[0]: has a line of more than 4194304 bytes"},
		"long digest":     {`sha256:`, `sha256:` + strings.Repeat("0", maxElement/2), "roots[0]: "},
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
