package tarball_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"relocate/tarball"
)

// FuzzArchive: no bytes make a reader panic; and whatever Open, Check and Plan find right is, to the
// byte, what this package's format makes of its content.
func FuzzArchive(f *testing.F) {
	good := tiny(f).bytes(f)
	f.Add(good)
	f.Add([]byte{})
	for at := 0; at < len(good); at += 700 {
		bad := slices.Clone(good)
		bad[at] ^= 0x10
		f.Add(bad)
		f.Add(good[:at])
	}
	f.Add(tamper(f, good, func(inv *inventory, _ *[]member) { inv.Manifests[1].Kind = "bundle" }))
	f.Add(tamper(f, good, func(inv *inventory, _ *[]member) { inv.Manifests[1].From = "other.example/place" }))
	f.Add(tamper(f, good, func(inv *inventory, _ *[]member) { inv.Blobs[0].Size = 1 << 40 }))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := open(b)
		if err != nil {
			return
		}
		damage, err := a.Check(context.Background(), tarball.CheckOptions{Blobs: true})
		if err != nil {
			t.Fatalf("the bytes cannot be read: %v", err)
		}
		if _, err := a.Plan(context.Background(), 1); err != nil || len(damage) > 0 {
			return
		}
		if again := tamper(t, b, func(*inventory, *[]member) {}); !bytes.Equal(b, again) {
			t.Errorf("%d bytes were found right; written again they are %d others", len(b), len(again))
		}
	})
}
