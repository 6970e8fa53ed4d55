package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/bundle"
	"relocate/diff"
	"relocate/internal/inspect"
	"relocate/internal/outfile"
	"relocate/internal/printer"
	"relocate/report"
	"relocate/report/page"
)

// planReport is what plan prints.
type planReport struct {
	Version     int              `json:"version"`
	Roots       []report.Root    `json:"roots"`
	Contents    report.Contents  `json:"contents"`
	ArchiveSize int64            `json:"archiveSize"` // exact
	Omitted     []report.Omitted `json:"omitted,omitempty"`
	Bases       []report.Base    `json:"bases,omitempty"` // of which the archive would assume layers

	Selection []report.Selected `json:"selection,omitempty"` // of the roots from which packages were chosen
	Replaced  []report.Replaced `json:"replaced,omitempty"`  // by others, for some platforms
	leaks

	Attachments *attachmentsReport `json:"attachments,omitempty"` // nil where they were not looked for
	Images      []inspect.Image    `json:"images,omitempty"`      // with --tree
	Changes     *diff.Report       `json:"changes,omitempty"`     // against --base
	Shards      *shardsReport      `json:"shards,omitempty"`      // with --shards
	Uploads     []upload           `json:"uploads,omitempty"`     // of an export

	plan      *bundle.Plan
	imports   bool                 // an archive, and not a source in registries
	platforms map[v1.Hash][]string // of a page
}

// planFlags are the flags of plan.
type planFlags struct {
	source    sourceFlags
	fromTar   string
	shards    shardsFlags
	chosen    platformFlags
	delta     deltaFlags
	form      tarFormat
	format    format
	tree      bool
	file      string // --report
	command   string // as it was run
	strict    bool
	known     tolerance
	selection selectionFlags
	rendering renderFlags
	config    configFlags
	archives  archiveFlags
	common
}

func newPlan() *cobra.Command { return new(planFlags).newCommand() }

func (f *planFlags) newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan (-b REF... | -i REF... | --lock FILE | --from-tar FILE)",
		Short: "Show what an export or an import would copy, and the exact size of the archive",
		Long: `plan walks a repository as an export does, and shows what an export would copy.
It downloads manifests, configs and bundles, but no image layers. It reports
references that point outside as an export does; --strict, --allow and --accept
work the same. --tree also shows all bundles and images with their sizes. --base
shows what is new compared with an archive, as relocate diff does. --from-tar
shows what an import of an archive would upload to an empty repository.

--shards N shows how N machines would share an import. --assume estimates how
long that takes, and whether it gains anything.

` + statusHelp,
		Example: `  relocate plan -b registry.example.com/tce/main:v0.12.0
  relocate plan --from-tar tce.tar --shards 4 --assume 1Gbps,registry=800MBps`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 0 && isFile(args[0]):
				return guessf(replacing(args[0], "--from-tar", args[0]), "%s is a file: name an archive with --from-tar", args[0])
			case len(args) > 0:
				return guessf(replacing(args[0], "-b", args[0]), "%s: name a reference with -b or -i", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f.command = commandLine(cmd, args)
			r, err := f.run(newProgress(cmd.Context(), f.progress, cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			if err := f.print(cmd.OutOrStdout(), r); err != nil {
				return err
			}
			if f.strict && r.Findings.Breaking() > 0 {
				return notClosedError{fmt.Errorf("--strict: %s", r.Findings.Open())}
			}
			return nil
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		f.source.add(flags)
		flags.StringVar(&f.fromTar, "from-tar", "", "plan an import of the archive `FILE`")
		f.chosen.add(flags)
		f.form.add(flags)
		f.delta.add(flags)
		addFormat(flags, &f.format)
		flags.BoolVar(&f.tree, "tree", false, "also show bundles and images")
		f.shards.add(flags)
		flags.StringVar(&f.file, "report", "", "also write the plan to `FILE`: a page if its name ends in .html, else JSON")
	})
	group(cmd, "Findings", func(flags *pflag.FlagSet) {
		flags.BoolVar(&f.strict, "strict", false, "fail with status 6 if a reference points outside")
		f.known.add(flags)
	})
	f.selection.add(cmd)
	f.rendering.addOn(cmd)
	f.common.add(cmd)
	f.config.addTo(cmd, "Flags", f.configFor)
	f.archives.addTo(cmd, func([]string) bool { return !f.source.given() && f.fromTar == "" && f.config.path == "" })
	return cmd
}

