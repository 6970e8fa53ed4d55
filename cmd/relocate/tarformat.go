package main

import (
	"errors"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/pflag"

	"relocate/bundle"
	"relocate/copy"
	"relocate/tarball"
)

// tarFormat is a value of --tar-format.
type tarFormat struct{ tarball.Format }

func (f *tarFormat) add(flags *pflag.FlagSet) {
	flags.Var(f, "tar-format", "write the archive in `FORM`: relocate, or imgpkg, which imgpkg copy --tar imports")
}

// Set implements pflag.Value.
func (f *tarFormat) Set(s string) error {
	for _, form := range []tarball.Format{tarball.Relocate, tarball.Imgpkg} {
		if s == form.String() {
			f.Format = form
			return nil
		}
	}
	return errors.New("must be relocate or imgpkg")
}

// Type implements pflag.Value.
func (f *tarFormat) Type() string { return "FORM" }

// attachedTags are the tags by which an archive of imgpkg has signatures.
func attachedTags(g *bundle.Graph) []copy.Tag {
	var list []copy.Tag
	for _, pin := range tarball.Attached(g) {
		list = append(list, copy.Tag{Name: pin.Reference[strings.LastIndex(pin.Reference, ":")+1:], Digest: pin.Digest})
	}
	return list
}

// withAttached adds to the roots of a verification what is attached to an image by such a tag; want may be nil.
func withAttached(roots []v1.Hash, want *bundle.Plan) []v1.Hash {
	if want == nil {
		return roots
	}
	all := slices.Clone(roots)
	for _, tag := range attachedTags(want.Graph) {
		all = append(all, tag.Digest)
	}
	return all
}
