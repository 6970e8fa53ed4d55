package rewrite

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/oci"
)

// Tags returns the tags that the roots get at the destination: the ones they were named by, or tag for the only
// root, when tag is not empty. It is an error when two roots want one tag, and when a tag could be
// taken for one that imgpkg gives by digest.
func Tags(roots []bundle.Root, tag string) (map[string]v1.Hash, error) {
	if tag != "" && len(roots) > 1 {
		return nil, fmt.Errorf("tag %q: there are %d roots, and a tag stands for one", tag, len(roots))
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
			return nil, fmt.Errorf("tag %q is no tag", t)
		}
		if strings.HasPrefix(t, "sha256-") {
			return nil, fmt.Errorf("tag %q: tags that begin with sha256- are given by digest", t)
		}
		if other, ok := tags[t]; ok && other != root.Digest {
			return nil, fmt.Errorf("tag %q: both %s and %s want it", t, other, root.Digest)
		}
		tags[t] = root.Digest
	}
	return tags, nil
}
