package volume

import (
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/assert"
)

// FuzzList: a list that is read is written as the same text, and says nothing that breaks a limit.
func FuzzList(f *testing.F) {
	l := &List{File: "a.tar", Seal: sealOf, Layout: Layout{Size: 3 * MinSize, Volume: MinSize, Parity: 1}, Sums: make([][sha256.Size]byte, 4)}
	f.Add(l.encode())
	l.Parity, l.Sums = 0, l.Sums[:3]
	f.Add(l.encode())
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := ParseList(text)
		if err != nil {
			return
		}
		assert.Equal(t, text, l.encode())
		assert.NoError(t, l.Check())
		assert.NoError(t, CheckName(l.File))
		assert.Len(t, l.Sums, l.All())
	})
}
