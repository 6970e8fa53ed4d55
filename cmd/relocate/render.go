package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"relocate"
	"relocate/internal/printer"
	"relocate/render"
	"relocate/report"
)

// renderReport is what render prints as JSON.
type renderReport struct {
	Version   int                      `json:"version"`
	Package   string                   `json:"package"` // NAME/VERSION
	Fetches   []relocate.RenderedFetch `json:"fetches"`
	Documents []renderedDocument       `json:"documents,omitzero"` // nil with --images
	Images    []relocate.RenderedImage `json:"images"`
	Faults    []renderFault            `json:"faults"`
	Counts    renderCounts             `json:"counts"`
}

// renderCounts counts what a package deploys.
type renderCounts struct {
	Documents    int `json:"documents"`
	Images       int `json:"images"`       // places that name one
	Rewritten    int `json:"rewritten"`    // of them, by kbld
	NotRewritten int `json:"notRewritten"` // of them, those that a lock has
	NotLocked    int `json:"notLocked"`    // of them, those that kbld asks a registry for
	Faults       int `json:"faults"`
}

// renderedDocument is a document that kapp would be given.
type renderedDocument struct {
	File   string `json:"file,omitempty"` // of the app folder, where that is known
	Line   int    `json:"line,omitempty"`
	Object any    `json:"object"`
}

// renderFault is something that is wrong with a step.
type renderFault struct {
	Code    report.Code `json:"code"`
	Step    int         `json:"step"` // of spec.template, from 0; -1: a fetch
	Message string      `json:"message"`
	Action  string      `json:"action,omitempty"`
	File    string      `json:"file,omitempty"`
	Line    int         `json:"line,omitempty"`
}

// packageFlags are the flags of render.
type packageFlags struct {
	repo, toRepo string
	destination  name.Repository // of toRepo
	images       bool
	format       renderFormat
	rendering    renderFlags
	config       configFlags
	archives     archiveFlags
	common
}

// renderFormat is a value of --output of render.
type renderFormat string

// String implements pflag.Value.
func (f *renderFormat) String() string { return string(*f) }

// Set implements pflag.Value.
func (f *renderFormat) Set(s string) error {
	if s != "yaml" && s != "json" {
		return errors.New("must be yaml or json")
	}
	*f = renderFormat(s)
	return nil
}

// Type implements pflag.Value.
func (f *renderFormat) Type() string { return "FORMAT" }

const renderHelp = `render runs the templates of a package as kapp-controller does (ytt, kbld and
helm), and prints what kapp would be given. The package comes from an archive,
or from the package repository REF in a registry, where its bundles are looked
for in the repository of REF and then where the Package says. Without VERSION it
is the newest one.

The package has its default values, and those of --values-file, as from the
values Secret of a PackageInstall. With --to-repo REPO images are named as they
are after an import to REPO; without it, the locks are used as they are.

--images lists the images only: each as kapp would be given it, what it was
before kbld, and the file and line that it comes from. -o json has everything,
and also the faults of the package's steps.

Templates are untrusted programs. They see only the files of the package, run
with limits on time, output and memory, and have no network, as far as the
system can enforce that. Charts need a helm program.

`

