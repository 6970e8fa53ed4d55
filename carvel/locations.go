package carvel

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/internal/yamlnode"
)

// Location says that an image of a bundle's ImagesLock is in the bundle's own repository.
type Location struct {
	Image    name.Digest // as in the ImagesLock, normalised; not where it is now
	IsBundle bool
}

// ImageLocations lists the images of a relocated bundle's ImagesLock that were copied into its
// repository. imgpkg stores it in the locations image.
type ImageLocations struct {
	Images []Location
}

type imageLocationsYAML struct {
	APIVersion string         `json:"apiVersion"`
	Images     []locationYAML `json:"images"`
	Kind       string         `json:"kind"`
}

type locationYAML struct {
	Image    string `json:"image"`
	IsBundle bool   `json:"isBundle"`
}

// ParseImageLocations reads an ImageLocations. It ignores unknown keys, as imgpkg does.
//
// Errors: ImgpkgError for another apiVersion or kind; others name the field.
func ParseImageLocations(data []byte) (*ImageLocations, error) {
	var y imageLocationsYAML
	if err := yamlnode.Check(data); err != nil {
		return nil, fmt.Errorf("ImageLocations: %w", err)
	}
	if err := yamlnode.Decode(data, &y, false); err != nil {
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
