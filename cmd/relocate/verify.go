package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/report"
	"relocate/tarball"
	"relocate/verify"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	repo  string
	roots []string
	seal  string
	level string
	tag   string
	noTag bool

	repoTags  bool
	chosen    platformFlags
	selection selectionFlags
	strict    bool
	volumes   []string // folders
	known     tolerance
	cluster   clusterFlags
	rendering renderFlags
	output    reportFlags
	config    configFlags
	trust     trustFlags
	receipts  receiptFlags
	archives  archiveFlags
	common
}

// verifyHelp is the help of verify about archives and repositories.
const verifyHelp = `verify FILE checks every byte of an archive: it hashes each blob, compares
headers and documents with the seal, and checks that the content is exactly what
the roots need. FILE may be a block device, a FIFO, a tape, or - for standard
input. verify FILE.003 checks one volume of an archive alone, with the list
FILE.volumes.

verify --repo REPO FILE compares a private registry with the archive: manifests,
tags and locations images. verify --repo REPO with :TAG, @DIGEST or --root
DIGEST needs no archive: everything that the root names must be present. The
digest of a tag comes from the registry, and is printed. verify then follows
every reference in the Packages, and in the files of their bundles, as
kapp-controller, imgpkg and kbld do: each must lead to an image in REPO. It
contacts no other registry.

Of an archive and of a registry, verify also renders each package and examines
what it would deploy (see relocate render --help).

References that point outside are errors in a registry, and in an archive with
--strict. docs/leaks.md explains each finding. --allow HOST[/PATH] accepts
references to a host; --accept accepts the findings of an earlier report.

`

func newVerify() *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use:   "verify (FILE | --repo REPO [FILE] | --repo REPO -f OBJECTS)",
		Short: "Check that an archive or a private registry is complete and closed",
		Long:  verifyHelp + clusterHelp + "\n\n" + statusHelp,
		Example: `  relocate verify tce.tar --root sha256:1c2f…
  relocate verify --repo registry.airgap.internal/tce/main tce.tar
  relocate verify --repo registry.airgap.internal/tce/main:v0.12.0 --level deep
  kubectl get -A -o yaml \
    packagerepositories,packages,packageinstalls,apps,deployments,pods |
    relocate verify --repo registry.airgap.internal/tce/main -f -`,
		Args: f.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.cluster.file != "" {
				return f.runCluster(cmd)
			}
			f.output.command, f.output.ended = commandLine(cmd, args), terminationIn(cmd.Context())
			ctx, show := newProgress(cmd.Context(), f.progress, cmd.ErrOrStderr())
			r, err := f.run(ctx, append(args, "")[0], cmd.InOrStdin(), show)
			if err != nil {
				return err
			}
			return f.output.print(cmd.OutOrStdout(), r)
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.repo, "repo", "", "verify the repository `REPO`: registry/path, with :TAG or @DIGEST if there is no archive")
		flags.StringArrayVar(&f.roots, "root", nil, "require a root with this `DIGEST` (repeatable)")
		flags.StringVar(&f.seal, "seal", "", "require the archive to have the seal `DIGEST`, or the one in a file NAME.seal or at its URL")
		f.trust.add(flags)
		flags.StringVar(&f.level, "level", string(verify.Manifests), "check a repository at `LEVEL`: manifests, blobs (ask the registry for each), or deep (read and hash each)")
		flags.StringVar(&f.tag, "tag", "", "expect the `TAG` that the import gave the root")
		flags.BoolVar(&f.noTag, "no-tag", false, "expect no tags: the import had --no-tag")
		flags.BoolVar(&f.repoTags, "repo-based-tags", false, "expect the tags of an import with --repo-based-tags")
		f.chosen.addTo(flags, "expect only this `OS/ARCH[/VARIANT]` of multi-platform images, if the import or copy had this flag; an archive itself says what it leaves out", "`MODE` of --platform at the import")
		f.cluster.add(flags)
		addFolders(flags, &f.volumes)
		f.known.add(flags)
		flags.BoolVar(&f.strict, "strict", false, "fail if a reference in an archive points outside; in a repository, that always fails")
		f.output.add(flags)
	})
	f.receipts.archives = &f.archives
	group(cmd, "Receipts", f.receipts.add)
	f.selection.add(cmd)
	f.rendering.addOff(cmd)
	f.common.add(cmd)
	f.config.addTo(cmd, "Flags", f.configFor)
	f.archives.addTo(cmd, f.lacksArchive)
	return cmd
}

