package main

import (
	"errors"
	"os"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/bundle"
	"relocate/manifests"
)

// sourceFlags are the flags that name what is copied from registries.
type sourceFlags struct {
	bundles, images  []string
	manifests        []string
	lock             string
	nonDistributable bool
	attachments      string
	signaturesFrom   string
}

func (f *sourceFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&f.bundles, "bundle", "b", nil, "copy the bundle `REF` (repeatable)")
	flags.StringArrayVarP(&f.images, "image", "i", nil, "copy the image or index `REF`, which is not a bundle (repeatable)")
	flags.StringArrayVar(&f.manifests, "manifests", nil, "copy the Kubernetes manifests in `[NAME=]PATH`, a file or "+
		"a folder, and the images that kbld finds in them (repeatable)")
	flags.StringVar(&f.lock, "lock", "", "copy what the BundleLock or ImagesLock `FILE` lists")
	flags.BoolVar(&f.nonDistributable, "include-non-distributable-layers", false, "also copy layers whose licence may forbid it")
	flags.StringVar(&f.attachments, "attachments", attachmentsAuto, "copy signatures, attestations and SBOMs in this `MODE`: auto skips those that a registry refuses, with a warning; require fails instead, and also if a listed image has none; none copies none")
	flags.StringVar(&f.signaturesFrom, "signatures-from", "", "also look for cosign's tags in the repository `REPO` (COSIGN_REPOSITORY)")
}

func (f *sourceFlags) given() bool {
	return len(f.bundles)+len(f.images)+len(f.manifests) > 0 || f.lock != ""
}

func (f *sourceFlags) check() error {
	if err := firstWrong(
		check{f.lock != "" && len(f.bundles)+len(f.images)+len(f.manifests) > 0, "two sources: give --lock, or -b, -i and " +
			"--manifests"},
		check{f.signaturesFrom != "" && (f.attachments == attachmentsNone || !f.given()), "--signatures-from needs a source in a registry, and cannot be used with --attachments none"},
		oneOf("--attachments", f.attachments, attachmentsAuto, attachmentsRequire, attachmentsNone),
	); err != nil || f.signaturesFrom == "" {
		return err
	}
	_, err := parseRepo("--signatures-from", f.signaturesFrom)
	return err
}

// source returns what the flags name, with a client that has the credentials in c for their
// registries.
func (f *sourceFlags) source(c *common) (relocate.Source, error) {
	from, err := f.roots()
	if err != nil {
		return from, err
	}
	if from.Client, err = c.source(slices.Concat(from.Bundles, from.Images)); err != nil {
		return from, err
	}
	from.NonDistributable, from.Attachments = f.nonDistributable, f.policy()
	if f.signaturesFrom != "" {
		repo, err := parseRepo("--signatures-from", f.signaturesFrom)
		if err != nil {
			return from, err
		}
		from.Signatures = &repo
	}
	return from, nil
}

// roots reads the flags, and the lock where one is named.
func (f *sourceFlags) roots() (from relocate.Source, err error) {
	if f.lock != "" {
		text, err := os.ReadFile(f.lock)
		if err != nil {
			return from, err
		}
		if from, err = relocate.ReadLock(text); err != nil {
			return from, usagef("read %s: %w", f.lock, err)
		}
		return from, nil
	}
	if from.Bundles, err = parseReferences("--bundle", f.bundles); err != nil {
		return from, err
	}
	if from.Images, err = parseReferences("--image", f.images); err != nil {
		return from, err
	}
	for _, arg := range f.manifests {
		set, err := manifests.Read(arg)
		if err != nil {
			return from, usagef("--manifests %s: %w", arg, err)
		}
		from.Manifests = append(from.Manifests, set)
	}
	return from, nil
}

// parseReferences reads the references of a flag.
func parseReferences(flag string, values []string) (list []name.Reference, err error) {
	for _, s := range values {
		ref, err := parseReference(flag, s)
		if err != nil {
			return nil, err
		}
		list = append(list, ref)
	}
	return list, nil
}

// asUsage says in imgpkg's words that a root is not what its flag names.
func asUsage(err error) error {
	var kind *relocate.KindError
	switch {
	case !errors.As(err, &kind):
		return err
	case kind.Kind != bundle.Bundle:
		return usagef("%s: Expected bundle image but found plain image (hint: Did you use -i instead of -b?)", kind.Reference)
	case kind.InLock:
		return usagef("%s: Unable to copy bundles using an Images Lock file (hint: Create a bundle with these images)", kind.Reference)
	}
	return usagef("%s: Expected bundle flag when copying a bundle (hint: Use -b instead of -i for bundles)", kind.Reference)
}
