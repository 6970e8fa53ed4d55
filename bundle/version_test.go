package bundle_test

import (
	"cmp"
	"testing"

	"github.com/stretchr/testify/assert"

	"relocate/bundle"
)

// Each is less than all that follow.
func TestCompareVersions(t *testing.T) {
	t.Parallel()
	ordered := []string{
		"0.9.0",
		"1.0.0-0", "1.0.0-2", "1.0.0-11", "1.0.0--5", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
		"1.0.0", "1.0.0+ab", "1.0.0+vmware.1-tkg.2", "1.0.0+vmware.1-tkg.10", "1.0.0+vmware.2-tkg.1", "1.0.0+z",
		"1.0.1", "1.2.0", "1.9.0", "1.10.0-rc.1+build.9", "1.10.0", "2.0.0", "10.0.0", "99999999999999999999.0.0", "100000000000000000000.0.0",
	}
	for i, a := range ordered {
		for j, b := range ordered {
			assert.Equal(t, cmp.Compare(i, j), cmp.Compare(bundle.CompareVersions(a, b), 0), "%s and %s", a, b)
		}
	}
}
