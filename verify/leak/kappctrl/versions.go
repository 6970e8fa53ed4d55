package kappctrl

import (
	"regexp"
	"strings"

	"relocate/carvel"
)

var (
	termForm   = regexp.MustCompile(`^([<>]=?|={0,2}|!=?)([0-9]+\.[0-9]+\.[0-9]+(?:[-+][0-9A-Za-z.+-]+)?)$`)
	spaceAfter = regexp.MustCompile(`([<>=!])\s+`)
)

// Meets reports whether kapp-controller accepts a version for a constraint, such as ">=1.0.0 <2.0.0
// || 3.0.0" (docs/carvel.md, "Versions"). Every version meets a constraint in another format.
func Meets(version, constraint string, prereleases bool) bool {
	oneOf := strings.Split(spaceAfter.ReplaceAllString(constraint, "$1"), "||")
	met, exact := false, ""
	for _, all := range oneOf {
		fits := true
		for _, term := range strings.Fields(all) {
			m := termForm.FindStringSubmatch(term)
			if m == nil {
				return true
			}
			fits = fits && fitsTerm(m[1], carvel.CompareVersions(version, m[2]))
			if len(oneOf) == 1 && strings.Trim(m[1], "=") == "" {
				exact = m[2]
			}
		}
		met = met || fits
	}
	release, _, _ := strings.Cut(version, "+")
	return met && (prereleases || version == exact || !strings.Contains(release, "-"))
}

// fitsTerm reports whether c, the result of a comparison, satisfies the operator.
func fitsTerm(operator string, c int) bool {
	switch operator {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	case "!", "!=":
		return c != 0
	}
	return c == 0
}
