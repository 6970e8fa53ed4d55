// Command load runs the crossing with layers of any size, which are generated and never stored but in
// the archive, and prints the time and the peak memory of each step:
//
//	go run ./testdata/load -relocate bin/relocate -layers 32 -size 512 -dir /mnt/big
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/bundle"
)

func main() {
	relocate := flag.String("relocate", "bin/relocate", "the program")
	layers := flag.Int("layers", 8, "how many layers")
	size := flag.Int64("size", 64, "MiB of each")
	dir := flag.String("dir", "", "where the archive goes")
	flag.Parse()
	if err := run(*relocate, *layers, *size<<20, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(relocate string, layers int, size int64, dir string) error {
	tmp, err := os.MkdirTemp(dir, "relocate-load-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	blobs := &generator{small: map[v1.Hash][]byte{}, large: map[v1.Hash]layer{}}
	source, err := serve(blobs)
	if err != nil {
		return err
	}
	ref, err := blobs.push(source, layers, size)
	if err != nil {
		return err
	}
	destination, err := serve(&generator{small: map[v1.Hash][]byte{}, large: blobs.large, partial: true})
	if err != nil {
		return err
	}
	fmt.Printf("%d layers of %d MiB\n", layers, size>>20)
	file, repo := filepath.Join(tmp, "load.tar"), destination+"/airgap/load"
	for _, args := range [][]string{
		{"-b", ref, "--to-tar", file},
		{"verify", file},
		{"--from-tar", file, "--to-repo", repo},
		{"verify", "--repo", repo, file, "--level", "deep"},
	} {
		if err := step(relocate, args); err != nil {
			return err
		}
	}
	return nil
}

// step runs the program once and prints what it took.
func step(relocate string, args []string) error {
	cmd := exec.Command(relocate, append(args, "--progress", "none")...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("relocate %v: %w\n%s", args, err, out.String())
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	fmt.Printf("%-60.60s  %6.1f s  CPU %6.1f s  peak %4d MiB\n", fmt.Sprint(args[0], " ", args[1]), time.Since(start).Seconds(),
		(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), usage.Maxrss>>10)
	return nil
}

func serve(blobs *generator) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	h := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithBlobHandler(blobs))
	go func() { _ = http.Serve(l, h) }() // ends with the program
	return l.Addr().String(), nil
}

// layer is content that its seed and size imply: a block again and again, each time with its number.
type layer struct {
	seed uint64
	size int64
}

func (l layer) reader() io.Reader {
	block := make([]byte, 1<<20)
	rng := rand.NewChaCha8([32]byte{byte(l.seed), byte(l.seed >> 8)})
	_, _ = rng.Read(block)
	return io.LimitReader(&blocks{block: block}, l.size)
}

type blocks struct {
	block []byte
	n     uint64
	at    int
}

func (b *blocks) Read(p []byte) (int, error) {
	if b.at == 0 {
		binary.LittleEndian.PutUint64(b.block, b.n)
		b.n++
	}
	n := copy(p, b.block[b.at:])
	b.at = (b.at + n) % len(b.block)
	return n, nil
}

// generator is a registry's blobs: small ones are kept, layers are generated, and on the way in hashed
// by the registry and dropped. A partial one has a layer once it was sent.
type generator struct {
	mu      sync.Mutex
	small   map[v1.Hash][]byte
	large   map[v1.Hash]layer
	partial bool
	got     map[v1.Hash]bool
}

// Get implements registry.BlobHandler.
func (g *generator) Get(_ context.Context, _ string, h v1.Hash) (io.ReadCloser, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b, ok := g.small[h]; ok {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	if l, ok := g.large[h]; ok && (!g.partial || g.got[h]) {
		return io.NopCloser(l.reader()), nil
	}
	return nil, registry.ErrNotFound
}

// Stat implements registry.BlobStatHandler.
func (g *generator) Stat(_ context.Context, _ string, h v1.Hash) (int64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b, ok := g.small[h]; ok {
		return int64(len(b)), nil
	}
	if l, ok := g.large[h]; ok && (!g.partial || g.got[h]) {
		return l.size, nil
	}
	return 0, registry.ErrNotFound
}

// Put implements registry.BlobPutHandler.
func (g *generator) Put(_ context.Context, _ string, h v1.Hash, r io.ReadCloser) error {
	defer r.Close()
	if _, ok := g.large[h]; ok {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.got == nil {
			g.got = map[v1.Hash]bool{}
		}
		g.got[h] = true
		return nil
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.small[h] = b
	return nil
}

// push makes a bundle with one image of so many layers.
func (g *generator) push(host string, layers int, size int64) (string, error) {
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: g.keep(types.OCIConfigJSON, config)}
	for i := range layers {
		l := layer{uint64(i), size}
		sum := sha256.New()
		if _, err := io.Copy(sum, l.reader()); err != nil {
			return "", err
		}
		h := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
		g.large[h] = l
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: types.OCILayer, Digest: h, Size: size})
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	image := g.describe(types.OCIManifestSchema1, raw)
	lock := fmt.Sprintf("---\napiVersion: imgpkg.carvel.dev/v1alpha1\nimages:\n- image: %s/load/image@%s\nkind: ImagesLock\n", host, image.Digest)
	b, err := bundle.Build(map[string][]byte{".imgpkg/images.yml": []byte(lock)}, map[string]string{bundle.Label: "true"})
	if err != nil {
		return "", err
	}
	g.keep(types.DockerConfigJSON, b.Config)
	g.keep(types.DockerLayer, b.Layer)
	return host + "/load/repository:1", errors.Join(put(host+"/load/image:1", image, raw), put(host+"/load/repository:1", b.Descriptor, b.Manifest))
}

func (g *generator) describe(mediaType types.MediaType, b []byte) v1.Descriptor {
	sum := sha256.Sum256(b)
	return v1.Descriptor{MediaType: mediaType, Size: int64(len(b)), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
}

func (g *generator) keep(mediaType types.MediaType, b []byte) v1.Descriptor {
	d := g.describe(mediaType, b)
	g.small[d.Digest] = b
	return d
}

// manifest is a remote.Taggable.
type manifest struct {
	raw       []byte
	mediaType types.MediaType
}

func (m manifest) RawManifest() ([]byte, error)        { return m.raw, nil }
func (m manifest) MediaType() (types.MediaType, error) { return m.mediaType, nil }

func put(ref string, d v1.Descriptor, raw []byte) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return err
	}
	return remote.Put(tag, manifest{raw, d.MediaType})
}
