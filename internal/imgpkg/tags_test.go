package imgpkg_test

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"

	"relocate/internal/imgpkg"
)

// TestParseTag: the tags that imgpkg makes are found again, and no others.
func TestParseTag(t *testing.T) {
	t.Parallel()
	d := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0a", 32)}
	for tag, isLocations := range map[string]bool{
		imgpkg.DefaultTag(d):   false,
		imgpkg.LocationsTag(d): true,
		imgpkg.TagPath("corp/some/_packages.v1") + "-" + imgpkg.DefaultTag(d): false,
	} {
		got, locations, ok := imgpkg.ParseTag(tag)
		assert.True(t, ok, tag)
		assert.Equal(t, d, got, tag)
		assert.Equal(t, isLocations, locations, tag)
	}
	for _, tag := range []string{
		"", "1.0.0", "sha256-" + d.Hex, "sha256-" + d.Hex + ".sig", "sha256-" + d.Hex[1:] + ".imgpkg", "sha256-" + strings.ToUpper(d.Hex) + ".imgpkg",
		"x" + imgpkg.DefaultTag(d), "-" + imgpkg.DefaultTag(d), imgpkg.DefaultTag(d) + ".imgpkg", imgpkg.DefaultTag(d) + "\n", "sha512-" + d.Hex + ".imgpkg",
	} {
		_, _, ok := imgpkg.ParseTag(tag)
		assert.False(t, ok, "%q", tag)
	}
}
