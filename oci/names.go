package oci

import (
	"fmt"
	"regexp"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/text"
)

var (
	pathForm        = regexp.MustCompile(`^[a-z0-9._-]+(/[a-z0-9._-]+)*$`)
	dotsForm        = regexp.MustCompile(`(^|/)\.\.?(/|$)`)
	runtimePathForm = regexp.MustCompile(`^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)
)

// CheckPath refuses a repository's path that is not safe in a URL: "a/../../b" would leave the API.
// It accepts everything else that go-containerregistry, and so imgpkg, accepts: some registries
// have repositories like "a/_b", which the grammar of the distribution spec (1.1, pulling
// manifests) excludes.
func CheckPath(repo name.Repository) error {
	if path := repo.RepositoryStr(); !IsPath(path) {
		return fmt.Errorf("the path %s is not lower-case names between single slashes", text.Quote(path))
	}
	return nil
}

// IsPath reports whether s is a path that CheckPath allows.
func IsPath(s string) bool { return pathForm.MatchString(s) && !dotsForm.MatchString(s) }

// IsRuntimePath reports whether container runtimes can pull from the path s: each of its elements
// begins and ends with a letter or digit.
func IsRuntimePath(s string) bool { return runtimePathForm.MatchString(s) }

var tagForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// IsTag reports whether s is a valid tag (distribution-spec 1.1, pulling manifests).
// go-containerregistry's own check accepts a leading "." or "-".
func IsTag(s string) bool { return tagForm.MatchString(s) }

// MaxReference is the limit on a reference in bytes. A host, a repository of 255, a tag of 128 and
// a digest are shorter.
const MaxReference = 1024

// HashOf returns the digest of a reference.
func HashOf(ref name.Digest) v1.Hash {
	d, _ := v1.NewHash(ref.DigestStr())
	return d
}
