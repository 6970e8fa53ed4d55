package tarball

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/report"
)

// addInventories adds the text of inventories as seeds.
func addInventories(f *testing.F) {
	f.Helper()
	golden, err := os.ReadFile(filepath.Join("testdata", "tiny.tar"))
	require.NoError(f, err)
	start := bytes.Index(golden, []byte(`{"format":1`))
	f.Add(golden[start : start+bytes.Index(golden[start:], []byte("]}\n"))+3])
	a, b := digest.Of([]byte("a")), digest.Of([]byte("b"))
	inv := &inventory{
		Roots: []bundle.Pin{{Reference: "reg.test/repo:1", Digest: a}, {Reference: "reg.test/also:1", Digest: a}},
		Pins:  []bundle.Pin{{Reference: "reg.test/repo:1", Digest: a}},
		Manifests: []manifestEntry{
			{a, types.OCIManifestSchema1, 12, bundle.Bundle, "reg.test/repo", []string{"reg.test/repo:1"}},
			{b, types.OCIImageIndex, 1, bundle.Index, "reg.test/repo", nil},
			{b, "<&>\u2028", -1, "", "", []string{"\x1b", "\xff"}},
		},
		Attachments: []bundle.Attachment{{Subject: a, Digest: b, Tag: "sha256-a.sig"}, {Subject: b, Digest: b}},
		Unseen:      []bundle.Unseen{{Reference: "reg.test/repo", What: "tags", Reason: "refused"}, {}},
		Omitted:     []report.Omitted{{Digest: b, Size: 1 << 40, MediaType: "x", Image: "y", Reason: "z"}},
		Bases:       []bundle.Base{{Kind: bundle.BaseArchive, Digest: a, Roots: []bundle.Pin{{Reference: "reg.test/repo:0", Digest: b}}}, {Kind: bundle.BaseInventory, Digest: b}},
		Assumed:     []bundle.Assumed{{Digest: a, Size: 3, Base: 1}, {Digest: b, Size: 0, Base: -1}},
		Lock:        []lockEntry{{Image: "reg.test/repo@" + a.String(), Annotations: map[string]string{"b": "c", "a": "d"}}},
		Blobs:       []blobEntry{{a, 12}, {b, 1}},
	}
	for _, inv := range []*inventory{inv, {}} {
		var text bytes.Buffer
		require.NoError(f, inv.encode(&text))
		f.Add(text.Bytes())
		f.Add(append(text.Bytes(), ' '))
		f.Add(bytes.ReplaceAll(text.Bytes(), []byte(`"format":1`), []byte(`"format":1,"format":1`)))
		f.Add(bytes.ReplaceAll(text.Bytes(), []byte(`"size":1,`), []byte(`"size":1,"Size":2,`)))
		f.Add(bytes.ReplaceAll(text.Bytes(), []byte(`"digest"`), []byte(`"DIGEST"`)))
		f.Add(bytes.ReplaceAll(text.Bytes(), []byte(`[`), []byte(`[null,`)))
	}
}

// FuzzInventory: an inventory has one legal spelling. What is decoded and encoded is that spelling, and
// decoding it gives the same; and a text in that spelling says to Go's decoder what it says to ours.
func FuzzInventory(f *testing.F) {
	addInventories(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		inv, err := decodeInventory(bytes.NewReader(text))
		if err != nil {
			return
		}
		var legal bytes.Buffer
		require.NoError(t, inv.encode(&legal))
		again, err := decodeInventory(bytes.NewReader(legal.Bytes()))
		if err != nil { // a digest that is missing cannot be spelled
			require.ErrorContains(t, err, "parse hash")
			return
		}
		var twice bytes.Buffer
		require.NoError(t, again.encode(&twice))
		require.Equal(t, legal.String(), twice.String())
		if !bytes.Equal(text, legal.Bytes()) {
			return // refused by readInventory
		}
		require.Equal(t, inv, again)
		var whole struct {
			Format int
			inventory
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(&whole))
		require.Equal(t, formatVersion, whole.Format)
		var third bytes.Buffer
		require.NoError(t, whole.encode(&third))
		require.Equal(t, string(text), third.String())
	})
}

// FuzzIndex: the index.json that an inventory implies is an OCI index to go-containerregistry, with an
// entry for each manifest that has a name, the roots before the others; the layout has a place for all.
func FuzzIndex(f *testing.F) {
	addInventories(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		inv, err := decodeInventory(bytes.NewReader(text))
		if err != nil {
			return
		}
		for _, m := range inv.Manifests {
			if m.Digest.Hex == "" {
				return // a null: no legal spelling
			}
		}
		var raw bytes.Buffer
		require.NoError(t, inv.encodeIndex(&raw))
		index, err := v1.ParseIndexManifest(&raw)
		require.NoError(t, err)
		require.Equal(t, types.OCIImageIndex, index.MediaType)
		names := map[v1.Hash][]string{} // of roots
		for _, root := range inv.Roots {
			names[root.Digest] = append(names[root.Digest], root.Reference)
		}
		var roots, others []string
		for _, m := range inv.Manifests {
			roots = append(roots, slices.Sorted(slices.Values(names[m.Digest]))...)
			for _, s := range m.References {
				if !slices.Contains(names[m.Digest], s) {
					others = append(others, s)
				}
			}
		}
		var got []string
		for _, d := range index.Manifests {
			got = append(got, d.Annotations[refName])
		}
		require.Equal(t, slices.Concat(roots, others), got)
		if l, err := newLayout(inv); err == nil {
			requireLayout(t, l)
		}
	})
}

// requireLayout holds a layout to what archive/tar would make of it: members one after the other, in
// whole blocks, and the end where the file ends.
func requireLayout(t *testing.T, l *layout) {
	t.Helper()
	at := member(l.docs[0].size) + member(l.docs[1].size) + member(l.docs[2].size)
	for i, b := range l.blobs {
		require.Equal(t, at, l.offsets[i])
		at += 512 + (b.Size+511)/512*512
		require.Greater(t, at, l.offsets[i], "the offset overflows")
	}
	require.Equal(t, at, l.seal)
	require.Equal(t, at+512+512+1024, l.size)
}

// FuzzHeaderSize: a size field is read as archive/tar reads it, where the header is one that this
// package writes; and what it writes for a size is read as that size.
func FuzzHeaderSize(f *testing.F) {
	for _, size := range []int64{0, 1, 511, 8<<30 - 1, 8 << 30, 1<<62 - 1, 1 << 62, -1} {
		h := header("index.json", size)
		f.Add(h[124:136], size)
	}
	f.Add([]byte("00000000008\x00"), int64(8))
	f.Add([]byte(" 0000000001\x00"), int64(1))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), int64(1))
	f.Fuzz(func(t *testing.T, field []byte, size int64) {
		if size >= 0 && size < 1<<62 {
			h := header("index.json", size)
			n, ok := sizeOf(h[:])
			require.True(t, ok)
			require.Equal(t, size, n)
		}
		b := header("index.json", 0)
		copy(b[124:136], field)
		copy(b[148:156], checksum(b))
		n, ok := sizeOf(b[:])
		if !ok {
			return
		}
		require.GreaterOrEqual(t, n, int64(0))
		if b[124] != 0x80 {
			octal, err := strconv.ParseInt(string(b[124:135]), 8, 64)
			require.NoError(t, err)
			require.Equal(t, octal, n)
		}
		if header("index.json", n) != b {
			return // refused by documentSize
		}
		got, err := tar.NewReader(strings.NewReader(string(b[:]))).Next()
		require.NoError(t, err)
		require.Equal(t, n, got.Size)
	})
}
