package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/choose"
	"relocate/crossing"
	"relocate/tarball"
)

// configFlags is --config: a file with the values of flags that the command line does not have.
type configFlags struct {
	path string
	file *crossing.Crossing          // nil without --config
	used map[string]crossing.Setting // by flag

	flags *pflag.FlagSet           // of the command
	roots map[string]choose.Choice // what is chosen of single roots; nil for none
}

// addTo gives a command --config. flagFor returns the flag of the command that a setting of the
// file stands for; empty for none. It may take values away. It is called in the order of the
// format, after the settings before it have taken effect.
func (f *configFlags) addTo(cmd *cobra.Command, title string, flagFor func(s *crossing.Setting, args []string) string) {
	group(cmd, title, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.path, "config", "", "read the crossing from `FILE`; other flags override it (see relocate help config)")
	})
	check, next := cmd.Args, cmd.RunE
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		err := f.fill(cmd.Flags(), func(s *crossing.Setting) string { return flagFor(s, args) })
		if err == nil && check != nil {
			err = f.explain(check(cmd, args))
		}
		return err
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.explain(next(cmd, args)) }
}

// alternatives are flags of which one on the command line stands for all: the file gives none of them.
var alternatives = [][]string{
	{"bundle", "image", "lock"},
	{"tag", "no-tag"},
}

// fill reads the file, and gives its values to the flags that the command line does not have.
func (f *configFlags) fill(flags *pflag.FlagSet, flagFor func(*crossing.Setting) string) (err error) {
	if f.path == "" {
		return nil
	}
	if f.file, err = crossing.Read(f.path); err != nil {
		if isA[*crossing.Error](err) {
			return err
		}
		return fmt.Errorf("--config: %w", err)
	}
	f.used, f.flags = map[string]crossing.Setting{}, flags
	for _, s := range f.file.Settings() {
		flag := flagFor(&s)
		if flag == "" || isGiven(flags, flag) {
			continue
		}
		used, again := f.used[flag]
		if again { // of a list of roots
			s = crossing.Setting{Key: used.Key, Line: used.Line, Flag: used.Flag, Values: append(slices.Clip(used.Values), s.Values...)}
		}
		f.used[flag] = s
		if err := setFlag(flags.Lookup(flag).Value, s.Values); err != nil {
			return &crossing.Error{File: f.path, Line: s.Line, Field: s.Key, Err: err}
		}
	}
	return nil
}

// isGiven reports whether the command line has a flag, or another one in place of it.
func isGiven(flags *pflag.FlagSet, name string) bool {
	if flags.Changed(name) {
		return true
	}
	for _, names := range alternatives {
		if slices.Contains(names, name) && slices.ContainsFunc(names, flags.Changed) {
			return true
		}
	}
	return false
}

// setFlag sets a flag's value, and leaves it a flag that the command line does not have.
func setFlag(v pflag.Value, values []string) error {
	if list, ok := v.(pflag.SliceValue); ok {
		return list.Replace(values)
	}
	return v.Set(values[0])
}

// configError is an error about flags, with where they come from.
type configError struct {
	error
	notes []string
}

func (e configError) Unwrap() error { return e.error }

var flagInText = regexp.MustCompile(`--([a-z][a-z-]*)`)

// explain adds to an error where the flags that it names come from.
func (f *configFlags) explain(err error) error {
	if err == nil || len(f.used) == 0 {
		return err
	}
	var notes []string
	for _, m := range flagInText.FindAllStringSubmatch(err.Error(), -1) {
		s, ok := f.used[m[1]]
		if note := fmt.Sprintf("--%s is %s in %s:%d", m[1], s.Key, f.path, s.Line); ok && !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	if notes == nil {
		return err
	}
	return configError{err, notes}
}

// notesOf returns the notes of a configError; nil for any other.
func notesOf(err error) []string {
	var e configError
	errors.As(err, &e)
	return e.notes
}

// flagIn returns the setting's own flag if its key is, or is in, one of some parts of the file; else
// empty.
func flagIn(s *crossing.Setting, parts ...string) string {
	for _, part := range parts {
		if rest, ok := strings.CutPrefix(s.Key, part); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return s.Flag
		}
	}
	return ""
}

// Parts of a file that several commands have flags for.
var (
	configSource   = []string{"roots", "includeNonDistributableLayers", "attachments", "signaturesFrom"}
	configFindings = []string{"allow", "accept"}
	configObject   = []string{"destination.name", "destination.namespace", "destination.secretRef"}
)

