package tarball

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unique"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/oci"
)

// imgpkgContent is the content of a manifest.json. Each text in it was hashed.
type imgpkgContent struct {
	top       []imgpkgTop
	texts     map[v1.Hash]imgpkgText
	mediaType map[v1.Hash]types.MediaType // of manifests
	from      map[v1.Hash]string          // of manifests: the smallest repository where one was found
	layers    map[v1.Hash]imgpkgNamed     // that manifests name
}

// imgpkgTop is an entry at the top level.
type imgpkgTop struct {
	digest v1.Hash
	ref    name.Digest // where it was found
	tag    string
	isRoot bool // it has rootLabel
	pins   []string

	subjects []v1.Hash // what it is attached to, without a tag
}

// imgpkgText is the place of a manifest or config in the file, where it is a JSON string.
type imgpkgText struct {
	at, spelled int64 // offset and size of the JSON string, in bytes
	size        int64 // of the text, in bytes
}

// imgpkgNamed is a layer that a manifest names.
type imgpkgNamed struct {
	size    int64
	foreign bool // in every image
}

// decodeImgpkg reads the manifest.json that r has from byte at on.
func decodeImgpkg(r io.ReaderAt, at, size int64) (*imgpkgContent, error) {
	if size > maxImgpkgDocument {
		return nil, fmt.Errorf("%w: %s has %d bytes, more than the limit of %d", ErrDamaged, imgpkgDocument, size, maxImgpkgDocument)
	}
	c := &imgpkgContent{texts: map[v1.Hash]imgpkgText{}, mediaType: map[v1.Hash]types.MediaType{}, from: map[v1.Hash]string{}, layers: map[v1.Hash]imgpkgNamed{}}
	in := &allowance{r: bufio.NewReaderSize(io.NewSectionReader(r, at, size), 1<<16), left: maxImgpkgEntry}
	err := c.decode(json.NewDecoder(in), in, at)
	switch {
	case in.err != nil:
		return nil, fmt.Errorf("read %s: %w", imgpkgDocument, in.err)
	case errors.Is(err, ErrNotArchive):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, imgpkgDocument, err)
	case len(c.top) == 0:
		return nil, fmt.Errorf("%w: its %s lists no image", ErrNotArchive, imgpkgDocument)
	}
	return c, nil
}

// allowance is a reader of at most left bytes. err is the error of r.
type allowance struct {
	r    io.Reader
	left int
	err  error
}

func (a *allowance) Read(p []byte) (int, error) {
	if a.left <= 0 {
		return 0, fmt.Errorf("has an entry of more than %d bytes", maxImgpkgEntry)
	}
	n, err := a.r.Read(p[:min(len(p), a.left)])
	a.left -= n
	if err != nil && err != io.EOF {
		a.err = err
	}
	return n, err
}

