package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// copyWords are words that users mistake for commands of a copy, and the flag in place of each.
var copyWords = map[string]string{"export": "--to-tar", "save": "--to-tar", "import": "--from-tar", "load": "--from-tar"}

// misplaced returns the error of words that a copy takes with a flag only, or that name no command.
func (f *copyFlags) misplaced(cmd *cobra.Command, words []string) error {
	first := words[0]
	if isFile(first) || isReference(first) {
		return guessf(func(args []string) []string { return f.withFlags(args, words, "") }, "unexpected argument %q: a copy takes flags only", first)
	}
	meant := nearest(append(commandNames(cmd.Root()), slices.Sorted(maps.Keys(copyWords))...), first)
	switch act := copyWords[meant]; {
	case meant == "":
		return usagef("unknown command %q; a copy takes flags only", first)
	case act != "":
		return guessf(func(args []string) []string { return f.withFlags(replacing(first)(args), words[1:], act) }, "unknown command %q; use %s", first, act)
	default:
		return guessf(replacing(first, meant), "unknown command %q", first)
	}
}

// withFlags puts before each word the flag that it is probably for, and adds flags for what is
// still missing. act is --to-tar of an export, --from-tar of an import, or empty.
func (f *copyFlags) withFlags(args, words []string, act string) []string {
	archive, destination := f.fromTar != "", f.toTar != "" || f.toRepo != ""
	source := archive || f.given()
	for _, word := range words {
		flag := flagFor(word, source, act)
		args = replacing(word, asFlag(flag, word)...)(args)
		if strings.HasPrefix(flag, "--to-") {
			destination = true
		} else {
			source, archive = true, flag == "--from-tar"
		}
	}
	return append(args, missingFlags(source, destination, archive || act == "--from-tar")...)
}

// flagFor returns the flag that a word is probably for; source says that a source is already named.
func flagFor(word string, source bool, act string) string {
	switch export := act == "--to-tar"; {
	case isFile(word) && !source && !export:
		return "--from-tar"
	case isFile(word) || source && export:
		return "--to-tar"
	case source || act == "--from-tar":
		return "--to-repo"
	}
	return "-b"
}

// completed adds to the error of a copy that has a source or a destination, but not both, the flag
// that is missing.
func (f *copyFlags) completed(err error) error {
	source, destination := f.given() || f.fromTar != "", f.toTar != "" || f.toRepo != ""
	if source == destination {
		return err
	}
	missing := missingFlags(source, destination, f.fromTar != "" || f.toRepo != "")
	return guessf(func(args []string) []string { return append(args, missing...) }, "%w", err)
}

// missingFlags are the flags, with placeholders, of a copy without its source or destination; of an
// archive or not.
func missingFlags(source, destination, archive bool) []string {
	from, to := []string{"-b", "REF"}, []string{"--to-tar", "FILE"}
	if archive {
		from, to = []string{"--from-tar", "FILE"}, []string{"--to-repo", "REPO"}
	}
	if source {
		from = nil
	}
	if destination {
		to = nil
	}
	return append(from, to...)
}

// asFlag returns a flag with its value; the tag of a destination has a flag of its own.
func asFlag(flag, value string) []string {
	repo, rest := splitReference(value)
	if tag, hasTag := strings.CutPrefix(rest, ":"); flag == "--to-repo" && hasTag {
		return []string{flag, repo, "--tag", tag}
	}
	return []string{flag, value}
}

// commandNames are the names of all commands below cmd.
func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return names
}
