package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/carvel"
	"relocate/internal/imgpkg"
	"relocate/oci"
)

// KeptTags returns the tags with which imgpkg protects the manifest from garbage collection at a
// destination. A child of an index has none. repoBased stands for imgpkg's --repo-based-tags: one tag
// for each repository in n.References, made of the repository's path and the digest.
func (n *Node) KeptTags(repoBased bool) []string {
	if n.IsChild {
		return nil
	}
	own := imgpkg.DefaultTag(n.Descriptor.Digest)
	if !repoBased {
		return []string{own}
	}
	paths := []string{n.From.RepositoryStr()}
	if len(n.References) > 0 {
		paths = nil
	}
	for _, s := range n.References {
		if ref, err := name.ParseReference(s); err == nil { // always: it was parsed before
			paths = append(paths, ref.Context().RepositoryStr())
		}
	}
	var tags []string
	for _, path := range paths {
		if tag := imgpkg.TagPath(path) + "-" + own; !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return tags
}

// ReadLocations reads the locations image of the bundle n in repo.
//
// Errors: fs.ErrNotExist or fs.ErrPermission when repo does not have one (docs/carvel.md, "Finding
// nested bundles"); oci.ErrMalformed when it does not hold an ImageLocations.
func (n *Node) ReadLocations(ctx context.Context, src Source, repo name.Repository) (*carvel.ImageLocations, error) {
	ref := repo.Tag(imgpkg.LocationsTag(n.Descriptor.Digest))
	desc, raw, err := src.Manifest(ctx, ref)
	if err != nil {
		return nil, err
	}
	m, err := oci.ParseManifest(desc, raw)
	if err != nil {
		return nil, fmt.Errorf("read locations image %s: %w", ref, err)
	}
	var l *carvel.ImageLocations
	isLocations := func(p string) bool { return path.Base(p) == imgpkg.LocationsFile }
	err = readBundleLayer(ctx, src, repo, m, isLocations, func(_ string, data []byte) (err error) {
		if l == nil { // the first one counts
			l, err = carvel.ParseImageLocations(data)
		}
		return err
	})
	if err == nil && l == nil {
		err = fmt.Errorf("%w: has no %s", oci.ErrMalformed, imgpkg.LocationsFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read locations image %s: %w", ref, err)
	}
	return l, nil
}

// isAbsent reports whether err means that a repository does not have a manifest or denies access to it.
// Another repository may have it.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}

// Locations returns the ImageLocations of the bundle n for a repository that has all images of its lock.
func (g *Graph) Locations(n *Node) *carvel.ImageLocations {
	l := &carvel.ImageLocations{}
	for _, ref := range n.Locked {
		l.Images = append(l.Images, carvel.Location{Image: ref, IsBundle: g.Node(oci.HashOf(ref)).Kind == Bundle})
	}
	return l
}
