package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"strings"

	"github.com/spf13/pflag"

	"relocate/internal/httpfile"
	"relocate/internal/inputfile"
	"relocate/registry"
	"relocate/volume"
)

// openURL opens the file that a URL names. The caller closes it.
//
// Errors: those of httpfile.Open.
func (f *archiveFlags) openURL(ctx context.Context, name string) (*httpfile.File, error) {
	at := f.urls[name]
	opt, err := f.options(ctx, at.url)
	if err != nil {
		return nil, err
	}
	file, err := httpfile.Open(ctx, httpfile.Source{URL: at.url, File: at.file}, opt)
	if err != nil {
		return nil, serverError{err}
	}
	if f.opened == nil {
		f.opened = map[string]*httpfile.File{}
	}
	f.opened[name] = file
	return file, nil
}

// upload uploads a file to the URL in another file.
func (f *archiveFlags) upload(ctx context.Context, file, urlFile string, limit int64) error {
	content, err := inputfile.Read(ctx, file, limit)
	if err != nil {
		return err
	}
	to, err := readURL(ctx, urlFile)
	if err != nil {
		return err
	}
	opt, err := f.options(ctx, to)
	if err != nil {
		return err
	}
	if err := httpfile.Put(ctx, httpfile.Source{URL: to}, opt, content); err != nil {
		return serverError{err}
	}
	return nil
}

// serverError says that what a URL names cannot be opened.
type serverError struct{ error }

func (e serverError) Unwrap() error { return e.error }

// serverJudgements are about servers of archives, for which judgements would speak of registries.
var serverJudgements = []judgement{
	{is(httpfile.ErrExpired), statusPermission, "make a new link; with --from-tar-url-file FILE, you can give one " +
		"while a command runs"},
	{isA[*volume.MissingError], statusMissing, "upload it beside the archive, or name the URL where it is with " +
		"--volumes URL"},
	{isRegistry(fs.ErrNotExist), statusMissing, "check the URL: the server has no such file"},
	{isRegistry(fs.ErrPermission), statusPermission, "give a login with --src-registry-username and " +
		"--src-registry-password-stdin, or the headers that the server wants with --from-tar-header-file; a signed link " +
		"may have expired"},
	{is(registry.ErrRedirected), statusUsage, "if the server keeps its files at that host, allow it with " +
		"--redirect-host HOST"},
	{is(registry.ErrPlainHTTP), statusUsage, "use https://, or --src-registry-insecure if the server has no TLS"},
	{is(registry.ErrTLSRefused), statusPermission, "if the server requires a client certificate, give " +
		"--src-registry-client-cert FILE and --src-registry-client-key FILE"},
	{is(registry.ErrProxy), statusFailed, "check HTTPS_PROXY, with user and password if the proxy needs a login, or " +
		"add the server to NO_PROXY"},
	{isUnknownHost, statusFailed, "check the URL, and HTTPS_PROXY if you need a proxy"},
	{isA[x509.HostnameError], statusUsage, "use one of the host names in the server's certificate"},
	{isOutOfDate, statusUsage, "renew the server's certificate, or correct the clock of this machine"},
	{isA[*tls.CertificateVerificationError], statusUsage, "give the server's CA with --src-registry-ca-cert-path FILE"},
	{isA[*net.OpError], statusFailed, "check that the server is running and that this machine can reach it"},
	{isServerError, statusFailed, "check the server's log, then run again"},
}

// options says how the server of a URL is reached. The login and the headers are for the host of the first
// one.
func (f *archiveFlags) options(ctx context.Context, at string) (opt httpfile.Options, err error) {
	flags, err := f.registryFlags()
	if err != nil {
		return opt, usageError{err}
	}
	if flags.passwordStdin {
		if flags.options.Password, err = f.password.read(); err != nil {
			return opt, err
		}
	}
	if opt.Options, err = flags.checked(automatic); err != nil {
		return opt, err
	}
	opt.RedirectHosts = append(opt.RedirectHosts, f.redirectHosts...)
	if hostOf(at) != f.home {
		opt.Username, opt.Password, opt.Token, opt.ClientCert, opt.ClientKey = "", "", "", "", ""
		return opt, nil
	}
	return opt, f.setHeaders(ctx, &opt)
}

// hostOf returns the host of a URL, with its port.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

