package main

import (
	"errors"

	"github.com/spf13/pflag"

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
