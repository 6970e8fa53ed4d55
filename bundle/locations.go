package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Location says of one image of a bundle's ImagesLock that it is in the bundle's own repository.
type Location struct {
	Image    name.Digest // as in the ImagesLock, normalised; not where it is now
	IsBundle bool
}

// ImageLocations is what a relocated bundle has beside it: the images of its ImagesLock that were
// copied into its repository.
type ImageLocations struct {
	Images []Location
}

// locationsFile is the file of a locations image that holds the ImageLocations.
const locationsFile = "image-locations.yml"

type imageLocationsYAML struct {
	APIVersion string         `json:"apiVersion"`
	Images     []locationYAML `json:"images"`
	Kind       string         `json:"kind"`
}

type locationYAML struct {
	Image    string `json:"image"`
	IsBundle bool   `json:"isBundle"`
}

// ParseImageLocations reads an ImageLocations; as imgpkg does, it ignores unknown keys.
func ParseImageLocations(data []byte) (*ImageLocations, error) {
	var y imageLocationsYAML
	if err := checkYAML(data); err != nil {
		return nil, fmt.Errorf("ImageLocations: %w", err)
	}
	if err := decodeYAML(data, &y, false); err != nil {
		return nil, fmt.Errorf("ImageLocations: %w", err)
	}
	if err := checkKind(y.APIVersion, y.Kind, "ImageLocations"); err != nil {
		return nil, err
	}
	l := &ImageLocations{}
	for i, image := range y.Images {
		ref, err := parseDigestReference(image.Image)
		if err != nil {
			return nil, fmt.Errorf("images[%d].image: %w", i, err)
		}
		l.Images = append(l.Images, Location{Image: ref, IsBundle: image.IsBundle})
	}
	return l, nil
}

// Encode returns the text that imgpkg writes: sorted by image.
func (l *ImageLocations) Encode() ([]byte, error) {
	y := imageLocationsYAML{APIVersion: lockAPIVersion, Kind: "ImageLocations"}
	for _, image := range l.sorted() {
		y.Images = append(y.Images, locationYAML{Image: image.Image.Name(), IsBundle: image.IsBundle})
	}
	return encodeLock(y)
}

// Equal reports whether both list the same digests as the same kind. Under which reference imgpkg
// lists a digest that a lock names twice is a race, so references are not compared.
func (l *ImageLocations) Equal(other *ImageLocations) bool {
	kinds := func(l *ImageLocations) map[string]bool {
		m := map[string]bool{}
		for _, image := range l.Images {
			m[image.Image.DigestStr()] = image.IsBundle
		}
		return m
	}
	a, b := kinds(l), kinds(other)
	if len(a) != len(b) {
		return false
	}
	for digest, isBundle := range a {
		if other, ok := b[digest]; !ok || other != isBundle {
			return false
		}
	}
	return true
}

func (l *ImageLocations) sorted() []Location {
	return slices.SortedFunc(slices.Values(l.Images), func(a, b Location) int {
		return strings.Compare(a.Image.Name(), b.Image.Name())
	})
}

// DefaultTag is the tag under which imgpkg keeps every manifest of a destination: registries
// collect what has none.
func DefaultTag(d v1.Hash) string { return d.Algorithm + "-" + d.Hex + ".imgpkg" }

// KeptTags returns the tags under which imgpkg keeps the manifest at a destination; a child of an index has none.
// repoBased means its --repo-based-tags: one for each repository that the references to it name, the path before
// the digest.
func (n *Node) KeptTags(repoBased bool) []string {
	if n.IsChild {
		return nil
	}
	own := DefaultTag(n.Descriptor.Digest)
	if !repoBased {
		return []string{own}
	}
	paths := []string{n.From.RepositoryStr()}
	if len(n.References) > 0 {
		paths = nil
	}
	for _, s := range n.References {
		if ref, err := name.ParseReference(s); err == nil { // it was parsed when it was read
			paths = append(paths, ref.Context().RepositoryStr())
		}
	}
	var tags []string
	for _, path := range paths {
		if tag := tagPath(path) + "-" + own; !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return tags
}

// maxTagPath is how much of a repository's path imgpkg keeps in a tag: with the rest it makes 128 characters.
const maxTagPath = 49

// tagPath makes the beginning of a tag of a repository's path, as imgpkg does.
func tagPath(path string) string {
	clean := func(s string) string { return strings.TrimLeft(s, ".-") }
	path = clean(strings.ReplaceAll(path, "/", "-"))
	return clean(path[max(0, len(path)-maxTagPath):])
}

// LocationsTag is the tag of the locations image of the bundle d.
func LocationsTag(d v1.Hash) string { return d.Algorithm + "-" + d.Hex + ".image-locations.imgpkg" }

// ReadLocations reads the locations image of the bundle d in repo.
//
// Errors: fs.ErrNotExist when there is none; fs.ErrPermission means none, too (imgpkg spec §3).
// ErrMalformed when it is there and does not hold an ImageLocations.
func ReadLocations(ctx context.Context, src Source, repo name.Repository, d v1.Hash) (*ImageLocations, error) {
	ref := repo.Tag(LocationsTag(d))
	desc, raw, err := src.Manifest(ctx, ref)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(desc, raw)
	if err != nil {
		return nil, fmt.Errorf("read locations image %s: %w", ref, err)
	}
	var l *ImageLocations
	isLocations := func(p string) bool { return path.Base(p) == locationsFile }
	err = readBundleLayer(ctx, src, repo, m, isLocations, func(f file) (err error) {
		if l == nil { // the first one counts
			l, err = ParseImageLocations(f.data)
		}
		return err
	})
	if err == nil && l == nil {
		err = fmt.Errorf("%w: has no %s", ErrMalformed, locationsFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read locations image %s: %w", ref, err)
	}
	return l, nil
}

// isAbsent reports whether err means that a place does not have, or does not show, what was asked
// for: another place may.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}

// NewLocations returns the ImageLocations of a bundle of g all of whose locked images are in the
// bundle's own repository.
func NewLocations(g *Graph, n *Node) *ImageLocations {
	l := &ImageLocations{}
	for _, ref := range n.Locked {
		l.Images = append(l.Images, Location{Image: ref, IsBundle: g.Node(hashOf(ref)).Kind == Bundle})
	}
	return l
}

// Image returns the locations image that imgpkg writes, byte for byte (imgpkg spec §4.4).
func (l *ImageLocations) Image() (*Image, error) {
	text, err := l.Encode()
	if err != nil {
		return nil, err
	}
	return Build(map[string][]byte{locationsFile: text}, nil)
}
