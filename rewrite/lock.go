package rewrite

import (
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/bundle"
	"relocate/carvel"
)

// Lock returns the lock of what was relocated to repo, as imgpkg's --lock-output writes it. One
// bundle gets a BundleLock with tag, which may be empty. Otherwise it is an ImagesLock: that of
// listed, if it is not nil, with the new references, or one of the roots, sorted by reference.
func Lock(g *bundle.Graph, repo name.Repository, tag string, listed *carvel.ImagesLock) ([]byte, error) {
	if listed != nil {
		return listed.At(repo).Encode()
	}
	root := g.Roots[0]
	isBundle := slices.ContainsFunc(g.Nodes, func(n *bundle.Node) bool { return n.Descriptor.Digest == root.Digest && n.Kind == bundle.Bundle })
	if len(g.Roots) == 1 && isBundle {
		lock := carvel.BundleLock{Image: repo.Digest(root.Digest.String()), Tag: tag}
		return lock.Encode()
	}
	roots := slices.Clone(g.Roots)
	slices.SortFunc(roots, func(a, b bundle.Root) int { return strings.Compare(a.Reference.Name(), b.Reference.Name()) })
	lock := carvel.ImagesLock{}
	for _, root := range roots {
		lock.Images = append(lock.Images, carvel.LockEntry{Image: repo.Digest(root.Digest.String())})
	}
	return lock.Encode()
}
