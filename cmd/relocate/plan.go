package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/report"
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
	leaks

	Attachments *attachmentsReport `json:"attachments,omitempty"` // nil where they were not looked for
}

// planFlags are the flags of plan.
type planFlags struct {
	source    sourceFlags
	chosen    platformFlags
	delta     deltaFlags
	form      tarFormat
	format    format
	strict    bool
	known     tolerance
	selection selectionFlags
	rendering renderFlags
	config    configFlags
	common
}

func newPlan() *cobra.Command { return new(planFlags).newCommand() }

func (f *planFlags) newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan (-b REF... | -i REF... | --lock FILE)",
		Short: "Show what an export would copy, and the exact size of the archive",
		Long: `plan walks a repository as an export does, and shows what an export would copy.
It downloads manifests, configs and bundles, but no image layers. It reports
references that point outside as an export does; --strict, --allow and --accept
work the same.

` + statusHelp,
		Example: `  relocate plan -b registry.example.com/tce/main:v0.12.0`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 0 && isFile(args[0]):
				return guessf(replaceAll("inspect", args[0]), "%s is a file; plan takes a reference; inspect shows an archive", args[0])
			case len(args) > 0:
				return guessf(replacing(args[0], "-b", args[0]), "%s: name a reference with -b or -i", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := f.run(newProgress(cmd.Context(), f.progress, cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			if err := f.format.print(cmd.OutOrStdout(), r, r.text); err != nil {
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
		f.chosen.add(flags)
		f.form.add(flags)
		f.delta.add(flags)
		addFormat(flags, &f.format)
	})
	group(cmd, "Findings", func(flags *pflag.FlagSet) {
		flags.BoolVar(&f.strict, "strict", false, "fail with status 6 if a reference points outside")
		f.known.add(flags)
	})
	f.selection.add(cmd)
	f.rendering.addOn(cmd)
	f.common.add(cmd)
	f.config.addTo(cmd, "Flags", f.configFor)
	return cmd
}

// check rejects command lines that make no sense, and reads what is selected.
func (f *planFlags) check() error {
	if !f.source.given() {
		return usagef("no source: give -b REF, -i REF or --lock FILE")
	}
	f.rendering.chooses = f.selection.given()
	if err := errors.Join(firstWrong(f.delta.checks(f.form)...), f.source.check(), f.chosen.check(), f.known.check(), f.rendering.check(f.rendering.on || f.strict),
		f.selection.check(f.rendering.version()), checkJobs(f.jobs)); err != nil {
		return err
	}
	return f.config.choose(&f.selection, f.rendering.version())
}

// set sets what is selected.
func (f *planFlags) set(opt *relocate.Options) {
	f.selection.set(opt)
	f.config.set(opt)
	f.chosen.set(opt)
}

// run walks the repository.
func (f *planFlags) run(ctx context.Context, show *display) (*planReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	bases, err := f.delta.read()
	if err != nil {
		return nil, err
	}
	from, err := f.source.source(&f.common)
	if err != nil {
		return nil, err
	}
	opt := relocate.Options{Jobs: f.jobs, Progress: show.see}
	f.rendering.set(&opt)
	f.set(&opt)
	defer opt.Renderer.Close()
	found, err := relocate.Plan(ctx, from, relocate.Target{Format: f.form.Format, Bases: bases}, opt)
	if err != nil {
		return nil, asUsage(err)
	}
	plan := found.Plan
	r := &planReport{Version: reportVersion, Roots: plan.Graph.NamedRoots(), Contents: plan.Contents(), ArchiveSize: found.Size, Omitted: plan.Omitted, Bases: plan.Given(), Selection: found.Selected}
	if f.source.attachments != attachmentsNone {
		r.Attachments = attachmentsOf(plan.Graph, true)
	}
	return r, r.take(found.Scan, &f.known)
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
	if s := r.Scan; s != nil && s.Rendering() != "" {
		fmt.Fprintf(w, "templates  %s\n", s.Rendering())
	}
	summarizeSelected(w, r.Selection, "; -o json lists them all")
	r.Attachments.summarize(w)
	summarizeBases(w, r.Bases)
	summarizeOmitted(w, r.Omitted)
	writeFindings(w, r.Findings, mostProblems, "; -o json lists them all")
	summarizeAccepted(w, r.Accepted)
	if s := r.Scan; s != nil && s.Packages > 0 && s.Inside == s.References && r.Findings.Breaking()+r.Accepted.Breaking() == 0 {
		fmt.Fprintf(w, "outside    none of the %s in %s and their files points outside\n", count(s.References, "reference"), count(s.Packages, "package version"))
	}
}
