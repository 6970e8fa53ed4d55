package imgpkg

import (
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// LocationsFile is the file of a locations image that holds the ImageLocations.
const LocationsFile = "image-locations.yml"

// DefaultTag is the tag that imgpkg gives every manifest of a destination, because
// registries delete untagged manifests.
func DefaultTag(d v1.Hash) string { return d.Algorithm + "-" + d.Hex + ".imgpkg" }

// maxTagPath is the number of characters of a repository's path in a tag. The whole tag has at most
// 128.
const maxTagPath = 49

// TagPath returns the prefix of a tag for a repository's path, as imgpkg makes it.
func TagPath(path string) string {
	clean := func(s string) string { return strings.TrimLeft(s, ".-") }
	path = clean(strings.ReplaceAll(path, "/", "-"))
	return clean(path[max(0, len(path)-maxTagPath):])
}

// LocationsTag is the tag of the locations image of the bundle d.
func LocationsTag(d v1.Hash) string { return d.Algorithm + "-" + d.Hex + ".image-locations.imgpkg" }

var madeTag = regexp.MustCompile(`^(?:|[A-Za-z0-9_][A-Za-z0-9._-]*-)sha256-([0-9a-f]{64})(\.image-locations)?\.imgpkg$`)

// ParseTag returns the digest of which imgpkg made a tag: that of the manifest that the tag protects
// or, if isLocations is true, of the bundle whose locations image has the tag.
func ParseTag(tag string) (d v1.Hash, isLocations, ok bool) {
	m := madeTag.FindStringSubmatch(tag)
	if m == nil {
		return v1.Hash{}, false, false
	}
	return v1.Hash{Algorithm: "sha256", Hex: m[1]}, m[2] != "", true
}
