package imgpkg

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"path"
	"slices"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/internal/digest"
)

// Image is a small image in memory: the manifest and its blobs.
type Image struct {
	Descriptor    v1.Descriptor // of the manifest
	Manifest      []byte
	Config, Layer []byte
}

// Build builds the image that "imgpkg push" builds from files (path → content), with the same
// bytes: one gzip layer at BestSpeed by Go's compress/gzip, directories 0700, files 0600, no times
// and no owners (docs/carvel.md, "How imgpkg builds images"). Labels may be nil; a bundle has
// Label.
func Build(files map[string][]byte, labels map[string]string) (*Image, error) {
	return build(files, labels, compress)
}

// BuildStored builds an image as Build does, but for its layer: gzip without compression, with the same
// bytes whichever release of Go built the program (STORED blocks of RFC 1951, section 3.2.4).
func BuildStored(files map[string][]byte, labels map[string]string) (*Image, error) {
	return build(files, labels, store)
}

func build(files map[string][]byte, labels map[string]string, pack func(diff []byte) ([]byte, error)) (*Image, error) {
	diff, err := tarOf(files)
	if err != nil {
		return nil, err
	}
	return buildLayer(diff, labels, pack)
}

// buildLayer builds an image of a tar.
func buildLayer(diff []byte, labels map[string]string, pack func(diff []byte) ([]byte, error)) (image *Image, err error) {
	image = &Image{}
	if image.Layer, err = pack(diff); err != nil {
		return nil, err
	}
	config := map[string]any{}
	if len(labels) > 0 {
		config["Labels"] = labels
	}
	if image.Config, err = json.Marshal(imageConfig{
		Created: zeroTime,
		History: []history{{Author: "imgpkg", Created: zeroTime, CreatedBy: "imgpkg"}},
		RootFS:  v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{digest.Of(diff)}},
		Config:  config,
	}); err != nil {
		return nil, err
	}
	if image.Manifest, err = json.Marshal(v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.DockerManifestSchema2,
		Config:        describe(types.DockerConfigJSON, image.Config),
		Layers:        []v1.Descriptor{describe(types.DockerLayer, image.Layer)},
	}); err != nil {
		return nil, err
	}
	image.Descriptor = describe(types.DockerManifestSchema2, image.Manifest)
	return image, nil
}

// compressors are *gzip.Writers of the level that imgpkg uses. Each takes 1.2 MB, and a repository has
// hundreds of locations images.
var compressors = sync.Pool{New: func() any {
	zw, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails for unknown levels only
	return zw
}}

// compress compresses as imgpkg does.
func compress(diff []byte) ([]byte, error) {
	var b bytes.Buffer
	zw := compressors.Get().(*gzip.Writer)
	defer compressors.Put(zw)
	zw.Reset(&b)
	if _, err := zw.Write(diff); err != nil {
		return nil, err
	}
	if err := zw.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// maxStored is the number of bytes in a block of deflate that is not compressed.
const maxStored = 65535

// store writes a gzip member of blocks that are not compressed. Its header has no name and no time, and
// 255 (unknown) as the operating system.
func store(diff []byte) ([]byte, error) {
	b := make([]byte, 0, len(diff)+5*(len(diff)/maxStored+1)+18)
	b = append(b, 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255)
	for rest := diff; ; {
		block := rest[:min(len(rest), maxStored)]
		rest = rest[len(block):]
		last := byte(0)
		if len(rest) == 0 {
			last = 1
		}
		n := uint16(len(block))
		b = append(b, last)
		b = binary.LittleEndian.AppendUint16(b, n)
		b = binary.LittleEndian.AppendUint16(b, ^n)
		b = append(b, block...)
		if last == 1 {
			break
		}
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(diff))
	return binary.LittleEndian.AppendUint32(b, uint32(len(diff))), nil
}

const zeroTime = "0001-01-01T00:00:00Z"

// imageConfig has the fields of imgpkg's configs in the order in which it writes them.
type imageConfig struct {
	Architecture string         `json:"architecture"`
	Created      string         `json:"created"`
	History      []history      `json:"history"`
	OS           string         `json:"os"`
	RootFS       v1.RootFS      `json:"rootfs"`
	Config       map[string]any `json:"config"`
}

type history struct {
	Author    string `json:"author"`
	Created   string `json:"created"`
	CreatedBy string `json:"created_by"`
}

func describe(mediaType types.MediaType, b []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: mediaType, Size: int64(len(b)), Digest: digest.Of(b)}
}

// tarOf returns a ustar of files and the directories they are in, as a walk in lexical order meets
// them; the first entry is ".".
func tarOf(files map[string][]byte) ([]byte, error) {
	dirs := map[string]bool{".": true}
	for p := range files {
		for d := path.Dir(p); !dirs[d]; d = path.Dir(d) {
			dirs[d] = true
		}
	}
	names := slices.Concat(slices.Collect(maps.Keys(files)), slices.Collect(maps.Keys(dirs)))
	slices.SortFunc(names, compareWalk)
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, p := range names {
		h := &tar.Header{Name: p, Typeflag: tar.TypeDir, Mode: 0o700, ModTime: time.Unix(0, 0)}
		data, isFile := files[p]
		if isFile {
			h.Typeflag, h.Mode, h.Size = tar.TypeReg, 0o600, int64(len(data))
		}
		if err := tw.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		if _, err := tw.Write(data); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// compareWalk orders paths as filepath.Walk visits them: by element, a directory before its files.
func compareWalk(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == ".":
		return -1
	case b == ".":
		return 1
	}
	for i := 0; i < len(a) && i < len(b); i++ {
		if x, y := a[i], b[i]; x != y {
			if x == '/' {
				x = 0
			}
			if y == '/' {
				y = 0
			}
			return int(x) - int(y)
		}
	}
	return len(a) - len(b)
}