// lacksArchive reports whether nothing says what is verified.
func (f *verifyFlags) lacksArchive(args []string) bool {
	_, rest := splitReference(f.repo)
	return len(args) == 0 && f.cluster.file == "" && len(f.roots) == 0 && rest == ""
}

// args checks the arguments: an archive, unless --repo or -f says what is verified.
func (f *verifyFlags) args(cmd *cobra.Command, args []string) error {
	switch {
	case f.cluster.file != "":
		return f.checkCluster(cmd.Context(), args)
	case f.repo == "" && len(args) > 0 && isReference(args[0]):
		return guessf(replacing(args[0], "--repo", args[0]), "%s is a reference; name a repository with --repo", args[0])
	case f.repo == "" && len(args) == 0:
		return usagef("name an archive, or a repository with --repo")
	case f.repo == "" || len(args) > 1:
		return oneFile(cmd, args)
	}
	return nil
}

func (f *verifyFlags) run(ctx context.Context, file string, stdin io.Reader, show *display) (*verified, error) {
	r := &verified{}
	opt, err := f.options(ctx, file, r, show)
	if err != nil {
		return nil, err
	}
	defer opt.Renderer.Close()
	receipts, err := f.receipts.open(ctx, file, show)
	if err != nil {
		return nil, err
	}
	if f.repo == "" && isOnce(file) {
		if opt.Signed, err = f.archives.signed(ctx, &f.trust); err != nil {
			return nil, err
		}
		r.Verdict, err = verifyOnce(ctx, file, stdin, opt)
		return r, r.receipt(receipts, nil, err)
	}
	var at relocate.Destination
	if f.repo != "" {
		if at, opt.Root, err = f.at(ctx, file, show); err != nil {
			return nil, err
		}
	}
	var archive *tarball.Archive
	if f.repo == "" && isVolume(file, f.volumes) {
		r.Verdict, err = f.volume(ctx, file, opt)
		return r, err
	}
	if file != "" {
		if archive, err = f.open(ctx, file, &opt); err != nil {
			return nil, err
		}
		defer archive.Close()
	}
	r.Verdict, err = relocate.Verify(ctx, archive, at, opt)
	if opt.Root != nil && errors.Is(err, fs.ErrNotExist) {
		err = missingRootError{err}
	}
	return r, r.receipt(receipts, archive, err)
}

// open opens the archive, and sets in opt who signed it, and which part of it is verified. The caller closes it.
func (f *verifyFlags) open(ctx context.Context, file string, opt *relocate.VerifyOptions) (*tarball.Archive, error) {
	a, signature, err := f.archives.openSigned(ctx, &f.trust, file, f.volumes...)
	if err != nil {
		return nil, err
	}
	if err := f.config.checkArchive(ctx, a); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	opt.Signature = signature
	if f.selection.set(&opt.Options); !f.selection.given() {
		f.config.set(&opt.Options)
	}
	return a, nil
}

// options checks the flags, and returns what they say. The caller closes the renderer.
func (f *verifyFlags) options(
	ctx context.Context, file string, r *verified, show *display,
) (opt relocate.VerifyOptions, err error) {
	roots, err := f.check(ctx, file)
	if err != nil {
		return opt, err
	}
	known, err := f.known.acceptance()
	if err != nil {
		return opt, err
	}
	if err := f.chosen.check(); err != nil {
		return opt, err
	}
	opt = relocate.VerifyOptions{Options: f.output.options(r, f.jobs, show), Roots: roots, Level: verify.Level(f.level), Strict: f.strict}
	opt.Accept = *known
	if opt.Seal, err = f.archives.seal(ctx, f.seal); err != nil {
		return opt, err
	}
	f.chosen.set(&opt.Options)
	f.rendering.set(&opt.Options)
	return opt, nil
}

