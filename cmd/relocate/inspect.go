package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"relocate/bundle"
	"relocate/tarball"
)

// inspectReport is what inspect prints.
type inspectReport struct {
	Version  int              `json:"version"`
	Roots    []rootReport     `json:"roots"`
	Archive  archiveReport    `json:"archive"`
	Contents contents         `json:"contents"`
	Packages []packageReport  `json:"packages"`
	Images   []imageReport    `json:"images"`
	Omitted  []bundle.Omitted `json:"omitted,omitempty"`
	Findings []bundle.Finding `json:"findings,omitempty"`
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

func newInspect() *cobra.Command {
	var (
		f    format
		tree bool
	)
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what an archive holds",
		Long: `inspect reads the manifests and packages of an archive, and no layer. It shows the packages as
"tanzu package available list" does, or, with --tree, every bundle and image with its size.

` + statusHelp,
		Example: "  relocate inspect tce.tar\n  relocate inspect tce.tar --tree",
		Args:    oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := tarball.Open(args[0])
			if err != nil {
				return err
			}
			defer a.Close()
			plan, err := checkedPlan(cmd.Context(), a, args[0], defaultJobs)
			if err != nil {
				return err
			}
			r := newInspectReport(plan, archiveReport{args[0], a.Size(), a.Seal()})
			return f.print(cmd.OutOrStdout(), r, func(w io.Writer) {
				r.text(w)
				if tree {
					writeTree(w, plan.Graph)
				} else {
					r.table(w)
				}
			})
		},
	}
	addFormat(cmd.Flags(), &f)
	cmd.Flags().BoolVar(&tree, "tree", false, "show bundles and images instead of packages")
	return cmd
}

// oneFile wants one argument.
func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("name one archive; there are %d arguments", len(args))
	}
	return nil
}

func newInspectReport(plan *bundle.Plan, archive archiveReport) inspectReport {
	r := inspectReport{
		Version: reportVersion, Roots: rootsOf(plan.Graph), Archive: archive, Contents: contentsOf(plan),
		Packages: packagesOf(plan.Graph), Omitted: plan.Omitted, Findings: plan.Graph.Findings,
	}
	for _, n := range plan.Graph.Nodes {
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
		slices.SortFunc(p.Versions, func(a, b string) int { return bundle.CompareVersions(b, a) })
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
	fmt.Fprintf(w, "holds %s: %s, %s\n", r.Contents, count(r.Contents.Blobs, "blob"), size(r.Contents.Bytes))
	fmt.Fprintf(w, "seal  %s\n", r.Archive.Seal)
	summarizeOmitted(w, r.Omitted)
	summarizeFindings(w, r.Findings)
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

// writeTree draws the graph. What was drawn before is not drawn again.
func writeTree(w io.Writer, g *bundle.Graph) {
	packages := map[v1.Hash]string{} // what is fetched → name and version
	for _, p := range g.Packages {
		for _, f := range p.Fetches {
			packages[f.Digest] = p.Name + " " + p.Version
		}
	}
	drawn := map[v1.Hash]bool{}
	var draw func(n *bundle.Node, first, indent string)
	draw = func(n *bundle.Node, first, indent string) {
		s := fmt.Sprintf("%s, %s, %s", n.Kind, size(ownSize(n)), n.Name())
		if p := packages[n.Descriptor.Digest]; p != "" {
			s = p + ": " + s
		}
		if drawn[n.Descriptor.Digest] && len(n.Children) > 0 {
			s += " (as above)"
		}
		fmt.Fprintln(w, first+line(s))
		if drawn[n.Descriptor.Digest] {
			return
		}
		drawn[n.Descriptor.Digest] = true
		for i, d := range n.Children {
			if i < len(n.Children)-1 {
				draw(g.Node(d), indent+"├── ", indent+"│   ")
			} else {
				draw(g.Node(d), indent+"└── ", indent+"    ")
			}
		}
	}
	for _, root := range g.Roots {
		draw(g.Node(root.Digest), "", "")
	}
}
