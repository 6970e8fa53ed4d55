package digest_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
)

// BenchmarkReader checks a blob while it is read: the most that one core can do of an export or import.
func BenchmarkReader(b *testing.B) {
	blob := bytes.Repeat([]byte("relocate"), 1<<20)
	want := digest.Of(blob)
	b.SetBytes(int64(len(blob)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := io.Copy(io.Discard, digest.Reader(bytes.NewReader(blob), want, int64(len(blob))))
		require.NoError(b, err)
	}
}
