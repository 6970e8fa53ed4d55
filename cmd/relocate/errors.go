package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"regexp"
	"strings"
	"syscall"

	"relocate"
	"relocate/bundle"
	"relocate/carvel"
	"relocate/copy"
	"relocate/internal/digest"
	"relocate/internal/ownfile"
	"relocate/oci"
	"relocate/registry"
	"relocate/registry/serve"
	"relocate/tarball"
	"relocate/verify/cluster"
)

// Exit statuses.
const (
	statusFailed      = 1
	statusUsage       = 2
	statusPartly      = 3
	statusPermission  = 4
	statusDamage      = 5
	statusMissing     = 6
	statusNoSpace     = 8
	statusInterrupted = 130
)

// statusHelp is the table of exit statuses in the commands' help.
const statusHelp = `Exit status: 0 done, 1 failed, 2 usage or configuration, 3 partly done (--keep-going), 4 credentials
or permission, 5 damage, 6 something missing, unequal or reaching outside, 8 no space, 130 interrupted.`

// hintTags is what to do about tags that the roots cannot have.
const hintTags = "--no-tag imports by digest; --tag NAME gives the only root another tag"

// Hints that are not the same for each command; hintFor knows more.
const (
	hintHelp   = "see relocate --help"
	hintGoesOn = "run the same command again: it goes on where it was"
)

// usageError is what the operator got wrong on the command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// problemsError is the end of a verification that found something; its status says what.
type problemsError struct {
	status     int
	text, hint string
}

func (e problemsError) Error() string { return e.text }

// absentError is something named on the command line that is not there.
type absentError struct{ error }

// notClosedError is the end of a strict copy of what leads outside.
type notClosedError struct{ error }

// keptText says what an export that was cut off has kept.
func keptText(e *relocate.UnfinishedError) string {
	return fmt.Sprintf("%s has %s of %s; the same command continues from there, --no-resume starts again", e.Path, size(e.Have), size(e.Want))
}

// judgement is what an error means to the operator.
type judgement struct {
	matches func(error) bool
	status  int
	hint    string
}

// hintGoneBy is what to do when a registry removed what a stream has sent.
const hintGoneBy = "the registry removes layers that no manifest refers to yet: save the stream to a file and import that, " +
	"or give layers more time there (zot: gcDelay; olareg: --gc-grace-period; distribution: no garbage-collect meanwhile)"

