package generated

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// layer is a v1.Layer of random bytes, which its number and size imply. They are not a compressed tar;
// a registry does not look, nor does what carries them.
type layer struct {
	number uint64
	size   int64
	digest func() (v1.Hash, error)
}

func newLayer(number uint64, size int64) *layer {
	l := &layer{number: number, size: size}
	l.digest = sync.OnceValues(func() (v1.Hash, error) {
		hash, _, err := v1.SHA256(l.reader())
		return hash, err
	})
	return l
}

func (l *layer) reader() io.Reader {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], l.number)
	return io.LimitReader(rand.NewChaCha8(seed), l.size)
}

func (l *layer) Digest() (v1.Hash, error)             { return l.digest() }
func (l *layer) DiffID() (v1.Hash, error)             { return l.digest() }
func (l *layer) Size() (int64, error)                 { return l.size, nil }
func (l *layer) MediaType() (types.MediaType, error)  { return types.OCILayer, nil }
func (l *layer) Compressed() (io.ReadCloser, error)   { return io.NopCloser(l.reader()), nil }
func (l *layer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }
