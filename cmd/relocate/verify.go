package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate/bundle"
	"relocate/internal/digest"
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

	repoTags bool
	opened   *tarball.Archive // the archive, where it is open already
	strict   bool
	known    tolerance
	cluster  clusterFlags
	output   reportFlags
	common
}

// verifyHelp is the help of verify about archives and repositories.
const verifyHelp = `verify FILE checks every byte of an archive: it hashes each blob, compares
headers and documents with the seal, and checks that the content is exactly what
the roots need.

verify --repo REPO FILE compares a private registry with the archive: manifests,
tags and locations images. verify --repo REPO with :TAG, @DIGEST or --root
DIGEST needs no archive: everything that the root names must be present. The
digest of a tag comes from the registry; the verdict names it. verify then
follows every reference of the Packages, and of the files of their bundles, as
kapp-controller, imgpkg and kbld do: each must end at an image in REPO. It
contacts no other registry.

References that lead outside are errors in a registry, and in an archive with
--strict. docs/leaks.md explains each finding. --allow HOST[/PATH] accepts
references to a host; --accept accepts the findings of an earlier report.

`

func newVerify() *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use:   "verify (FILE | --repo REPO [FILE] | --repo REPO -f OBJECTS)",
		Short: "Prove that an archive or a private registry is complete and closed",
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
			f.output.command = commandLine(cmd, args)
			ctx, show := newProgress(cmd.Context(), f.progress, cmd.ErrOrStderr())
			r, err := f.run(ctx, append(args, "")[0], show)
			if err != nil {
				return err
			}
			return f.output.print(cmd.OutOrStdout(), r)
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.repo, "repo", "", "verify the repository `REPO`: registry/path, with :TAG or @DIGEST if there is no archive")
		flags.StringArrayVar(&f.roots, "root", nil, "require a root with this `DIGEST` (repeatable)")
		flags.StringVar(&f.seal, "seal", "", "require the seal `DIGEST` of the archive")
		flags.StringVar(&f.level, "level", string(verify.Manifests), "check a repository at `LEVEL`: manifests, blobs (ask for each), or deep (hash each)")
		flags.StringVar(&f.tag, "tag", "", "expect the `TAG` that the import gave the root")
		flags.BoolVar(&f.noTag, "no-tag", false, "expect no tags: the import had --no-tag")
		flags.BoolVar(&f.repoTags, "repo-based-tags", false, "expect the tags of an import with --repo-based-tags")
		f.cluster.add(flags)
		f.known.add(flags)
		flags.BoolVar(&f.strict, "strict", false, "fail if a reference in an archive leads outside; in a repository it always fails")
		f.output.add(flags)
	})
	f.common.add(cmd)
	return cmd
}

// args checks the arguments: an archive, unless --repo or -f says what is verified.
func (f *verifyFlags) args(cmd *cobra.Command, args []string) error {
	switch {
	case f.cluster.file != "":
		return f.checkCluster(args)
	case f.repo == "" && len(args) > 0 && isReference(args[0]):
		return guessf(replacing(args[0], "--repo", args[0]), "%s: is a reference; name a repository with --repo", args[0])
	case f.repo == "" && len(args) == 0:
		return usagef("name an archive, or a repository with --repo")
	case f.repo == "" || len(args) > 1:
		return oneFile(cmd, args)
	}
	return nil
}

func (f *verifyFlags) run(ctx context.Context, file string, show *progress) (*verified, error) {
	roots, err := f.check(file)
	if err != nil {
		return nil, err
	}
	if f.repo == "" {
		return f.archive(ctx, file, roots, show)
	}
	return f.repository(ctx, file, roots, show)
}

// check rejects command lines that make no sense, and returns the digests of --root.
func (f *verifyFlags) check(file string) ([]v1.Hash, error) {
	if err := firstWrong(f.checks(file)...); err != nil {
		return nil, err
	}
	if _, err := v1.NewHash(f.seal); err != nil && f.seal != "" {
		return nil, usagef("--seal %s: not a digest (sha256:…)", f.seal)
	}
	var roots []v1.Hash
	for _, s := range f.roots {
		d, err := v1.NewHash(s)
		if err != nil {
			return nil, usagef("--root %s: not a digest (sha256:…)", s)
		}
		roots = append(roots, d)
	}
	return roots, errors.Join(f.known.check(), f.output.check(), checkJobs(f.jobs))
}

func (f *verifyFlags) checks(file string) []check {
	repo, archive := f.repo != "", file != ""
	imported := f.tag != "" || f.noTag || f.repoTags
	return []check{
		exclusive("--tag", f.tag != "", "--no-tag", f.noTag),
		{!repo && (imported || f.level != string(verify.Manifests)), "--tag, --no-tag, --repo-based-tags and --level go with --repo"},
		{!archive && f.seal != "", "--seal goes with an archive"},
		{!archive && imported, "--tag, --no-tag and --repo-based-tags go with an archive, which lists the roots' tags and references"},
		oneOf("--level", f.level, string(verify.Manifests), string(verify.Blobs), string(verify.Deep)),
	}
}

