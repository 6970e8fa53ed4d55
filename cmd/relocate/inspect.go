package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/report"
	"relocate/tarball"
)

// inspectReport is what inspect prints.
type inspectReport struct {
	Version  int              `json:"version"`
	Roots    []report.Root    `json:"roots"`
	Archive  *report.Archive  `json:"archive,omitempty"`  // not with --repo
	Contents *report.Contents `json:"contents,omitempty"` // of an archive, or with --tree
	Packages []packageReport  `json:"packages"`
	Images   []imageReport    `json:"images,omitempty"` // likewise
	Omitted  []report.Omitted `json:"omitted,omitempty"`
	Findings []report.Finding `json:"findings,omitempty"`

	Attachments *attachmentsReport `json:"attachments,omitempty"` // of an archive
}

type packageReport struct {
	Name             string   `json:"name"`
	DisplayName      string   `json:"displayName"`
	ShortDescription string   `json:"shortDescription"`
	Versions         []string `json:"versions"` // newest first
}

type imageReport struct {
	Digest     v1.Hash     `json:"digest"`
	Kind       bundle.Kind `json:"kind"`
	References []string    `json:"references,omitempty"`
	Size       int64       `json:"size"` // of the manifest and its own blobs
	Children   []v1.Hash   `json:"children,omitempty"`
}

// inspectFlags are the flags of inspect.
type inspectFlags struct {
	repo       string
	tree       bool
	schema     bool
	valuesFile string
	extract    string
	bundle     string
	format     format
	common
}

