package relocate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/copy"
	"relocate/manifests"
	"relocate/oci"
	"relocate/registry"
	"relocate/report"
)

// Source is what is copied from registries. At least one bundle, image or set of manifests must be named.
type Source struct {
	Client  *registry.Client // nil: one with the zero registry.Options
	Bundles []name.Reference // package repositories, packages and other bundles
	Images  []name.Reference // images and indexes that are not bundles

	Manifests []*manifests.Set // plain Kubernetes manifests, with their images: each becomes a bundle

	NonDistributable bool             // carry layers whose licence may forbid it
	Attachments      copy.Attachments // empty: what is found; AttachAll: every listed image must have one; AttachNothing: ignored
	Signatures       *name.Repository // where cosign's tags are looked up as well; nil: nowhere

	// Strict makes the verb fail, before anything moves, when something would point outside that
	// Accept does not accept.
	Strict bool
	Accept report.Acceptance

	pins         []bundle.Pin       // of a lock with both a tag and a digest
	lock         *carvel.ImagesLock // whose images these are; nil otherwise
	isBundleLock bool
	anyKind      bool // a root may be a bundle, an image or an index, whatever it is named as
}

// ReadLock returns what a BundleLock or an ImagesLock names as a source. A BundleLock's tag is
// pinned to its digest.
func ReadLock(text []byte) (Source, error) {
	kind, err := carvel.KindOf(text)
	if err != nil {
		return Source{}, err
	}
	if kind == "BundleLock" {
		lock, err := carvel.ParseBundleLock(text)
		if err != nil {
			return Source{}, err
		}
		s := Source{Bundles: []name.Reference{lock.Image}, isBundleLock: true}
		if lock.Tag != "" {
			tag := lock.Image.Context().Tag(lock.Tag)
			s.Bundles[0], s.pins = tag, []bundle.Pin{{Reference: tag.Name(), Digest: lock.Digest()}}
		}
		return s, nil
	}
	lock, err := carvel.ParseImagesLock(text)
	if err != nil {
		return Source{}, err
	}
	if len(lock.Images) == 0 {
		return Source{}, fmt.Errorf("it lists no images")
	}
	s := Source{lock: lock}
	for _, e := range lock.Images {
		s.Images = append(s.Images, e.Image)
	}
	return s, nil
}

// roots returns the references that the source names, or an error about them.
func (s *Source) roots() ([]name.Reference, error) {
	if err := checkPolicy(s.Attachments); err != nil {
		return nil, err
	}
	var list []name.Reference
	for _, ref := range append(append(list, s.Bundles...), s.Images...) {
		if err := oci.CheckPath(ref.Context()); err != nil {
			return nil, optionsf("%s: %w", ref, err)
		}
		if tag, ok := ref.(name.Tag); ok && oci.IsAttachmentTag(tag.TagStr()) {
			return nil, optionsf("%s is attached to an image and cannot be imported by itself; name the image %s, and its attachments are copied with it",
				ref, ref.Context().Name()+"@"+attachedTo(tag))
		}
		if d, ok := ref.(name.Digest); ok { // repo:tag@digest counts as a digest
			ref = d.Context().Digest(d.DigestStr())
		}
		list = append(list, ref)
	}
	for i, set := range s.Manifests {
		if slices.ContainsFunc(s.Manifests[:i], func(other *manifests.Set) bool { return other.Name == set.Name }) {
			return nil, optionsf("two sets of manifests have the name %s", set.Name)
		}
		list = append(list, set.Root())
	}
	if len(list) == 0 {
		return nil, optionsf("the source names no bundle, no image and no manifests")
	}
	return list, nil
}

// attachedTo returns the digest in the tag of an attachment.
func attachedTo(tag name.Tag) string {
	d, _, _ := strings.Cut(tag.TagStr(), ".")
	return strings.Replace(d, "-", ":", 1)
}

// listed returns the lock where it says more than the roots do; nil otherwise.
func (s *Source) listed() *carvel.ImagesLock {
	if s.lock != nil && s.lock.SaysMore() {
		return s.lock
	}
	return nil
}

// request returns what is requested of a selection, which must be the same when an export resumes.
func (s *Source) request(roots []name.Reference, selection Selection) []string {
	var list []string
	for _, ref := range roots {
		list = append(list, ref.Name())
	}
	for _, set := range s.Manifests {
		list = append(list, fmt.Sprintf("manifests %s (%s)", set.Name, set.Digest()))
	}
	for _, pin := range s.pins {
		list = append(list, fmt.Sprintf("%s is %s", pin.Reference, pin.Digest))
	}
	if s.Signatures != nil {
		list = append(list, "signatures from "+s.Signatures.Name())
	}
	return append(list, selection.request(roots)...)
}

// KindError says that a root is a bundle and was named as an image, or the other way round.
type KindError struct {
	Reference string
	Kind      bundle.Kind // what it is
	InLock    bool        // an ImagesLock names it
}

func (e *KindError) Error() string {
	if e.Kind == bundle.Bundle {
		return e.Reference + " is a bundle, but was named as an image"
	}
	return e.Reference + " is not a bundle, but was named as one"
}

// Is makes a KindError an ErrOptions.
func (e *KindError) Is(target error) bool { return target == ErrOptions }

// check returns the check that a root is of the kind that it is named as.
func (s *Source) check() func(ref string, kind bundle.Kind) error {
	isImage := map[string]bool{}
	for _, ref := range s.Images {
		isImage[ref.Name()] = true
	}
	return func(ref string, kind bundle.Kind) error {
		if isImage[ref] == (kind == bundle.Bundle) && !s.anyKind {
			return &KindError{ref, kind, s.lock != nil}
		}
		return nil
	}
}
