package carvel

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"sigs.k8s.io/yaml"

	"relocate/internal/text"
	"relocate/internal/yamlnode"
	"relocate/oci"
)

// lockAPIVersion is the apiVersion of ImagesLock, BundleLock and ImageLocations.
const lockAPIVersion = "imgpkg.carvel.dev/v1alpha1"

// LockFile is the path of a bundle's ImagesLock.
const LockFile = ".imgpkg/images.yml"

// KbldID is the annotation of a lock entry that kbld matches, as a literal string, against the
// references it may replace.
const KbldID = "kbld.carvel.dev/id"

// ImgpkgError is an error about content that imgpkg 0.46 also refuses.
type ImgpkgError struct{ Err error }

func (e ImgpkgError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong with the content.
func (e ImgpkgError) Unwrap() error { return e.Err }

// LockEntry is an image of an ImagesLock.
type LockEntry struct {
	Image       name.Digest // normalised: a tag is dropped, a short name completed
	Annotations map[string]string
}

// ImagesLock lists the images of a bundle (.imgpkg/images.yml).
type ImagesLock struct {
	Images []LockEntry // in file order; a reference may occur several times
}

// Equal reports whether both are the same lock, or both are nil.
func (l *ImagesLock) Equal(other *ImagesLock) bool {
	if l == nil || other == nil {
		return l == other
	}
	return slices.EqualFunc(l.Images, other.Images, func(a, b LockEntry) bool {
		return a.Image.Name() == b.Image.Name() && maps.Equal(a.Annotations, b.Annotations)
	})
}

// SaysMore reports whether the lock has more than a list of images: annotations, or an image twice.
func (l *ImagesLock) SaysMore() bool {
	seen := map[string]bool{}
	for _, e := range l.Images {
		if len(e.Annotations) > 0 || seen[e.Image.DigestStr()] {
			return true
		}
		seen[e.Image.DigestStr()] = true
	}
	return false
}

type imagesLockYAML struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Images     []lockedImageYML `json:"images,omitempty"`
}

type lockedImageYML struct {
	Annotations map[string]string `json:"annotations,omitempty"`
	Image       string            `json:"image"`
}

// ParseImagesLock reads an ImagesLock with imgpkg's strictness: unknown and duplicate keys, another
// apiVersion or kind, and references without a digest are errors that name the field. As imgpkg
// does, it reads the first YAML document only.
func ParseImagesLock(data []byte) (*ImagesLock, error) {
	var y imagesLockYAML
	if err := parseLock(data, "ImagesLock", &y); err != nil {
		return nil, err
	}
	if err := checkKind(y.APIVersion, y.Kind, "ImagesLock"); err != nil {
		return nil, err
	}
	lock := &ImagesLock{Images: make([]LockEntry, 0, len(y.Images))}
	for i, image := range y.Images {
		ref, err := parseDigestReference(image.Image)
		if err != nil {
			return nil, fmt.Errorf("images[%d].image: %w", i, err)
		}
		lock.Images = append(lock.Images, LockEntry{Image: ref, Annotations: image.Annotations})
	}
	return lock, nil
}

// At returns the lock as imgpkg rewrites it when it pulls the bundle from a repository that has all
// its images.
func (l *ImagesLock) At(repo name.Repository) *ImagesLock {
	at := &ImagesLock{}
	for _, e := range l.Images {
		at.Images = append(at.Images, LockEntry{Image: repo.Digest(e.Image.DigestStr()), Annotations: e.Annotations})
	}
	return at
}

// Encode returns the lock as imgpkg writes it: keys sorted, annotations before image, no images
// key when there are none.
func (l *ImagesLock) Encode() ([]byte, error) {
	y := imagesLockYAML{APIVersion: lockAPIVersion, Kind: "ImagesLock"}
	for _, e := range l.Images {
		y.Images = append(y.Images, lockedImageYML{Annotations: e.Annotations, Image: e.Image.Name()})
	}
	return encodeLock(y)
}

// BundleLock names a bundle by digest, with the tag it had.
type BundleLock struct {
	Image name.Digest
	Tag   string // empty when the bundle had none
}

type bundleLockYAML struct {
	APIVersion string `json:"apiVersion"`
	Bundle     struct {
		Image string `json:"image"`
		Tag   string `json:"tag,omitempty"`
	} `json:"bundle"`
	Kind string `json:"kind"`
}