const inspectHelp = `inspect shows the packages of an archive, or of the package repository REF in a
registry, as kctrl and tanzu show those of a cluster:

  packages                list the packages (the default)
  package NAME            describe a package and list its versions
  package NAME/VERSION    also describe a version. --values-schema shows its
                          settings, --values-file-output writes a file with the
                          default values, commented out

--tree shows all bundles and images with their sizes instead. --extract DIR
writes the files of a bundle to a new folder: of the root, of --bundle REF, or
of the bundle that package NAME/VERSION fetches. The files are unchanged; so is
.imgpkg/images.yml, which imgpkg pull rewrites for a relocated bundle.

inspect reads manifests, configs and bundles, but no image layers. Of REF it
reads that one bundle, and for --tree what REF's repository contains.

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
  relocate inspect --repo registry.airgap.internal/tce/main:v0.12.0 -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if f.repo == "" && len(args) > 0 && isReference(args[0]) {
				return guessf(replacing(args[0], "--repo", args[0]), "%s: is a reference; name a package repository with --repo", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			file := ""
			if f.repo == "" && len(args) > 0 {
				file, args = args[0], args[1:]
			}
			if err := f.check(file, args); err != nil {
				return err
			}
			ctx, show := newProgress(cmd.Context(), f.progress, cmd.ErrOrStderr())
			s, err := f.open(ctx, file, show)
			if err != nil {
				return err
			}
			defer s.close()
			return f.show(cmd, s, args)
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.repo, "repo", "", "inspect the package repository `REF` in a registry, by tag or digest, instead of an archive")
		flags.BoolVar(&f.tree, "tree", false, "show bundles and images instead of packages")
		flags.BoolVar(&f.schema, "values-schema", false, "show the settings of package NAME/VERSION")
		flags.StringVar(&f.valuesFile, "values-file-output", "", "write the default values of package NAME/VERSION to `FILE`, commented out")
		flags.StringVar(&f.extract, "extract", "", "write the files of a bundle to the new folder `DIR`")
		flags.StringVar(&f.bundle, "bundle", "", "extract the bundle with this `REF` or digest (default: the root)")
		addFormat(flags, &f.format)
	})
	f.common.add(cmd)
	return cmd
}

// check rejects command lines that make no sense. view is what follows the archive.
func (f *inspectFlags) check(file string, view []string) error {
	if err := firstWrong(append(f.viewChecks(file, view), f.extractChecks(view)...)...); err != nil {
		return err
	}
	if f.valuesFile != "" {
		if _, err := checkOutput("--values-file-output", f.valuesFile); err != nil {
			return err
		}
	}
	return checkJobs(f.jobs)
}

// viewChecks are about what is shown, and of what.
func (f *inspectFlags) viewChecks(file string, view []string) []check {
	words := strings.Join(view, " ")
	pkg, one := strings.CutPrefix(words, "package ")
	_, version, _ := strings.Cut(pkg, "/")
	return []check{
		{f.repo == "" && file == "", "name an archive, or a package repository with --repo"},
		{words != "" && words != "packages" && !(one && len(view) == 2), fmt.Sprintf("inspect one archive: after it comes \"packages\" or \"package NAME[/VERSION]\", not %q", words)},
		{strings.Contains(version, "/"), "package " + pkg + ": write NAME or NAME/VERSION"},
		{f.schema && version == "", "--values-schema: name a version: package NAME/VERSION"},
		{f.valuesFile != "" && version == "", "--values-file-output: name a version: package NAME/VERSION"},
		{f.extract != "" && one && version == "", "--extract: name a version: package NAME/VERSION"},
		{f.tree && words != "", "--tree shows the whole archive: leave out " + words},
	}
}

// extractChecks are about --extract.
func (f *inspectFlags) extractChecks(view []string) []check {
	other := f.tree || f.schema || f.valuesFile != "" || len(view) == 1
	return []check{
		{f.bundle != "" && f.extract == "", "--bundle goes with --extract"},
		{f.bundle != "" && len(view) > 0, "--bundle and package exclude each other: name one bundle to extract"},
		{f.extract != "" && other, "--extract goes with --bundle, or with package NAME/VERSION"},
	}
}

// show does what the words after the archive, and the flags, say.
func (f *inspectFlags) show(cmd *cobra.Command, s *subject, view []string) error {
	switch {
	case f.extract != "":
		return f.showExtracted(cmd, s, view)
	case len(view) == 2:
		return f.showPackage(cmd, s, view[1])
	}
	r := newInspectReport(s)
	return f.format.print(cmd.OutOrStdout(), r, func(w io.Writer) {
		r.text(w)
		if f.tree {
			writeTree(w, s.graph)
		} else {
			r.table(w)
		}
	})
}

// subject is what inspect shows.
type subject struct {
	name    string // of the archive's file, or the reference
	graph   *bundle.Graph
	source  bundle.Source
	plan    *bundle.Plan // nil when only the root was read
	archive *report.Archive
	close   func()
}

// open reads what is to be shown. The caller closes it.
func (f *inspectFlags) open(ctx context.Context, file string, show *progress) (*subject, error) {
	if f.repo != "" {
		return f.openRepository(ctx, show)
	}
	a, err := tarball.Open(file)
	if err != nil {
		return nil, err
	}
	plan, err := a.CheckedPlan(ctx, f.jobs)
	if err != nil {
		a.Close()
		return nil, err
	}
	return &subject{
		name: file, graph: plan.Graph, source: a, plan: plan,
		archive: archiveOf(file, a), close: func() { a.Close() },
	}, nil
}

// openRepository reads a bundle in a registry, and for --tree what it names, from its own repository only.
func (f *inspectFlags) openRepository(ctx context.Context, show *progress) (*subject, error) {
	ref, err := parseReference("--repo", f.repo)
	if err != nil {
		return nil, err
	}
	client, err := f.source([]name.Reference{ref})
	if err != nil {
		return nil, err
	}
	source := client.Reader(ref.Context())
	s := &subject{name: ref.Name(), source: source, close: func() {}}
	ph := show.begin("read", 0, 0)
	defer ph.end()
	if s.graph, err = bundle.ReadBundle(ctx, source, ref); err != nil || !f.tree {
		return s, err
	}
	pins := []bundle.Pin{{Reference: ref.Name(), Digest: s.graph.Roots[0].Digest}}
	opt := bundle.WalkOptions{Jobs: f.jobs, Closed: true, Pins: pins, Read: func() { ph.add(1, 0) }}
	if s.graph, err = bundle.Walk(ctx, source, []name.Reference{ref}, opt); err != nil {
		return nil, err
	}
	s.plan, err = bundle.NewPlan(s.graph, false)
	return s, err
}

// oneFile checks that there is one argument.
func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("name one archive; got %d arguments", len(args))
	}
	return nil
}

func newInspectReport(s *subject) inspectReport {
	r := inspectReport{
		Version: reportVersion, Roots: s.graph.NamedRoots(), Archive: s.archive, Packages: packagesOf(s.graph), Findings: s.graph.Findings,
	}
	if s.plan == nil {
		return r
	}
	c := s.plan.Contents()
	r.Contents, r.Omitted = &c, s.plan.Omitted
	if s.archive != nil {
		r.Attachments = attachmentsOf(s.graph, false)
	}
	for _, n := range s.graph.Nodes {
		r.Images = append(r.Images, imageReport{n.Descriptor.Digest, n.Kind, n.References, ownSize(n), n.Children})
	}
	return r
}

// packagesOf returns the packages by name.
func packagesOf(g *bundle.Graph) []packageReport {
	byName := map[string]*packageReport{}
	for _, p := range g.Packages {
		if byName[p.Name] == nil {
			byName[p.Name] = &packageReport{Name: p.Name}
		}
		byName[p.Name].Versions = append(byName[p.Name].Versions, p.Version)
	}
	for _, m := range g.Metadata {
		if p := byName[m.Name]; p != nil {
			p.DisplayName, p.ShortDescription = m.DisplayName, m.ShortDescription
		}
	}
	list := []packageReport{}
	for _, p := range byName {
		slices.SortFunc(p.Versions, func(a, b string) int { return carvel.CompareVersions(b, a) })
		p.Versions = slices.Compact(p.Versions)
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b packageReport) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func ownSize(n *bundle.Node) int64 {
	sum := n.Descriptor.Size
	for _, d := range n.Blobs {
		sum += d.Size
	}
	return sum
}

func (r inspectReport) text(w io.Writer) {
	writeRoots(w, r.Roots)
	if r.Contents != nil {
		fmt.Fprintf(w, "holds %s: %s, %s\n", r.Contents, count(r.Contents.Blobs, "blob"), size(r.Contents.Bytes))
	}
	if r.Archive != nil {
		fmt.Fprintf(w, "seal  %s\n", r.Archive.SealText())
	}
	r.Attachments.summarize(w)
	summarizeOmitted(w, r.Omitted)
	writeFindings(w, r.Findings, mostProblems, "; -o json has them all")
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
		rows = append(rows, []string{p.Name, p.DisplayName, cut(line(p.ShortDescription)), p.Versions[0], strings.Join(p.Versions[1:], ", ")})
	}
	table(w, rows)
}

// writeTree draws the graph. What was drawn before is not drawn again. Each further name of a node has a line of
// its own.
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

// tree is what writeTree has drawn.
type tree struct {
	w        io.Writer
	graph    *bundle.Graph
	packages map[v1.Hash]string // name and version, by the digest that a package fetches
	drawn    map[v1.Hash]bool
}

// draw draws a node with all below it, once. The line of the node begins with first, the lines below with indent.
func (t *tree) draw(n *bundle.Node, first, indent string) {
	digest := n.Descriptor.Digest
	below := slices.Clone(n.Children)
	for _, a := range t.graph.Attached(digest) {
		below = append(below, a.Digest)
	}
	s := fmt.Sprintf("%s, %s, %s", n.Kind, size(ownSize(n)), n.Name())
	if p := t.packages[digest]; p != "" {
		s = p + ": " + s
	}
	if t.drawn[digest] && len(below) > 0 {
		s += " (as above)"
	}
	fmt.Fprintln(t.w, first+line(s))
	if t.drawn[digest] {
		return
	}
	t.drawn[digest] = true
	beside := indent + "    "
	if len(below) > 0 {
		beside = indent + "│   "
	}
	for _, name := range n.References[min(1, len(n.References)):] {
		fmt.Fprintln(t.w, beside+line("also "+name))
	}
	for i, d := range below {
		if i < len(below)-1 {
			t.draw(t.graph.Node(d), indent+"├── ", indent+"│   ")
		} else {
			t.draw(t.graph.Node(d), indent+"└── ", indent+"    ")
		}
	}
}