func newRender() *cobra.Command {
	f := &packageFlags{}
	cmd := &cobra.Command{
		Use:   "render (FILE | --repo REF) package NAME[/VERSION]",
		Short: "Print what a package would deploy",
		Long:  renderHelp + statusHelp,
		Example: `  relocate render tce.tar package contour.community.tanzu.vmware.com
  relocate render tce.tar package contour.community.tanzu.vmware.com/1.20.1 \
    --values-file contour.yml --to-repo registry.airgap.internal/tce/main
  relocate render tce.tar package harbor.community.tanzu.vmware.com --images
  relocate render --repo registry.airgap.internal/tce/main:v0.12.0 \
    package contour.community.tanzu.vmware.com -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if f.repo == "" && len(args) > 0 && isReference(args[0]) {
				return guessf(replacing(args[0], "--repo", args[0]), "%s is a reference; name a package repository with --repo", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			file := ""
			if f.repo == "" && len(args) > 0 {
				file, args = args[0], args[1:]
			}
			pkg, err := f.check(cmd.Context(), file, args)
			if err != nil {
				return err
			}
			ctx, show := newProgress(cmd.Context(), f.progress, cmd.ErrOrStderr())
			r, err := f.run(ctx, file, pkg, show)
			if r != nil && r.Result != nil {
				f.warn(cmd.ErrOrStderr(), r)
			}
			if err != nil {
				return f.explain(err)
			}
			return f.print(cmd.OutOrStdout(), r)
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.repo, "repo", "", "take the package from the package repository `REF` in a registry, by tag or digest, instead of an archive")
		addValuesFiles(flags, &f.rendering.files)
		flags.StringVar(&f.toRepo, "to-repo", "", "name images as they are after an import to `REPO`: registry/path, without a tag")
		flags.BoolVar(&f.images, "images", false, "list the images only")
		flags.VarP(&f.format, "output", "o", "print the result as `FORMAT`: yaml (the documents) or json (also images, with file and line)")
		f.rendering.addPrograms(flags)
	})
	f.common.add(cmd)
	f.config.addTo(cmd, "Flags", f.configFor)
	f.archives.addTo(cmd, func(args []string) bool { return f.repo == "" && noArchive(args) })
	return cmd
}

// check rejects command lines that make no sense, reads the values files, and returns the package. view
// is what follows the archive.
func (f *packageFlags) check(ctx context.Context, file string, view []string) (pkg string, err error) {
	words := strings.Join(view, " ")
	after := "after the archive"
	if f.repo != "" {
		after = "with --repo"
	}
	if len(view) == 1 && words != "package" && words != "packages" {
		return "", guessf(replacing(words, "package", words), "%s, write \"package NAME[/VERSION]\", not %q", after, words)
	}
	pkg, one := strings.CutPrefix(words, "package ")
	_, version, _ := strings.Cut(pkg, "/")
	if err := firstWrong(
		check{f.repo == "" && file == "", "name an archive, or a package repository with --repo"},
		exclusive("an archive", len(view) == 3 && view[1] == "package", "--repo", f.repo != ""),
		check{words == "", after + ", write \"package NAME[/VERSION]\""},
		check{!one || len(view) != 2, fmt.Sprintf("%s, write \"package NAME[/VERSION]\", not %q", after, words)},
		check{strings.Contains(version, "/"), "package " + pkg + ": write NAME or NAME/VERSION"},
	); err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(pkg, "/")
	for i, given := range f.rendering.files {
		of, file := splitValues(given)
		if of == "" {
			f.rendering.files[i] = name + "=" + file
		} else if named, _, _ := strings.Cut(of, "/"); named != name {
			return "", usagef("--values-file %s: the package is %s", given, name)
		}
	}
	if f.toRepo != "" {
		if f.destination, err = parseRepo("--to-repo", f.toRepo); err != nil {
			return "", err
		}
	}
	return pkg, errors.Join(f.rendering.check(ctx, true))
}

// run renders the package.
func (f *packageFlags) run(ctx context.Context, file, pkg string, show *display) (*relocate.Rendered, error) {
	opt := relocate.RenderOptions{Options: relocate.Options{Jobs: f.jobs.least, MostJobs: f.jobs.most, Progress: show.see}, Destination: f.destination}
	f.rendering.set(&opt.Options)
	defer opt.Renderer.Close()
	f.config.noteWhole(show)
	a, from, err := f.archiveOrRepo(ctx, &f.archives, file, f.repo)
	if err != nil {
		return nil, err
	}
	if a != nil {
		defer func() { _ = a.Close() }() // it was only read
	}
	return relocate.Render(ctx, a, from, pkg, opt)
}

// warn says what is wrong with what came out.
func (f *packageFlags) warn(w io.Writer, r *relocate.Rendered) {
	say := func(format string, args ...any) {
		fmt.Fprintf(w, "warning: %s\n", folded(w, fmt.Sprintf(format, args...), 9))
	}
	for _, fault := range r.Faults {
		say("%s%s (%s)", place(fault.Place.File, fault.Place.Line), line(fault.Message), fault.Code)
		if fault.Action != "" {
			fmt.Fprintf(w, "  → %s\n", folded(w, line(fault.Action), 4))
		}
	}
	for _, i := range r.Images {
		if i.NotRewritten {
			say("%s%s is in the lock, but kbld does not rewrite it", place(i.File, i.Line), line(i.Reference))
		}
		if i.NotLocked {
			say("%s%s has a tag and is not in the lock: kbld asks its registry for the digest, and the step fails without an answer",
				place(i.File, i.Line), line(i.Reference))
		}
	}
}

// place is a file and its line, before a message.
func place(file string, at int) string {
	switch {
	case file == "":
		return ""
	case at == 0:
		return line(file) + ": "
	}
	return fmt.Sprintf("%s:%d: ", line(file), at)
}

// print prints what was rendered.
func (f *packageFlags) print(w io.Writer, r *relocate.Rendered) error {
	if f.images && f.format == "" {
		writeImages(w, r.Images)
		return nil
	}
	if !f.images && f.format != "json" {
		text := string(r.Text)
		if isTerminal(w) {
			text = printable(text)
		}
		_, err := io.WriteString(w, text)
		return err
	}
	doc, err := newRenderReport(r)
	if err != nil {
		return err
	}
	if f.images {
		doc.Documents = nil
	}
	encode := printer.JSON
	if f.format == "yaml" {
		encode = printer.YAML
	}
	b, err := encode(doc)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// writeImages writes images, each once, with what they were before and all places that they come from.
func writeImages(w io.Writer, images []relocate.RenderedImage) {
	type listed struct {
		reference, before string
		notRewritten      bool
		notLocked         bool
	}
	var order []listed
	from := map[listed][]string{}
	for _, i := range images {
		key := listed{i.Reference, i.Before, i.NotRewritten, i.NotLocked}
		if from[key] == nil {
			order = append(order, key)
		}
		if at := strings.TrimSuffix(place(i.File, i.Line), ": "); !slices.Contains(from[key], at) {
			from[key] = append(from[key], at)
		}
	}
	for _, i := range order {
		fmt.Fprintln(w, line(i.reference))
		if i.before != "" {
			fmt.Fprintf(w, "  was   %s\n", line(i.before))
		}
		if i.notRewritten {
			fmt.Fprintln(w, "  is in the lock, but kbld does not rewrite it")
		}
		if i.notLocked {
			fmt.Fprintln(w, "  is not in the lock: kbld asks its registry for the digest")
		}
		for _, at := range from[i] {
			if at != "" {
				fmt.Fprintf(w, "  from  %s\n", at)
			}
		}
	}
}

// newRenderReport makes the report.
func newRenderReport(r *relocate.Rendered) (*renderReport, error) {
	doc := &renderReport{
		Version: reportVersion, Package: r.Name + "/" + r.Version, Fetches: append([]relocate.RenderedFetch{}, r.Fetches...),
		Documents: []renderedDocument{}, Images: append([]relocate.RenderedImage{}, r.Images...), Faults: []renderFault{},
	}
	for n, d := range r.Documents {
		out := renderedDocument{}
		object, err := yaml.YAMLToJSON(d.Text)
		if err != nil {
			return nil, fmt.Errorf("document %d of package %s: %w", n, doc.Package, err)
		}
		out.Object = json.RawMessage(object)
		if len(d.Strings) > 0 {
			out.File, out.Line = d.Strings[0].Place.File, d.Strings[0].Place.Line
		}
		doc.Documents = append(doc.Documents, out)
	}
	for _, f := range r.Faults {
		doc.Faults = append(doc.Faults, renderFault{f.Code, f.Step, f.Message, f.Action, f.Place.File, f.Place.Line})
	}
	doc.Counts = renderCounts{Documents: len(doc.Documents), Images: len(doc.Images), Faults: len(doc.Faults)}
	for _, i := range doc.Images {
		if i.Before != "" {
			doc.Counts.Rewritten++
		}
		if i.NotRewritten {
			doc.Counts.NotRewritten++
		}
		if i.NotLocked {
			doc.Counts.NotLocked++
		}
	}
	return doc, nil
}

// explain says of a package that does not render which values it needs, or may need.
func (f *packageFlags) explain(err error) error {
	var failed *render.FailedError
	switch {
	case !errors.As(err, &failed):
		return err
	case len(failed.Needs) > 0:
		return needsValuesError{fmt.Errorf("%w\nit needs values for: %s", err, strings.Join(failed.Needs, ", ")), statusUsage}
	case len(f.rendering.files) == 0 && strings.Contains(failed.Message, "assert.fail"): // what its author asserts
		return needsValuesError{err, statusFailed}
	}
	return err
}
