package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/custody"
	"relocate/internal/httpfile"
	"relocate/internal/inputfile"
	"relocate/report"
	"relocate/tarball"
)

// archiveVariable names the archive where the command line names none: a URL may have a secret, which the list
// of processes would show.
const archiveVariable = "RELOCATE_FROM_TAR"

// archivesTitle is the heading of archiveFlags in the help.
const archivesTitle = "Archives over HTTPS"

// archiveFlags open archives, and what is about them: files and URLs. A URL may have a signature or a login
// in it. So each is put aside when the command line is read, and everything else sees the name in its place:
// the URL without them.
type archiveFlags struct {
	urlFile       string
	headerFile    string
	redirectHosts []string

	flags    *pflag.FlagSet // of the command
	archive  string         // the name of what --from-tar-url-file or the environment names
	urls     map[string]location
	home     string                    // the host of the first URL
	opened   map[string]*httpfile.File // by name: the last one
	password *passwordInput
	opening  *sync.Mutex // held while volumes are opened
}

// location is where a URL is.
type location struct {
	url  string
	file string // that it was read from; empty: the command line
}

// urlFlags are the flags whose values may be URLs.
var urlFlags = []string{"from-tar", "base", "drop", "signature", "seal", "volumes", "receipts"}

// addTo gives a command the flags. lacks says of its arguments whether they lack an archive, for which
// archiveVariable then stands; nil where a command has no archive of its own. It is called when the command has all
// its other flags.
func (f *archiveFlags) addTo(cmd *cobra.Command, lacks func(args []string) bool) {
	group(cmd, archivesTitle, func(flags *pflag.FlagSet) {
		if lacks != nil {
			flags.StringVar(&f.urlFile, "from-tar-url-file", "", "read the archive from the URL in `FILE`; when the "+
				"server refuses it, FILE is read again (default: $"+archiveVariable+")")
		}
		flags.StringVar(&f.headerFile, "from-tar-header-file", "", "send the headers in `FILE` to the archive's "+
			"server, one NAME: VALUE on each line")
		if cmd.Flags().Lookup("redirect-host") == nil {
			flags.StringSliceVar(&f.redirectHosts, "redirect-host", nil, "follow redirects to `HOST` (repeatable)")
		}
	})
	if cmd.Flags().Lookup("src-registry-username") == nil {
		addSide(cmd, sourceSide)
	}
	f.flags, f.password, f.opening = cmd.Flags(), &passwordInput{from: cmd.InOrStdin}, new(sync.Mutex)
	check, next := cmd.Args, cmd.RunE
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		args, err := f.take(cmd.Context(), args, lacks)
		if err != nil {
			return err
		}
		err = check(cmd, args)
		if err != nil && f.urlFile != "" {
			err = usagef("%w; one archive is that of --from-tar-url-file", err)
		}
		return err
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		args, err := f.take(cmd.Context(), args, lacks)
		if err != nil {
			return err
		}
		return next(cmd, args)
	}
}

// take puts the URLs of the command line aside, and returns its arguments with names in their places.
func (f *archiveFlags) take(ctx context.Context, args []string, lacks func([]string) bool) (_ []string, err error) {
	if args, err = f.takeArchive(ctx, args, lacks); err != nil {
		return nil, err
	}
	for i, arg := range args {
		if args[i], err = f.name(arg, ""); err != nil {
			return nil, err
		}
	}
	for _, name := range urlFlags {
		if flag := f.flags.Lookup(name); flag != nil {
			if err := f.takeFlag(flag.Value); err != nil {
				return nil, fmt.Errorf("--%s %w", name, err)
			}
		}
	}
	return args, f.checkUsed()
}

// takeFlag puts URLs in a flag's value aside.
func (f *archiveFlags) takeFlag(value pflag.Value) (err error) {
	list, isList := value.(pflag.SliceValue)
	if !isList {
		name, err := f.name(value.String(), "")
		if err != nil || name == value.String() {
			return err
		}
		return value.Set(name)
	}
	names := list.GetSlice()
	for i, s := range names {
		if names[i], err = f.name(s, ""); err != nil {
			return err
		}
	}
	return list.Replace(names)
}

