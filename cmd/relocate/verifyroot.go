package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/bundle"
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

// rootIn returns the name of the root in a repository, with ":" or "@": the first of those that it may
// have by the file of --config, or else the only tag.
func (f *verifyFlags) rootIn(ctx context.Context, client *registry.Client, repo name.Repository, show *display) (string, error) {
	names, chooses, err := f.config.rootNames(ctx)
	switch {
	case err != nil:
		return "", err
	case len(names) == 0:
		tag, err := onlyTag(ctx, client, repo)
		return ":" + tag, err
	case len(names) == 1:
		return names[0], nil
	}
	at := client.Reader(repo)
	for i, rest := range names {
		d, err := at.Resolve(ctx, rest[1:])
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if i == len(names)-1 && chooses { // what is no package repository keeps its name, whatever is chosen
			g, err := bundle.ReadBundle(ctx, at, repo.Digest(d.String()), nil)
			if err == nil && len(g.Packages) > 0 {
				continue
			}
		}
		if i > 0 {
			show.Note("%s has no %s, as %s names its root where something is left out of it; %s is verified", repo, strings.Join(names[:i], " and no "), f.config.path, rest)
		}
		return rest, nil
	}
	return "", missingRootError{fmt.Errorf("it has none of the names that %s gives its root: %s", f.config.path, strings.Join(names, ", "))}
}

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