// judgements are tried in order; the first that matches counts.
var judgements = []judgement{
	{isA[*copy.PartialError], statusPartly, "run the same command again when the causes are mended: what is there is not moved again"},
	{is(copy.ErrUnaccounted), statusFailed, "this is a fault of relocate: please report it, with the command and this message"},
	{isA[usageError], statusUsage, hintHelp},
	{is(relocate.ErrTags), statusUsage, hintTags},
	{is(relocate.ErrOptions), statusUsage, hintHelp},
	{isA[notClosedError], statusMissing, hintFindings},
	{isA[absentError], statusMissing, "relocate inspect shows what there is"},
	{is(cluster.ErrNotObjects), statusUsage, "give what kubectl get … -A -o yaml prints, all of it"},
	{is(bundle.ErrNotBundle), statusUsage, "name a bundle: a package repository or a package; an image or index alone is none"},
	{is(registry.ErrNotRegistry), statusUsage, "check the registry's name and port; a web server or a login page may answer in its place"},
	{is(registry.ErrProxy), statusFailed, "check HTTPS_PROXY, with user and password if the proxy wants a login, or name the registry in NO_PROXY"},
	{is(registry.ErrPlainHTTP), statusUsage, "use --registry-insecure if that registry really has no TLS"},
	{is(registry.ErrTokenHost), statusUsage, "if that host does give the registry's tokens, name it: --token-host HOST"},
	{is(registry.ErrRedirected), statusUsage, "if that host belongs to the registry, or keeps its content, name it: --redirect-host HOST"},
	{is(registry.ErrCredentials), statusUsage, "see relocate help registries for all ways to log in"},
	{is(registry.ErrPath), statusUsage, "check the path; a project or repository may have to be created at the registry first"},
	{is(registry.ErrUnreadable), statusFailed, "its disk was probably full: remove that manifest's file from the registry's storage (blobs/sha256/…/DIGEST/data), make room, and run again"},
	{is(registry.ErrReadOnly), statusFailed, "push to the registry that this one is a mirror of, or have it take pushes again"},
	{is(registry.ErrPolicy), statusPermission, "have the image meet the policy (signature, vulnerabilities), or ask the registry's administrator for an exception"},
	{is(registry.ErrDockerTypes), statusFailed, `have the registry take Docker's types (zot: "http": {"compat": ["docker2s2"]}), or use another; bundles always have them`},
	{is(registry.ErrType), statusFailed, "update the registry, or use one that takes this type"},
	{is(registry.ErrURLs), statusFailed, "have the registry allow them (docker-registry: validation: manifests: urls: allow: [\"^https?://\"]), or use another registry"},
	{is(registry.ErrNoIndex), statusFailed, "images for several platforms need a registry that takes them: update it, or use another"},
	{is(registry.ErrTLSRefused), statusPermission, "if the registry wants a client certificate: --registry-client-cert FILE and --registry-client-key FILE"},
	{is(registry.ErrNoSpace), statusNoSpace, "make room at the registry, or have its quota raised; run again, and what is there is not sent again"},
	{is(tarball.ErrNoSpace), statusNoSpace, "make room, or write to another disk; nothing was left under the final name"},
	{isFull, statusNoSpace, "make room, or let scratch files go to another disk (--tmpdir, TMPDIR)"},
	{is(ownfile.ErrUnsafe), statusUsage, "remove it, or use a folder that only you can write to"},
	{is(tarball.ErrGoneBy), statusFailed, hintGoneBy},
	{is(tarball.ErrPartThere), statusUsage, "move that file away, or give the archive another name"},
	{is(tarball.ErrOneRoot), statusUsage, "export each bundle to a tar of its own, or all to one without --tar-format imgpkg"},
	{is(tarball.ErrOtherExport), statusUsage, "give the references and flags that it was begun with, or --no-resume to give it up and start again"},
	{is(relocate.ErrHeld), statusFailed, "wait until it has ended"},
	{is(tarball.ErrNotArchive), statusDamage, "name a file that relocate --to-tar wrote, or imgpkg copy --to-tar"},
	{is(tarball.ErrTruncated), statusDamage, "what arrived is not complete: carry it, or send it, again"},
	{is(tarball.ErrDamaged), statusDamage, "the file was changed after it was written: carry it again; relocate verify FILE lists all damage"},
	{is(digest.ErrMismatch), statusDamage, "the content was changed on its way or where it is kept; nothing was made of it"},
	{is(oci.ErrUnsupported), statusFailed, "have the image pushed again in a form that is supported: sha256 digests, and no Docker schema 1"},
	{is(carvel.ErrImgpkg), statusFailed, "imgpkg refuses it, too: have it pushed again in the right form"},
	{is(oci.ErrMalformed), statusFailed, "have it pushed again in the right form"},
	{isA[*bundle.BareError], statusMissing, "have them signed, or carry what is there with --attachments auto"},
	{is(registry.ErrNoLogin), statusPermission, "log in with docker login, or give --registry-username and --registry-password"},
	{is(registry.ErrLogin), statusPermission, "check the user name and the password or token, and whether they have expired"},
	{is(registry.ErrNotAsked), statusPermission, "no login helps here: a rule of the registry or of a proxy before it, or a quota, forbids this; see their logs"},
	{isSilent, statusPermission, "the registry gives no reason: a quota may be used up, or this login may lack the right; see the registry's log"},
	{is(copy.ErrContended), statusFailed, "wait until nobody else signs these images, then run the same command again, or leave them out with --attachments auto"},
	{is(oci.ErrConflict), statusMissing, "keep what the registry has with --attachments auto, or remove it there and import again"},
	{isRegistry(fs.ErrPermission), statusPermission, "this login lacks the right: ask the registry's administrator for it, or log in as another user"},
	{is(fs.ErrPermission), statusPermission, ""},
	{answered(429), statusFailed, "the registry limits how often it is asked: lower --concurrency, or run again later; what was uploaded is not sent again"},
	{answered(413), statusFailed, "the registry, or a proxy before it, limits the size of requests: raise that (nginx: client_max_body_size 0)"},
	{isRegistry(fs.ErrExist), statusFailed, "the registry lets nobody move that tag: give the root another with --tag, or let the registry move it"},
	{isA[missingRootError], statusMissing, "check the spelling of the reference, its tag and its registry"},
	{isMissingRoot, statusMissing, "check the spelling of the reference, its tag and its registry"},
	{isA[*bundle.MissingError], statusMissing, "push what is missing to one of the places asked, or name a repository that has it"},
	{isURL, statusUsage, "download it first, and name the file"},
	{isBadPath, statusUsage, "check the path"},
	{is(syscall.EISDIR), statusUsage, "name a file"},
	{isUnknownHost, statusFailed, "check the registry's name, and HTTPS_PROXY if one is needed"},
	{is(serve.ErrConflict), statusUsage, "serve these apart, or each under a path of its own with --as; --no-origins leaves out where images came from"},
	{isListen, statusFailed, "listen at another address or port: --listen"},
	{isA[*net.OpError], statusFailed, "is the registry running, and can it be reached from here?"},
	{isNameless, statusUsage, "have the registry's certificate issued again with its host name as a subject alternative name"},
	{isA[x509.HostnameError], statusUsage, "use a name of the registry that is in its certificate"},
	{isOutOfDate, statusUsage, "renew the registry's certificate, or correct this machine's clock"},
	{isA[*tls.CertificateVerificationError], statusUsage, "give the registry's CA with --registry-ca-cert-path FILE"},
	{isRegistry(fs.ErrNotExist), statusMissing, "--keep-going tries everything and tells all that is missing"},
	{isServerError, statusFailed, "the registry fails: see its log and its disk, then run again"},
}

