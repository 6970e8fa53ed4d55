package main

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Columns of the help: its width, and where the text beside a flag begins.
const (
	helpWidth  = 80
	flagColumn = 30
)

// groupKey is the annotation of a flag with the heading that it stands under.
const groupKey = "group"

// group adds flags to cmd under a heading of its help.
func group(cmd *cobra.Command, title string, add func(*pflag.FlagSet)) {
	flags := pflag.NewFlagSet(title, pflag.ContinueOnError)
	flags.SortFlags = false
	add(flags)
	flags.VisitAll(func(f *pflag.Flag) { f.Annotations = map[string][]string{groupKey: {title}} })
	cmd.Flags().SortFlags = false
	cmd.Flags().AddFlagSet(flags)
}

// usage writes a command's usage: as cobra's, with the flags under their headings, after the
// commands.
func usage(cmd *cobra.Command) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:\n  %s\n", synopsis(strings.TrimSuffix(cmd.UseLine(), " [flags]")))
	if cmd.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
				fmt.Fprintf(&b, "  %-10s  %s\n", sub.Name(), wrapped(sub.Short, 14, 14))
			}
		}
	}
	var titles []string
	byTitle := map[string]*strings.Builder{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		title := "Flags"
		if g := f.Annotations[groupKey]; g != nil {
			title = g[0]
		}
		if byTitle[title] == nil {
			titles = append(titles, title)
			byTitle[title] = &strings.Builder{}
		}
		writeFlag(byTitle[title], f)
	})
	for _, title := range titles {
		fmt.Fprintf(&b, "\n%s:\n%s", title, byTitle[title])
	}
	_, err := cmd.OutOrStderr().Write([]byte(b.String()))
	return err
}

// synopsis breaks a line of usage between what is in parentheses, not inside.
func synopsis(line string) string {
	const blank = "\x00"
	inside := regexp.MustCompile(`\([^)]*\)`).ReplaceAllStringFunc(line, func(s string) string { return strings.ReplaceAll(s, " ", blank) })
	return strings.ReplaceAll(wrapped(inside, 2, 4), blank, " ")
}

// writeFlag writes the help of a flag: its name, and beside it, or below a long one, what it does.
func writeFlag(b *strings.Builder, f *pflag.Flag) {
	placeholder, text := pflag.UnquoteUsage(f)
	name := "      --" + f.Name
	if f.Shorthand != "" {
		name = "  -" + f.Shorthand + ", --" + f.Name
	}
	if placeholder != "" {
		name += " " + placeholder
	}
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && !strings.Contains(text, "(default") {
		text += " (default " + f.DefValue + ")"
	}
	if len(name) > flagColumn-2 {
		fmt.Fprintln(b, name)
		name = ""
	}
	fmt.Fprintf(b, "%-*s%s\n", flagColumn, name, wrapped(text, flagColumn, flagColumn))
}

// wrapped breaks text into lines that fit the help. The first line begins at column first, the
// others at column rest.
func wrapped(text string, first, rest int) string {
	var b strings.Builder
	column := first
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i > 0 && column+1+n > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", rest))
			column = rest
		case i > 0:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