// archive verifies an archive.
func (f *verifyFlags) archive(ctx context.Context, file string, roots []v1.Hash, show *progress) (*verified, error) {
	a, err := tarball.Open(file)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	blobs, bytes := a.Blobs()
	ph := show.begin("verify", blobs, bytes)
	damage, err := a.Check(ctx, f.jobs, ph.add)
	ph.end()
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", file, err)
	}
	r := &verified{Verdict: &report.Verdict{Act: "Verification", Subject: file, Archive: archiveOf(file, a), Strict: f.strict,
		Pinned: f.seal != "" || len(roots) > 0, AttachedNote: notLooked}}
	more := max(0, len(damage)-mostDamage)
	damage = slices.Clone(damage[:len(damage)-more])
	plan, planErr := a.Plan(ctx, f.jobs)
	if isBadFile(planErr) {
		return nil, fmt.Errorf("verify %s: %w", file, planErr)
	}
	r.Fix = "carry the file again; if the original is damaged, too, export again"
	if plan != nil {
		r.holds(plan, true)
		r.Roots = plan.Graph.NamedRoots()
	}
	r.Problems = append(r.Problems, damageProblems(damage, usersOf(plan, damage))...)
	if more > 0 {
		r.Problems = append(r.Problems, report.Problem{Kind: report.Damaged, What: "more", Reason: fmt.Sprintf("there are %d more damaged places", more)})
	}
	if planErr != nil && (len(damage) == 0 || !errors.Is(planErr, digest.ErrMismatch)) { // which is damage that is listed
		r.Problems = append(r.Problems, report.Problem{Kind: report.Damaged, What: "content", Reason: planErr.Error()})
	}
	r.Proved, r.NotProved = provedOf(a, plan)
	if err := f.compareSeal(r, a); err != nil {
		return nil, err
	}
	r.compareRoots(r.Roots, roots)
	if plan != nil && len(damage) == 0 {
		if err := f.scan(ctx, r, a, plan, show); err != nil {
			return nil, fmt.Errorf("verify %s: %w", file, err)
		}
	}
	r.Judge()
	return r, ctx.Err()
}

// scan looks for what in an archive that is whole would lead outside.
func (f *verifyFlags) scan(ctx context.Context, r *verified, a *tarball.Archive, plan *bundle.Plan, show *progress) error {
	found, err := scan(ctx, a, plan, f.jobs, show)
	if err != nil {
		return err
	}
	if err := r.take(found, &f.known); err != nil {
		return err
	}
	return f.output.platforms(ctx, r, a, f.jobs)
}

// mostDamage is how many damaged places of an archive a report lists.
const mostDamage = 1000

// isBadFile reports whether the file could not be read, which is not damage of what was written to it.
func isBadFile(err error) bool { return isA[*fs.PathError](err) }

// usersOf names the images that need what is damaged; plan may be nil.
func usersOf(plan *bundle.Plan, damage []tarball.Damage) map[v1.Hash][]string {
	users := map[v1.Hash][]string{}
	for _, d := range damage {
		users[d.Digest] = nil
	}
	if plan == nil || len(users) == 0 {
		return users
	}
	for _, n := range plan.Graph.Nodes {
		for _, d := range append([]v1.Descriptor{n.Descriptor}, n.Blobs...) {
			names, isDamaged := users[d.Digest]
			if isDamaged && (len(names) == 0 || names[len(names)-1] != n.Name()) { // a layer may come twice
				users[d.Digest] = append(names, n.Name())
			}
		}
	}
	for _, names := range users {
		slices.Sort(names)
	}
	return users
}

// compareSeal holds the archive's seal to the one that was given, if any.
func (f *verifyFlags) compareSeal(r *verified, a *tarball.Archive) error {
	if f.seal != "" && a.Format() == tarball.Imgpkg {
		return usagef("--seal: %s has imgpkg's form, which has no seal; --root proves what it holds", r.Subject)
	}
	switch seal := a.Seal(); f.seal {
	case "":
	case seal.String():
		r.Proved = append(r.Proved, "the seal is the one given: it is the file that was exported")
	default:
		r.Problems = append(r.Problems, report.Problem{Kind: report.Different, What: "seal", Reason: fmt.Sprintf("it is %s, want %s", seal, f.seal)})
	}
	return nil
}

// compareRoots holds the roots of an archive to the digests that were given, if any.
func (r *verified) compareRoots(have []report.Root, want []v1.Hash) {
	if len(want) == 0 {
		return
	}
	for _, root := range have {
		if !slices.Contains(want, root.Digest) {
			r.Problems = append(r.Problems, report.Problem{Kind: report.Different, What: "root " + root.Reference, Reason: fmt.Sprintf("it is %s, which is no --root", root.Digest)})
		}
	}
	for _, d := range want {
		if !slices.ContainsFunc(have, func(root report.Root) bool { return root.Digest == d }) {
			r.Problems = append(r.Problems, report.Problem{Kind: report.Missing, What: "root " + d.String(), Reason: "the archive does not have it as a root"})
		}
	}
	r.Proved = append(r.Proved, "the roots are those given")
}
