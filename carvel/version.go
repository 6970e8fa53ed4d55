package carvel

import (
	"cmp"
	"strings"
)

// CompareVersions orders versions as kapp-controller does: by semver 2.0.0 §11, and, beyond it, by
// build metadata (1.0.0 < 1.0.0+ab < 1.0.0+z), identifier by identifier. Other text is compared in
// the same way.
func CompareVersions(a, b string) int {
	a, buildA, _ := strings.Cut(a, "+")
	b, buildB, _ := strings.Cut(b, "+")
	a, preA, isPreA := strings.Cut(a, "-")
	b, preB, isPreB := strings.Cut(b, "-")
	if c := compareIdentifiers(a, b); c != 0 {
		return c
	}
	if isPreA != isPreB { // a prerelease comes before its release
		if isPreA {
			return -1
		}
		return 1
	}
	return cmp.Or(compareIdentifiers(preA, preB), compareIdentifiers(buildA, buildB))
}

// compareIdentifiers compares dot-separated identifiers: numbers by value and before words.
func compareIdentifiers(a, b string) int {
	if a == b {
		return 0
	}
	if a == "" || b == "" {
		return len(a) - len(b)
	}
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		if c := compareIdentifier(as[i], bs[i]); c != 0 {
			return c
		}
	}
	return len(as) - len(bs)
}

func compareIdentifier(a, b string) int {
	isX, isY := isNumber(a), isNumber(b)
	switch {
	case isX && isY:
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(len(a)-len(b), strings.Compare(a, b))
	case isX:
		return -1
	case isY:
		return 1
	}
	return strings.Compare(a, b)
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
