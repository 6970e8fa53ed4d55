package carvel_test

import (
	"cmp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
)

// Each is less than all that follow.
func TestCompareVersions(t *testing.T) {
	t.Parallel()
	ordered := []string{
		"", "99999999999999999999.0.0", "a", "latest", // no versions
		"0.9.0",
		"1.0.0-0", "1.0.0-2", "1.0.0-11", "1.0.0--5", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
		"1.0.0", "1.0.0+ab", "1.0.0+vmware.1-tkg.2", "1.0.0+vmware.1-tkg.10", "1.0.0+vmware.2-tkg.1", "1.0.0+z",
		"1.0.1", "1.2.0", "1.9.0", "1.10.0-rc.1+build.9", "1.10.0", "2.0.0", "10.0.0", "18446744073709551615.0.0",
	}
	for i, a := range ordered {
		for j, b := range ordered {
			assert.Equal(t, cmp.Compare(i, j), cmp.Compare(carvel.CompareVersions(a, b), 0), "%s and %s", a, b)
		}
	}
}

// TestCompareLooseVersions: what kapp-controller would not serve has a place too.
func TestCompareLooseVersions(t *testing.T) {
	t.Parallel()
	for _, same := range [][2]string{{"v1.2.3", "1.2.3"}, {"1.2", "1.2.0"}, {"v1", "1.0.0"}, {"1.02.0", "1.2.0"}} {
		assert.Zero(t, carvel.CompareVersions(same[0], same[1]), "%v", same)
	}
	assert.Positive(t, carvel.CompareVersions("v1.10", "v1.9.1"))
}

// FuzzVersions: versions have an order, whatever they are.
func FuzzVersions(f *testing.F) {
	for _, s := range [][3]string{{"1.0.0", "1.0.0-a", "1.0.0+b"}, {"", "-", "+"}, {"1.0", "1.00", "1.a"}, {"1.0.0+1.2", "1.0.0+1", "1.0.0-1.2+3"}} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		sign := func(n int) int { return min(max(n, -1), 1) }
		require.Zero(t, carvel.CompareVersions(a, a))
		require.Equal(t, sign(carvel.CompareVersions(a, b)), -sign(carvel.CompareVersions(b, a)))
		if carvel.CompareVersions(a, b) <= 0 && carvel.CompareVersions(b, c) <= 0 {
			require.LessOrEqual(t, carvel.CompareVersions(a, c), 0, "%q ≤ %q ≤ %q", a, b, c)
		}
	})
}
