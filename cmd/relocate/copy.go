package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate/carvel"
	"relocate/copy"
	"relocate/internal/outfile"
	"relocate/tarball"
)

// copyFlags are the flags of the root command.
type copyFlags struct {
	sourceFlags
	chosen           platformFlags
	delta            deltaFlags
	cut              cutFlags
	volumes          []string // folders
	fromTar, toTar   string
	seal             string
	tarFormat        tarFormat
	toRepo           string
	shard            shardFlags
	lockOutput       string
	repositoryOutput string
	report           string
	trustRegistry    string
	trust            trustFlags
	signKey          keyFlags
	receipts         receiptFlags
	tag              string
	noTag            bool
	repoTags         bool
	noResume         bool
	keepGoing        bool
	tmpDir           string
	strict           bool
	known            tolerance
	selection        selectionFlags
	rendering        renderFlags
	config           configFlags
	command          string   // as it was run, for a page
	again            []string // flags that verify needs, too
	objects          objectFlags
	imgpkg           imgpkgFlags
	archives         archiveFlags
	common
}

// objectFlags are the flags that shape the PackageRepository.
type objectFlags struct {
	name, namespace, secretRef string
}

func (f *objectFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.name, "name", "", "`NAME` of the PackageRepository (default: last element of the source repository)")
	flags.StringVar(&f.namespace, "namespace", "", "`NAMESPACE` of the PackageRepository (default: "+carvel.GlobalNamespace+")")
	flags.StringVar(&f.secretRef, "secret-ref", "", "let the PackageRepository use the `SECRET` in its namespace to log in to the registry")
}

const copyHelp = `relocate copies Carvel package repositories across an air gap: the packages,
their bundles and all images. Digests do not change.

  -b REF --to-tar FILE             export: write a repository to one archive
  --from-tar FILE --to-repo REPO   import: upload an archive to a registry, and
                                   print the PackageRepository for the cluster
  -b REF --to-repo REPO            copy from registry to registry

An interrupted run continues when the same command runs again: an export keeps
its progress in FILE.part, and an import skips what is already present. FILE can
be "-": --to-tar - writes to standard output, --from-tar - reads standard input.
--from-tar also takes an https:// URL: see relocate help https.

Each flag under Registries can also be set for one side: --src-registry-username
for the source, --dst-registry-username for the destination, and so on. See
relocate help registries.

Results go to standard output, everything else to standard error.

`

// newCopy returns the copy, which is the root command and, by another name, one below it.
func newCopy(name string) *cobra.Command {
	f := &copyFlags{}
	cmd := &cobra.Command{
		Use:   name + " (-b REF... | -i REF... | --lock FILE | --from-tar FILE) (--to-tar FILE | --to-repo REPO)",
		Short: "Copy Carvel package repositories across an air gap",
		Long:  copyHelp + statusHelp,
		Example: `  relocate -b registry.example.com/tce/main:v0.12.0 --to-tar tce.tar
  relocate rehearse tce.tar
  relocate verify tce.tar
  relocate --from-tar tce.tar --to-repo registry.airgap.internal/tce/main
  relocate verify --repo registry.airgap.internal/tce/main tce.tar`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return f.misplaced(cmd, args)
			}
			return f.run(cmd)
		},
	}
	f.addFlags(cmd)
	f.config.addTo(cmd, "Source", f.configFor)
	f.archives.addTo(cmd, func([]string) bool { return !f.given() && f.fromTar == "" && f.toTar == "" })
	return cmd
}