// volume verifies one volume of an archive.
func (f *verifyFlags) volume(ctx context.Context, file string, opt relocate.VerifyOptions) (*report.Verdict, error) {
	switch {
	case len(f.trust.paths()) > 0:
		return nil, usagef("%s is one volume, and a signature is of the whole archive: verify that, or leave out --trust", file)
	case len(opt.Roots) > 0 || f.receipts.given():
		return nil, usagef("%s is one volume: --root and --receipt-key are about the whole archive", file)
	}
	return relocate.VerifyVolume(ctx, file, f.volumes, opt)
}

// verifyOnce verifies an archive that can be read only once.
func verifyOnce(ctx context.Context, path string, stdin io.Reader, opt relocate.VerifyOptions) (*report.Verdict, error) {
	from, stop, err := openOnce(ctx, path, stdin)
	if err != nil {
		return nil, err
	}
	defer stop()
	return relocate.VerifyStream(ctx, from, opt)
}

// at is the repository of --repo, as it was filled, and the root in it, where neither an archive
// nor --root says what it must hold.
func (f *verifyFlags) at(ctx context.Context, file string, show *display) (at relocate.Destination, root name.Reference, err error) {
	at = relocate.Destination{Tag: f.tag, NoTag: f.noTag, RepoTags: f.repoTags}
	repo, rest, err := f.target(file)
	if err != nil {
		return at, nil, err
	}
	at.Repository = repo
	if at.Client, err = f.destination(repo); err != nil || file != "" || len(f.roots) > 0 {
		return at, nil, err
	}
	if rest == "" {
		if rest, err = f.rootIn(ctx, at.Client, repo, show); err != nil {
			return at, nil, fmt.Errorf("verify %s: %w", f.repo, err)
		}
	}
	root, err = parseReference("--repo", repo.Name()+rest)
	return at, root, err
}

// check rejects command lines that make no sense, and returns the digests of --root.
func (f *verifyFlags) check(ctx context.Context, file string) ([]v1.Hash, error) {
	if err := firstWrong(slices.Concat(f.checks(), f.archiveChecks(file), f.trust.checks(file))...); err != nil {
		return nil, err
	}
	if err := firstWrong(f.receipts.checks(file, "")...); err != nil {
		return nil, err
	}
	var roots []v1.Hash
	for _, s := range f.roots {
		d, err := v1.NewHash(s)
		if err != nil {
			return nil, usagef("--root %s: not a digest (sha256:…)", s)
		}
		roots = append(roots, d)
	}
	return roots, errors.Join(f.known.check(), f.rendering.check(ctx, !f.rendering.off),
		f.selection.check(ctx, f.rendering.version()), f.output.check())
}

// checks are about what is verified.
func (f *verifyFlags) checks() []check {
	repo, imported := f.repo != "", f.tag != "" || f.noTag || f.repoTags
	return []check{
		exclusive("--tag", f.tag != "", "--no-tag", f.noTag),
		{!repo && (imported || f.level != string(verify.Manifests)), "--tag, --no-tag, --repo-based-tags and --level need --repo"},
		{!repo && len(f.chosen.platforms) > 0, "--platform needs --repo: an archive says by itself what it leaves out"},
	}
}

// archiveChecks are about flags that need an archive, or one that can be read again.
func (f *verifyFlags) archiveChecks(file string) []check {
	repo, archive, once := f.repo != "", file != "", isOnce(file)
	imported := f.tag != "" || f.noTag || f.repoTags
	return []check{
		{!archive && f.chosen.mode == platformsDerive, "--platform-mode derive needs an archive: what was derived needs no --platform"},
		{!archive && f.seal != "", "--seal needs an archive"},
		{repo && archive && once, "--repo needs an archive that can be read again: copy " + file + " to a file first"},
		{f.config.path != "" && archive && once, "--config needs an archive in a file: it cannot compare the roots of a stream"},
		{f.selection.given() && (!archive || !repo), "packages are chosen from an archive that --repo is compared with"},
		{!archive && imported, "--tag, --no-tag and --repo-based-tags need an archive, which lists the roots' tags and references"},
		oneOf("--level", f.level, string(verify.Manifests), string(verify.Blobs), string(verify.Deep)),
	}
}
