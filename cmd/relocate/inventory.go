package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/inventory"
)

// inventoryFlags are the flags of inventory.
type inventoryFlags struct {
	repo   string
	config configFlags

	archives archiveFlags
	common
}

func newInventory() *cobra.Command {
	f := &inventoryFlags{}
	cmd := &cobra.Command{
		Use:   "inventory (FILE | --repo REPO)",
		Short: "List what a registry or an archive has, for an export to leave out",
		Long: `inventory lists what a private registry has, as text: digests and sizes, and
nothing else. A person can read the file before it leaves the closed network.
With it, the next export leaves out the layers that are listed:

  relocate -b REF --to-tar delta.tar --have inventory.txt

inventory --repo REPO follows every tag of the repository. It reads manifests
and no layers. inventory FILE lists what a registry has after the archive FILE
is imported. It reads what comes before the layers and does not verify the rest.

The same content gives the same text. docs/deltas.md explains deltas.

` + statusHelp,
		Example: `  relocate inventory --repo registry.airgap.internal/tce/main > inventory.txt
  relocate inventory tce.tar > inventory.txt`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.repo == "" && len(args) > 0 && isReference(args[0]):
				return guessf(replacing(args[0], "--repo", args[0]), "%s is a reference; name a repository with --repo", args[0])
			case f.repo == "" && len(args) == 0:
				return usagef("name an archive, or a repository with --repo")
			case f.repo != "" && len(args) > 0:
				return usagef("--repo and an archive cannot be used together: an inventory lists one of them")
			case f.repo == "":
				return oneFile(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, show := newProgress(cmd.Context(), f.progress, cmd.ErrOrStderr())
			list, err := f.run(ctx, append(args, "")[0], show)
			if err != nil {
				return err
			}
			return errors.Join(list.Write(cmd.OutOrStdout()), summarizeInventory(cmd.ErrOrStderr(), list, f.repo == ""))
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.repo, "repo", "", "list what the repository `REPO` has: registry/path, without a tag")
	})
	f.common.add(cmd)
	f.config.addTo(cmd, "Flags", f.configFor)
	f.archives.addTo(cmd, func(args []string) bool { return f.repo == "" && len(args) == 0 })
	return cmd
}

func (f *inventoryFlags) run(ctx context.Context, file string, show *display) (*inventory.Inventory, error) {
	opt := relocate.Options{Jobs: f.jobs.least, MostJobs: f.jobs.most, Progress: show.see}
	if f.repo != "" {
		repo, err := parseRepo("--repo", f.repo)
		if err != nil {
			return nil, err
		}
		at := relocate.Destination{Repository: repo}
		if at.Client, err = f.common.destination(repo); err != nil {
			return nil, err
		}
		return relocate.Inventory(ctx, nil, at, opt)
	}
	a, err := f.archives.open(ctx, file)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	opt.Renderer = newRenderer()
	defer opt.Renderer.Close()
	return relocate.Inventory(ctx, a, relocate.Destination{}, opt)
}

// summarizeInventory says on standard error what was listed. The SHA-256 is how an archive names the
// inventory.
func summarizeInventory(w io.Writer, list *inventory.Inventory, ofArchive bool) error {
	n, bytes := map[inventory.Kind]int{}, int64(0)
	for e := range list.All() {
		n[e.Kind]++
		bytes += e.Size
	}
	says := "layers were not read"
	if ofArchive {
		says = "contents not verified: " + says
	}
	_, err := fmt.Fprintf(w, "inventory %s: %s, %s, %s; %s\n", list.Digest(), count(n[inventory.Root]+n[inventory.Manifest], "manifest"),
		count(n[inventory.Blob], "layer and config"), size(bytes), says)
	return err
}
