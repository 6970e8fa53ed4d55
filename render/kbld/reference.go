package kbld

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The functions here read names as kbld v0.44 does, whose go-containerregistry is older than ours: one
// letter is no repository, "localhost/a" is one of Docker Hub, and digests are sha256.

const dockerHub = "index.docker.io"

// parseRepository returns a repository with its registry.
func parseRepository(name string) (string, error) {
	if name == "" {
		return "", errors.New("a repository name must be specified")
	}
	registry, path := "", name
	if first, rest, ok := strings.Cut(name, "/"); ok && strings.ContainsAny(first, ".:") {
		registry, path = first, rest
	}
	if err := checkElement("repository", path, repositoryChars, 2, 255); err != nil {
		return "", err
	}
	if u, err := url.Parse("//" + registry); err != nil || u.Host != registry {
		return "", fmt.Errorf("registries must be valid RFC 3986 URI authorities: %s", registry)
	}
	if registry == "" || registry == "docker.io" {
		registry = dockerHub
	}
	if registry == dockerHub && !strings.Contains(path, "/") {
		path = "library/" + path
	}
	return registry + "/" + path, nil
}

// parseTag returns the repository of a name that may have a tag.
func parseTag(name string) (string, error) {
	base := name
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.Contains(name[i:], "/") {
		base = name[:i]
		if tag := name[i+1:]; tag != "" {
			if err := checkElement("tag", tag, tagChars, 1, 128); err != nil {
				return "", err
			}
		}
	}
	return parseRepository(base)
}

// parseDigest returns a name with a digest in full, without its tag.
func parseDigest(name string) (string, error) {
	base, digest, ok := strings.Cut(name, "@")
	if !ok || strings.Contains(digest, "@") {
		return "", fmt.Errorf("a digest must contain exactly one '@' separator (e.g. registry/repository@digest) saw: %s", name)
	}
	hex, ok := strings.CutPrefix(digest, "sha256:")
	switch {
	case !ok:
		return "", fmt.Errorf("unsupported digest algorithm: %s", digest)
	case len(hex) != 64:
		return "", errors.New("invalid checksum digest length")
	case !hexForm.MatchString(hex):
		return "", errors.New("invalid checksum digest format")
	}
	repo, err := parseTag(base)
	if err != nil {
		repo, err = parseRepository(base)
	}
	return repo + "@" + digest, err
}

const (
	repositoryChars = "abcdefghijklmnopqrstuvwxyz0123456789_-./"
	tagChars        = "abcdefghijklmnopqrstuvwxyz0123456789_-.ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

var hexForm = regexp.MustCompile(`\A[a-f0-9]+\z`)

func checkElement(what, element, chars string, least, most int) error {
	if n := utf8.RuneCountInString(element); n < least || n > most {
		return fmt.Errorf("%s must be between %d and %d characters in length: %s", what, least, most, element)
	}
	if strings.Trim(element, chars) != "" {
		return fmt.Errorf("%s can only contain the characters `%s`: %s", what, chars, element)
	}
	return nil
}
