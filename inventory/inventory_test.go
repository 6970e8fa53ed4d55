package inventory_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/inventory"
)

func of(s string) v1.Hash { return digest.Of([]byte(s)) }

// sample is an inventory of one root, two other manifests and three blobs.
func sample(t testing.TB) *inventory.Inventory {
	t.Helper()
	i, err := inventory.New(slices.Values([]inventory.Entry{
		{Kind: inventory.Blob, Digest: of("c"), Size: 30}, {Kind: inventory.Blob, Digest: of("a"), Size: 10}, {Kind: inventory.Manifest, Digest: of("m"), Size: 2},
		{Kind: inventory.Blob, Digest: of("a"), Size: 10}, {Kind: inventory.Root, Digest: of("r"), Size: 3}, {Kind: inventory.Manifest, Digest: of("n"), Size: 4},
		{Kind: inventory.Manifest, Digest: of("r"), Size: 3}, {Kind: inventory.Blob, Digest: of("b"), Size: 0},
		{Kind: inventory.Blob, Digest: v1.Hash{Algorithm: "sha512", Hex: strings.Repeat("0", 128)}, Size: 1},
	}))
	require.NoError(t, err)
	return i
}

func textOf(t testing.TB, i *inventory.Inventory) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, i.Write(&b))
	return b.String()
}

const sampleText = `relocate inventory 1
root sha256:454349e422f05297191ead13e21d3db520e5abef52055e4964b82fb213f593a1 3
manifest sha256:1b16b1df538ba12dc3f97edbb85caa7050d46c148134290feba80f8236c83db9 4
manifest sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a 2
blob sha256:2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6 30
blob sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d 0
blob sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb 10
end 6
`

// TestText holds the text, which other versions of the program read.
func TestText(t *testing.T) {
	t.Parallel()
	i := sample(t)
	require.Equal(t, sampleText, textOf(t, i))
	require.Equal(t, digest.Of([]byte(sampleText)), i.Digest())
	for _, text := range []string{sampleText, strings.ReplaceAll(sampleText, "\n", "\r\n")} {
		again, err := inventory.Read(strings.NewReader(text))
		require.NoError(t, err)
		assert.Equal(t, sampleText, textOf(t, again))
		assert.Equal(t, slices.Collect(i.All()), slices.Collect(again.All()))
	}
}

// TestBase: only a config or layer of the same size is what a base has.
func TestBase(t *testing.T) {
	t.Parallel()
	base := sample(t).Base()
	assert.Equal(t, bundle.BaseInventory, base.Kind)
	assert.Equal(t, digest.Of([]byte(sampleText)), base.Digest)
	assert.True(t, base.Has(v1.Descriptor{Digest: of("a"), Size: 10}))
	for _, d := range []v1.Descriptor{{Digest: of("a"), Size: 11}, {Digest: of("m"), Size: 2}, {Digest: of("r"), Size: 3}, {Digest: of("x")}, {}} {
		assert.False(t, base.Has(d), "%v", d)
	}
}

// TestReadOther: everything but the one spelling is refused, with its line.
func TestReadOther(t *testing.T) {
	t.Parallel()
	lines := strings.SplitAfter(sampleText, "\n")
	swapped := slices.Concat(lines[:3], []string{lines[1]}, lines[4:])
	for name, test := range map[string]struct{ text, says string }{
		"empty":           {"", `does not begin with the line "relocate inventory 1"`},
		"another version": {strings.Replace(sampleText, "1\n", "2\n", 1), "does not begin with the line"},
		"binary":          {"\x00\x01\x02", "does not begin with the line"},
		"no end":          {strings.TrimSuffix(sampleText, "end 6\n"), `is cut off after line 7: the last line must be "end"`},
		"cut line":        {sampleText[:len(sampleText)-20], "line 7: "},
		"lost line":       {strings.Replace(sampleText, lines[2], "", 1), `line 7 says "6" entries, but there are 5`},
		"twice":           {strings.Replace(sampleText, lines[2], lines[2]+lines[2], 1), "line 4: the entries are not in order"},
		"order":           {strings.Join(swapped, ""), "line 4: the entries are not in order"},
		"kind":            {strings.Replace(sampleText, "blob", "layer", 1), "line 5: "},
		"digest":          {strings.Replace(sampleText, "sha256:4543", "sha256:454", 1), "line 2: "},
		"upper case":      {strings.Replace(sampleText, "454349e4", "454349E4", 1), "line 2: "},
		"size":            {strings.Replace(sampleText, " 30", " 030", 1), "line 5: "},
		"negative":        {strings.Replace(sampleText, " 30", " -30", 1), "line 5: "},
		"huge":            {strings.Replace(sampleText, " 30", " 99999999999999999999", 1), "line 5: "},
		"control":         {strings.Replace(sampleText, " 30", " 30\x1b[2J", 1), `is not a kind, a digest and a size`},
		"long line":       {strings.Replace(sampleText, " 30", " 30"+strings.Repeat("0", 1<<20), 1), "line 5 has more than 128 bytes"},
		"after the end":   {sampleText + "x\n", "line 9 follows its end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := inventory.Read(strings.NewReader(test.text))
			require.ErrorIs(t, err, inventory.ErrNotInventory)
			require.ErrorContains(t, err, test.says)
			assert.Less(t, len(err.Error()), 500)
			assert.NotContains(t, err.Error(), "\x1b")
		})
	}
	broken := errors.New("input/output error")
	_, err := inventory.Read(iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, err, inventory.ErrNotInventory)
}

// TestTooMany: an inventory has a limit, both as text and of what a registry lists. Repetitions do not
// count.
func TestTooMany(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	const limit = 1_000_000
	entries := func(n, distinct int) func(func(inventory.Entry) bool) {
		return func(yield func(inventory.Entry) bool) {
			for i := range n {
				d := v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", i%distinct)}
				if !yield(inventory.Entry{Kind: inventory.Blob, Digest: d, Size: 1}) {
					return
				}
			}
		}
	}
	i, err := inventory.New(entries(3*limit, 1000))
	require.NoError(t, err)
	assert.Equal(t, 1000, i.Len())
	_, err = inventory.New(entries(limit+1, limit+1))
	require.ErrorContains(t, err, "more than 1000000 digests")
	i, err = inventory.New(entries(limit, limit))
	require.NoError(t, err)
	text := strings.Replace(textOf(t, i), "end ", fmt.Sprintf("blob sha256:%064x 1\nend ", limit), 1)
	_, err = inventory.Read(strings.NewReader(text))
	require.ErrorContains(t, err, "more than 1000000 entries")
}

// FuzzRead: what is read is written again as it was, and nothing panics.
func FuzzRead(f *testing.F) {
	f.Add(sampleText)
	f.Add(strings.ReplaceAll(sampleText, "\n", "\r\n"))
	f.Fuzz(func(t *testing.T, text string) {
		i, err := inventory.Read(strings.NewReader(text))
		if err != nil {
			return
		}
		want := strings.ReplaceAll(text, "\r\n", "\n")
		require.Equal(t, strings.TrimSuffix(want, "\n"), strings.TrimSuffix(textOf(t, i), "\n"))
	})
}