func (f *copyFlags) addFlags(cmd *cobra.Command) {
	group(cmd, "Source", func(flags *pflag.FlagSet) {
		f.sourceFlags.add(flags)
		flags.StringVar(&f.fromTar, "from-tar", "", "import the archive `FILE` (also --tar): a file, an https:// URL,"+
			" a device, a FIFO, or - for standard input")
		flags.StringVar(&f.seal, "seal", "", "require the archive to have the seal `DIGEST`, or the one"+
			" in a file NAME.seal or at its URL")
		addFolders(flags, &f.volumes)
		f.chosen.add(flags)
		f.trust.addTrust(flags)
	})
	group(cmd, "Destination", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.toTar, "to-tar", "", "write the archive `FILE`; - is standard output")
		f.tarFormat.add(flags)
		f.cut.add(flags)
		f.delta.add(flags)
		f.signKey.add(flags, "sign-key", "sign the archive that is written with the private key in `FILE`: cosign's, another in PEM, or OpenSSH's")
		flags.StringVar(&f.trust.signature, "signature", "", "with a stream, the `FILE` for the signature; of an import, the file that has it (default: beside the archive)")
		flags.BoolVar(&f.noResume, "no-resume", false, "discard the progress of an interrupted export, and start again")
		flags.StringVar(&f.toRepo, "to-repo", "", "upload to the repository `REPO`: registry/path, without a tag")
		flags.StringVar(&f.tag, "tag", "", "tag the root as `TAG` instead of with its tag at the source")
		flags.BoolVar(&f.noTag, "no-tag", false, "do not tag the roots")
		flags.BoolVar(&f.repoTags, "repo-based-tags", false, "name the tags of images after their source repositories")
		flags.StringVar(&f.trustRegistry, "trust-registry", string(copy.TrustManifests), "do not upload `WHAT` the registry already has: manifests with everything that they name, blobs, or nothing (also --trust, with one of these words)")
	})
	group(cmd, "Several machines", f.shard.add)
	group(cmd, "Results", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.repositoryOutput, "repository-output", "", "write the PackageRepository to `FILE` instead of standard output")
		f.objects.add(flags)
		flags.StringVar(&f.lockOutput, "lock-output", "", "write the BundleLock of the destination to `FILE`")
		flags.StringVar(&f.report, "report", "", "write a report to `FILE`: a page if its name ends in .html, else JSON")
	})
	f.receipts.archives = &f.archives
	group(cmd, "Receipts", f.receipts.add)
	group(cmd, "Findings", func(flags *pflag.FlagSet) {
		flags.BoolVar(&f.strict, "strict", false, "fail with status 6, before anything is copied, if a reference points outside")
		f.known.add(flags)
	})
	f.selection.add(cmd)
	f.rendering.addOn(cmd)
	f.common.add(cmd)
	addSides(cmd)
	group(cmd, "Running", func(flags *pflag.FlagSet) {
		flags.BoolVar(&f.keepGoing, "keep-going", false, "continue after failures, report each one, and end with status 3")
		flags.StringVar(&f.tmpDir, "tmpdir", "", "keep scratch files in `DIR` (default: beside the archive, else $TMPDIR)")
	})
	group(cmd, "Flags of imgpkg", f.imgpkg.add)
	cmd.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "tar" { // imgpkg's name
			name = "from-tar"
		}
		return pflag.NormalizedName(name)
	})
}

// stream is the name of standard input and output.
const stream = "-"

// run decides which copy it is.
func (f *copyFlags) run(cmd *cobra.Command) error {
	f.command, f.again = commandLine(cmd, nil), againFor(cmd.Flags())
	if err := f.check(cmd.Context()); err != nil {
		return err
	}
	f.jobs = f.shard.concurrency(f.jobs)
	ctx, show := newProgress(cmd.Context(), f.progress, cmd.ErrOrStderr())
	defer f.rendering.renderer.Close()
	c := &copying{
		copyFlags: f, stdin: cmd.InOrStdin(), stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(), show: show,
		start: time.Now(), ended: terminationIn(ctx),
	}
	if f.toTar != "" {
		return c.export(ctx)
	}
	var object bytes.Buffer
	if isTerminal(c.stdout) { // where the summary would hide it
		c.stdout = &object
	}
	upload := c.direct
	if f.fromTar != "" {
		upload = c.importArchive
	}
	return errors.Join(upload(ctx), writeApart(cmd.OutOrStdout(), object.Bytes()))
}

// writeApart writes the PackageRepository, if any, to a terminal, after the summary and apart from
// it.
func writeApart(w io.Writer, object []byte) error {
	if len(object) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "\n# The PackageRepository for the cluster: pipe it to kubectl apply -f -\n%s", object)
	return err
}

