package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/internal/printer"
	"relocate/registry"
)

// target returns the repository of --repo, and the tag or digest behind it with its ":" or "@".
// Only a repository that is verified without an archive and without --root can have one.
func (f *verifyFlags) target(file string) (repo name.Repository, rest string, err error) {
	s, rest := splitReference(f.repo)
	if err := firstWrong(
		check{rest != "" && file != "", "--repo " + f.repo + ": the archive names the roots: give the repository without a tag or digest, and the tag of the import with --tag"},
		check{rest != "" && len(f.roots) > 0, "--repo " + f.repo + " and --root both name the root: give one of them"},
	); err != nil {
		return repo, "", err
	}
	repo, err = parseRepo("--repo", s)
	return repo, rest, err
}

// splitReference splits a reference into its repository and its tag or digest, which begins with
// ":" or "@".
func splitReference(s string) (repo, rest string) {
	path := strings.LastIndex(s, "/") + 1
	if i := strings.IndexAny(s[path:], ":@"); path > 0 && i >= 0 {
		return s[:path+i], s[path+i:]
	}
	return s, ""
}

// missingRootError is a root named on the command line that the registry does not have.
type missingRootError struct{ error }

// onlyTag returns the tag of the only root of a repository that has one.
func onlyTag(ctx context.Context, client *registry.Client, repo name.Repository) (string, error) {
	const most = 10 // tags in the message
	all, whole, err := client.Tags(ctx, repo, 100)
	if err != nil {
		return "", fmt.Errorf("list tags: %w", err)
	}
	var tags []string
	for _, tag := range all {
		if !strings.Contains(tag, "sha256-") { // of an image, a locations image or an attachment
			tags = append(tags, tag)
		}
	}
	switch {
	case len(tags) == 0:
		return "", missingRootError{fmt.Errorf("no tag of a root found; name the archive, or give the root's digest, as in --repo %s@sha256:…", repo)}
	case len(tags) > 1 || !whole:
		return "", usagef("name one of its tags, as in --repo %s:%s\n%s", repo, tags[0], printer.First(indented(tags), most, ""))
	}
	return tags[0], nil
}

// indented returns lines with two blanks before each.
func indented(lines []string) []string {
	var list []string
	for _, l := range lines {
		list = append(list, "  "+l)
	}
	return list
}
