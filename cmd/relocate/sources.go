package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/pflag"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/oci"
)

// sourceFlags are the flags that name what is copied from registries.
type sourceFlags struct {
	bundles, images  []string
	lock             string
	nonDistributable bool
	attachments      string
	signaturesFrom   string
}

func (f *sourceFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&f.bundles, "bundle", "b", nil, "the bundle `REF`; may be given several times")
	flags.StringArrayVarP(&f.images, "image", "i", nil, "the image or index `REF`, which is no bundle; may be given several times")
	flags.StringVar(&f.lock, "lock", "", "the BundleLock or ImagesLock `FILE` with what is copied")
	flags.BoolVar(&f.nonDistributable, "include-non-distributable-layers", false, "carry layers whose licence may forbid it")
	flags.StringVar(&f.attachments, "attachments", attachmentsAuto, "`WHAT` becomes of signatures, attestations and SBOMs: auto carries those it finds and leaves out, with a warning, those that a registry refuses; require fails instead, and where a listed image has none; none carries none")
	flags.StringVar(&f.signaturesFrom, "signatures-from", "", "look for cosign's tags in the repository `REPO` as well (COSIGN_REPOSITORY)")
}

func (f *sourceFlags) given() bool { return len(f.bundles)+len(f.images) > 0 || f.lock != "" }

func (f *sourceFlags) check() error {
	if err := firstWrong(
		check{f.lock != "" && len(f.bundles)+len(f.images) > 0, "two sources: give --lock, or -b and -i"},
		check{f.signaturesFrom != "" && (f.attachments == attachmentsNone || !f.given()), "--signatures-from goes with a source in a registry, and without --attachments none"},
		oneOf("--attachments", f.attachments, attachmentsAuto, attachmentsRequire, attachmentsNone),
	); err != nil || f.signaturesFrom == "" {
		return err
	}
	_, err := parseRepo("--signatures-from", f.signaturesFrom)
	return err
}

// roots is what the operator wants copied.
type roots struct {
	refs  []name.Reference
	pins  []bundle.Pin       // of refs, where a lock has both a tag and a digest
	plain map[string]bool    // references that must be no bundle
	lock  *carvel.ImagesLock // whose images the roots are; nil otherwise

	bundleLock bool // the root is that of a BundleLock
}

// listed returns the lock where it says more than the roots do; nil otherwise.
func (r *roots) listed() *carvel.ImagesLock {
	if r.lock != nil && r.lock.SaysMore() {
		return r.lock
	}
	return nil
}

// roots reads the flags, and the lock where there is one.
func (f *sourceFlags) roots() (*roots, error) {
	r := &roots{plain: map[string]bool{}}
	if f.lock != "" {
		return r, r.readLock(f.lock)
	}
	for _, s := range f.bundles {
		if err := r.add("--bundle", s, false); err != nil {
			return nil, err
		}
	}
	for _, s := range f.images {
		if err := r.add("--image", s, true); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// add reads a reference of a flag.
func (r *roots) add(flag, s string, plain bool) error {
	ref, err := parseReference(flag, s)
	if err != nil {
		return err
	}
	if tag, ok := ref.(name.Tag); ok && oci.IsAttachmentTag(tag.TagStr()) {
		return usagef("%s %s: names what is attached to an image and cannot be imported; name the image %s, its attachments come along",
			flag, s, ref.Context().Name()+"@"+attachedTo(tag))
	}
	r.refs = append(r.refs, ref)
	r.plain[ref.Name()] = plain
	return nil
}

// attachedTo returns the digest in the tag of an attachment.
func attachedTo(tag name.Tag) string {
	d, _, _ := strings.Cut(tag.TagStr(), ".")
	return strings.Replace(d, "-", ":", 1)
}

// readLock takes the roots from a BundleLock or an ImagesLock. A BundleLock's tag is pinned to its digest.
func (r *roots) readLock(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	kind, err := carvel.KindOf(text)
	if err != nil {
		return usagef("read %s: %w", path, err)
	}
	if kind == "BundleLock" {
		lock, err := carvel.ParseBundleLock(text)
		if err != nil {
			return usagef("read %s: %w", path, err)
		}
		var ref name.Reference = lock.Image
		if lock.Tag != "" {
			ref = lock.Image.Context().Tag(lock.Tag)
			r.pins = []bundle.Pin{{Reference: ref.Name(), Digest: lock.Digest()}}
		}
		r.refs, r.bundleLock = append(r.refs, ref), true
		return nil
	}
	if r.lock, err = carvel.ParseImagesLock(text); err != nil {
		return usagef("read %s: %w", path, err)
	}
	if len(r.lock.Images) == 0 {
		return usagef("read %s: it lists no image", path)
	}
	for _, e := range r.lock.Images {
		r.refs = append(r.refs, e.Image)
		r.plain[e.Image.Name()] = true
	}
	return nil
}

// names returns what is asked for, for a request that must be the same when an export goes on.
func (r *roots) names() []string {
	var list []string
	for _, ref := range r.refs {
		list = append(list, ref.Name())
	}
	for _, pin := range r.pins {
		list = append(list, fmt.Sprintf("%s is %s", pin.Reference, pin.Digest))
	}
	return list
}

// check holds a root to the flag that named it, in imgpkg's words.
func (r *roots) check(ref string, kind bundle.Kind) error {
	switch plain := r.plain[ref]; {
	case plain && kind == bundle.Bundle && r.lock != nil:
		return usagef("%s: Unable to copy bundles using an Images Lock file (hint: Create a bundle with these images)", ref)
	case plain && kind == bundle.Bundle:
		return usagef("%s: Expected bundle flag when copying a bundle (hint: Use -b instead of -i for bundles)", ref)
	case !plain && kind != bundle.Bundle:
		return usagef("%s: Expected bundle image but found plain image (hint: Did you use -i instead of -b?)", ref)
	}
	return nil
}