// check rejects command lines that make no sense.
func (f *copyFlags) check(ctx context.Context) error {
	f.trust.files = slices.DeleteFunc(f.trust.files, f.trustsRegistry)
	if err := firstWrong(f.endChecks()...); err != nil {
		return f.completed(err)
	}
	rows := slices.Concat(
		f.archiveChecks(), f.findingChecks(), f.receipts.checks(f.fromTar+f.toTar, f.tarFormat.Format),
		f.delta.checks(f.tarFormat), f.signChecks(), f.cut.checks(f.toTar != "" && !isStream(f.toTar), f.tarFormat),
		f.destinationChecks(), f.shard.checks(f.fromTar != "" && !isOnce(f.fromTar), f.toRepo != ""), f.shardChecks(),
		f.valueChecks(), f.imgpkg.checks(f.noResume, isStream(f.toTar)))
	if err := firstWrong(rows...); err != nil {
		return err
	}
	reads := f.given() || f.archives.isURL(f.fromTar)
	if err := errors.Join(f.checkPaths(), f.checkSides(reads, f.toRepo != "", f.fromTar == stream)); err != nil {
		return err
	}
	f.rendering.chooses = f.selection.given()
	if err := errors.Join(f.sourceFlags.check(), f.chosen.check(), f.known.check(), f.rendering.check(ctx, f.rendering.on || f.strict),
		f.selection.check(ctx, f.rendering.version())); err != nil {
		return err
	}
	if f.fromTar != "" {
		return nil
	}
	return f.config.choose(ctx, &f.selection, f.rendering.version())
}

// trustWords are what --trust-registry takes.
var trustWords = []string{string(copy.TrustManifests), string(copy.TrustBlobs), string(copy.TrustNothing)}

// trustsRegistry reports whether a value of --trust is one of the words that it took before it named
// files with keys, and still takes. A file of that name is ./blobs.
func (f *copyFlags) trustsRegistry(value string) bool {
	if !slices.Contains(trustWords, value) {
		return false
	}
	f.trustRegistry = value
	return true
}

// endChecks are about the source and the destination.
func (f *copyFlags) endChecks() []check {
	registry, archive, toTar, toRepo := f.given(), f.fromTar != "", f.toTar != "", f.toRepo != ""
	source, destination := registry || archive, toTar || toRepo
	return []check{
		{!source && !destination, "nothing to do: give a source (-b, -i, --manifests, --lock or --from-tar) and a " +
			"destination (--to-tar or --to-repo)"},
		{!source, "no source: Expected either --lock, --bundle (-b), --image (-i), or --tar as a source"},
		{registry && archive, "two sources: Expected either --lock, --bundle (-b), --image (-i), or --tar as a source; give one"},
		{!destination, "no destination: Expected either --to-tar or --to-repo"},
		{toTar && toRepo, "two destinations: Expected either --to-tar or --to-repo, not both"},
		{toTar && archive, "--from-tar with --to-tar: Cannot use tar source (--tar) with tar destination (--to-tar); import the archive with --to-repo"},
	}
}

// archiveChecks are about flags that need, or exclude, an archive as the source or the destination.
func (f *copyFlags) archiveChecks() []check {
	archive, toTar, streamed := f.fromTar != "", f.toTar != "", isStream(f.toTar)
	return []check{
		{isURL(f.toTar), "--to-tar " + withoutSecrets(f.toTar) +
			": an archive cannot be written to a URL; write a file or -, and upload that"},
		{len(f.volumes) > 0 && (!archive || f.fromTar == stream), "--volumes needs --from-tar FILE"},
		{f.seal != "" && !archive, "--seal needs --from-tar: it says which archive it must be"},
		{f.noResume && (!toTar || streamed), "--no-resume needs --to-tar FILE: only an export to a file can be resumed"},
		{len(f.delta.have)+len(f.delta.bases) > 0 && !toTar, "--have and --base need --to-tar: a copy to a registry asks it what it has"},
		{f.tarFormat.Format != "" && !toTar, "--tar-format needs --to-tar: an import detects the format"},
		{f.keepGoing && streamed, "--keep-going with --to-tar " + f.toTar + ": an export to a stream cannot skip what fails"},
	}
}

