package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/internal/child"
	"relocate/internal/inputfile"
	"relocate/render"
)

// renderFlags are the flags that say how packages are rendered.
type renderFlags struct {
	on, off    bool // --render, --no-render
	files      []string
	helm       string
	kubernetes string
	chooses    bool // packages are chosen, for which kubernetes counts, too

	renders  bool // what check found
	renderer *render.Renderer
	values   render.Values
}

// addOff adds the flags of a command that renders packages unless --no-render is given.
func (f *renderFlags) addOff(cmd *cobra.Command) {
	group(cmd, "Rendering", func(flags *pflag.FlagSet) {
		flags.BoolVar(&f.off, "no-render", false, "do not run the templates of packages: examine their files as text only")
		f.addValues(flags)
	})
}

// addOn adds the flags of a command that renders packages only with --render.
func (f *renderFlags) addOn(cmd *cobra.Command) {
	group(cmd, "Rendering", func(flags *pflag.FlagSet) {
		flags.BoolVar(&f.on, "render", false, "also run the templates of packages, and examine what they deploy (--strict always does)")
		f.addValues(flags)
	})
}

func (f *renderFlags) addValues(flags *pflag.FlagSet) {
	addValuesFiles(flags, &f.files)
	f.addPrograms(flags)
}

// addValuesFiles adds the flag with values of packages, which has one meaning in every command.
func addValuesFiles(flags *pflag.FlagSet, files *[]string) {
	flags.StringArrayVar(files, "values-file", nil, "use the data values in `[NAME=]FILE` for package NAME, or "+
		"NAME/VERSION; leave NAME out if the command names only one package (repeatable; the last one wins)")
}

// valuesOfPackage is NAME=FILE or NAME/VERSION=FILE; NAME does not begin like a path.
var valuesOfPackage = regexp.MustCompile(`^([^./=][^/=]*(?:/[^/=]+)?)=(.+)$`)

// splitValues splits NAME=FILE, or NAME/VERSION=FILE. pkg is empty where there is only a file: also
// ./a=b.yml is one.
func splitValues(given string) (pkg, file string) {
	if m := valuesOfPackage.FindStringSubmatch(given); m != nil {
		return m[1], m[2]
	}
	return "", given
}

func (f *renderFlags) addPrograms(flags *pflag.FlagSet) {
	flags.StringVar(&f.helm, "helm", "", "render charts with the helm program at `PATH` (default: helm in $PATH)")
	flags.StringVar(&f.kubernetes, "kubernetes-version", "", "render for a cluster with Kubernetes `VERSION` (default: "+render.DefaultKubernetesVersion+")")
}

// check rejects command lines that make no sense, and reads the values files: each is read once, for
// it may be a pipe. renders says whether the command renders packages.
func (f *renderFlags) check(ctx context.Context, renders bool) error {
	f.renders = renders
	checks := []check{{f.kubernetes != "" && !kubernetesVersion.MatchString(f.kubernetes), "--kubernetes-version " + f.kubernetes + ": write a version, such as " + render.DefaultKubernetesVersion}}
	for _, g := range []given{{"--values-file", len(f.files) > 0}, {"--helm", f.helm != ""}, {"--kubernetes-version", f.kubernetes != "" && !f.chooses}} {
		checks = append(checks, exclusive("--no-render", f.off, g.flag, g.given), check{!renders && g.given, g.flag + " needs --render or --strict"})
	}
	if err := firstWrong(checks...); err != nil {
		return err
	}
	for _, s := range f.files {
		pkg, file := splitValues(s)
		if pkg == "" {
			return usagef("--values-file %s: write NAME=FILE, with the name of a package", s)
		}
		values, err := readValues(ctx, pkg, file)
		if err != nil {
			return err
		}
		f.values = append(f.values, values)
	}
	return f.makeRenderer()
}

// set sets how packages are rendered.
func (f *renderFlags) set(opt *relocate.Options) {
	opt.Renderer, opt.RenderPackages, opt.Values = f.renderer, f.renders, f.values
}

// version returns --kubernetes-version in full; empty where it is not given.
func (f *renderFlags) version() string {
	version := kubernetesVersion.FindStringSubmatch(f.kubernetes)
	if version == nil {
		return ""
	}
	return version[1] + cmp.Or(version[2], ".0")
}

// kubernetesVersion is what --kubernetes-version takes: also what kubectl version prints, of which
// kapp-controller ignores the prerelease and the build.
var kubernetesVersion = regexp.MustCompile(`^v?([0-9]+\.[0-9]+)(?:(\.[0-9]+)(?:[-+][0-9A-Za-z.+-]+)?)?$`)

// makeRenderer makes what runs templates.
func (f *renderFlags) makeRenderer() error {
	f.renderer = newRenderer()
	f.renderer.KubernetesVersion = f.version()
	if f.helm == "" {
		return nil
	}
	helm, err := exec.LookPath(f.helm)
	if err != nil {
		return usagef("--helm %s: %w", f.helm, errors.Unwrap(err))
	}
	f.renderer.Helm, err = filepath.Abs(helm)
	return err
}

// executable returns the path of this program. In tests, which run in another one, it is a variable.
var executable = os.Executable

// newRenderer runs templates with this program, and charts with helm in $PATH, if there is one.
func newRenderer() *render.Renderer {
	r := &render.Renderer{}
	if own, err := executable(); err == nil {
		r.Program = child.Program{Path: own}
	}
	if helm, err := exec.LookPath("helm"); err == nil {
		r.Helm = helm
	}
	return r
}

// maxValues is the size in bytes of the largest values file that is read.
const maxValues = 4 << 20

// readValues reads a file with data values of a package. It may be a pipe.
func readValues(ctx context.Context, pkg, file string) (values render.GivenValues, err error) {
	data, err := readValuesFile(ctx, "--values-file", file)
	if err != nil {
		return values, err
	}
	if values, err = render.GiveValues(pkg, file, data); err != nil {
		return values, usagef("--values-file %s: %w", file, err)
	}
	return values, nil
}

// readValuesFile returns the content of a file with values, cut where it is too large for YAML.
func readValuesFile(ctx context.Context, flag, file string) ([]byte, error) {
	data, err := inputfile.Read(ctx, file, maxValues+1)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return data, nil
}

// meantPackage returns a guess where an error says that a package was not found, and another has a
// name like it.
func meantPackage(err error) error {
	var unused *render.UnusedValuesError
	var missing *relocate.PackageError
	if errors.As(err, &missing) {
		if meant := nearest(missing.Names, missing.Name); meant != "" && len(missing.Versions) == 0 {
			return guessf(func(args []string) []string {
				for i, arg := range args {
					if rest, ok := strings.CutPrefix(arg, missing.Name); ok && (rest == "" || rest[0] == '/') {
						args[i] = meant + rest
					}
				}
				return args
			}, "%w", err)
		}
		return err
	}
	if !errors.As(err, &unused) {
		return err
	}
	name, version, _ := strings.Cut(unused.Given.Package, "/")
	meant := nearest(unused.Names, name)
	if meant == "" || slices.Contains(unused.Names, name) {
		return err
	}
	if version != "" {
		meant += "/" + version
	}
	old := unused.Given.Package + "=" + unused.Given.File.Path
	return guessf(func(args []string) []string {
		for i := range args {
			args[i] = strings.Replace(args[i], old, meant+"="+unused.Given.File.Path, 1)
		}
		return args
	}, "%w", err)
}
