package main

import (
	"slices"
	"strings"
)

// check is a rule about a command line: when it is true, message says what is wrong.
type check struct {
	when    bool
	message string
}

// firstWrong returns the message of the first check that is true as a usage error; nil when none
// is.
func firstWrong(checks ...check) error {
	for _, c := range checks {
		if c.when {
			return usagef("%s", c.message)
		}
	}
	return nil
}

// together is the check that two flags are given together, or neither of them.
func together(a string, hasA bool, b string, hasB bool) check {
	return check{hasA != hasB, a + " and " + b + " must be given together"}
}

// exclusive is the check that at most one of two flags is given.
func exclusive(a string, hasA bool, b string, hasB bool) check {
	return check{hasA && hasB, a + " and " + b + " cannot be used together"}
}

// oneOf is the check of a flag that takes some values only.
func oneOf(flag, value string, allowed ...string) check {
	last := len(allowed) - 1
	return check{!slices.Contains(allowed, value),
		flag + " " + value + ": must be " + strings.Join(allowed[:last], ", ") + " or " + allowed[last]}
}

// given is a flag, and whether the command line has it.
type given struct {
	flag  string
	given bool
}

// onlyWith are the checks of flags that mean nothing unless another is given.
func onlyWith(other string, hasOther bool, flags ...given) []check {
	var checks []check
	for _, f := range flags {
		checks = append(checks, check{f.given && !hasOther, f.flag + " needs " + other})
	}
	return checks
}