// ParseBundleLock reads a BundleLock, as strictly as ParseImagesLock.
func ParseBundleLock(data []byte) (*BundleLock, error) {
	var y bundleLockYAML
	if err := parseLock(data, "BundleLock", &y); err != nil {
		return nil, err
	}
	if err := checkKind(y.APIVersion, y.Kind, "BundleLock"); err != nil {
		return nil, err
	}
	ref, err := parseDigestReference(y.Bundle.Image)
	if err != nil {
		return nil, fmt.Errorf("bundle.image: %w", err)
	}
	if y.Bundle.Tag != "" && !oci.IsTag(y.Bundle.Tag) {
		return nil, fmt.Errorf("bundle.tag: %s is not a tag", text.Quote(y.Bundle.Tag))
	}
	return &BundleLock{Image: ref, Tag: y.Bundle.Tag}, nil
}

// Encode returns the lock as imgpkg writes it.
func (l *BundleLock) Encode() ([]byte, error) {
	y := bundleLockYAML{APIVersion: lockAPIVersion, Kind: "BundleLock"}
	y.Bundle.Image, y.Bundle.Tag = l.Image.Name(), l.Tag
	return encodeLock(y)
}

// Digest returns the bundle's digest.
func (l *BundleLock) Digest() v1.Hash { return oci.HashOf(l.Image) }

// KindOf returns the kind of a lock, ImagesLock or BundleLock. It checks nothing else.
func KindOf(data []byte) (string, error) {
	var y struct {
		Kind string `json:"kind"`
	}
	if err := yamlnode.Check(data); err != nil {
		return "", err
	}
	if err := yamlnode.Decode(data, &y, false); err != nil {
		return "", err
	}
	if y.Kind != "ImagesLock" && y.Kind != "BundleLock" {
		return "", fmt.Errorf("kind: is %s, want %q or %q", text.Quote(y.Kind), "BundleLock", "ImagesLock")
	}
	return y.Kind, nil
}

// parseLock decodes the first document of data into out, which is a pointer to a struct.
func parseLock(data []byte, kind string, out any) error {
	if err := yamlnode.Check(data); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	if line := yamlnode.HiddenBreak(string(data)); line > 0 {
		return fmt.Errorf("%s: line %d: has a line break that some YAML readers do not see", kind, line)
	}
	if err := yamlnode.Decode(data, out, true); err != nil {
		return ImgpkgError{fmt.Errorf("%s: %w", kind, err)}
	}
	return nil
}

func checkKind(apiVersion, kind, want string) error {
	if apiVersion != lockAPIVersion {
		return ImgpkgError{fmt.Errorf("apiVersion: is %s, want %q", text.Quote(apiVersion), lockAPIVersion)}
	}
	if kind != want {
		return ImgpkgError{fmt.Errorf("kind: is %s, want %q", text.Quote(kind), want)}
	}
	return nil
}

func encodeLock(y any) ([]byte, error) {
	b, err := yaml.Marshal(y)
	if err != nil {
		return nil, err
	}
	return append([]byte("---\n"), b...), nil
}

// parseDigestReference reads a reference that must have a sha256 digest. "repo:tag@sha256:…" loses
// its tag, as in imgpkg.
func parseDigestReference(s string) (name.Digest, error) {
	if len(s) > oci.MaxReference {
		return name.Digest{}, fmt.Errorf("%s has %d bytes, more than the limit of %d", text.Quote(s), len(s), oci.MaxReference)
	}
	ref, err := name.NewDigest(s)
	switch {
	case s == "":
		err = errors.New("is empty")
	case err != nil && !strings.Contains(s, "@"):
		err = fmt.Errorf("%s has no digest", text.Quote(s))
	case err != nil:
		err = fmt.Errorf("%s is no digest reference: %w", text.Quote(s), text.Error(err))
	case !strings.HasPrefix(ref.DigestStr(), "sha256:"):
		err = fmt.Errorf("%s has a digest that is not sha256; no other is supported", text.Quote(s))
	}
	if err != nil {
		return name.Digest{}, ImgpkgError{err}
	}
	if err := oci.CheckPath(ref.Context()); err != nil {
		return name.Digest{}, fmt.Errorf("%s is no digest reference: %w", text.Quote(s), err)
	}
	return ref.Context().Digest(ref.DigestStr()), nil
}