// check rejects command lines that make no sense, and reads what is selected.
func (f *planFlags) check(ctx context.Context) error {
	if err := firstWrong(append(f.archiveChecks(), f.shards.checks()...)...); err != nil {
		return err
	}
	f.rendering.chooses = f.selection.given()
	if err := errors.Join(firstWrong(f.delta.checks(f.form)...), f.source.check(), f.chosen.check(), f.known.check(), f.rendering.check(ctx, f.rendering.on || f.strict),
		f.selection.check(ctx, f.rendering.version()), checkReport(f.file)); err != nil || f.fromTar != "" {
		return err
	}
	return f.config.choose(ctx, &f.selection, f.rendering.version())
}

// archiveChecks are about the source: registries, or an archive.
func (f *planFlags) archiveChecks() []check {
	archive, registry := f.fromTar != "", f.source.given()
	finds := f.strict || len(f.known.allow) > 0 || f.known.accept != ""
	return []check{
		{!archive && !registry, "no source: give -b REF, -i REF, --manifests PATH, --lock FILE or --from-tar FILE"},
		{archive && registry, "two sources: give -b, -i or --lock, or --from-tar"},
		{archive && len(f.delta.have)+len(f.delta.bases) > 0, "--have and --base need a source in a registry; relocate " +
			"diff compares archives"},
		{archive && isPage(f.file), "--report " + f.file + ": an import that is planned has no page; relocate verify " +
			"makes one of an archive"},
		{archive && f.form.Format != "", "--tar-format needs a source in a registry"},
		{archive && (finds || f.rendering.on), "--strict, --allow, --accept and --render need a source in a registry; " +
			"relocate verify examines an archive"},
	}
}

// set sets what is selected.
func (f *planFlags) set(opt *relocate.Options) {
	f.selection.set(opt)
	f.config.set(opt)
	f.chosen.set(opt)
}

// run walks the repository.
func (f *planFlags) run(ctx context.Context, show *display) (*planReport, error) {
	if err := f.check(ctx); err != nil {
		return nil, err
	}
	opt := relocate.Options{Jobs: f.jobs.least, MostJobs: f.jobs.most, Progress: show.see}
	f.rendering.set(&opt)
	defer opt.Renderer.Close()
	if f.fromTar != "" {
		f.chosen.set(&opt)
		return f.planImport(ctx, opt)
	}
	bases, err := f.delta.read(ctx, &f.archives)
	if err != nil {
		return nil, err
	}
	from, err := f.source.source(&f.common)
	if err != nil {
		return nil, err
	}
	r := &planReport{Version: reportVersion}
	f.set(&opt)
	opt.Content = func(ctx context.Context, src bundle.Source, plan *bundle.Plan) (err error) {
		if isPage(f.file) {
			r.platforms, err = page.Platforms(ctx, src, plan, f.jobs.least)
		}
		if err == nil && len(f.delta.bases) > 0 {
			r.Changes, err = f.changes(ctx, src, plan, opt)
		}
		return err
	}
	found, err := relocate.Plan(ctx, from, relocate.Target{Format: f.form.Format, Bases: bases}, opt)
	if err != nil {
		return nil, asUsage(err)
	}
	f.describe(r, found)
	return r, r.take(found.Scan, &f.known)
}

// planImport reads an archive.
func (f *planFlags) planImport(ctx context.Context, opt relocate.Options) (*planReport, error) {
	a, err := f.archives.open(ctx, f.fromTar)
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Close() }() // it was only read
	part, err := f.config.partOf(ctx, a, &f.selection, opt)
	if err != nil {
		return nil, err
	}
	r := &planReport{Version: reportVersion, imports: true}
	f.describe(r, &relocate.Result{Plan: part.Plan, Size: a.Size(), Selected: part.Selected, Replaced: part.Replaced})
	return r, nil
}

// describe says what would be copied.
func (f *planFlags) describe(r *planReport, found *relocate.Result) {
	plan := found.Plan
	r.plan, r.Roots, r.Contents, r.ArchiveSize = plan, plan.Graph.NamedRoots(), plan.Contents(), found.Size
	r.Omitted, r.Bases, r.Selection, r.Replaced = plan.Omitted, plan.Given(), found.Selected, found.Replaced
	if f.source.attachments != attachmentsNone {
		r.Attachments = attachmentsOf(plan.Graph, !r.imports)
	}
	if f.tree {
		r.Images = inspect.Images(plan.Graph)
	}
	r.Shards = f.shards.shards(plan)
	if !r.imports {
		r.Uploads = uploadsOf(r.ArchiveSize)
	}
}