// judge returns the exit status of an error, what to say and what to do about it.
func judge(ctx context.Context, err error) (status int, text, hint string) {
	var problems problemsError
	switch {
	case errors.As(err, &problems): // which were printed as the result
		return problems.status, "", problems.hint
	case isA[hangError](context.Cause(ctx)):
		return statusFailed, context.Cause(ctx).Error(), "please report this with that file; run the same command to continue"
	case ctx.Err() != nil:
		return statusInterrupted, "interrupted", hintGoesOn
	}
	if strings.HasPrefix(err.Error(), "unknown command") || strings.HasPrefix(err.Error(), "unknown flag") { // cobra's have no type
		return statusUsage, err.Error(), hintHelp
	}
	for _, j := range judgements {
		if j.matches(err) {
			return j.status, err.Error(), j.hint
		}
	}
	return statusFailed, err.Error(), ""
}

// passwords are those in URLs, which some write where a reference or a file is expected.
var passwords = regexp.MustCompile(`://[^/\s:@]*:[^/\s@]*@`)

func withoutPassword(text string) string { return passwords.ReplaceAllString(text, "://") }

func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

func isA[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

// isRegistry matches an answer of a registry with that meaning.
func isRegistry(target error) func(error) bool {
	return func(err error) bool {
		var e *registry.Error
		return errors.As(err, &e) && errors.Is(e, target)
	}
}

// isSilent matches a refusal of a write without a word: so do quotas of Gitea answer.
func isSilent(err error) bool {
	var e *registry.Error
	return errors.As(err, &e) && e.Status == 403 && e.Method != "GET" && e.Method != "HEAD" && e.Code == "" && e.Message == ""
}

// answered matches a registry's refusal with a status.
func answered(status int) func(error) bool {
	return func(err error) bool {
		var e *registry.Error
		return errors.As(err, &e) && e.Status == status
	}
}

// isNameless matches a certificate that has no names, or one in its subject only, which no longer counts.
func isNameless(err error) bool {
	var e x509.HostnameError
	return errors.As(err, &e) && len(e.Certificate.DNSNames) == 0 && len(e.Certificate.IPAddresses) == 0
}

// isOutOfDate matches a certificate that has expired, or is not valid yet.
func isOutOfDate(err error) bool {
	var e x509.CertificateInvalidError
	return errors.As(err, &e) && e.Reason == x509.Expired
}

// isFull matches a file system that is full or allows no more.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// isServerError matches a registry's 5xx.
func isServerError(err error) bool {
	var e *registry.Error
	return errors.As(err, &e) && e.Status >= 500
}

// isBadPath matches a path that cannot be opened.
func isBadPath(err error) bool {
	var e *fs.PathError
	return errors.As(err, &e) && (e.Op == "open" || e.Op == "stat" || e.Op == "statfs")
}

// isURL matches a URL in place of a path.
func isURL(err error) bool {
	var e *fs.PathError
	return errors.As(err, &e) && strings.Contains(e.Path, "://")
}

// isMissingRoot matches a reference on the command line that leads nowhere.
func isMissingRoot(err error) bool {
	var e *bundle.MissingError
	return errors.As(err, &e) && e.WantedBy == ""
}

func isUnknownHost(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e)
}

// isListen matches an address that cannot be listened at.
func isListen(err error) bool {
	var e *net.OpError
	return errors.As(err, &e) && e.Op == "listen"
}