// ofRoot returns the flag of a command that takes one bundle, for the only one of the file.
func (f *configFlags) ofRoot(s *crossing.Setting, flag string) string {
	if flagIn(s, "roots") != "bundle" || len(f.file.Roots) > 1 {
		return ""
	}
	return flag
}

// rootTag returns what an import makes of the only root of the file, with ":" or "@"; empty when it
// is not known.
func (f *configFlags) rootTag() (string, error) {
	switch {
	case f.file == nil || f.file.Destination.NoTag:
		return "", nil
	case f.file.Destination.Tag != "":
		return ":" + f.file.Destination.Tag, nil
	}
	from, choices, err := f.chosen()
	if err != nil || len(from.Bundles) != 1 || len(from.Images) > 0 {
		return "", err
	}
	_, rest := splitReference(relocate.Selection{Roots: choices}.Root(from.Bundles[0]).Name())
	return rest, nil
}

// rootsError says that an archive is not that of a crossing file.
type rootsError struct{ error }

// checkArchive refuses an archive with other roots than the file, and finds out what is chosen of
// those that it has as a whole.
func (f *configFlags) checkArchive(a *tarball.Archive) error {
	if f.file == nil || len(f.file.Roots) == 0 || a.Format() == tarball.Imgpkg { // which has no references
		return nil
	}
	from, choices, err := f.chosen()
	if err != nil {
		return err
	}
	roots, err := a.Roots()
	if err != nil {
		return err
	}
	have, expected := namesOf(roots), map[string]bool{}
	f.roots = map[string]choose.Choice{}
	for _, root := range slices.Concat(from.Bundles, from.Images) {
		chosen := relocate.Selection{Roots: choices}.Root(root)
		switch {
		case slices.Contains(have, root.Name()):
			f.roots[root.Name()] = choices[root.Name()]
		case !slices.Contains(have, chosen.Name()):
			return rootsError{fmt.Errorf("%s is not the archive of %s: it does not have the root %s", a.Name(), f.path, chosen)}
		}
		expected[root.Name()], expected[chosen.Name()] = true, true
	}
	for _, ref := range have {
		if !expected[ref] {
			return rootsError{fmt.Errorf("%s is not the archive of %s: it also has the root %s", a.Name(), f.path, ref)}
		}
	}
	return nil
}

func namesOf(refs []name.Reference) (names []string) {
	for _, ref := range refs {
		names = append(names, ref.Name())
	}
	return names
}

// source returns the roots of the file.
func (f *configFlags) source() (relocate.Source, error) {
	var flags sourceFlags
	for _, root := range f.file.Roots {
		switch {
		case root.Bundle != "":
			flags.bundles = append(flags.bundles, string(root.Bundle))
		case root.Image != "":
			flags.images = append(flags.images, string(root.Image))
		default:
			flags.lock = string(root.Lock)
		}
	}
	return flags.roots()
}

// choosesOfRoots reports whether the roots are those of the file, and it has choices for single ones.
func (f *configFlags) choosesOfRoots() bool {
	return f.file != nil && !isGiven(f.flags, "bundle") && slices.ContainsFunc(f.file.Roots, func(root crossing.Root) bool { return root.Choose != nil })
}

// chosen returns the roots of the file, and what it chooses of its bundles by itself.
func (f *configFlags) chosen() (from relocate.Source, choices map[string]choose.Choice, err error) {
	if from, err = f.source(); err == nil {
		cluster := renderFlags{kubernetes: f.file.Cluster.Kubernetes}
		choices, err = f.choices(from.Bundles, nil, cluster.version())
	}
	return from, choices, err
}

// choices returns what is chosen of the bundles of the file: by those of the given flags that the
// command line has, if any, and else by the file.
func (f *configFlags) choices(bundles []name.Reference, given *selectionFlags, kubernetes string) (map[string]choose.Choice, error) {
	choices := map[string]choose.Choice{}
	for i, root := range f.file.Roots {
		if root.Image != "" || len(choices) == len(bundles) { // a lock may list images
			continue
		}
		of, at := f.file.Choose, "choose"
		if root.Choose != nil {
			of, at = *root.Choose, fmt.Sprintf("roots[%d].choose", i)
		}
		flags := given.over(of, f.file.Cluster, func(flag string) bool { return given != nil && f.flags.Changed(flag) })
		if err := flags.check(kubernetes); err != nil {
			return nil, &crossing.Error{File: f.path, Line: f.file.Line(at), Field: at, Err: err}
		}
		choices[bundles[len(choices)].Name()] = flags.choice
	}
	return choices, nil
}

