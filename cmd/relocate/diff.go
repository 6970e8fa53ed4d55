package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/copy"
	"relocate/crossing"
	"relocate/diff"
	"relocate/internal/outfile"
	"relocate/internal/printer"
	"relocate/inventory"
	"relocate/report/page"
	"relocate/tarball"
)

// diffFlags are the flags of diff.
type diffFlags struct {
	nonDistributable bool
	attachments      string
	format           format
	file             string // --report
	command          string // as it was run
	archives         archiveFlags
	common
}

const diffHelp = `diff shows what B holds and A does not, and the other way round: packages and
versions, the values that they take, images, and the bytes to carry. A and B are
each an archive, a reference REGISTRY/PATH:TAG (or @DIGEST), an inventory, or a
file .yml that describes a crossing (relocate help config).

It does not read the layers of an archive; verify checks their content, too.
A reference, or what a crossing names, is read as plan reads it. Content is
compared by digest: a repository and its relocated copy are equal. An inventory
names no packages, so only digests and sizes are compared.

Values are compared between each version that is added and the newest older one
of A, and between the two contents of a version that changed. They are those of
the Package's schema or, without one, of the files that it fetches.

`

func newDiff() *cobra.Command {
	f := &diffFlags{}
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Show what differs between two archives or repositories",
		Long: diffHelp + `Exit status: 0 no differences, 7 differences, else as for the other commands:
1 failure, 2 usage or configuration, 4 login or permission, 5 damage, 6 content
is missing, 8 no space, 130 interrupted.`,
		Example: `  relocate diff tce-0.11.tar tce-0.12.tar
  relocate diff tce-0.11.tar registry.example.com/tce/main:v0.12.0 \
    --report changes.html
  relocate diff registry.airgap.internal/tce/main:v0.11.0 tce-0.12.tar -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("name two things to compare; got %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			f.command = commandLine(cmd, args)
			ctx, show := newProgress(cmd.Context(), f.progress, cmd.ErrOrStderr())
			r, err := f.run(ctx, show, args)
			if err != nil {
				return err
			}
			return f.print(cmd, r)
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		addFormat(flags, &f.format)
		flags.StringVar(&f.file, "report", "", "also write the differences to `FILE`: a page if its name ends in .html, else JSON")
		flags.BoolVar(&f.nonDistributable, "include-non-distributable-layers", false, "also compare a reference's layers whose licence may forbid copying them")
		flags.StringVar(&f.attachments, "attachments", attachmentsAuto, "also compare a reference's signatures, attestations and SBOMs in this `MODE`: auto compares those that the registry shows, none compares none")
	})
	f.common.add(cmd)
	f.archives.addTo(cmd, nil)
	return cmd
}

func (f *diffFlags) check() error {
	if err := firstWrong(oneOf("--attachments", f.attachments, attachmentsAuto, attachmentsNone)); err != nil {
		return err
	}
	return errors.Join(checkReport(f.file))
}

// run compares the two sides.
func (f *diffFlags) run(ctx context.Context, show *display, args []string) (*diff.Report, error) {
	var sides [2]relocate.Side
	var refs []name.Reference
	for i, arg := range args {
		side, err := f.readSide(ctx, arg)
		if err != nil {
			return nil, err
		}
		defer closeSide(side)
		refs = slices.Concat(refs, side.Source.Bundles, side.Source.Images)
		sides[i] = side
	}
	client, err := f.source(refs)
	if err != nil {
		return nil, err
	}
	for i := range sides {
		sides[i].Source.Client = client
	}
	opt := relocate.Options{Jobs: f.jobs.least, MostJobs: f.jobs.most, Progress: show.see, Renderer: newRenderer()}
	defer opt.Renderer.Close()
	return relocate.Diff(ctx, sides[0], sides[1], opt)
}

// print prints the differences and then writes the report's file.
func (f *diffFlags) print(cmd *cobra.Command, r *diff.Report) error {
	if err := f.format.print(cmd.OutOrStdout(), r, differences{r}.text); err != nil {
		return err
	}
	if f.file != "" {
		if err := f.write(r); err != nil {
			return err
		}
	}
	if r.Equal {
		return nil
	}
	return problemsError{status: statusDifferent, text: fmt.Sprintf("%s and %s differ", r.A.Name, r.B.Name)}
}

// readSide opens what an argument names. The caller closes it.
func (f *diffFlags) readSide(ctx context.Context, arg string) (side relocate.Side, err error) {
	side.Name = arg
	switch {
	case f.archives.isURL(arg):
		return f.archive(ctx, side, arg)
	case !isFile(arg) && !isReference(arg):
		return side, usagef("%s is neither a file nor a reference such as registry.example.com/path:tag", arg)
	case !isFile(arg):
		side.Source, err = f.reference(arg)
		return side, err
	case slices.Contains([]string{".yml", ".yaml"}, filepath.Ext(arg)):
		err = f.crossing(ctx, &side, arg)
		return side, err
	}
	list, err := readInventory(arg)
	if err != nil {
		return side, err
	}
	if list != nil {
		side.Inventories = []*inventory.Inventory{list}
		return side, nil
	}
	return f.archive(ctx, side, arg)
}

// archive makes a side of an archive.
func (f *diffFlags) archive(ctx context.Context, side relocate.Side, arg string) (relocate.Side, error) {
	a, err := f.archives.open(ctx, arg)
	if err != nil {
		return side, err
	}
	side.Archives = []*tarball.Archive{a}
	return side, nil
}

// reference returns a reference as a source.
func (f *diffFlags) reference(arg string) (from relocate.Source, err error) {
	ref, err := parseReference("", arg)
	from.Bundles, from.NonDistributable = []name.Reference{ref}, f.nonDistributable
	if f.attachments == attachmentsNone {
		from.Attachments = copy.AttachNothing
	}
	return from, err
}

// crossing makes a side of the roots in a file that describes a crossing, and of what it selects of
// them, as plan does.
func (f *diffFlags) crossing(ctx context.Context, side *relocate.Side, file string) error {
	plan := &planFlags{}
	flags := plan.newCommand().Flags()
	plan.config.path = file
	err := plan.config.fill(flags, func(s *crossing.Setting) string { return plan.configFor(s, nil) })
	if err == nil && !plan.source.given() {
		err = usagef("%s names no roots", file)
	}
	if err == nil {
		err = plan.check(ctx)
	}
	if err == nil {
		side.Source, err = plan.source.source(&f.common)
	}
	if err != nil {
		return plan.config.explain(err)
	}
	var opt relocate.Options
	plan.set(&opt)
	side.Selection = opt.Selection
	return nil
}

// closeSide closes the archives of a side, which were only read.
func closeSide(side relocate.Side) {
	for _, a := range side.Archives {
		_ = a.Close()
	}
}

// inventoryStart is how an inventory begins.
const inventoryStart = "relocate inventory "

// readInventory reads an inventory; it returns nil for a file that does not begin as one.
func readInventory(file string) (*inventory.Inventory, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	r := bufio.NewReader(f)
	if start, err := r.Peek(len(inventoryStart)); err != nil || string(start) != inventoryStart {
		return nil, nil //nolint:nilerr // what it is instead is for others to say
	}
	list, err := inventory.Read(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return list, nil
}

// write writes the report's file: a page when its name ends in .html, otherwise JSON.
func (f *diffFlags) write(r *diff.Report) error {
	encode := func() ([]byte, error) { return printer.JSON(r) }
	if isPage(f.file) {
		encode = func() ([]byte, error) { return page.RenderDiff(r, pageOptions(f.command, nil, nil)) }
	}
	b, err := encode()
	if err != nil {
		return fmt.Errorf("write %s: %w", f.file, err)
	}
	return outfile.Write(f.file, b)
}
