package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate/volume"
)

// guess is a usage error together with the edit that turns the arguments into what was probably
// meant.
type guess struct {
	usageError
	edit func(args []string) []string
}

func (g guess) Unwrap() error { return g.usageError }

// guessf returns a guess with a message.
func guessf(edit func([]string) []string, format string, args ...any) error {
	return guess{usageError{fmt.Errorf(format, args...)}, edit}
}

// guessed returns what the error of a command line was probably meant to be, ready to paste; empty
// when unknown.
func guessed(err error, args []string) string {
	var g guess
	if !errors.As(meantPackage(err), &g) {
		return ""
	}
	return shellLine(append([]string{"relocate"}, g.edit(slices.Clone(args))...))
}

var (
	plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)
	secret    = regexp.MustCompile(`^--?[\w-]*(password|token)(=|$)`)
)

// shellLine writes words as a shell reads them. Passwords and tokens are left out, and what may be secret in URLs.
func shellLine(words []string) string {
	var list []string
	for i, w := range words {
		w = withoutQueries([]string{w}, withoutPassword(w))
		flag, _, hasValue := strings.Cut(w, "=")
		switch {
		case i > 0 && secret.MatchString(words[i-1]) && !strings.Contains(words[i-1], "="):
			w = "…"
		case hasValue && secret.MatchString(w):
			w = flag + "=…"
		case !plainWord.MatchString(w):
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		list = append(list, w)
	}
	return printable(strings.Join(list, " "))
}

// replacing returns an edit that puts words in the place of one argument.
func replacing(old string, words ...string) func([]string) []string {
	return func(args []string) []string {
		if i := slices.Index(args, old); i >= 0 {
			args = slices.Replace(args, i, i+1, words...)
		}
		return args
	}
}

// replaceAll returns an edit that replaces all arguments.
func replaceAll(words ...string) func([]string) []string {
	return func([]string) []string { return words }
}

// isReference reports whether a word is the reference of an image, with its registry, and not a
// file.
func isReference(word string) bool {
	host, _, hasPath := strings.Cut(word, "/")
	named := host == "localhost" || strings.ContainsAny(host, ".:")
	if !hasPath || !named || strings.HasPrefix(word, ".") || isFile(word) || isURL(word) {
		return false
	}
	_, err := name.ParseReference(word)
	return err == nil
}

// isFile reports whether a word is the name of an archive, or of any file that is present.
func isFile(word string) bool {
	_, err := os.Stat(word)
	return err == nil || word == stream || volume.Exists(word, nil) || slices.Contains([]string{".tar", ".tgz", ".gz"}, filepath.Ext(word))
}

// archiveArgs returns the check of a command's archives: a reference in their place is to be
// exported first.
func archiveArgs(next cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for _, arg := range args {
			if isReference(arg) {
				return guessf(replaceAll("-b", arg, "--to-tar", "FILE"), "%s is a reference; %s takes an archive: export one first", arg, cmd.Name())
			}
		}
		return next(cmd, args)
	}
}

// misspelt returns the error of an unknown flag, with the flag that was probably meant.
func misspelt(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usageError{err}
	}
	if words := cmd.Flags().Args(); !cmd.HasParent() && len(words) > 0 { // before the flag: it may be of another command
		if command := nearest(commandNames(cmd), words[0]); command != "" {
			return guessf(replacing(words[0], command), "unknown command %q", words[0])
		}
	}
	long := unknown.GetSpecifiedName()
	if letters := unknown.GetSpecifiedShortnames(); letters != "" { // as in -repo
		long, _, _ = strings.Cut(letters, "=")
	}
	words, known := otherNames[long][cmd.Name()]
	if flag := nearestFlag(cmd.Flags(), long); !known && flag != "" {
		words, known = []string{"--" + flag}, true
	}
	if !known {
		return usageError{err}
	}
	return guess{usageError{err}, replacingFlag(long, words)}
}

