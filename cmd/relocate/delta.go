package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"relocate/bundle"
	"relocate/inventory"
	"relocate/report"
	"relocate/tarball"
)

// deltaFlags are the flags that say what the destination of an archive has.
type deltaFlags struct{ have, bases []string }

func (f *deltaFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.have, "have", nil, "leave out of the archive the layers that the inventory `FILE` lists (repeatable; see relocate inventory)")
	flags.StringArrayVar(&f.bases, "base", nil, "leave out of the archive the layers that the archive `FILE` has or assumes (repeatable)")
}

// checks are about an archive of a format.
func (f *deltaFlags) checks(form tarFormat) []check {
	return []check{{len(f.have)+len(f.bases) > 0 && form.Format == tarball.Imgpkg,
		"--have and --base cannot be used with --tar-format imgpkg: imgpkg needs all layers"}}
}

// read reads what the flags name.
func (f *deltaFlags) read(ctx context.Context, archives *archiveFlags) (list []bundle.Base, err error) {
	for _, path := range f.bases {
		a, err := archives.open(ctx, path)
		if err != nil {
			return nil, baseError(path, err, "name an inventory with --have")
		}
		base, err := a.Base()
		_ = a.Close() // it was read only
		if err != nil {
			return nil, fmt.Errorf("--base %w", err)
		}
		list = append(list, base)
	}
	for _, path := range f.have {
		base, err := listed(path)
		if err != nil {
			return nil, fmt.Errorf("--have: %w", err)
		}
		list = append(list, base)
	}
	return list, nil
}

// inventoryError is an inventory in place of an archive.
type inventoryError struct {
	error
	hint string
}

func (e inventoryError) Unwrap() error { return e.error }

// baseError returns the error of an archive of --base that cannot be opened. hint is what to do if it is an
// inventory.
func baseError(path string, err error, hint string) error {
	err = fmt.Errorf("--base: %w", err)
	if _, no := listed(path); no == nil {
		return inventoryError{err, hint}
	}
	return err
}

// listed reads the inventory in a file.
func listed(path string) (base bundle.Base, err error) {
	f, err := os.Open(path)
	if err != nil {
		return base, err
	}
	defer func() { _ = f.Close() }() // it was read only
	i, err := inventory.Read(f)
	if err != nil {
		return base, fmt.Errorf("%s %w", path, err)
	}
	return i.Base(), nil
}

// openAll opens the archives that --base names for another command. The caller closes them.
func (f *archiveFlags) openAll(
	ctx context.Context, paths []string,
) (list []*tarball.Archive, closeAll func(), err error) {
	closeAll = func() {
		for _, a := range list {
			_ = a.Close() // they were read only
		}
	}
	for _, path := range paths {
		a, err := f.open(ctx, path)
		if err != nil {
			closeAll()
			return nil, nil, baseError(path, err, "an inventory has no layers; name the archives that were imported")
		}
		list = append(list, a)
	}
	return list, closeAll, nil
}

// summarizeBases says what an archive assumes.
func summarizeBases(w io.Writer, bases []report.Base) {
	for _, b := range bases {
		fmt.Fprintf(w, "assumes: %s\n", b)
	}
}
