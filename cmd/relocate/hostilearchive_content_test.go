package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
)

// content is what an archive is crafted of: manifests and blobs, which nothing has checked.
type content struct {
	t         *testing.T
	host      string // of all references
	manifests map[v1.Hash]*craftedManifest
	blobs     map[v1.Hash][]byte
}

type craftedManifest struct {
	listedManifest
	own      []v1.Descriptor // config and layers
	children []v1.Hash
}

func newContent(t *testing.T, host string) *content {
	return &content{t, host, map[v1.Hash]*craftedManifest{}, map[v1.Hash][]byte{}}
}

// blob adds a blob.
func (c *content) blob(mediaType types.MediaType, b []byte) v1.Descriptor {
	d := descriptor(c.t, mediaType, b)
	c.blobs[d.Digest] = b
	return d
}

// manifest adds a manifest that needs blobs and children, whatever raw says.
func (c *content) manifest(kind bundle.Kind, mediaType types.MediaType, raw []byte, own []v1.Descriptor, children ...v1.Descriptor) v1.Descriptor {
	d := c.blob(mediaType, raw)
	m := &craftedManifest{listedManifest: listedManifest{Digest: d.Digest, MediaType: mediaType, Size: d.Size, Kind: kind, From: c.host + "/app"}, own: own}
	for _, child := range children {
		m.children = append(m.children, child.Digest)
	}
	c.manifests[d.Digest] = m
	return d
}

// image adds an image with layers of the texts given.
func (c *content) image(layers ...string) v1.Descriptor {
	var list []v1.Descriptor
	for _, text := range layers {
		list = append(list, c.blob(types.OCILayer, []byte(text)))
	}
	return c.imageOf(c.blob(types.OCIConfigJSON, []byte(`{"os":"linux"}`)), list...)
}

func (c *content) imageOf(config v1.Descriptor, layers ...v1.Descriptor) v1.Descriptor {
	raw := encode(c.t, v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: layers})
	return c.manifest(bundle.Plain, types.OCIManifestSchema1, raw, slices.Concat([]v1.Descriptor{config}, layers))
}

// indexOf adds an index.
func (c *content) indexOf(children ...v1.Descriptor) v1.Descriptor {
	raw := encode(c.t, v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: children})
	return c.manifest(bundle.Index, types.OCIImageIndex, raw, nil, children...)
}

// ref is the reference by which locks name a manifest.
func (c *content) ref(d v1.Descriptor) string { return c.host + "/app@" + d.Digest.String() }

// lock is the ImagesLock of images.
func (c *content) lock(images ...v1.Descriptor) string {
	var refs []string
	for _, d := range images {
		refs = append(refs, c.ref(d))
	}
	return lockText(refs...)
}

// bundleOf adds a bundle that locks images and has other files, in turn: name, text.
func (c *content) bundleOf(images []v1.Descriptor, files ...string) v1.Descriptor {
	return c.layered(zip(c.t, tarOf(c.t, append([]string{".imgpkg/images.yml", c.lock(images...)}, files...)...)), images...)
}

// layered adds a bundle of a layer that locks images.
func (c *content) layered(layer []byte, images ...v1.Descriptor) v1.Descriptor {
	config := c.blob(types.DockerConfigJSON, []byte(`{"config":{"Labels":{"dev.carvel.imgpkg.bundle":"true"}}}`))
	own := []v1.Descriptor{config, c.blob(types.DockerLayer, layer)}
	raw := encode(c.t, v1.Manifest{SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Config: own[0], Layers: own[1:]})
	return c.manifest(bundle.Bundle, types.DockerManifestSchema2, raw, own, images...)
}

// archive makes the archive of root: what it needs, in graph order.
func (c *content) archive(root v1.Descriptor) *crafted {
	a := &crafted{}
	ref := c.host + "/root:1.0"
	a.Roots = []bundle.Pin{{Reference: ref, Digest: root.Digest}}
	a.Pins = a.Roots
	c.manifests[root.Digest].References = []string{ref}
	graph := c.graph(root.Digest)
	done := map[v1.Hash]bool{}
	add := func(digests ...v1.Hash) {
		for _, d := range digests {
			if b, ok := c.blobs[d]; ok && !done[d] {
				done[d] = true
				a.add(b)
			}
		}
	}
	for _, m := range graph {
		a.Manifests = append(a.Manifests, m.listedManifest)
		add(m.Digest)
		for i, d := range m.own {
			if i == 0 || m.Kind == bundle.Bundle {
				add(d.Digest)
			}
		}
	}
	for _, m := range graph {
		for _, d := range m.own {
			add(d.Digest)
		}
	}
	return a
}

// graph returns what root needs, level by level, and names what bundles lock.
func (c *content) graph(root v1.Hash) []*craftedManifest {
	list, seen := []*craftedManifest{c.manifests[root]}, map[v1.Hash]bool{root: true}
	for i := 0; i < len(list); i++ {
		for _, d := range list[i].children {
			m := c.manifests[d]
			if m == nil { // not there
				continue
			}
			if list[i].Kind == bundle.Bundle && len(m.References) == 0 {
				m.References = []string{c.ref(v1.Descriptor{Digest: d})}
			}
			if !seen[d] {
				seen[d] = true
				list = append(list, m)
			}
		}
	}
	return list
}

// tarOf is a tar of files, in turn: name, text.
func tarOf(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		require.NoError(t, tw.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o600, Typeflag: tar.TypeReg}))
		_, err := tw.Write([]byte(files[i+1]))
		require.NoError(t, err)
	}
	require.NoError(t, tw.Close())
	return b.Bytes()
}

func zip(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	zw := gzipTo(&out)
	_, err := zw.Write(b)
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	return out.Bytes()
}

func gzipTo(w io.Writer) *gzip.Writer {
	zw, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // which is a level
	return zw
}

// replace changes a text in one place.
func replace(t *testing.T, old, text string) func(string) string {
	return func(s string) string {
		require.Contains(t, s, old)
		return strings.Replace(s, old, text, 1)
	}
}

// imageJSON is an OCI image manifest of what is given for its fields.
func imageJSON(config, layers string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}`, types.OCIManifestSchema1, config, layers)
}
