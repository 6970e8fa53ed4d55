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
	"relocate"
	"slices"
	"strings"
	"syscall"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/choose"
	"relocate/copy"
	"relocate/crossing"
	"relocate/custody"
	"relocate/internal/child"
	"relocate/internal/digest"
	"relocate/internal/httpfile"
	"relocate/internal/inspect"
	"relocate/internal/ownfile"
	"relocate/internal/selfimage"
	"relocate/internal/watchdog"
	"relocate/inventory"
	"relocate/oci"
	"relocate/registry"
	"relocate/registry/serve"
	"relocate/render"
	"relocate/tarball"
	"relocate/verify/cluster"
	"relocate/volume"
)

// Exit statuses.
const (
	statusFailed      = 1
	statusUsage       = 2
	statusPartly      = 3
	statusPermission  = 4
	statusDamage      = 5
	statusMissing     = 6
	statusDifferent   = 7
	statusNoSpace     = 8
	statusUntrusted   = 9
	statusInterrupted = 130
)

// statusHelp is the table of exit statuses in the commands' help.
const statusHelp = `Exit status: 0 success, 1 failure, 2 usage or configuration, 3 partial success,
4 login or permission, 5 damage, 6 content is missing, different or points
outside, 8 no space, 9 not signed by anyone trusted, 130 interrupted.`

// hintTags is what to do about tags that the roots cannot have.
const hintTags = "--no-tag imports by digest; --tag NAME gives a single root another tag"

// Hints that differ between commands, which hintFor adapts.
const (
	hintHelp   = "see relocate --help"
	hintResume = "run the same command again to continue"
)

// usageError is a mistake on the command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// problemsError ends a verification that found problems; its status says of which kind.
type problemsError struct {
	status     int
	text, hint string
}

func (e problemsError) Error() string { return e.text }

// sitesFileError says what is wrong with a file of sites.
type sitesFileError struct{ error }

func (e sitesFileError) Unwrap() error { return e.error }

// wrongValuesError says which values of a package do not fit its schema.
type wrongValuesError struct{ error }

// needsValuesError says that a package may render with values.
type needsValuesError struct {
	error
	status int
}

func (e needsValuesError) Unwrap() error { return e.error }

// notClosedError ends a copy with --strict when a reference points outside.
type notClosedError struct{ error }

// keptText says what an export that was cut off has kept.
func keptText(e *relocate.UnfinishedError) string {
	return fmt.Sprintf("%s has %s of %s; the same command continues from there, --no-resume starts again", e.Path, size(e.Have), size(e.Want))
}

// judgement is the exit status and the hint of an error.
type judgement struct {
	matches func(error) bool
	status  int
	hint    string
}

// hintGoneBy is the hint when a registry removed layers that an import from a stream has uploaded.
const hintGoneBy = "the registry removes layers that no manifest names yet: save the stream to a file and import that, " +
	"or make the registry keep them longer (zot: gcDelay; olareg: --gc-grace-period; distribution: no garbage-collect during the import)"

// hintAssumed is the hint when layers are missing that a delta leaves out.
const hintAssumed = "import the archives that have them first (rehearse and serve: name them with --base), or export again with an inventory of the destination: relocate inventory --repo REPO"

// hintOtherInventory is the hint when an import finds none of the layers of an inventory.
const hintOtherInventory = hintAssumed + "; is this the repository that the inventory was made of?"

// hintFindings is what to do about findings.
const hintFindings = "fix the findings above, or accept known ones with --allow HOST or --accept REPORT.json"