// takeArchive returns arguments with the archive that --from-tar-url-file names, or archiveVariable where they
// lack one.
func (f *archiveFlags) takeArchive(ctx context.Context, args []string, lacks func([]string) bool) (_ []string, err error) {
	args = slices.Clone(args)
	flag := f.flags.Lookup("from-tar")
	if f.archive == "" && f.urlFile != "" {
		f.archive, err = f.takeURL(ctx)
	} else if text := os.Getenv(archiveVariable); f.archive == "" && text != "" && (lacks != nil && lacks(args)) {
		f.archive, err = f.name(text, "")
	}
	switch {
	case err != nil || f.archive == "":
		return args, err
	case flag == nil:
		return append([]string{f.archive}, args...), nil
	case flag.Changed && flag.Value.String() != f.archive:
		return nil, usagef("--from-tar and --from-tar-url-file cannot be used together")
	}
	return args, f.flags.Set("from-tar", f.archive)
}

// readURL returns the text of a file with a URL, without the white space around it.
func readURL(ctx context.Context, file string) (string, error) {
	raw, err := inputfile.Read(ctx, file, httpfile.MaxURL+1)
	if err == nil && len(raw) > httpfile.MaxURL {
		err = usagef("%s: it has more than %d bytes: a URL is shorter", file, httpfile.MaxURL)
	}
	return strings.TrimSpace(string(raw)), err
}

// takeURL puts the URL in the file of --from-tar-url-file aside.
func (f *archiveFlags) takeURL(ctx context.Context) (string, error) {
	text, err := readURL(ctx, f.urlFile)
	if err != nil {
		return "", fmt.Errorf("--from-tar-url-file: %w", err)
	}
	if !isURL(text) {
		return "", usagef("--from-tar-url-file %s: it must have a URL that begins with https://", f.urlFile)
	}
	name, err := f.name(text, f.urlFile)
	if err != nil {
		return "", fmt.Errorf("--from-tar-url-file %s: %w", f.urlFile, err)
	}
	return name, nil
}

// isURL reports whether a word is a URL of HTTP, or the name of one.
func isURL(word string) bool {
	scheme, _, ok := strings.Cut(word, "://")
	return ok && (strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "http"))
}

// name puts a URL aside and returns its name; any other word is its own. file is the one that it was read
// from, if any.
func (f *archiveFlags) name(word, file string) (string, error) {
	if _, known := f.urls[word]; known || !isURL(word) {
		return word, nil
	}
	name := withoutSecrets(word)
	if name == "" {
		return "", usagef("a URL is not valid; it must be https://HOST/PATH")
	}
	if f.urls == nil {
		f.urls, f.home = map[string]location{}, hostOf(word)
	}
	for f.urls[name].url != "" && f.urls[name].url != word { // another version of one object
		name += "#"
	}
	f.urls[name] = location{word, file}
	return name, nil
}

// withoutSecrets returns a URL without its query, its fragment and its login; empty if it is not valid.
func withoutSecrets(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	return httpfile.Redacted(u)
}

// withoutQueries removes from a text the queries of URLs on the command line: they may be signatures.
func withoutQueries(args []string, text string) string {
	for _, arg := range args {
		if _, query, ok := strings.Cut(arg, "?"); ok && query != "" && strings.Contains(arg, "://") {
			text = strings.ReplaceAll(text, "?"+query, "?…")
		}
	}
	return text
}

// checkUsed rejects flags about servers where no URL is given.
func (f *archiveFlags) checkUsed() error {
	if len(f.urls) > 0 {
		return nil
	}
	hasSides := f.flags.Lookup("dst-registry-username") != nil // checkSides is for these
	var errs []error
	f.flags.Visit(func(flag *pflag.Flag) {
		isOurs := flag.Annotations[groupKey] != nil && flag.Annotations[groupKey][0] == archivesTitle
		if isOurs || !hasSides && strings.HasPrefix(flag.Name, sourceSide+"-") {
			errs = append(errs, usagef("--%s: no archive is named by a URL", flag.Name))
		}
	})
	return errors.Join(errs...)
}

