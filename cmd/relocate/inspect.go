package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/bundle"
	"relocate/internal/inspect"
	"relocate/internal/printer"
	"relocate/render"
	"relocate/report"
	"relocate/tarball"
)

// inspectReport is what inspect prints.
type inspectReport struct {
	inspect.Report
	Signature   *report.Signature  `json:"signature,omitempty"`   // of the archive; where that was asked for
	Attachments *attachmentsReport `json:"attachments,omitempty"` // of an archive
	Selection   []report.Selected  `json:"selection,omitempty"`   // of its roots from which packages were chosen
	Replaced    []report.Replaced  `json:"replaced,omitempty"`    // by others, for some platforms
}

// inspectFlags are the flags of inspect.
type inspectFlags struct {
	volumes    []string // folders
	repo       string
	tree       bool
	schema     bool
	valuesFile string
	checked    []string // files with values
	extract    string
	bundle     string
	format     format
	config     configFlags
	unknown    bool // its files do not say which values a package takes
	selection  selectionFlags
	chosen     platformFlags
	part       relocate.Part // of the archive
	trust      trustFlags
	signature  *report.Signature // of the archive; nil: none was asked for
	seal       v1.Hash           // that was signed
	archives   archiveFlags
	common
}

const inspectHelp = `inspect shows the packages of an archive, or of the package repository REF in a
registry, as kctrl and tanzu show those of a cluster:

  packages                list the packages (the default)
  package NAME            describe a package and list its versions
  package NAME/VERSION    also describe a version. --values-schema shows its
                          settings, --values-file-output writes a file with the
                          default values, commented out. --check-values checks
                          values files: types, unknown and required keys. If the
                          Package has no schema, that of the files that it
                          fetches is used

--tree shows all bundles and images with their sizes instead. --extract DIR
writes the files of a bundle to a new folder: of the root, of --bundle REF, or
of the bundle that package NAME/VERSION fetches. The files are unchanged, even
.imgpkg/images.yml, which imgpkg pull rewrites for a relocated bundle.

inspect reads manifests, configs and bundles, but no image layers. With --repo
it reads only the bundle REF; with --tree, also the bundles and images of REF
that are in the same repository; for the settings of a package without a schema,
also what the package fetches.

`

