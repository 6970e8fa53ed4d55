package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/choose"
	"relocate/crossing"
	"relocate/internal/inputfile"
	"relocate/internal/printer"
	"relocate/report"
)

// selectionFlags are the flags that choose packages of the roots.
type selectionFlags struct {
	packages, exclude []string
	latest            int
	prereleases       bool
	installed         string
	noDependencies    bool
	controller        string
	ofRoots           bool // --config has choices for single roots

	flags  *pflag.FlagSet // nil for those of a crossing file
	choice choose.Choice  // what check made of them
}

func (f *selectionFlags) add(cmd *cobra.Command) {
	f.flags = cmd.Flags()
	group(cmd, "Packages", func(flags *pflag.FlagSet) {
		flags.StringArrayVar(&f.packages, "package", nil, "choose the package `NAME[@CONSTRAINT]`; NAME may contain *, CONSTRAINT is as in a PackageInstall (repeatable)")
		flags.StringArrayVar(&f.exclude, "exclude-package", nil, "do not choose the package `NAME`, which may contain * (repeatable)")
		flags.IntVar(&f.latest, "latest", 0, "choose the newest `N` versions of each package (default: all)")
		flags.BoolVar(&f.prereleases, "prerelease", false, "also choose prereleases")
		flags.StringVar(&f.installed, "installed", "", "also choose what a cluster uses, as listed in `FILE` (kubectl get packageinstalls -A -o yaml)")
		flags.BoolVar(&f.noDependencies, "no-dependencies", false, "do not choose what the chosen packages install")
		flags.StringVar(&f.controller, "kapp-controller-version", "", "choose only versions that run on kapp-controller `VERSION` (--kubernetes-version does the same for Kubernetes)")
	})
}

// given reports whether packages are chosen.
func (f *selectionFlags) given() bool {
	return len(f.packages)+len(f.exclude) > 0 || f.latest != 0 || f.installed != "" || f.ofRoots
}

// over returns what a crossing file chooses of a root, with the flags that are given in place of
// the file's.
func (f *selectionFlags) over(c crossing.Choice, cluster crossing.Cluster, isGiven func(flag string) bool) *selectionFlags {
	own := &selectionFlags{
		packages: texts(c.Packages), exclude: texts(c.Exclude), latest: c.Latest, prereleases: c.Prereleases,
		installed: string(c.Installed), noDependencies: c.NoDependencies,
	}
	if own.given() {
		own.controller = cluster.KappController
	}
	for flag, take := range map[string]func(){
		"package":                 func() { own.packages = f.packages },
		"exclude-package":         func() { own.exclude = f.exclude },
		"latest":                  func() { own.latest = f.latest },
		"prerelease":              func() { own.prereleases = f.prereleases },
		"installed":               func() { own.installed = f.installed },
		"no-dependencies":         func() { own.noDependencies = f.noDependencies },
		"kapp-controller-version": func() { own.controller = f.controller },
	} {
		if isGiven(flag) {
			take()
		}
	}
	return own
}

func texts[T ~string](list []T) (texts []string) {
	for _, s := range list {
		texts = append(texts, string(s))
	}
	return texts
}

// check reads the flags. kubernetes is the version of the cluster, if it is given.
func (f *selectionFlags) check(ctx context.Context, kubernetes string) (err error) {
	checks := onlyWith("--package, --exclude-package, --latest or --installed", f.given(),
		given{"--prerelease", f.prereleases}, given{"--no-dependencies", f.noDependencies}, given{"--kapp-controller-version", f.controller != ""})
	if err := firstWrong(append(checks, check{f.latest < 0 || f.latest == 0 && f.flags != nil && f.flags.Changed("latest"), fmt.Sprintf("--latest %d: must be at least 1", f.latest)})...); err != nil {
		return err
	}
	if !f.given() {
		return nil
	}
	c := choose.Choice{Latest: f.latest, Prereleases: f.prereleases, NoDependencies: f.noDependencies, Kubernetes: kubernetes, KappController: f.controller}
	if c.Packages, c.Exclude, err = f.names(); err != nil {
		return err
	}
	if f.installed != "" {
		if c.Installed, err = readInstalled(ctx, f.installed); err != nil {
			return err
		}
	}
	if err := c.Check(); err != nil {
		return usageError{err}
	}
	if f.installed != "" && c.IsZero() {
		return usagef("--installed %s: lists no PackageInstall, and nothing else is chosen", f.installed)
	}
	f.choice = c
	return nil
}

// names reads the names of packages.
func (f *selectionFlags) names() (packages []choose.Pattern, exclude []string, err error) {
	for _, s := range f.packages {
		p, err := choose.ParsePattern(s)
		if err != nil {
			return nil, nil, usagef("--package %s: %w", s, err)
		}
		packages = append(packages, p)
	}
	for _, s := range f.exclude {
		if err := choose.CheckName(s); err != nil {
			return nil, nil, usagef("--exclude-package %s: %w", s, err)
		}
		exclude = append(exclude, s)
	}
	return packages, exclude, nil
}

// readInstalled reads what a cluster uses. The file may be a pipe.
func readInstalled(ctx context.Context, path string) ([]choose.Installed, error) {
	data, err := inputfile.Read(ctx, path, choose.MaxInstalled+1)
	if err != nil {
		return nil, fmt.Errorf("--installed: %w", err)
	}
	list, err := choose.ParseInstalled(data)
	if err != nil {
		return nil, usagef("--installed %s: %w", path, err)
	}
	return list, nil
}

// set sets what is chosen.
func (f *selectionFlags) set(opt *relocate.Options) { opt.Selection.Choice = f.choice }

// summarizeSelected writes what was chosen. more says where the rest of a long list is.
func summarizeSelected(w io.Writer, selected []report.Selected, more string) {
	for _, s := range selected {
		left := s.CountLeft()
		fmt.Fprintf(w, "chosen: %d of %s of %s\n", len(s.Versions), count(len(s.Versions)+left, "version"), line(s.From.Reference))
		var came, installed, gone []string
		for _, v := range s.Versions {
			switch v.Reason {
			case string(choose.IsNeeded):
				came = append(came, "  "+line(fmt.Sprintf("%s %s, needed by %s", v.Name, v.Version, strings.Join(v.NeededBy, ", "))))
			case string(choose.IsInstalled):
				installed = append(installed, "  "+line(v.Name+" "+v.Version))
			}
		}
		for _, p := range s.Left {
			gone = append(gone, "  "+line(p.Name+" "+p.String()))
		}
		for _, part := range []struct {
			title string
			lines []string
		}{
			{"came along as dependencies:", came},
			{"chosen because the cluster uses them:", installed},
			{fmt.Sprintf("no longer in the repository: %s of %s; a PackageInstall of one of them fails", count(left, "version"), count(len(s.Left), "package")), gone},
		} {
			if len(part.lines) > 0 {
				fmt.Fprintf(w, "%s\n%s\n", part.title, printer.First(part.lines, mostLines, more))
			}
		}
	}
}
