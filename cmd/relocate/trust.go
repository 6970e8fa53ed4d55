package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/pflag"

	"relocate"
	"relocate/custody"
	"relocate/internal/inputfile"
	"relocate/report"
)

// trustVariable names files of --trust, as PATH names folders, for commands without the flag.
const trustVariable = "RELOCATE_TRUST"

// trustFlags are the flags for who must have signed an archive.
type trustFlags struct {
	files     []string
	signature string
}

func (f *trustFlags) add(flags *pflag.FlagSet) {
	f.addTrust(flags)
	flags.StringVar(&f.signature, "signature", "", "read the archive's signature from `FILE`, or from a URL (default: "+
		"NAME.seal.sigstore.json or NAME.seal.sig beside it)")
}

func (f *trustFlags) addTrust(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.files, "trust", nil, "require a signature by a key in `FILE`: a public key (PEM), or allowed signers of OpenSSH (repeatable; default: $"+trustVariable+")")
}

// checks are about these flags and the archives that are read; "" is none.
func (f *trustFlags) checks(archives ...string) []check {
	files := f.paths()
	none := len(archives) == 1 && archives[0] == ""
	once := slices.ContainsFunc(archives, isOnce) && f.signature == "" && len(files) > 0
	return []check{
		{none && (len(f.files) > 0 || f.signature != ""), "--trust and --signature need an archive"},
		{!none && f.signature != "" && len(files) == 0, "--signature needs --trust, which says whose signature is accepted"},
		{len(archives) > 1 && f.signature != "", "--signature is of one archive; those of several lie beside them"},
		{once, "--trust needs --signature FILE where the archive can be read only once"},
	}
}

// paths are the files that the flag or the environment names.
func (f *trustFlags) paths() []string {
	if len(f.files) > 0 {
		return f.files
	}
	return slices.DeleteFunc(filepath.SplitList(os.Getenv(trustVariable)), func(s string) bool { return s == "" })
}

// maxTrust is how much of a file of --trust is read, in bytes; package custody refuses that much.
const maxTrust = 2 << 20

// signed says who must have signed an archive; nil: nobody.
func (f *trustFlags) signed(ctx context.Context) (*relocate.Signed, error) {
	trust, err := f.keys(ctx)
	if trust == nil {
		return nil, err
	}
	return &relocate.Signed{Trust: trust, File: f.signature}, nil
}

// keys are those that are trusted; nil: no signature is required.
func (f *trustFlags) keys(ctx context.Context) (*custody.Trust, error) {
	files := f.paths()
	if len(files) == 0 {
		return nil, nil
	}
	trust := &custody.Trust{}
	for _, path := range files {
		raw, err := inputfile.Read(ctx, path, maxTrust)
		if err != nil {
			return nil, fmt.Errorf("--trust: %w", err)
		}
		if err := trust.Add(path, raw); err != nil {
			return nil, usagef("--trust %w", err)
		}
	}
	return trust, nil
}

// signerLine says who signed an archive.
func signerLine(s *report.Signature) string { return "signed by " + custody.Signer(*s).String() }