// judgements are tried in order; the first that matches counts.
var judgements = []judgement{
	{isA[*custody.UntrustedError], statusUntrusted, "relocate key show FILE shows whose key a file has; docs/custody.md says how keys and lists of signers are made"},
	{is(custody.ErrPassword), statusUsage, ""},
	{is(custody.ErrKey), statusUsage, ""},
	{isA[*copy.PartialError], statusPartly, "fix the causes, then run the same command again; it skips what is already present"},
	{is(copy.ErrUnaccounted), statusFailed, "this is a bug in relocate: report it with the command and this message"},
	{is(crossing.ErrCredentials), statusUsage, "remove it, and give the login to the program: see relocate help registries"},
	{isA[sitesFileError], statusUsage, "docs/sites.md has the format"},
	{is(crossing.ErrQuery), statusUsage, "name a URL without a query, or a file"},
	{isA[*crossing.Error], statusUsage, "see relocate help config"},
	{isA[usageError], statusUsage, hintHelp},
	{is(relocate.ErrTags), statusUsage, hintTags},
	{is(selfimage.ErrProgram), statusUsage, "use a program from a release, or from make build"},
	{is(choose.ErrUnmatched), statusMissing, "list the packages with relocate inspect"},
	{is(choose.ErrRefused), statusFailed, "choose other packages, or carry the whole repository"},
	{is(relocate.ErrOptions), statusUsage, hintHelp},
	{isA[wrongValuesError], statusUsage, "relocate inspect … package NAME/VERSION --values-schema shows what it takes; if the schema itself is wrong, leave out --values-file, and fill in the values Secret"},
	{isA[*render.UnusedValuesError], statusUsage, "list the packages with relocate inspect"},
	{isA[notClosedError], statusMissing, hintFindings},
	{isA[rootsError], statusMissing, "name the archive that was exported with this file, or leave out --config"},
	{isA[*relocate.PackageError], statusMissing, "list the packages with relocate inspect"},
	{isA[*render.FailedError], statusFailed, "a cluster fails the same way; read the package's files with relocate inspect … --extract DIR"},
	{isNoHelm, statusUsage, "install helm, or name it with --helm PATH; without it, relocate rehearse and verify examine the package as text"},
	{isA[*render.NotRenderedError], statusFailed, "relocate rehearse and verify examine such a package as text"},
	{isA[*child.LimitError], statusFailed, "examine the package's templates: relocate inspect … --extract DIR writes them to a folder"},
	{isA[inspect.MissingError], statusMissing, "list the content with relocate inspect"},
	{is(cluster.ErrNotObjects), statusUsage, "pass the complete output of kubectl get … -A -o yaml"},
	{is(bundle.ErrNotBundle), statusUsage, "name a bundle: a package repository or a package, not an image or index"},
	{is(httpfile.ErrURL), statusUsage, "give the whole link, as the server or the object store shows it, in quotes"},
	{is(httpfile.ErrPage), statusPermission, "open the URL in a browser: it may need a login (--src-registry-username, --from-tar-header-file), or be a page about the file"},
	{is(httpfile.ErrNoRanges), statusFailed, "an import can read it as a stream: curl -fsS URL | relocate --from-tar - …; for anything else, download the file first"},
	{is(httpfile.ErrChanged), statusDamage, "the file on the server was replaced: run the same command again when nobody writes to it"},
	{is(httpfile.ErrExpired), statusPermission, "make a new link, and run the same command again; what was uploaded is skipped"},
	{is(httpfile.ErrAnswer), statusFailed, "a server or a proxy changes the answers: bypass it, or download the file first"},
	{is(registry.ErrNotRegistry), statusUsage, "check the registry's name and port; a web server or a login page may have answered"},
	{is(registry.ErrProxy), statusFailed, "check HTTPS_PROXY, with user and password if the proxy needs a login, or add the registry to NO_PROXY"},
	{is(registry.ErrPlainHTTP), statusUsage, "use --registry-insecure if the registry has no TLS"},
	{is(registry.ErrTokenHost), statusUsage, "if that host issues tokens for the registry, allow it with --token-host HOST"},
	{is(registry.ErrRedirected), statusUsage, "if that host belongs to the registry, or stores its content, allow it with --redirect-host HOST"},
	{is(registry.ErrCredentials), statusUsage, "see relocate help registries for all ways to log in"},
	{is(registry.ErrPath), statusUsage, "check the path; some registries need the project or repository to be created first"},
	{is(registry.ErrUnreadable), statusFailed, "the registry's disk was probably full: remove that manifest's file from its storage (blobs/sha256/…/DIGEST/data), make room, and run again"},
	{is(registry.ErrReadOnly), statusFailed, "push to the registry that this one mirrors, or enable pushes to this one"},
	{is(registry.ErrPolicy), statusPermission, "make the image meet the policy (signature, vulnerabilities), or ask the registry's administrator for an exception"},
	{refuses(func(e registry.ManifestError) bool { return e.URLs }), statusFailed, "allow the URLs in the registry (docker-registry: validation: manifests: urls: allow: [\"^https?://\"]), or use another registry"},
	{refuses(registry.ManifestError.IsDocker), statusFailed, `enable Docker's media types in the registry (zot: "http": {"compat": ["docker2s2"]}), or use another registry; bundles always need these types`},
	{refuses(func(e registry.ManifestError) bool { return e.MediaType.IsIndex() }), statusFailed, "images for several platforms need a registry that supports indexes: update this one, or use another"},
	{isA[registry.ManifestError], statusFailed, "update the registry, or use one that supports this type"},
	{is(registry.ErrTLSRefused), statusPermission, "if the registry requires a client certificate, give --registry-client-cert FILE and --registry-client-key FILE"},
	{is(registry.ErrNoSpace), statusNoSpace, "make room in the registry, or raise its quota, then run again; what was uploaded is skipped"},
	{is(tarball.ErrFileSize), statusNoSpace, "cut the archive into smaller files with --volume-size, such as --volume-size 4000MiB"},
	{is(tarball.ErrNoSpace), statusNoSpace, "make room, or write to another disk; no file was left under the final name"},
	{isFull, statusNoSpace, "make room, or put scratch files on another disk with --tmpdir or TMPDIR"},
	{is(syscall.EMFILE), statusFailed, "raise the limit of open files (ulimit -n): each volume is one; or use a larger --volume-size"},
	{is(ownfile.ErrUnsafe), statusUsage, "remove it, or use a folder that only you can write to"},
	{is(tarball.ErrPassed), statusFailed, hintGoneBy},
	{is(tarball.ErrPartExists), statusUsage, "move that file away, or give the archive another name"},
	{is(tarball.ErrSparse), statusUsage, "use --platform-mode derive, which makes indexes that name the carried images alone"},
	{is(registry.ErrSparse), statusFailed, "--platform OS/ARCH with --platform-mode derive, at the import or at the export, makes indexes of the carried images alone; nothing was uploaded"},
	{is(tarball.ErrOneRoot), statusUsage, "export each bundle to its own archive, or all of them to one archive without --tar-format imgpkg"},
	{is(tarball.ErrCannotResume), statusUsage, "use the references and flags of the interrupted export, or discard it with --no-resume"},
	{is(relocate.ErrSeal), statusMissing, "name the archive with that seal; relocate inspect FILE shows the seal of an archive"},
	{is(relocate.ErrHeld), statusFailed, "wait until the other run has finished"},
	{hasNothingAssumed, statusMissing, hintOtherInventory},
	{isA[*copy.AssumedError], statusMissing, hintAssumed},
	{is(inventory.ErrNotInventory), statusDamage, "name a file written by relocate inventory, and transfer it again if it was cut off"},
	{is(tarball.ErrNoSeal), statusUsage, "write its inventory to a file with relocate inventory, and name that file with --have"},
	{is(tarball.ErrNotArchive), statusDamage, "name a file written by relocate --to-tar or imgpkg copy --to-tar"},
	{is(tarball.ErrOnce), statusUsage, "--from-tar and verify read it as it is; for everything else copy the archive to a file first"},
	{isA[*relocate.IncompleteError], statusPartly, "run the same command again when more volumes have arrived; name the folders that have them with --volumes DIR"},
	{isA[*volume.MissingError], statusMissing, "name the folders that have the other volumes with --volumes DIR; relocate repair FILE rebuilds lost ones where there is parity"},
	{is(tarball.ErrVolume), statusUsage, "name the archive, without the number of the volume"},
	{is(volume.ErrOther), statusDamage, "keep the volumes of each archive, with their list, in a folder of their own"},
	{is(volume.ErrList), statusDamage, "transfer the list again: it is the same beside all volumes"},
	{is(volume.ErrRebuilt), statusDamage, "transfer the volumes that were lost or damaged again"},
	{is(volume.ErrLayout), statusUsage, "use a larger --volume-size"},
	{is(tarball.ErrTruncated), statusDamage, "the archive is incomplete: transfer it again"},
	{is(tarball.ErrDamaged), statusDamage, "the file was changed after it was written: transfer it again; relocate verify FILE lists all damage"},
	{is(inventory.ErrNotInventory), statusDamage, "name a file written by relocate inventory; if it is one, it was changed since: transfer it again"},
	{is(digest.ErrMismatch), statusDamage, "the content was changed in transit or in storage; it was not used"},
	{is(relocate.ErrPruneNothing), statusMissing, "check the names; what was pruned before is not found again"},
	{is(relocate.ErrPruneChanged), statusFailed, "wait until nothing else writes to the repository, then run again"},
	{is(relocate.ErrPruneUnknown), statusFailed, "repair what the tag names, or delete the tag; import an archive again to repair its content"},
	{is(registry.ErrNoDelete), statusFailed, "enable deletes in the registry (docker-registry: storage: delete: enabled: true; olareg: --api-delete), or ask its administrator"},
	{is(registry.ErrNoRepository), statusMissing, "check the spelling of --repo"},
	{is(registry.ErrNoTags), statusFailed, "prune needs the complete list of tags; the registry, or a proxy in front of it, cuts it off"},
	{is(oci.ErrUnsupported), statusFailed, "push the image again in a supported format: with sha256 digests, not Docker schema 1"},
	{isA[carvel.ImgpkgError], statusFailed, "imgpkg also rejects it: push it again in the right format"},
	{is(oci.ErrMalformed), statusFailed, "push it again in the right format"},
	{isA[*bundle.NoAttachmentsError], statusMissing, "sign the images, or copy what exists with --attachments auto"},
	{isA[*relocate.ImageError], statusMissing, "correct the image, log in to its registry, or add a kbld Config to the manifests whose override names another image (newImage)"},
	{is(registry.ErrNoLogin), statusPermission, "log in with docker login, or give --registry-username and --registry-password"},
	{is(registry.ErrLogin), statusPermission, "check the user name and the password or token, and whether they have expired"},
	{is(registry.ErrNotAsked), statusPermission, "a login does not help: a rule of the registry or of a proxy in front of it, or a quota, forbids the request; see their logs"},
	{isSilent, statusPermission, "the registry gives no reason: a quota may be used up, or the login may lack permission; see the registry's log"},
	{is(copy.ErrContended), statusFailed, "wait until nobody else is signing these images, then run the same command again, or skip these signatures with --attachments auto"},
	{is(oci.ErrConflict), statusMissing, "keep what the registry has with --attachments auto, or remove it from the registry and import again"},
	{isRegistry(fs.ErrPermission), statusPermission, "the login lacks permission: ask the registry's administrator, or log in as another user"},
	{isA[unreadableError], statusPermission, "only its owner can read an archive that relocate wrote (mode 0600): chmod 0644 it, or chown it to this user, which is 65532 in relocate's image"},
	{is(fs.ErrPermission), statusPermission, ""},
	{answered(429), statusFailed, "the registry limits the request rate: lower --concurrency, or run again later; what was uploaded is skipped"},
	{answered(413), statusFailed, "the registry, or a proxy in front of it, limits the size of requests: raise the limit (nginx: client_max_body_size 0)"},
	{isRegistry(fs.ErrExist), statusFailed, "the registry has immutable tags: give the root another tag with --tag, or allow the registry to overwrite it"},
	{isA[missingRootError], statusMissing, "check the spelling of the reference, its tag and its registry"},
	{isMissingRoot, statusMissing, "check the spelling of the reference, its tag and its registry"},
	{isMissingPlatform, statusMissing, "push what is missing to one of the repositories that were searched, or copy the other platforms only (--platform)"},
	{isA[*bundle.MissingError], statusMissing, "push what is missing to one of the repositories that were searched, or name a repository that has it"},
	{isOtherURL, statusUsage, "relocate reads archives from https:// URLs, which object stores make, too (aws s3 presign); download anything else first"},
	{isBadPath, statusUsage, "check the path"},
	{is(syscall.EISDIR), statusUsage, "name a file"},
	{isUnknownHost, statusFailed, "check the registry's name, and HTTPS_PROXY if you need a proxy"},
	{is(serve.ErrConflict), statusUsage, "serve these archives separately, or each under its own path with --as; --no-origins turns the mirror off"},
	{isListen, statusFailed, "choose another address or port with --listen"},
	{isA[*net.OpError], statusFailed, "check that the registry is running and that this machine can reach it"},
	{isNameless, statusUsage, "renew the registry's certificate with its host name as a subject alternative name"},
	{isA[x509.HostnameError], statusUsage, "use one of the host names in the registry's certificate"},
	{isOutOfDate, statusUsage, "renew the registry's certificate, or correct the clock of this machine"},
	{isA[*tls.CertificateVerificationError], statusUsage, "give the registry's CA with --registry-ca-cert-path FILE"},
	{isRegistry(fs.ErrNotExist), statusMissing, "use --keep-going to copy the rest and list all that is missing"},
	{isServerError, statusFailed, "check the registry's log and disk, then run again"},
}

