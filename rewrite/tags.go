package rewrite

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/oci"
)

// Tags returns the tags of the roots at the destination: those by which they were named, or tag, if
// it is not empty, for the only root. Two roots with the same tag are an error, and so is a tag
// that looks like those that imgpkg makes of digests.
func Tags(roots []bundle.Root, tag string) (map[string]v1.Hash, error) {
	if tag != "" && len(roots) > 1 {
		return nil, fmt.Errorf("tag %q: a tag names one root, not %d", tag, len(roots))
	}
	tags := map[string]v1.Hash{}
	for _, root := range roots {
		t := root.Tag()
		if tag != "" {
			t = tag
		}
		if t == "" {
			continue
		}
		if !oci.IsTag(t) {
			return nil, fmt.Errorf("tag %q is not valid", t)
		}
		if strings.HasPrefix(t, "sha256-") {
			return nil, fmt.Errorf("tag %q: tags that begin with sha256- are made of digests", t)
		}
		if other, ok := tags[t]; ok && other != root.Digest {
			return nil, fmt.Errorf("tag %q: both %s and %s would get it", t, other, root.Digest)
		}
		tags[t] = root.Digest
	}
	return tags, nil
}
