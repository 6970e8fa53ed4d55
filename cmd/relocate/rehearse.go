package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
)

// rehearseFlags are the flags of rehearse.
type rehearseFlags struct {
	as        string
	tag       string
	noTag     bool
	bases     []string
	volumes   []string // folders
	jobs      concurrency
	progress  progressMode
	known     tolerance
	selection selectionFlags
	chosen    platformFlags
	rendering renderFlags
	output    reportFlags
	config    configFlags
	trust     trustFlags
	receipts  receiptFlags
	archives  archiveFlags
}

func newRehearse() *cobra.Command {
	f := &rehearseFlags{}
	cmd := &cobra.Command{
		Use:   "rehearse FILE",
		Short: "Try an import without a registry, and verify the result",
		Long: `rehearse imports an archive into a registry inside relocate, and verifies the
result as the disconnected side would: everything is present, each reference
leads to the registry, also in what packages would deploy (see relocate render
--help), and no host is contacted, except that of an archive at a URL. The
registry accepts a manifest only when everything that it names is present, and
hashes every blob. Only this process can connect to it. It stores no second copy
of the data, and stops when the command ends.

--as REPO is the repository that the archive is meant for. Only its name is
used; rehearse does not contact it.

` + statusHelp,
		Example: `  relocate rehearse tce.tar
  relocate rehearse tce.tar --as registry.airgap.internal/tce/main`,
		Args: archiveArgs(oneFile),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.output.command = commandLine(cmd, args)
			ctx, show := newProgress(cmd.Context(), f.progress, cmd.ErrOrStderr())
			r, err := f.run(ctx, args[0], show)
			if err != nil {
				return err
			}
			return f.output.print(cmd.OutOrStdout(), r)
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.as, "as", "", "rehearse the import into `REPO`: registry/path (default: the path of the root at its source)")
		flags.StringVar(&f.tag, "tag", "", "tag the root as `TAG` instead of with its tag at the source")
		flags.StringArrayVar(&f.bases, "base", nil, "take the layers that the archive assumes from the archive `FILE`, as if it had been imported before (repeatable)")
		flags.BoolVar(&f.noTag, "no-tag", false, "do not tag the roots")
		addFolders(flags, &f.volumes)
		f.chosen.add(flags)
		f.trust.add(flags)
		f.known.add(flags)
		f.output.add(flags)
	})
	f.receipts.archives = &f.archives
	group(cmd, "Receipts", f.receipts.add)
	f.selection.add(cmd)
	f.rendering.addOff(cmd)
	group(cmd, "Running", func(flags *pflag.FlagSet) {
		f.jobs.add(flags)
		addProgress(flags, &f.progress)
	})
	f.config.addTo(cmd, "Flags", f.configFor)
	f.archives.addTo(cmd, func(args []string) bool { return len(args) == 0 })
	return cmd
}

func (f *rehearseFlags) run(ctx context.Context, file string, show *display) (*verified, error) {
	if f.tag != "" && f.noTag {
		return nil, usagef("--tag and --no-tag cannot be used together")
	}
	if err := errors.Join(f.known.check(), f.rendering.check(ctx, !f.rendering.off), f.selection.check(ctx, f.rendering.version()), f.chosen.check(), f.output.check()); err != nil {
		return nil, err
	}
	known, err := f.known.acceptance()
	if err != nil {
		return nil, err
	}
	as := relocate.Destination{Tag: f.tag, NoTag: f.noTag}
	if f.as != "" {
		if as.Repository, err = parseRepo("--as", f.as); err != nil {
			return nil, err
		}
	}
	if err := firstWrong(append(f.trust.checks(file), f.receipts.checks(file, "")...)...); err != nil {
		return nil, err
	}
	receipts, err := f.receipts.open(ctx, file, show)
	if err != nil {
		return nil, err
	}
	a, signature, err := f.archives.openSigned(ctx, &f.trust, file, f.volumes...)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	bases, closeBases, err := f.archives.openAll(ctx, f.bases)
	if err != nil {
		return nil, err
	}
	defer closeBases()
	if err := f.config.checkArchive(ctx, a); err != nil {
		return nil, err
	}
	r := &verified{}
	opt := relocate.VerifyOptions{Options: f.output.options(r, f.jobs, show), Accept: *known, Bases: bases}
	opt.Signature = signature
	f.rendering.set(&opt.Options)
	f.chosen.set(&opt.Options)
	if f.selection.set(&opt.Options); !f.selection.given() {
		f.config.set(&opt.Options)
	}
	defer opt.Renderer.Close()
	r.Verdict, err = relocate.Rehearse(ctx, a, as, opt)
	return r, r.receipt(receipts, a, err)
}
