package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/report"
)

// This file writes archives from the words of tarball/doc.go, with nothing of the writer's. All that is
// implied is recomputed (sizes, headers, index.json, relocate.json, the seal), so that an attack is
// refused for what it is, and not for a seal that is broken.

// member is a member of a crafted archive.
type member struct {
	name    string
	content []byte
	header  func(h []byte) // changes the header, whose checksum is set afterwards
	forged  func(h []byte) // changes the header with its checksum
	padding byte           // in place of zero
}

// craftedInventory is relocate.json.
type craftedInventory struct {
	Roots       []bundle.Pin
	Pins        []bundle.Pin
	Manifests   []listedManifest
	Attachments []bundle.Attachment
	Unseen      []bundle.Unseen
	Omitted     []report.Omitted
	Blobs       []listedBlob
}

type listedManifest struct {
	Digest     v1.Hash         `json:"digest"`
	MediaType  types.MediaType `json:"mediaType"`
	Size       int64           `json:"size"`
	Kind       bundle.Kind     `json:"kind"`
	From       string          `json:"from"`
	References []string        `json:"references,omitempty"`
}

type listedBlob struct {
	Digest v1.Hash `json:"digest"`
	Size   int64   `json:"size"`
}

// crafted is an archive to be. The hooks, which may be nil, change what would be right.
type crafted struct {
	craftedInventory
	blobs []member // in file order

	layout    func(text string) string // oci-layout
	index     func(text string) string // index.json
	inventory func(text string) string // relocate.json
	members   func(m []member) []member
	seal      func(m *member)
	end       func(end []byte) []byte // the two blocks
	file      func(b []byte) []byte
}

// unpack takes a good archive apart.
func unpack(t *testing.T, archive []byte) *crafted {
	t.Helper()
	a := &crafted{}
	tr := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return a
		}
		require.NoError(t, err)
		content, err := io.ReadAll(tr)
		require.NoError(t, err)
		switch {
		case h.Name == "relocate.json":
			require.NoError(t, json.Unmarshal(content, &a.craftedInventory))
		case strings.HasPrefix(h.Name, "blobs/"):
			a.blobs = append(a.blobs, member{name: h.Name, content: content})
		}
	}
}

// bytes writes the archive.
func (a *crafted) bytes(t *testing.T) []byte {
	t.Helper()
	members := slices.Concat([]member{
		{name: "oci-layout", content: []byte(hook(a.layout, `{"imageLayoutVersion":"1.0.0"}`))},
		{name: "index.json", content: []byte(hook(a.index, a.indexText(t)))},
		{name: "relocate.json", content: []byte(hook(a.inventory, a.inventoryText(t)))},
	}, a.blobs)
	var file bytes.Buffer
	sum := sha256.New()
	for _, m := range hook(a.members, members) {
		header, padding := m.frame(t)
		file.Write(header)
		file.Write(m.content)
		file.Write(padding)
		sum.Write(header)
		if !strings.HasPrefix(m.name, "blobs/") {
			sum.Write(m.content)
		}
		sum.Write(padding)
	}
	seal := member{name: "seal", content: fmt.Appendf(nil, "sha256:%x\n", sum.Sum(nil))}
	if a.seal != nil {
		a.seal(&seal)
	}
	if seal.name != "" {
		header, padding := seal.frame(t)
		file.Write(slices.Concat(header, seal.content, padding))
	}
	file.Write(hook(a.end, make([]byte, 1024)))
	return hook(a.file, file.Bytes())
}

func hook[T any](change func(T) T, v T) T {
	if change == nil {
		return v
	}
	return change(v)
}

// frame returns what stands before the content, and after it.
func (m *member) frame(t *testing.T) (header, padding []byte) {
	t.Helper()
	header = tarHeader(t, m.name, int64(len(m.content)))
	if m.header != nil {
		m.header(header)
		setChecksum(header)
	}
	if m.forged != nil {
		m.forged(header)
	}
	return header, bytes.Repeat([]byte{m.padding}, -len(m.content)&511)
}

// tarHeader returns the legal header of a member; archive/tar writes the same.
func tarHeader(t *testing.T, name string, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, tar.NewWriter(&b).WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}))
	return b.Bytes()
}

func setChecksum(h []byte) {
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

// inventoryText is relocate.json: an element a line.
func (a *crafted) inventoryText(t *testing.T) string {
	return "{\"format\":1,\n" + elements(t, "roots", a.Roots) + ",\n" + elements(t, "pins", a.Pins) + ",\n" +
		elements(t, "manifests", a.Manifests) + ",\n" + elements(t, "attachments", a.Attachments) + ",\n" +
		elements(t, "unseen", a.Unseen) + ",\n" + elements(t, "omitted", a.Omitted) + ",\n" + elements(t, "blobs", a.Blobs) + "}\n"
}

func elements[T any](t *testing.T, key string, list []T) string {
	t.Helper()
	lines := make([]string, len(list))
	for i, e := range list {
		lines[i] = "\n" + string(encode(t, e))
	}
	return fmt.Sprintf("%q:[%s]", key, strings.Join(lines, ","))
}

// indexText is index.json: the roots, then whatever else has a reference.
func (a *crafted) indexText(t *testing.T) string {
	type entry struct {
		MediaType   types.MediaType   `json:"mediaType"`
		Digest      v1.Hash           `json:"digest"`
		Size        int64             `json:"size"`
		Annotations map[string]string `json:"annotations"`
	}
	var roots, others []entry
	for _, m := range a.Manifests {
		var names []string
		for _, root := range a.Roots {
			if root.Digest == m.Digest {
				names = append(names, root.Reference)
			}
		}
		e := entry{m.MediaType, m.Digest, m.Size, nil}
		switch {
		case len(names) > 0:
			e.Annotations = map[string]string{"org.opencontainers.image.ref.name": slices.Min(names)}
			roots = append(roots, e)
		case len(m.References) > 0:
			e.Annotations = map[string]string{"org.opencontainers.image.ref.name": m.References[0]}
			others = append(others, e)
		case a.attachedAs(m) != "":
			e.Annotations = map[string]string{"org.opencontainers.image.ref.name": a.attachedAs(m)}
			others = append(others, e)
		}
	}
	return "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\n" + elements(t, "manifests", slices.Concat(roots, others)) + "}\n"
}

// attachedAs is the place of a manifest by its first attachment.
func (a *crafted) attachedAs(m listedManifest) string {
	for _, attached := range a.Attachments {
		switch {
		case attached.Digest != m.Digest:
		case attached.Tag != "":
			return m.From + ":" + attached.Tag
		default:
			return m.From + "@" + m.Digest.String()
		}
	}
	return ""
}

// set puts another content in the place of blob i, with its digest.
func (a *crafted) set(i int, content []byte) {
	d, _ := v1.NewHash(digestOf(content)) // is one
	a.Blobs[i] = listedBlob{Digest: d, Size: int64(len(content))}
	a.blobs[i] = member{name: "blobs/sha256/" + d.Hex, content: content}
}

// add appends a blob.
func (a *crafted) add(content []byte) {
	a.Blobs, a.blobs = append(a.Blobs, listedBlob{}), append(a.blobs, member{})
	a.set(len(a.blobs)-1, content)
}

// remove takes blob i out.
func (a *crafted) remove(i int) {
	a.Blobs, a.blobs = slices.Delete(a.Blobs, i, i+1), slices.Delete(a.blobs, i, i+1)
}

// first returns the first manifest of a kind.
func (a *crafted) first(kind bundle.Kind) int {
	return slices.IndexFunc(a.Manifests, func(m listedManifest) bool { return m.Kind == kind })
}