// judge returns the exit status of an error, its message and its hint.
func judge(ctx context.Context, err error) (status int, text, hint string) {
	var problems problemsError
	var needsValues needsValuesError
	var inventory inventoryError
	switch {
	case errors.As(err, &inventory):
		return statusUsage, err.Error(), inventory.hint
	case errors.As(err, &needsValues):
		return needsValues.status, err.Error(), ""
	case errors.As(err, &problems): // which were printed as the result
		return problems.status, "", problems.hint
	case isA[watchdog.StalledError](context.Cause(ctx)):
		return statusFailed, context.Cause(ctx).Error(), "report this with that file; run the same command again to continue"
	case ctx.Err() != nil:
		return statusInterrupted, "interrupted", hintResume
	}
	if strings.HasPrefix(err.Error(), "unknown command") || strings.HasPrefix(err.Error(), "unknown flag") { // cobra's have no type
		return statusUsage, err.Error(), hintHelp
	}
	list := judgements
	if isA[serverError](err) {
		list = slices.Concat(serverJudgements, list)
	}
	for _, j := range list {
		if j.matches(err) {
			return j.status, err.Error(), j.hint
		}
	}
	return statusFailed, err.Error(), ""
}

// passwords matches user and password in a URL given in place of a reference or a file.
var passwords = regexp.MustCompile(`://[^/\s:@]*:[^/\s@]*@`)