// isURL reports whether an archive is named by a URL.
func (f *archiveFlags) isURL(name string) bool { return f.urls[name].url != "" }

// open opens an archive: a file, volumes in folders, or what a URL names. The caller closes it.
//
// Errors: those of tarball.Open, httpfile.Open and tarball.OpenRanged.
func (f *archiveFlags) open(ctx context.Context, name string, folders ...string) (*tarball.Archive, error) {
	if err := f.checkVolumes(name, folders); err != nil {
		return nil, err
	}
	switch {
	case !f.isURL(name):
		a, err := tarball.Open(name, folders...)
		return a, withPermission(err)
	case len(folders) > 0:
		return f.openVolumes(ctx, name, folders)
	}
	file, err := f.openURL(ctx, name)
	if isRegistry(fs.ErrNotExist)(err) {
		a, err := f.openVolumes(ctx, name, nil)
		if none := isRegistry(fs.ErrNotExist)(err) || errors.Is(err, fs.ErrNotExist); !none {
			return a, err
		}
	}
	if err != nil {
		return nil, err
	}
	return f.openWhole(ctx, name, file)
}

// checkVolumes rejects volumes at URLs of an archive in a folder, and the other way round.
func (f *archiveFlags) checkVolumes(name string, folders []string) error {
	is := f.isURL(name)
	has := func(url bool) bool {
		return slices.ContainsFunc(folders, func(folder string) bool { return f.isURL(folder) == url })
	}
	return firstWrong(
		check{!is && has(true), "--volumes: volumes at URLs need an archive that is named by a URL"},
		check{is && has(false), "--volumes: the volumes of an archive at a URL are at URLs, too"},
	)
}

// signed says who must have signed an archive; nil: nobody. The signature may be a URL.
func (f *archiveFlags) signed(ctx context.Context, trust *trustFlags) (*relocate.Signed, error) {
	signed, err := trust.signed(ctx)
	if signed != nil && len(f.urls) > 0 {
		signed.Read = func(name string) ([]byte, error) { return f.read(ctx, name, custody.MaxFile) }
	}
	return signed, err
}

// seal returns the seal of --seal: a digest, or what the file of a seal has, which may be at a URL. It is the zero
// value without one.
func (f *archiveFlags) seal(ctx context.Context, value string) (seal v1.Hash, err error) {
	if value == "" {
		return seal, nil
	}
	if seal, err = v1.NewHash(value); err == nil {
		return seal, nil
	}
	raw, err := f.read(ctx, value, custody.MaxFile)
	switch {
	case !f.isURL(value) && errors.Is(err, fs.ErrNotExist):
		return seal, usagef("--seal %s: not a digest (sha256:…), nor a file of a seal, or its URL", value)
	case err != nil:
		return seal, fmt.Errorf("--seal: %w", err)
	}
	if seal, err = custody.ParseSeal(raw); err != nil {
		return seal, usagef("--seal %s %w", value, err)
	}
	return seal, nil
}

// unreadableError says that an archive is not for this user to read.
type unreadableError struct{ error }

func (e unreadableError) Unwrap() error { return e.error }

// withPermission tells the error of an archive that cannot be read from those of other files.
func withPermission(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return unreadableError{err}
	}
	return err
}

// openSigned is open for an archive whose signature is checked before, where the flags require one.
func (f *archiveFlags) openSigned(
	ctx context.Context, trust *trustFlags, name string, folders ...string,
) (*tarball.Archive, *report.Signature, error) {
	signed, err := f.signed(ctx, trust)
	if err != nil {
		return nil, nil, err
	}
	if err := f.checkVolumes(name, folders); err != nil {
		return nil, nil, err
	}
	if !f.isURL(name) {
		a, signature, err := signed.Open(name, folders...)
		return a, signature, withPermission(err)
	}
	if signed != nil && signed.File == "" && strings.Contains(f.urls[name].url, "?") {
		return nil, nil, usagef("--trust needs --signature: the URL of %s has a query, "+
			"so it does not say where its signature is", name)
	}
	return signed.OpenWith(name, func() (*tarball.Archive, error) { return f.open(ctx, name, folders...) })
}