// choose finds out what is chosen of single roots that are read from their registries.
func (f *configFlags) choose(given *selectionFlags, kubernetes string) error {
	if !f.choosesOfRoots() {
		return nil
	}
	from, err := f.source()
	if err == nil {
		f.roots, err = f.choices(from.Bundles, given, kubernetes)
	}
	return err
}

// set sets what is chosen of single roots.
func (f *configFlags) set(opt *relocate.Options) {
	for _, choice := range f.roots {
		if !choice.IsZero() {
			opt.Selection.Choice, opt.Selection.Roots = choose.Choice{}, f.roots
		}
	}
}

// noArchive reports whether the arguments of inspect and render begin with what to show, and not
// with an archive.
func noArchive(args []string) bool {
	return len(args) == 0 || (args[0] == "packages" || args[0] == "package") && !isFile(args[0])
}

// configFor returns the flags of a copy for the settings of a file.
func (f *copyFlags) configFor(s *crossing.Setting, _ []string) string {
	parts := []string{"includeNonDistributableLayers", "attachments"}
	if f.fromTar == "" {
		parts = f.config.forWalk(&f.selection, f.rendering.on || f.strict)
	}
	if f.toTar != "" {
		parts = append(parts, "have", "bases")
	}
	if f.toTar == "" {
		parts = append(parts, "destination")
	}
	return flagIn(s, parts...)
}

// configFor returns the flags of plan for the settings of a file.
func (f *planFlags) configFor(s *crossing.Setting, _ []string) string {
	return flagIn(s, append(f.config.forWalk(&f.selection, f.rendering.on || f.strict), "have", "bases")...)
}

// forWalk returns the parts of a file that a walk of registries uses.
func (f *configFlags) forWalk(selection *selectionFlags, renders bool) []string {
	parts := append(slices.Concat(configSource, configFindings), "choose", "platforms", "platformMode", "strict", "render.packages")
	if renders {
		parts = append(parts, "render", "cluster.kubernetesVersion")
	}
	if selection.ofRoots = f.choosesOfRoots(); selection.given() {
		parts = append(parts, "cluster")
	}
	return parts
}

// configFor returns the flags of inspect for the settings of a file.
func (f *inspectFlags) configFor(s *crossing.Setting, args []string) string {
	if !noArchive(args) {
		return ""
	}
	return f.config.ofRoot(s, "repo")
}

// configFor returns the flags of render for the settings of a file.
func (f *packageFlags) configFor(s *crossing.Setting, args []string) string {
	switch {
	case noArchive(args) && f.config.ofRoot(s, "repo") != "":
		return "repo"
	case s.Key == "render.values":
		pkg, _, _ := strings.Cut(append(args, "")[max(0, len(args)-1)], "/")
		s.Values = slices.DeleteFunc(s.Values, func(value string) bool {
			of, _, _ := strings.Cut(value, "=")
			of, _, _ = strings.Cut(of, "/")
			return of != pkg
		})
		if len(s.Values) == 0 {
			return ""
		}
	}
	return flagIn(s, "render.values", "cluster.kubernetesVersion", "destination.repository")
}

// configFor returns the flags of rehearse for the settings of a file.
func (f *rehearseFlags) configFor(s *crossing.Setting, _ []string) string {
	if s.Key == "destination.repository" {
		return "as"
	}
	parts := append([]string{"destination.tag", "destination.noTag", "bases"}, configFindings...)
	if !f.rendering.off {
		parts = append(parts, "render.values", "cluster.kubernetesVersion")
	}
	return flagIn(s, parts...)
}

// configFor returns the flags of verify for the settings of a file. An archive by itself is not
// compared with the destination.
func (f *verifyFlags) configFor(s *crossing.Setting, args []string) string {
	archive, objects := len(args) > 0, f.cluster.file != ""
	var parts []string
	switch {
	case s.Key == "destination.repository" && !archive:
		return "repo"
	case s.Key == "platforms" && !archive && !objects:
		return s.Flag
	case objects:
		return flagIn(s, "allow", "cluster.kubernetesVersion")
	case archive && f.repo != "":
		parts = []string{"destination.tag", "destination.noTag", "destination.repoBasedTags"}
	}
	parts = append(parts, configFindings...)
	if f.repo == "" {
		parts = append(parts, "strict")
	}
	if !f.rendering.off {
		parts = append(parts, "render.values", "cluster.kubernetesVersion")
	}
	return flagIn(s, parts...)
}

// configFor returns the flags of emit for the settings of a file.
func (f *emitFlags) configFor(s *crossing.Setting, _ []string) string {
	if s.Key == "destination.repository" {
		return s.Flag
	}
	return flagIn(s, configObject...)
}