func withoutPassword(text string) string { return passwords.ReplaceAllString(text, "://") }

func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

func isA[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

// isRegistry matches an answer of a registry that means target.
func isRegistry(target error) func(error) bool {
	return func(err error) bool {
		var e *registry.Error
		return errors.As(err, &e) && errors.Is(e, target)
	}
}

// refuses matches a registry's refusal of a kind of manifests.
func refuses(is func(registry.ManifestError) bool) func(error) bool {
	return func(err error) bool {
		var e registry.ManifestError
		return errors.As(err, &e) && is(e)
	}
}

// isSilent matches a refused write without an explanation, as Gitea answers when a quota is used
// up.
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

// isNameless matches a certificate without subject alternative names.
func isNameless(err error) bool {
	var e x509.HostnameError
	return errors.As(err, &e) && len(e.Certificate.DNSNames) == 0 && len(e.Certificate.IPAddresses) == 0
}

// isOutOfDate matches a certificate that has expired, or is not valid yet.
func isOutOfDate(err error) bool {
	var e x509.CertificateInvalidError
	return errors.As(err, &e) && e.Reason == x509.Expired
}

// hasNothingAssumed matches a place without any of the layers that a delta made from an inventory leaves out.
func hasNothingAssumed(err error) bool {
	var e *copy.AssumedError
	return errors.As(err, &e) && len(e.Missing) == e.Assumed && slices.ContainsFunc(e.Bases, func(b bundle.Base) bool { return b.Kind == bundle.BaseInventory })
}

// isFull matches a full file system, and limits on space or file size.
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

// isOtherURL matches a URL in place of a path where only a file is read, or of another scheme than those that
// archives are read by.
func isOtherURL(err error) bool {
	var e *fs.PathError
	return errors.As(err, &e) && strings.Contains(e.Path, "://")
}

// isNoHelm matches a package that helm would render.
func isNoHelm(err error) bool {
	var e *render.NotRenderedError
	return errors.As(err, &e) && e.NoHelm
}

// isMissingRoot matches a reference on the command line that was not found.
func isMissingRoot(err error) bool {
	var e *bundle.MissingError
	return errors.As(err, &e) && e.WantedBy == ""
}

// isMissingPlatform matches images for single platforms that were not found.
func isMissingPlatform(err error) bool {
	missing, _ := bundle.Missing(err)
	return len(missing) > 0 && !slices.ContainsFunc(missing, func(m *bundle.MissingError) bool { return m.Platform == "" })
}

func isUnknownHost(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e)
}

// isListen matches an address that cannot be listened on.
func isListen(err error) bool {
	var e *net.OpError
	return errors.As(err, &e) && e.Op == "listen"
}