// findingChecks are about what finds references that point outside.
func (f *copyFlags) findingChecks() []check {
	archive, finds := f.fromTar != "", f.strict || len(f.known.allow) > 0 || f.known.accept != ""
	return []check{
		{archive && finds, "--strict, --allow and --accept need a source in a registry; for an archive, use them with relocate verify"},
		{archive && f.rendering.on, "--render needs a source in a registry; relocate rehearse and verify render the packages of an archive"},
	}
}

// signChecks are about the key that signs, and the keys that are trusted.
func (f *copyFlags) signChecks() []check {
	archive, signs, streamed := f.fromTar != "", f.signKey.file != "", isStream(f.toTar)
	if archive {
		return append(f.trust.checks(f.fromTar), check{signs, "--sign-key needs --to-tar: an archive is signed when it is written, or by relocate sign"})
	}
	return []check{
		f.signKey.check(),
		{len(f.trust.files) > 0, "--trust needs --from-tar: it is about the signature of an archive"},
		{signs && f.toTar == "", "--sign-key needs --to-tar: an archive is signed"},
		{signs && f.tarFormat.Format == tarball.Imgpkg, "--sign-key with --tar-format imgpkg: that format has no seal; sign the file itself"},
		{signs && streamed && f.trust.signature == "", "--sign-key with --to-tar " + f.toTar + ": name the file for the signature with --signature"},
		{f.trust.signature != "" && !(signs && streamed), "--signature needs --from-tar, or --sign-key with --to-tar -"},
	}
}

// destinationChecks are about flags that need a registry as the destination.
func (f *copyFlags) destinationChecks() []check {
	toTar := f.toTar != ""
	lock := check{toTar && f.lockOutput != "", "--lock-output needs --to-repo: Cannot output lock file with tar destination"}
	return append([]check{lock}, onlyWith("--to-repo", !toTar, f.ofManifests()...)...)
}

// ofManifests are the flags about what an import makes visible, but --lock-output.
func (f *copyFlags) ofManifests() []given {
	return []given{
		{"--repository-output", f.repositoryOutput != ""}, {"--tag", f.tag != ""}, {"--no-tag", f.noTag},
		{"--repo-based-tags", f.repoTags}, {"--name", f.objects.name != ""},
		{"--namespace", f.objects.namespace != ""}, {"--secret-ref", f.objects.secretRef != ""},
	}
}

// valueChecks are about values by themselves.
func (f *copyFlags) valueChecks() []check {
	return []check{
		exclusive("--tag", f.tag != "", "--no-tag", f.noTag),
		oneOf("--trust-registry", f.trustRegistry, trustWords...),
		{f.tmpDir != "" && !isFolder(f.tmpDir), "--tmpdir " + f.tmpDir + ": no such folder"},
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// signatureOutput is the file for the signature of a stream; empty: none.
func (f *copyFlags) signatureOutput() string {
	if f.toTar == "" {
		return ""
	}
	return f.trust.signature
}

// checkPaths rejects output files that cannot be written, before the work that they are for.
func (f *copyFlags) checkPaths() error {
	files := map[string]string{f.fromTar: "--from-tar", f.lock: "--lock", f.selection.installed: "--installed"}
	for _, path := range f.delta.bases {
		files[path] = "--base"
	}
	for _, path := range f.delta.have {
		files[path] = "--have"
	}
	for _, out := range []struct{ flag, path string }{
		{"--to-tar", f.toTar}, {"--signature", f.signatureOutput()}, {"--lock-output", f.lockOutput}, {"--repository-output", f.repositoryOutput}, {"--report", f.report},
	} {
		if out.path == "" || (out.flag == "--to-tar" && isStream(out.path)) {
			continue
		}
		path, err := checkOutput(out.flag, out.path)
		if err != nil {
			return err
		}
		for other, flag := range files {
			if !outfile.IsStream(path) && outfile.IsSame(path, other) {
				return usagef("%s and %s name the same file, %s", flag, out.flag, out.path)
			}
		}
		files[path] = out.flag
	}
	return nil
}
