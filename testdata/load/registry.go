package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// serve starts a registry on loopback, which stop ends.
func serve(blobs *generator) (host string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithBlobHandler(blobs))}
	go func() { _ = s.Serve(l) }()
	return l.Addr().String(), func() { _ = s.Close() }, nil
}

// digest is a sha256; of very many, each byte counts.
type digest [sha256.Size]byte

func digestOf(h v1.Hash) (d digest) {
	_, _ = hex.Decode(d[:], []byte(h.Hex)) // another is known to nobody
	return d
}

// layer is content that its seed and size imply: a block again and again, each time with its number.
type layer struct {
	seed uint64
	size int64
}

func (l layer) reader() io.Reader {
	block := make([]byte, max(min(1<<20, l.size), 8))
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], l.seed)
	_, _ = rand.NewChaCha8(seed).Read(block)
	return io.LimitReader(&blocks{block: block}, l.size)
}

type blocks struct {
	block []byte
	n     uint64
	at    int
}

func (b *blocks) Read(p []byte) (int, error) {
	if b.at == 0 {
		n := binary.LittleEndian.Uint64(b.block)
		binary.LittleEndian.PutUint64(b.block, n^b.n^(b.n+1)) // the block's own, with the number
		b.n++
	}
	n := copy(p, b.block[b.at:])
	b.at = (b.at + n) % len(b.block)
	return n, nil
}

// generator is a registry's blobs: small ones are kept, layers are generated, and on the way in hashed by
// the registry and dropped. A destination, which has the same content, has a blob once it was sent.
type generator struct {
	mu    sync.Mutex
	small map[digest][]byte
	large map[digest]layer
	got   map[digest]bool // nil for a source
}

func newGenerator() *generator {
	return &generator{small: map[digest][]byte{}, large: map[digest]layer{}}
}

// layer adds a layer.
func (g *generator) layer(seed uint64, size int64) v1.Descriptor {
	l := layer{seed, size}
	sum := sha256.New()
	_, _ = io.Copy(sum, l.reader()) // neither fails
	g.mu.Lock()
	defer g.mu.Unlock()
	g.large[digest(sum.Sum(nil))] = l
	return v1.Descriptor{MediaType: types.OCILayer, Size: size, Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}}
}

// keep adds a small blob.
func (g *generator) keep(mediaType types.MediaType, b []byte) v1.Descriptor {
	sum := sha256.Sum256(b)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.small[sum] = b
	return v1.Descriptor{MediaType: mediaType, Size: int64(len(b)), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
}

// Get implements registry.BlobHandler.
func (g *generator) Get(_ context.Context, _ string, h v1.Hash) (io.ReadCloser, error) {
	b, l, ok := g.find(digestOf(h))
	switch {
	case !ok:
		return nil, registry.ErrNotFound
	case b != nil:
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	return io.NopCloser(l.reader()), nil
}

// Stat implements registry.BlobStatHandler.
func (g *generator) Stat(_ context.Context, _ string, h v1.Hash) (int64, error) {
	b, l, ok := g.find(digestOf(h))
	switch {
	case !ok:
		return 0, registry.ErrNotFound
	case b != nil:
		return int64(len(b)), nil
	}
	return l.size, nil
}

func (g *generator) find(d digest) (small []byte, large layer, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.got != nil && !g.got[d] {
		return nil, layer{}, false
	}
	small = g.small[d]
	large, ok = g.large[d]
	return small, large, ok || small != nil
}

// Put implements registry.BlobPutHandler.
func (g *generator) Put(_ context.Context, _ string, h v1.Hash, r io.ReadCloser) error {
	defer r.Close()
	d := digestOf(h)
	g.mu.Lock()
	_, known := g.large[d]
	g.mu.Unlock()
	var b []byte
	var err error
	if known {
		_, err = io.Copy(io.Discard, r)
	} else {
		b, err = io.ReadAll(r)
	}
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !known {
		g.small[d] = b
	}
	if g.got != nil {
		g.got[d] = true
	}
	return nil
}
