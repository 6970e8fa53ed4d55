package main

import (
	"errors"

	"github.com/spf13/pflag"

	"relocate/tarball"
)

// tarFormat is a value of --tar-format.
type tarFormat struct{ tarball.Format }

func (f *tarFormat) add(flags *pflag.FlagSet) {
	flags.Var(f, "tar-format", "write the archive in `FORM`: relocate, or imgpkg, which imgpkg copy --tar imports")
}

// Set implements pflag.Value.
func (f *tarFormat) Set(s string) error {
	for _, form := range []tarball.Format{tarball.Relocate, tarball.Imgpkg} {
		if s == form.String() {
			f.Format = form
			return nil
		}
	}
	return errors.New("must be relocate or imgpkg")
}

// Type implements pflag.Value.
func (f *tarFormat) Type() string { return "FORM" }
