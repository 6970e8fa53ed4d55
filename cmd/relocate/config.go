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

	"relocate/crossing"
	"relocate/tarball"
)

// configFlags is --config: a file with the values of flags that the command line does not have.
type configFlags struct {
	path string
	file *crossing.Crossing          // nil without --config
	used map[string]crossing.Setting // by flag
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
	f.used = map[string]crossing.Setting{}
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
func (f *configFlags) rootTag() string {
	switch to := f.file.Destination; {
	case to.Tag != "":
		return ":" + to.Tag
	case to.NoTag || len(f.file.Roots) != 1 || f.file.Roots[0].Bundle == "":
		return ""
	}
	_, rest := splitReference(string(f.file.Roots[0].Bundle))
	return rest
}

// rootsError says that an archive is not that of a crossing file.
type rootsError struct{ error }

// check refuses an archive with other roots than the file.
func (f *configFlags) check(a *tarball.Archive) error {
	if f.file == nil || len(f.file.Roots) == 0 || a.Format() == tarball.Imgpkg { // which has no references
		return nil
	}
	want, err := f.source()
	if err != nil {
		return err
	}
	have, err := a.Roots()
	if err != nil {
		return err
	}
	missing, surplus := apart(want, have), apart(have, want)
	switch {
	case len(missing) > 0:
		return rootsError{fmt.Errorf("%s is not the archive of %s: it does not have the root %s", a.Name(), f.path, missing[0])}
	case len(surplus) > 0:
		return rootsError{fmt.Errorf("%s is not the archive of %s: it also has the root %s", a.Name(), f.path, surplus[0])}
	}
	return nil
}

// source returns the roots of the file.
func (f *configFlags) source() ([]name.Reference, error) {
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
	from, err := flags.roots()
	return slices.Concat(from.Bundles, from.Images), err
}

// apart returns the references in a that are not in b.
func apart(a, b []name.Reference) (list []name.Reference) {
	for _, ref := range a {
		if !slices.ContainsFunc(b, func(other name.Reference) bool { return other.Name() == ref.Name() }) {
			list = append(list, ref)
		}
	}
	return list
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
		parts = slices.Concat(configSource, configFindings, []string{"strict", "render.packages"})
		if f.rendering.on || f.strict {
			parts = append(parts, "render")
		}
	}
	if f.toTar == "" {
		parts = append(parts, "destination")
	}
	return flagIn(s, parts...)
}

// configFor returns the flags of plan for the settings of a file.
func (f *planFlags) configFor(s *crossing.Setting, _ []string) string {
	parts := slices.Concat(configSource, configFindings, []string{"strict", "render.packages"})
	if f.rendering.on || f.strict {
		parts = append(parts, "render")
	}
	return flagIn(s, parts...)
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
	parts := append([]string{"destination.tag", "destination.noTag"}, configFindings...)
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
		if !objects && len(f.roots) == 0 {
			s.Values[0] += f.config.rootTag()
		}
		return "repo"
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