// changes says what is new against the archives of --base.
func (f *planFlags) changes(ctx context.Context, src bundle.Source, plan *bundle.Plan, opt relocate.Options) (*diff.Report, error) {
	bases, closeAll, err := f.archives.openAll(ctx, f.delta.bases)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	a := relocate.Side{Name: strings.Join(f.delta.bases, ", "), Archives: bases}
	b := relocate.Side{Name: plan.Graph.Roots[0].Reference.Name(), Plan: plan, Content: src}
	return relocate.Diff(ctx, a, b, opt)
}

// print prints the plan and then writes the report's file.
func (f *planFlags) print(w io.Writer, r *planReport) error {
	err := f.format.print(w, r, func(w io.Writer) {
		r.text(w)
		if r.Changes != nil {
			fmt.Fprintln(w)
			differences{r.Changes}.text(w)
		}
		if f.tree {
			fmt.Fprintln(w)
			writeTree(w, r.plan.Graph)
		}
	})
	switch {
	case err != nil || f.file == "":
		return err
	case isPage(f.file):
		opt := pageOptions(f.command, r.plan, r.platforms)
		opt.Changes = r.Changes
		return writePage(f.file, r.verdict(), opt)
	}
	b, err := printer.JSON(r)
	if err != nil {
		return err
	}
	return outfile.Write(f.file, b)
}

// verdict is what a page says of the plan.
func (r *planReport) verdict() *report.Verdict {
	v := &report.Verdict{
		Act: "Plan", Subject: r.Roots[0].Reference, OK: true, AttachedNote: notWanted,
		Sentence:  fmt.Sprintf("An export would copy %s: an archive of %s", r.Contents, size(r.ArchiveSize)),
		Proved:    []string{"every manifest, config and bundle that an export copies was read, and has the digest that names it"},
		NotProved: []string{"that layers can be read, and have the digests that name them: an export reads them"},
	}
	r.plan.Describe(v, false)
	v.Findings, v.Accepted, v.Scan, v.Selected = r.Findings, r.Accepted, r.Scan, r.Selection
	v.Roots, v.Replaced, v.Attached, v.Unseen = r.Roots, r.Replaced, nil, nil
	if a := r.Attachments; a != nil {
		v.Attached, v.Bare, v.Unseen, v.AttachedNote = a.Found, a.Absent, a.Unseen, allAsked
	}
	return v.Limit()
}

func (r planReport) text(w io.Writer) {
	writeRoots(w, r.Roots)
	c := r.Contents
	fmt.Fprintf(w, "packages   %s of %s\n", count(c.PackageVersions, "version"), count(c.Packages, "package"))
	fmt.Fprintf(w, "bundles    %d\n", c.Bundles)
	fmt.Fprintf(w, "images     %d, and %s\n", c.Images, count(c.Indexes, "index"))
	if c.Attachments > 0 {
		fmt.Fprintf(w, "attached   %d\n", c.Attachments)
	}
	fmt.Fprintf(w, "blobs      %d distinct, %s\n", c.Blobs, size(c.Bytes))
	fmt.Fprintf(w, "archive    %d bytes (%s)\n", r.ArchiveSize, size(r.ArchiveSize))
	writeUploads(w, r.Uploads)
	r.Shards.text(w)
	if s := r.Scan; s != nil && s.Rendering() != "" {
		fmt.Fprintf(w, "templates  %s\n", s.Rendering())
	}
	summarizeSelected(w, r.Selection, "; -o json lists them all")
	r.Attachments.summarize(w)
	summarizeBases(w, r.Bases)
	summarizeReplaced(w, r.Replaced, "; -o json lists them all")
	summarizeOmitted(w, r.Omitted)
	writeFindings(w, r.Findings, mostProblems, "; -o json lists them all")
	summarizeAccepted(w, r.Accepted)
	if s := r.Scan; s != nil && s.Closed() && s.Inside == s.References && r.Findings.Breaking()+r.Accepted.Breaking() == 0 {
		fmt.Fprintf(w, "outside    none of the %s in %s points outside\n", count(s.References, "reference"), s.Places())
	}
}