// registryFlags returns what the flags for the source say. Those for all registries count, too, if the command
// has them, apart from logins and client certificates, which are for registries.
func (f *archiveFlags) registryFlags() (flags *registryFlags, err error) {
	flags = &registryFlags{}
	set := pflag.NewFlagSet(sourceSide, pflag.ContinueOnError)
	flags.add(set)
	set.VisitAll(func(to *pflag.Flag) {
		from := f.flags.Lookup(sourceSide + "-" + to.Name)
		both := f.flags.Lookup(to.Name)
		ofAll := both != nil && both.Annotations[groupKey][0] == registriesTitle
		if ofAll && !from.Changed && !isLogin(to.Name) {
			from = both
		}
		if from.Changed {
			err = errors.Join(err, copyValue(to.Value, from.Value))
		}
	})
	return flags, err
}

// maxHeaders is how much of a file with headers is read, in bytes.
const maxHeaders = 64 << 10

// setHeaders reads the headers of --from-tar-header-file.
func (f *archiveFlags) setHeaders(ctx context.Context, opt *httpfile.Options) error {
	if f.headerFile == "" {
		return nil
	}
	raw, err := inputfile.Read(ctx, f.headerFile, maxHeaders)
	if err != nil {
		return fmt.Errorf("--from-tar-header-file: %w", err)
	}
	if opt.Header, err = httpfile.ParseHeaders(raw); err != nil {
		return usagef("--from-tar-header-file %s %w", f.headerFile, err)
	}
	return nil
}

// sourceReport says what reading an archive from a server has cost.
type sourceReport struct {
	URL string `json:"url"` // without query and login
	httpfile.Counts
}

// source reports on what was read of an archive so far; nil where it is no URL.
func (f *archiveFlags) source(name string) *sourceReport {
	if !f.isURL(name) {
		return nil
	}
	s := &sourceReport{URL: name}
	for _, file := range f.opened { // volumes, and what lies beside it, too
		s.Counts = s.Plus(file.Counts())
	}
	return s
}

// summarize says what was read.
func (s *sourceReport) summarize(w io.Writer) {
	fmt.Fprintf(w, "  read             %s in %s", size(s.Read), count(int(s.Requests), "request"))
	if s.Resumed > 0 {
		fmt.Fprintf(w, ", %d of them to continue where one broke off", s.Resumed)
	}
	if s.Renewed > 0 {
		fmt.Fprintf(w, ", with %s", count(int(s.Renewed), "new link"))
	}
	fmt.Fprintln(w)
}

// note says what a server does not tell.
func (f *archiveFlags) note(name string, show *display) {
	if file := f.opened[name]; file != nil && file.Validator() == "" {
		show.Note("the server gives neither an ETag nor a modification time for %s: only digests show whether it "+
			"changes while it is read", name)
	}
}

// words name an archive on a command line: without what may be secret, so that a link has to be completed. The
// URL in archiveVariable is named by no word.
func (f *archiveFlags) words(name string) []string {
	switch at := f.urls[name]; {
	case at.file != "":
		return []string{"--from-tar-url-file", at.file}
	case f.isURL(name) && name == f.archive:
		return nil
	case strings.Contains(at.url, "?"):
		return []string{name + "?…"}
	}
	return []string{name}
}

// read reads a file of at most limit bytes: what a URL names, what lies beside such an archive, or a file.
//
// Errors: fs.ErrNotExist.
func (f *archiveFlags) read(ctx context.Context, name string, limit int64) ([]byte, error) {
	if !isURL(name) {
		raw, err := inputfile.Read(ctx, name, limit+1)
		if err == nil && int64(len(raw)) > limit {
			err = fmt.Errorf("%s has more than %d bytes", name, limit)
		}
		return raw, err
	}
	return readAll(func(name string) (*httpfile.File, error) {
		if err := f.nameBeside(name); err != nil {
			return nil, err
		}
		return f.openURL(ctx, name)
	}, name, limit)
}

// nameBeside puts the URL of a file aside whose name is that of another URL with an ending. A URL with a query
// does not say where such files are.
//
// Errors: fs.ErrNotExist.
func (f *archiveFlags) nameBeside(name string) error {
	if f.isURL(name) {
		return nil
	}
	for of, at := range f.urls {
		ending, isBeside := strings.CutPrefix(name, of)
		if isBeside && !strings.Contains(at.url, "?") {
			_, err := f.name(at.url+ending, "")
			return err
		}
	}
	return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
}
