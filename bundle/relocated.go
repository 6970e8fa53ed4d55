package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/carvel"
	"relocate/internal/imgpkg"
	"relocate/oci"
)

// KeptTags returns the tags under which imgpkg keeps the manifest at a destination; a child of an index has none.
// repoBased means its --repo-based-tags: one for each repository that the references to it name, the path before
// the digest.
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
		if ref, err := name.ParseReference(s); err == nil { // it was parsed when it was read
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

// ReadLocations reads the locations image of the bundle d in repo.
//
// Errors: fs.ErrNotExist when there is none; fs.ErrPermission means none, too (docs/carvel.md, "Finding
// nested bundles").
// ErrMalformed when it is there and does not hold an ImageLocations.
func ReadLocations(ctx context.Context, src Source, repo name.Repository, d v1.Hash) (*carvel.ImageLocations, error) {
	ref := repo.Tag(imgpkg.LocationsTag(d))
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

// isAbsent reports whether err means that a place does not have, or does not show, what was asked
// for: another place may.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}

// Locations returns the ImageLocations of a bundle of g all of whose locked images are in the
// bundle's own repository.
func (g *Graph) Locations(n *Node) *carvel.ImageLocations {
	l := &carvel.ImageLocations{}
	for _, ref := range n.Locked {
		l.Images = append(l.Images, carvel.Location{Image: ref, IsBundle: g.Node(oci.HashOf(ref)).Kind == Bundle})
	}
	return l
}
