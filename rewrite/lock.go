package rewrite

import (
	"github.com/google/go-containerregistry/pkg/name"

	"relocate/bundle"
)

// Lock returns the text of the lock of what was relocated to repo: a BundleLock for one root, with
// the tag it has there, if any; an ImagesLock, in their order, for several.
func Lock(roots []bundle.Root, repo name.Repository, tag string) ([]byte, error) {
	if len(roots) == 1 {
		lock := bundle.BundleLock{Image: repo.Digest(roots[0].Digest.String()), Tag: tag}
		return lock.Encode()
	}
	var lock bundle.ImagesLock
	for _, root := range roots {
		lock.Images = append(lock.Images, bundle.LockEntry{Image: repo.Digest(root.Digest.String())})
	}
	return lock.Encode()
}
