package carvel

import (
	"strings"

	"github.com/k14s/semver/v4"
)

// CompareVersions orders versions as kapp-controller does: by semver 2.0.0 §11, and, beyond it, by
// build metadata (1.0.0 < 1.0.0+ab < 1.0.0+z). A leading v and missing numbers do not matter: v1.2
// is 1.2.0. Text that is no version comes before all versions, ordered as text.
func CompareVersions(a, b string) int {
	x, notX := semver.ParseTolerant(a)
	y, notY := semver.ParseTolerant(b)
	switch {
	case notX != nil && notY != nil:
		return strings.Compare(a, b)
	case notX != nil:
		return -1
	case notY != nil:
		return 1
	}
	return x.Compare(y)
}

// IsVersion reports whether s is a version for CompareVersions.
func IsVersion(s string) bool {
	_, err := semver.ParseTolerant(s)
	return err == nil
}
