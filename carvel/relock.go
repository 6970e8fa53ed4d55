package carvel

import (
	"bytes"
	"errors"
	"slices"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/yamlnode"
	"relocate/oci"
)

// Relock returns the text of an ImagesLock with other digests in place of those in to. All else stays
// byte for byte, annotations too, so that kbld replaces the same references as before.
func Relock(data []byte, to map[v1.Hash]v1.Hash) ([]byte, error) {
	lock, err := ParseImagesLock(data)
	if err != nil {
		return nil, err
	}
	want := &ImagesLock{}
	for _, e := range lock.Images {
		if d, ok := to[oci.HashOf(e.Image)]; ok {
			e.Image = e.Image.Context().Digest(d.String())
		}
		want.Images = append(want.Images, e)
	}
	out := bytes.Clone(data)
	lines := slices.Collect(bytes.Lines(out))
	for doc := range yamlnode.Documents(data) {
		n, err := doc.Node()
		if err != nil {
			return nil, err
		}
		if n == nil {
			continue
		}
		for i, item := range yamlnode.Items(yamlnode.Get(n, "images")) {
			image := yamlnode.Get(item, "image")
			if image != nil && i < len(want.Images) && image.Line <= len(lines) {
				redirect(lines[image.Line-1], image.Column, lock.Images[i].Image.DigestStr(), want.Images[i].Image.DigestStr())
			}
		}
		break // the first document counts
	}
	if is, err := ParseImagesLock(out); err != nil || !is.Equal(want) {
		return nil, errors.Join(errors.New("is written so that digests in it cannot be replaced"), err)
	}
	return out, nil
}

// redirect replaces a digest in the value that begins at a column of a line, both counted from 1.
func redirect(line []byte, column int, from, to string) {
	for ; column > 1 && len(line) > 0; column-- { // in characters
		_, n := utf8.DecodeRune(line)
		line = line[n:]
	}
	if at := bytes.Index(line, []byte(from)); at >= 0 {
		copy(line[at:], to)
	}
}
