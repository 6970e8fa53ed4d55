package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"relocate"
	"relocate/tarball"
)

// receiptFlags are the flags for the receipt that a command writes at its end.
type receiptFlags struct {
	key    keyFlags
	file   string
	noHost bool
}

func (f *receiptFlags) add(flags *pflag.FlagSet) {
	f.key.add(flags, "receipt-key", "append a receipt, signed with the private key in `FILE`, to the archive's NAME.receipts.jsonl")
	flags.StringVar(&f.file, "receipts", "", "append the receipt to `FILE` instead")
	flags.BoolVar(&f.noHost, "receipt-no-host", false, "name neither this machine nor the user in the receipt")
}

// checks are about the receipts of an archive, which has a seal or has not; "" is none.
func (f *receiptFlags) checks(archive string, format tarball.Format) []check {
	given := f.key.file != ""
	return []check{
		f.key.check(),
		{!given && (f.file != "" || f.noHost), "--receipts and --receipt-no-host need --receipt-key"},
		{given && archive == "", "--receipt-key needs an archive"},
		{given && format == tarball.Imgpkg, "--receipt-key with --tar-format imgpkg: that format has no seal to write a receipt of"},
		{given && f.file == "" && !liesInFolder(archive), "--receipt-key with " + archive + ": name the file for receipts with --receipts"},
	}
}

// liesInFolder reports whether files can lie beside an archive: it is no stream, no device and no URL.
func liesInFolder(archive string) bool {
	info, err := os.Stat(archive)
	return archive != stream && !isURL(archive) && (err != nil || info.Mode().IsRegular()) // it need not exist yet
}

// receipting writes the receipts of one command.
type receipting struct {
	*relocate.Receipts // nil: none
	archive            string
	show               *display
}

// open reads the key, and checks that a receipt can be appended.
func (f *receiptFlags) open(ctx context.Context, archive string, show *display) (*receipting, error) {
	r := &receipting{archive: archive, show: show}
	key, err := f.key.read(ctx)
	if key == nil || err != nil {
		return r, err
	}
	r.Receipts = &relocate.Receipts{Key: key, File: f.file, NoHost: f.noHost, Program: "relocate " + version}
	return r, r.Check(archive)
}

// write appends a receipt, if any. done says what is not undone when that fails.
func (r *receipting) write(done string, write func(*relocate.Receipts) error) error {
	if r.Receipts == nil {
		return nil
	}
	if err := write(r.Receipts); err != nil {
		return fmt.Errorf("%s, but without a receipt: %w", done, asUsage(err))
	}
	r.show.Note("appended a receipt to %s", r.Path(r.archive))
	return nil
}
