package oci

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

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

// MaxTag is the limit on a tag in bytes.
const MaxTag = 128

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

// ParseReference reads a reference that a person wrote: with a tag or a digest, and without a
// scheme. One with both counts as a digest.
func ParseReference(s string) (name.Reference, error) {
	if err := checkScheme(s); err != nil {
		return nil, err
	}
	ref, err := name.ParseReference(s)
	if err == nil {
		err = CheckPath(ref.Context())
	}
	if err != nil {
		return nil, err
	}
	if d, ok := ref.(name.Digest); ok {
		ref = d.Context().Digest(d.DigestStr())
	}
	return ref, nil
}

// ParseRepository reads a repository to fill or to look at that a person wrote: a registry and a
// path, from which container runtimes can pull.
func ParseRepository(s string) (name.Repository, error) {
	if err := checkScheme(s); err != nil {
		return name.Repository{}, err
	}
	host, path, hasPath := strings.Cut(s, "/")
	switch {
	case !hasPath:
		return name.Repository{}, errors.New("must have a registry and a path, as in registry.example.com/path")
	case strings.Contains(s, "@"):
		return name.Repository{}, errors.New("is a reference with a digest; name the repository, as in registry.example.com/path")
	case strings.Contains(path, ":"):
		return name.Repository{}, errors.New("is a reference with a tag; name the repository only")
	}
	repo, err := name.NewRepository(s)
	if err == nil {
		err = CheckPath(repo)
	}
	switch {
	case err != nil:
		return repo, err
	case !IsRuntimePath(repo.RepositoryStr()):
		return repo, errors.New("container runtimes cannot pull from this path; begin and end each part with a letter or digit")
	case repo.RegistryStr() == name.DefaultRegistry && host != "docker.io" && host != name.DefaultRegistry:
		return repo, fmt.Errorf("has no registry; write registry.example.com/%s", s)
	}
	return repo, nil
}

// checkScheme refuses a URL.
func checkScheme(s string) error {
	if scheme, _, ok := strings.Cut(s, "://"); ok {
		return fmt.Errorf("write it without %s://", scheme)
	}
	return nil
}
