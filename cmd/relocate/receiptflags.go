package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"relocate"
	"relocate/custody"
	"relocate/tarball"
)

// receiptFlags are the flags for the receipt that a command writes at its end.
type receiptFlags struct {
	key     keyFlags
	file    string
	noHost  bool
	urlFile string

	archives *archiveFlags // of the command, by which a server is reached
}

func (f *receiptFlags) add(flags *pflag.FlagSet) {
	f.key.add(flags, "receipt-key", "append a receipt, signed with the private key in `FILE`, to the archive's NAME.receipts.jsonl")
	flags.StringVar(&f.file, "receipts", "", "append the receipt to `FILE` instead; without --receipt-key it is not "+
		"signed")
	flags.StringVar(&f.urlFile, "receipts-url-file", "", "also upload all receipts to the URL in `FILE`, with PUT")
	flags.BoolVar(&f.noHost, "receipt-no-host", false, "name neither this machine nor the user in the receipt")
}

// given reports whether a receipt is to be written.
func (f *receiptFlags) given() bool { return f.key.file != "" || f.file != "" }

// checks are about the receipts of an archive, which has a seal or has not; "" is none.
func (f *receiptFlags) checks(archive string, format tarball.Format) []check {
	flag := "--receipt-key"
	if f.key.file == "" {
		flag = "--receipts"
	}
	return []check{
		f.key.check(),
		{!f.given() && f.noHost, "--receipt-no-host needs --receipt-key or --receipts"},
		{!f.given() && f.urlFile != "", "--receipts-url-file needs --receipt-key or --receipts"},
		{f.given() && archive == "", flag + " needs an archive"},
		{f.given() && format == tarball.Imgpkg, flag + " with --tar-format imgpkg: that format has no seal to write " +
			"a receipt of"},
		{isURL(f.file), "--receipts " + f.file + ": receipts are appended to a file"},
		{f.given() && f.file == "" && !liesInFolder(archive), "--receipt-key with " + archive + ": name the file for " +
			"receipts with --receipts"},
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
	upload             func(file string) error // nil: only appended to the file
}

// open reads the key, and checks that a receipt can be appended.
func (f *receiptFlags) open(ctx context.Context, archive string, show *display) (*receipting, error) {
	r := &receipting{archive: archive, show: show}
	key, err := f.key.read(ctx)
	if !f.given() || err != nil {
		return r, err
	}
	r.Receipts = &relocate.Receipts{Key: key, File: f.file, NoHost: f.noHost, Program: "relocate " + version}
	if f.urlFile != "" {
		r.upload = func(file string) error { return f.archives.upload(ctx, file, f.urlFile, custody.MaxReceipts) }
	}
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
	if r.upload == nil {
		return nil
	}
	if err := r.upload(r.Path(r.archive)); err != nil {
		return fmt.Errorf("%s, but its receipts were not uploaded: %w", done, err)
	}
	return nil
}