// replacingFlag returns an edit that replaces a flag with words, the last of which takes the value.
func replacingFlag(long string, words []string) func([]string) []string {
	return func(args []string) []string {
		for i, arg := range args {
			flag, value, hasValue := strings.Cut(arg, "=")
			if !strings.HasPrefix(flag, "-") || strings.TrimLeft(flag, "-") != long {
				continue
			}
			meant := slices.Clone(words)
			switch last := len(meant) - 1; {
			case hasValue && last < 0:
				meant = []string{value}
			case hasValue:
				meant[last] += "=" + value
			}
			return slices.Replace(args, i, i+1, meant...)
		}
		return args
	}
}

// otherNames are flags of some commands, and what other commands have in their place; an empty list
// means no flag.
var otherNames = map[string]map[string][]string{
	"json":        {"plan": {"-o", "json"}, "inspect": {"-o", "json"}, "verify": {"-o", "json"}, "rehearse": {"-o", "json"}, "serve": {"-o", "json"}, "version": {"-o", "json"}},
	"repo":        {"relocate": {"--to-repo"}, "copy": {"--to-repo"}, "emit": {"--to-repo"}, "plan": {"-b"}, "rehearse": {"--as"}, "serve": {"--as"}},
	"to-repo":     {"inspect": {"--repo"}, "verify": {"--repo"}, "rehearse": {"--as"}},
	"bundle":      {"verify": {"--repo"}},
	"from-tar":    {"inspect": {}, "verify": {}, "rehearse": {}, "serve": {}, "emit": {}},
	"tar":         {"inspect": {}, "verify": {}, "rehearse": {}, "serve": {}, "emit": {}},
	"output":      {"relocate": {"--to-tar"}, "copy": {"--to-tar"}, "emit": {"-d"}},
	"values-file": {"inspect": {"--check-values"}}, // never --values-file-output, which would write to the file
	"o":           {"relocate": {"--to-tar"}, "copy": {"--to-tar"}, "emit": {"-d"}},
}

// nearestFlag returns the flag whose name is a misspelt one: the one it begins, or one that is a
// few letters away.
func nearestFlag(flags *pflag.FlagSet, misspelt string) string {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return nearest(names, misspelt)
}

// nearest returns the word that a misspelt one was probably meant to be; empty when none is near.
func nearest(words []string, misspelt string) string {
	best, least := "", max(1, len(misspelt)/3)+1
	for _, word := range words {
		d := distance(word, misspelt)
		if len(misspelt) > 3 && strings.HasPrefix(word, misspelt) {
			d = 1
		}
		if d < least {
			best, least = word, d
		}
	}
	return best
}

// distance counts the letters to insert, drop, replace or swap with their neighbour to make b of a.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range b {
		rows[0][j+1] = j + 1
	}
	for i := range len(a) {
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			rows[i+1][j+1] = min(rows[i][j]+cost, rows[i][j+1]+1, rows[i+1][j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				rows[i+1][j+1] = min(rows[i+1][j+1], rows[i-1][j-1]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// checkValues rejects a flag that took the name of another flag as its value, and -bundle for
// --bundle.
func checkValues(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, value := range values {
			if f.Shorthand != "" && f.Shorthand+value == f.Name {
				err = guessf(replacing("-"+f.Name, "--"+f.Name), "-%s: a flag with a long name begins with two dashes", f.Name)
			}
			other, _, _ := strings.Cut(value, "=")
			long, isLong := strings.CutPrefix(other, "--")
			if isLong && cmd.Flags().Lookup(long) != nil {
				err = swallowed(f, value)
			}
		}
	})
	return err
}

// swallowed returns the error of a flag that took another flag as its value.
func swallowed(f *pflag.Flag, value string) error {
	placeholder, _ := pflag.UnquoteUsage(f)
	short := "--" + f.Name
	if f.Shorthand != "" {
		short = "-" + f.Shorthand
	}
	return guessf(replacing(value, placeholder, value), "%s has no value: it took %s as its %s", short, value, placeholder)
}

// guarded makes a command check the values of its flags before its arguments.
func guarded(cmd *cobra.Command) {
	next := cmd.Args
	if next == nil {
		next = cobra.ArbitraryArgs
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := checkValues(cmd); err != nil {
			return err
		}
		return next(cmd, args)
	}
}
