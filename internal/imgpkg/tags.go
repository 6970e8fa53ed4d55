package imgpkg

import (
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// LocationsFile is the file of a locations image that holds the ImageLocations.
const LocationsFile = "image-locations.yml"

// DefaultTag is the tag under which imgpkg keeps every manifest of a destination: registries
// collect what has none.
func DefaultTag(d v1.Hash) string { return d.Algorithm + "-" + d.Hex + ".imgpkg" }

// maxTagPath is how much of a repository's path imgpkg keeps in a tag: with the rest it makes 128 characters.
const maxTagPath = 49

// TagPath makes the beginning of a tag of a repository's path, as imgpkg does.
func TagPath(path string) string {
	clean := func(s string) string { return strings.TrimLeft(s, ".-") }
	path = clean(strings.ReplaceAll(path, "/", "-"))
	return clean(path[max(0, len(path)-maxTagPath):])
}

// LocationsTag is the tag of the locations image of the bundle d.
func LocationsTag(d v1.Hash) string { return d.Algorithm + "-" + d.Hex + ".image-locations.imgpkg" }