func newInspect() *cobra.Command {
	f := &inspectFlags{}
	cmd := &cobra.Command{
		Use:   "inspect (FILE | --repo REF) [packages | package NAME[/VERSION]]",
		Short: "Show the content of an archive or a repository",
		Long:  inspectHelp + statusHelp,
		Example: `  relocate inspect tce.tar
  relocate inspect tce.tar package contour.community.tanzu.vmware.com
  relocate inspect tce.tar --values-schema \
    package contour.community.tanzu.vmware.com/1.20.1
  relocate inspect tce.tar --check-values contour.yml \
    package contour.community.tanzu.vmware.com/1.20.1
  relocate inspect --repo registry.airgap.internal/tce/main:v0.12.0 -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if f.repo == "" && len(args) > 0 && isReference(args[0]) {
				return guessf(replacing(args[0], "--repo", args[0]), "%s is a reference; name a package repository with --repo", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			file := ""
			if f.repo == "" && len(args) > 0 {
				file, args = args[0], args[1:]
			}
			if err := f.check(cmd.Context(), file, args); err != nil {
				return err
			}
			ctx, show := newProgress(cmd.Context(), f.progress, cmd.ErrOrStderr())
			renderer := newRenderer()
			defer renderer.Close()
			s, err := f.open(ctx, file, renderer, show)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			return f.show(cmd, s, args, show)
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.repo, "repo", "", "inspect the package repository `REF` in a registry, by tag or digest, instead of an archive")
		flags.BoolVar(&f.tree, "tree", false, "show bundles and images instead of packages")
		flags.BoolVar(&f.schema, "values-schema", false, "show the settings of package NAME/VERSION")
		flags.StringVar(&f.valuesFile, "values-file-output", "", "write the default values of package NAME/VERSION to `FILE`, commented out")
		flags.StringArrayVar(&f.checked, "check-values", nil, "check the values in `FILE` for package NAME/VERSION "+
			"(repeatable; the last one wins)")
		addFolders(flags, &f.volumes)
		flags.StringVar(&f.extract, "extract", "", "write the files of a bundle to the new folder `DIR`")
		flags.StringVar(&f.bundle, "bundle", "", "extract the bundle with this `REF` or digest (default: the root)")
		f.chosen.add(flags)
		f.trust.add(flags)
		addFormat(flags, &f.format)
	})
	f.selection.add(cmd)
	f.common.add(cmd)
	f.config.addTo(cmd, "Flags", f.configFor)
	f.archives.addTo(cmd, func(args []string) bool { return f.repo == "" && noArchive(args) })
	return cmd
}

// check rejects command lines that make no sense. view is what follows the archive.
func (f *inspectFlags) check(ctx context.Context, file string, view []string) error {
	if err := firstWrong(slices.Concat(f.viewChecks(file, view), f.partChecks(), f.extractChecks(view))...); err != nil {
		return err
	}
	if f.valuesFile != "" {
		path, err := checkOutput("--values-file-output", f.valuesFile)
		if err != nil {
			return err
		}
		if hasValues(ctx, path) {
			return usagef("--values-file-output %s: has values, which would be lost; name another file", f.valuesFile)
		}
	}
	return errors.Join(firstWrong(f.trust.checks(file)...), f.selection.check(ctx, ""), f.chosen.check())
}

// viewChecks are about what to show.
func (f *inspectFlags) viewChecks(file string, view []string) []check {
	words := strings.Join(view, " ")
	pkg, one := strings.CutPrefix(words, "package ")
	_, version, _ := strings.Cut(pkg, "/")
	return []check{
		{f.repo == "" && file == "", "name an archive, or a package repository with --repo"},
		{words != "" && words != "packages" && !(one && len(view) == 2), fmt.Sprintf("after the archive, write \"packages\" or \"package NAME[/VERSION]\", not %q", words)},
		{strings.Contains(version, "/"), "package " + pkg + ": write NAME or NAME/VERSION"},
		{f.schema && version == "", "--values-schema: name a version: package NAME/VERSION"},
		{f.valuesFile != "" && version == "", "--values-file-output: name a version: package NAME/VERSION"},
		{len(f.checked) > 0 && version == "", "--check-values: name a version: package NAME/VERSION"},
		exclusive("--check-values", len(f.checked) > 0, "--values-schema", f.schema),
		{f.extract != "" && one && version == "", "--extract: name a version: package NAME/VERSION"},
		{f.tree && words != "", "--tree shows the whole archive: leave out " + words},
	}
}

// partChecks are about the part of an archive to show.
func (f *inspectFlags) partChecks() []check {
	return []check{
		{f.repo != "" && len(f.chosen.platforms) > 0, "platforms are chosen from an archive here; relocate plan -b REF chooses from a registry"},
		{f.repo != "" && f.selection.given(), "packages are chosen from an archive here; relocate plan -b REF chooses from a registry"},
	}
}

// extractChecks are about --extract.
func (f *inspectFlags) extractChecks(view []string) []check {
	other := f.tree || f.schema || f.valuesFile != "" || len(f.checked) > 0 || len(view) == 1
	return []check{
		{f.bundle != "" && f.extract == "", "--bundle needs --extract"},
		{f.bundle != "" && len(view) > 0, "--bundle and package cannot be used together: name one bundle to extract"},
		{f.extract != "" && other, "--extract can be used only with --bundle, or with package NAME/VERSION"},
	}
}

// show does what the words after the archive, and the flags, say.
func (f *inspectFlags) show(cmd *cobra.Command, s *inspect.Subject, view []string, show *display) error {
	switch {
	case f.extract != "":
		return f.showExtracted(cmd, s, view)
	case len(view) == 2:
		return f.showPackage(cmd, s, view[1], show)
	}
	r := inspectReport{Report: s.Report(), Signature: f.signature, Selection: f.part.Selected, Replaced: f.part.Replaced}
	if s.Archive != nil {
		r.Attachments = attachmentsOf(s.Graph, false)
	}
	return f.format.print(cmd.OutOrStdout(), r, func(w io.Writer) {
		r.text(w)
		if f.tree {
			writeTree(w, s.Graph)
		} else {
			r.table(w)
		}
	})
}

// open reads what is to be shown. The caller closes it.
func (f *inspectFlags) open(ctx context.Context, file string, r *render.Renderer, show *display) (*inspect.Subject, error) {
	if f.repo == "" {
		opt := relocate.Options{Jobs: f.jobs.least, MostJobs: f.jobs.most, Progress: show.see, Renderer: r}
		f.chosen.set(&opt)
		if err := f.checkSigned(ctx, file); err != nil {
			return nil, err
		}
		s, part, err := f.config.open(ctx, &f.archives, file, &f.selection, opt, f.volumes...)
		if f.part = part; err == nil && f.signature != nil && s.Archive.Seal != f.seal {
			err = errors.Join(fmt.Errorf("%s %w: it was changed while it was read", file, tarball.ErrDamaged), s.Close())
		}
		return s, err
	}
	f.config.noteWhole(show)
	ref, err := parseReference("--repo", f.repo)
	if err != nil {
		return nil, err
	}
	client, err := f.source([]name.Reference{ref})
	if err != nil {
		return nil, err
	}
	ph := show.Begin("read", 0, 0)
	defer ph.End()
	source := client.Reader(ref.Context())
	if !f.tree {
		return inspect.Read(ctx, source, ref, r)
	}
	return inspect.Walk(ctx, source, ref, f.jobs.least, r, func() { ph.Add(1, 0) })
}

// checkSigned checks who signed the archive, where the flags require it.
func (f *inspectFlags) checkSigned(ctx context.Context, file string) error {
	if len(f.trust.paths()) == 0 {
		return nil
	}
	a, signature, err := f.archives.openSigned(ctx, &f.trust, file, f.volumes...)
	if err != nil {
		return err
	}
	f.signature, f.seal = signature, a.Seal()
	return a.Close()
}

// oneFile checks that exactly one argument is given.
func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("name one archive; got %d arguments", len(args))
	}
	return nil
}

// oneLocal checks that exactly one argument is given, which is no URL. instead is what to do with a URL.
func oneLocal(instead string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := oneFile(cmd, args); err != nil || !isURL(args[0]) {
			return err
		}
		return usagef("%s is a URL, and %s writes beside the archive: %s", withoutSecrets(args[0]), cmd.Name(), instead)
	}
}

func (r inspectReport) text(w io.Writer) {
	writeRoots(w, r.Roots)
	if r.Contents != nil {
		fmt.Fprintf(w, "contains %s: %s, %s\n", r.Contents, count(r.Contents.Blobs, "blob"), size(r.Contents.Bytes))
	}
	if r.Archive != nil {
		fmt.Fprintf(w, "seal %s\n", r.Archive.SealText())
		if r.Signature != nil {
			fmt.Fprintln(w, line(signerLine(r.Signature)))
		}
		fmt.Fprintln(w, "contents not verified: layers were not read; relocate verify reads them")
	}
	summarizeSelected(w, r.Selection, "; -o json lists them all")
	r.Attachments.summarize(w)
	summarizeBases(w, r.Bases)
	summarizeReplaced(w, r.Replaced, "; -o json lists them all")
	summarizeOmitted(w, r.Omitted)
	writeFindings(w, r.Findings, mostProblems, "; -o json lists them all")
	fmt.Fprintln(w)
}

// maxDescription is how many characters of a description the table shows; JSON has all.
const maxDescription = 60

func cut(s string) string {
	if r := []rune(s); len(r) > maxDescription {
		return string(r[:maxDescription-1]) + "…"
	}
	return s
}

func (r inspectReport) table(w io.Writer) {
	rows := [][]string{{"NAME", "DISPLAY-NAME", "SHORT-DESCRIPTION", "LATEST-VERSION", "OTHER-VERSIONS"}}
	for _, p := range r.Packages {
		served := slices.DeleteFunc(slices.Clone(p.Versions), func(version string) bool {
			return slices.ContainsFunc(r.Old, func(old inspect.OldPackage) bool {
				return old.Name == p.Name && old.Version == version
			})
		})
		if len(served) > 0 {
			older := strings.Join(served[1:], ", ")
			rows = append(rows, []string{p.Name, p.DisplayName, cut(line(p.ShortDescription)), served[0], older})
		}
	}
	hasManifests := slices.ContainsFunc(r.Roots, func(root report.Root) bool { return root.Manifests != "" })
	hasRows, hasOld := len(rows) > 1, len(r.Old) > 0
	if hasRows || !hasOld && !hasManifests {
		printer.Table(w, rows)
	}
	if hasRows && hasOld {
		fmt.Fprintln(w)
	}
	if hasOld {
		r.oldTable(w)
	}
}

// oldTable lists OldPackages as the tanzu CLI of their time did: a row for each version, with what its Package says.
func (r inspectReport) oldTable(w io.Writer) {
	rows := [][]string{{"NAME", "VERSION", "DESCRIPTION"}}
	for _, p := range r.Old {
		rows = append(rows, []string{p.Name, p.Version, cut(line(p.Description))})
	}
	fmt.Fprintln(w, "only kapp-controller v0.17 and v0.18 serve these (package.carvel.dev/v1alpha1):")
	printer.Table(w, rows)
}

// tree draws a graph.
type tree struct {
	w        io.Writer
	graph    *bundle.Graph
	packages map[v1.Hash]string // what is fetched → name and version
	drawn    map[v1.Hash]bool
}

// writeTree draws the graph. Each node is drawn with its children once. Each other name of a node
// has its own line.
func writeTree(w io.Writer, g *bundle.Graph) {
	t := &tree{w: w, graph: g, packages: map[v1.Hash]string{}, drawn: map[v1.Hash]bool{}}
	for _, p := range g.Packages {
		for _, f := range p.Fetches {
			t.packages[f.Digest] = p.Name + " " + p.Version
		}
	}
	for _, root := range g.Roots {
		t.draw(g.Node(root.Digest), "", "")
	}
}

// draw draws a node and all below it. first begins the first line, indent all others.
func (t *tree) draw(n *bundle.Node, first, indent string) {
	digest := n.Descriptor.Digest
	below := slices.Clone(n.Children)
	for _, a := range t.graph.Attached(digest) {
		below = append(below, a.Digest)
	}
	s := fmt.Sprintf("%s, %s, %s", n.Kind, size(n.Size()), n.Name())
	if without := platformsOf(n.Without); without != "" {
		s += ", without " + without
	}
	if p := t.packages[digest]; p != "" {
		s = p + ": " + s
	}
	if t.drawn[digest] {
		if len(below) > 0 {
			s += " (as above)"
		}
		fmt.Fprintln(t.w, first+line(s))
		return
	}
	fmt.Fprintln(t.w, first+line(s))
	t.drawn[digest] = true
	t.names(n, indent, len(below) > 0)
	for i, d := range below {
		if i < len(below)-1 {
			t.draw(t.graph.Node(d), indent+"├── ", indent+"│   ")
		} else {
			t.draw(t.graph.Node(d), indent+"└── ", indent+"    ")
		}
	}
}

// names writes the other names of a node.
func (t *tree) names(n *bundle.Node, indent string, hasBelow bool) {
	if hasBelow {
		indent += "│   "
	} else {
		indent += "    "
	}
	for _, name := range n.References[min(1, len(n.References)):] {
		fmt.Fprintln(t.w, indent+line("also "+name))
	}
}
