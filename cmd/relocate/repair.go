package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
)

// repairFlags are the flags of repair.
type repairFlags struct {
	volumes  []string // folders
	progress progressMode
	output   reportFlags
}

func newRepair() *cobra.Command {
	f := &repairFlags{}
	cmd := &cobra.Command{
		Use:   "repair FILE",
		Short: "Rebuild lost or damaged volumes of an archive",
		Long: `repair checks all volumes of an archive that was exported with --volume-size and
--parity N, and rebuilds those that are lost or damaged, byte for byte, as long
as they are at most N. If they are more, it lists the images that are lost, and
changes nothing.

FILE is the name of the archive, without the number of a volume. Volumes may be
in several folders (--volumes); those that are rebuilt are written to the folder
of FILE. A volume gets its name only when the seal and every digest of the
archive say that it is right.

` + statusHelp,
		Example: `  relocate repair tce.tar
  relocate repair /media/disk1/tce.tar --volumes /media/disk2`,
		Args: archiveArgs(oneLocal("download the volumes first, and name the archive in their folder")),
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
		addFolders(flags, &f.volumes)
		f.output.add(flags)
	})
	group(cmd, "Running", func(flags *pflag.FlagSet) {
		addProgress(flags, &f.progress)
	})
	return cmd
}

func (f *repairFlags) run(ctx context.Context, file string, show *display) (*verified, error) {
	if err := f.output.check(); err != nil {
		return nil, err
	}
	renderer := newRenderer()
	defer renderer.Close()
	verdict, err := relocate.Repair(ctx, file, f.volumes, relocate.Options{Progress: show.see, Renderer: renderer})
	return &verified{Verdict: verdict}, err
}
