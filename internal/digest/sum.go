package digest

import (
	"crypto/sha256"
	"encoding/hex"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Sum is a sha256 digest as 32 bytes, which take a third of the memory of its text.
type Sum [sha256.Size]byte

// SumOf returns the digest as a Sum; ok is false for another algorithm's digest.
func SumOf(d v1.Hash) (s Sum, ok bool) {
	if d.Algorithm != "sha256" || len(d.Hex) != hex.EncodedLen(len(s)) {
		return s, false
	}
	_, err := hex.Decode(s[:], []byte(d.Hex))
	return s, err == nil
}

// Hash returns the digest as text.
func (s Sum) Hash() v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(s[:])} }
