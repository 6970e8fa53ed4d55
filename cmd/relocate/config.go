package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/crossing"
)

// configFlags is --config: a file with the values of flags that the command line does not have.
type configFlags struct {
	path string
	file *crossing.Crossing          // nil without --config
	used map[string]crossing.Setting // by flag

	flags *pflag.FlagSet     // of the command
	sel   relocate.Selection // of single roots, and of an archive
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
	{"bundle", "image", "manifests", "lock"},
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
		if s.Key == "archiveHeaderFile" && flags.Lookup(s.Flag) != nil {
			flag = s.Flag
		}
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
