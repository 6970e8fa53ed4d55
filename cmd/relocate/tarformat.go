package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"relocate/bundle"
	"relocate/tarball"
)

// tarFormat is a value of --tar-format.
type tarFormat struct{ tarball.Format }

func (f *tarFormat) add(flags *pflag.FlagSet) {
	flags.Var(f, "tar-format", "write the archive in `FORMAT`: relocate, or imgpkg, which imgpkg copy --tar imports")
}

// Set implements pflag.Value.
func (f *tarFormat) Set(s string) error {
	for _, format := range []tarball.Format{"", tarball.Imgpkg} {
		if s == format.String() {
			f.Format = format
			return nil
		}
	}
	return errors.New("must be relocate or imgpkg")
}

// Type implements pflag.Value.
func (f *tarFormat) Type() string { return "FORMAT" }

// provedOf says what it means that an archive was found right, and what it does not mean.
func provedOf(a *tarball.Archive, plan *bundle.Plan) (proved, not []string) {
	if a.Format() != tarball.Imgpkg || plan == nil {
		return []string{"every byte is accounted for, every blob hashed", "the roots need all of it and nothing else"}, nil
	}
	proved = []string{"every manifest, config and layer was hashed, and what the roots need is present"}
	not = []string{"references, tags and the headers of members: imgpkg's form has no seal"}
	if others, layers := a.Surplus(plan); others+layers > 0 {
		not = append(not, fmt.Sprintf("what was passed over: %s without a use, %s of another kind", count(layers, "layer"), count(others, "member")))
	}
	return proved, not
}
