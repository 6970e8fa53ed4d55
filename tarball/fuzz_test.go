package tarball_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"relocate/tarball"
)

// FuzzArchive: no bytes make a reader panic; and whatever Open, Check and Plan find right is, to the
// byte, what this package's format makes of its content.
func FuzzArchive(f *testing.F) {
	good := tiny(f).bytes(f)
	f.Add(good)
	f.Add(repository(f).bytes(f))
	f.Add([]byte{})
	for at := 0; at < len(good); at += 700 {
		bad := slices.Clone(good)
		bad[at] ^= 0x10
		f.Add(bad)
		f.Add(good[:at])
	}
	f.Add(tamper(f, good, func(inv *relocateJSON, _ *[]member) { inv.Manifests[1].Kind = "bundle" }))
	f.Add(tamper(f, good, func(inv *relocateJSON, _ *[]member) { inv.Manifests[1].From = "other.example/place" }))
	f.Add(tamper(f, good, func(inv *relocateJSON, _ *[]member) { inv.Blobs[0].Size = 1 << 40 }))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := open(b)
		if err != nil {
			assertSpeaks(t, err)
			return
		}
		requireRewritable(t, a, b)
	})
}

// FuzzForged: the same for archives that somebody made up with care: relocate.json is the fuzzer's,
// headers, index.json and the seal are right for it, and the blobs are those of a good archive.
func FuzzForged(f *testing.F) {
	members := unpack(f, repository(f).bytes(f))
	f.Add(members[2].data)
	for _, change := range []func(inv *relocateJSON){
		func(inv *relocateJSON) {
			inv.Roots = append(inv.Roots, pin{"registry.example/also:2", inv.Roots[0].Digest})
		},
		func(inv *relocateJSON) { inv.Pins[0].Digest = inv.Manifests[1].Digest },
		func(inv *relocateJSON) { inv.Pins = append(inv.Pins, inv.Pins[0]) },
		func(inv *relocateJSON) { inv.Manifests[1].From = "\x1b[2J" },
		func(inv *relocateJSON) { inv.Manifests[1].References[0] = "registry.example/aaa:1" },
		func(inv *relocateJSON) {
			inv.Manifests[2].References = append(inv.Manifests[2].References, "registry.example/zzz:1")
		},
		func(inv *relocateJSON) { inv.Manifests[1].Kind = "image" },
		func(inv *relocateJSON) { inv.Omitted[0].MediaType = "" },
		func(inv *relocateJSON) { inv.Manifests[2].MediaType = inv.Manifests[0].MediaType },
		func(inv *relocateJSON) { inv.Omitted[0].Reason = "" },
		func(inv *relocateJSON) { inv.Omitted = nil },
		func(inv *relocateJSON) { inv.Blobs[0], inv.Blobs[1] = inv.Blobs[1], inv.Blobs[0] },
	} {
		var inv relocateJSON
		require.NoError(f, json.Unmarshal(members[2].data, &inv))
		change(&inv)
		f.Add(inv.encode(f))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var inv relocateJSON
		if json.Unmarshal(text, &inv) != nil {
			return
		}
		docs := []member{members[0], file("index.json", inv.index(t)), file("relocate.json", text)}
		b := pack(t, slices.Concat(docs, members[3:]))
		a, err := open(b)
		if err != nil {
			assertSpeaks(t, err)
			return
		}
		requireRewritable(t, a, b)
	})
}

// requireRewritable: if the archive, whose bytes are b, is found right, two writers make the same bytes
// of what was read from it: the one of these tests, and the package's own.
func requireRewritable(t *testing.T, a *tarball.Archive, b []byte) {
	t.Helper()
	damage, err := a.Check(context.Background(), 1, nil)
	require.NoError(t, err, "the bytes cannot be read")
	for _, d := range damage {
		require.True(t, d.Offset >= 0 && d.Offset < int64(len(b)) && d.Member != "" && d.Reason != "", d)
	}
	plan, err := a.Plan(context.Background(), 1, nil)
	if err != nil || len(damage) > 0 {
		return
	}
	if again := tamper(t, b, func(*relocateJSON, *[]member) {}); !bytes.Equal(b, again) {
		t.Fatalf("%d bytes were found right; written again they are %d others", len(b), len(again))
	}
	path := filepath.Join(t.TempDir(), "again.tar")
	w, err := tarball.Create(path, plan, tarball.Request{}, 1)
	require.NoError(t, err)
	require.Equal(t, a.Seal(), w.Seal())
	for _, blob := range plan.Blobs {
		require.NoError(t, w.PutBlob(context.Background(), *blob.Descriptor, func(ctx context.Context, _ int64) (io.ReadCloser, error) {
			return a.Blob(ctx, blob.Node.From, *blob.Descriptor)
		}))
	}
	require.NoError(t, w.Commit())
	again, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(b, again), "exported again, the archive is another")
}