// decode reads the array, an entry at a time.
func (c *imgpkgContent) decode(d *json.Decoder, in *allowance, at int64) error {
	t, err := d.Token()
	if err != nil || t == nil {
		return notEOF(err)
	}
	if t != json.Delim('[') {
		return errors.New("is not a list")
	}
	for d.More() {
		in.left = maxImgpkgEntry
		var entry json.RawMessage
		if err := d.Decode(&entry); err != nil {
			return fmt.Errorf("[%d]: %w", len(c.top), notEOF(err))
		}
		err := c.add(&imgpkgSpelling{entry: entry, at: at + d.InputOffset() - int64(len(entry))})
		if errors.Is(err, ErrNotArchive) {
			return err
		}
		if err != nil {
			return fmt.Errorf("[%d]: %w", len(c.top), err)
		}
	}
	if _, err := d.Token(); err != nil {
		return notEOF(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("has something after its end")
	}
	return nil
}

// add adds an entry.
func (c *imgpkgContent) add(s *imgpkgSpelling) error {
	if err := oci.CheckJSON(s.entry); err != nil {
		return err
	}
	var e imgpkgEntry
	if err := json.Unmarshal(s.entry, &e); err != nil {
		return fmt.Errorf("%.300s", err.Error()) // the text may quote much of the entry
	}
	var top imgpkgTop
	var err error
	switch {
	case e.Image != nil && e.ImageIndex != nil:
		return errors.New("is both an image and an index")
	case e.ImageIndex != nil:
		i := e.ImageIndex
		if top, err = readTop(i.Digest, i.Refs, i.OrigRef, i.Tag, i.Labels); err == nil {
			err = c.index(s, i)
		}
	case e.Image != nil:
		i := e.Image
		if top, err = readTop(i.Manifest.Digest, i.Refs, i.OrigRef, i.Tag, i.Labels); err == nil {
			err = c.image(s, i)
		}
	default:
		return c.unknown(s.entry)
	}
	if err == nil {
		c.top = append(c.top, top)
	}
	return err
}

// unknown returns the error for an entry that is neither an image nor an index of imgpkg.
func (c *imgpkgContent) unknown(entry []byte) error {
	var docker struct{ RepoTags, Layers *json.RawMessage }
	if len(c.top) == 0 && json.Unmarshal(entry, &docker) == nil && (docker.RepoTags != nil || docker.Layers != nil) {
		return fmt.Errorf("%w: it is a tar of docker save", ErrNotArchive)
	}
	return errors.New("is neither an image nor an index")
}

// readTop reads the members of an entry other than its content.
func readTop(d string, refs []string, origRef, tag string, labels map[string]string) (top imgpkgTop, err error) {
	if top.digest, err = parseDigest(d); err != nil {
		return top, err
	}
	if top.ref, err = parseFound(refs, d); err != nil {
		return top, err
	}
	if origRef != "" {
		if _, err := parseFound([]string{origRef}, d); err != nil {
			return top, fmt.Errorf("its OrigRef: %w", err)
		}
	}
	if top.tag = tag; tag != "" && !oci.IsTag(tag) {
		return top, fmt.Errorf("its Tag %.200q is not a tag", tag)
	}
	_, top.isRoot = labels[rootLabel]
	for _, pin := range strings.Fields(labels[pinsLabel]) {
		if ref, err := name.NewTag(pin); err != nil || ref.Name() != pin {
			return top, fmt.Errorf("its label %s has %.200q, which is not a tag", pinsLabel, pin)
		}
		top.pins = append(top.pins, pin)
	}
	for _, s := range strings.Fields(labels[subjectsLabel]) {
		d, err := parseDigest(s)
		if err != nil {
			return top, fmt.Errorf("its label %s: %w", subjectsLabel, err)
		}
		top.subjects = append(top.subjects, d)
	}
	return top, nil
}

// attachments returns what the entry is attached to.
func (t imgpkgTop) attachments() []bundle.Attachment {
	var list []bundle.Attachment
	if m := attachedTag.FindStringSubmatch(t.tag); m != nil {
		list = append(list, bundle.Attachment{Subject: v1.Hash{Algorithm: "sha256", Hex: m[1]}, Digest: t.digest, Tag: t.tag})
	}
	for _, d := range t.subjects {
		list = append(list, bundle.Attachment{Subject: d, Digest: t.digest})
	}
	return list
}

func parseDigest(s string) (v1.Hash, error) {
	d, err := v1.NewHash(s)
	if err != nil || d.Algorithm != "sha256" {
		return d, fmt.Errorf("its Digest %.200q is not a sha256 digest", s)
	}
	return d, nil
}

// parseFound reads the references by which something was found. imgpkg writes one.
func parseFound(refs []string, d string) (name.Digest, error) {
	if len(refs) != 1 {
		return name.Digest{}, fmt.Errorf("has %d Refs, want one", len(refs))
	}
	ref, err := name.NewDigest(refs[0])
	if err == nil {
		err = oci.CheckPath(ref.Context())
	}
	if err != nil || ref.DigestStr() != d {
		return ref, fmt.Errorf("%.300q is not a reference with the digest %s", refs[0], d)
	}
	return ref, nil
}

// index adds an index with all that it nests.
func (c *imgpkgContent) index(s *imgpkgSpelling, i *imgpkgIndex) error {
	if i == nil {
		return errors.New("has null for an index")
	}
	if !i.MediaType.IsIndex() {
		return fmt.Errorf("index %s: has the media type %.200q", i.Digest, i.MediaType)
	}
	for _, child := range i.Images {
		if err := c.image(s, child); err != nil {
			return fmt.Errorf("in index %.100s: %w", i.Digest, err)
		}
	}
	for _, child := range i.Indexes {
		if err := c.index(s, child); err != nil {
			return fmt.Errorf("in index %.100s: %w", i.Digest, err)
		}
	}
	_, err := c.manifest(s, i.Digest, i.MediaType, i.Raw, i.Refs)
	return err
}

// image adds an image. Its config and layers must be those of its manifest.
func (c *imgpkgContent) image(s *imgpkgSpelling, i *imgpkgImage) error {
	if i == nil {
		return errors.New("has null for an image")
	}
	m := i.Manifest
	if m.MediaType.IsIndex() {
		return fmt.Errorf("image %.100s: has the media type %.200q", m.Digest, m.MediaType)
	}
	raw, err := c.manifest(s, m.Digest, m.MediaType, m.Raw, i.Refs)
	if err != nil {
		return err
	}
	if _, err := c.text(s, i.Config.Digest, i.Config.Raw); err != nil {
		return fmt.Errorf("config of image %s: %w", m.Digest, err)
	}
	var says v1.Manifest
	if err := json.Unmarshal([]byte(raw), &says); err != nil {
		return fmt.Errorf("image %s: is not a manifest: %.300s", m.Digest, err.Error())
	}
	if says.Config.Digest.String() != i.Config.Digest {
		return fmt.Errorf("image %s: its Config is %s, its manifest's is %s", m.Digest, i.Config.Digest, says.Config.Digest)
	}
	if !slices.EqualFunc(i.Layers, says.Layers, func(l imgpkgLayer, d v1.Descriptor) bool {
		return l.Digest == d.Digest.String() && l.Size == d.Size
	}) {
		return fmt.Errorf("image %s: its Layers are not those of its manifest", m.Digest)
	}
	return c.addLayers(m.Digest, says.Layers)
}

// addLayers adds the layers of an image.
func (c *imgpkgContent) addLayers(image string, layers []v1.Descriptor) error {
	for _, d := range layers {
		named, known := c.layers[d.Digest]
		if known && named.size != d.Size {
			return fmt.Errorf("image %s: gives layer %s %d bytes, another image gives it %d", image, d.Digest, d.Size, named.size)
		}
		c.layers[d.Digest] = imgpkgNamed{d.Size, oci.IsForeign(d) && (!known || named.foreign)}
	}
	if len(c.layers) > maxBlobs {
		return overLimit("layers", maxBlobs)
	}
	return nil
}

// manifest adds a manifest, and returns its text.
func (c *imgpkgContent) manifest(s *imgpkgSpelling, id string, mediaType types.MediaType, raw json.RawMessage, refs []string) (string, error) {
	d, err := parseDigest(id)
	if err != nil {
		return "", err
	}
	ref, err := parseFound(refs, id)
	if err != nil {
		return "", err
	}
	text, err := c.text(s, id, raw)
	if err != nil {
		return "", err
	}
	if is, known := c.mediaType[d]; known && is != mediaType {
		return "", fmt.Errorf("%s has the media type %.200q here, and %.200q elsewhere", d, mediaType, is)
	}
	if from, known := c.from[d]; !known || ref.Context().Name() < from {
		c.from[d] = unique.Make(ref.Context().Name()).Value()
	}
	c.mediaType[d] = unique.Make(mediaType).Value()
	if len(c.mediaType) > maxManifests {
		return "", overLimit("manifests", maxManifests)
	}
	return text, nil
}

// text hashes the text of a manifest or config, notes its place, and returns it.
func (c *imgpkgContent) text(s *imgpkgSpelling, id string, raw json.RawMessage) (string, error) {
	d, err := parseDigest(id)
	if err != nil {
		return "", err
	}
	var text *string
	if json.Unmarshal(raw, &text) != nil || text == nil {
		return "", fmt.Errorf("%s: has no Raw", d)
	}
	if len(*text) > maxManifest {
		return "", fmt.Errorf("%s: has %d bytes, more than the limit of %d", d, len(*text), maxManifest)
	}
	if err := digest.Check([]byte(*text), d); err != nil {
		return "", err
	}
	if _, known := c.texts[d]; !known {
		c.texts[d] = imgpkgText{s.find(raw), int64(len(raw)), int64(len(*text))}
	}
	return *text, nil
}

// imgpkgSpelling is the bytes of an entry.
type imgpkgSpelling struct {
	entry []byte
	at    int64 // in the file
	last  int   // offset in the entry after what was found last
}

// find returns the offset in the file of a part of the entry, or of any copy of it. It is fast when
// parts are searched about in their order.
func (s *imgpkgSpelling) find(part []byte) int64 {
	i := bytes.Index(s.entry[s.last:], part)
	if i >= 0 {
		i += s.last
	} else {
		i = bytes.Index(s.entry, part)
	}
	s.last = i + len(part)
	return s.at + int64(i)
}

// notEOF makes io.ErrUnexpectedEOF of io.EOF.
func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
