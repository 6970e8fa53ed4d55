package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// commandsFile documents the commands and flags for readers of the repository.
const commandsFile = "../../docs/commands.md"

// TestCommandsFile compares docs/commands.md with the program's help. "make docs" writes it.
func TestCommandsFile(t *testing.T) {
	want := commandsMarkdown(newRoot())
	if *update {
		require.NoError(t, os.WriteFile(commandsFile, []byte(want), 0o644))
	}
	got, err := os.ReadFile(commandsFile)
	require.NoError(t, err)
	if strings.ReplaceAll(string(got), "\r\n", "\n") != want {
		t.Errorf("docs/commands.md differs from the program's help: run make docs")
	}
}

// commandsMarkdown returns the help of root and the commands below it as Markdown.
func commandsMarkdown(root *cobra.Command) string {
	root.InitDefaultCompletionCmd()
	p := commandsPage{seen: map[string]string{}}
	p.printf("# Commands and flags\n\nGenerated from the program's help by `make docs`. Do not edit.\n\n| command | what it does |\n| --- | --- |\n")
	p.contents(root)
	p.command(root)
	return p.String()
}

// commandsPage is the Markdown that is being written.
type commandsPage struct {
	strings.Builder
	seen map[string]string // the command that first had a table of flags, by the table
}

func (p *commandsPage) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

// contents writes the table of cmd and the commands below it.
func (p *commandsPage) contents(cmd *cobra.Command) {
	p.printf("| [%s](#%s) | %s |\n", title(cmd), anchor(title(cmd)), cell(cmd.Short))
	for _, sub := range documented(cmd) {
		p.contents(sub)
	}
}

// command writes the help of cmd, then that of the commands below it.
func (p *commandsPage) command(cmd *cobra.Command) {
	p.printf("\n## %s\n\n%s\n", title(cmd), helpText(cmd))
	if cmd.Runnable() {
		p.printf("\n```\n%s\n```\n", strings.TrimSuffix(cmd.UseLine(), " [flags]"))
	}
	if cmd.HasExample() {
		p.printf("\nExamples:\n\n```\n%s\n```\n", outdent(cmd.Example))
	}
	for _, g := range flagGroups(cmd) {
		p.flags(title(cmd), g)
	}
	for _, sub := range documented(cmd) {
		p.command(sub)
	}
}

// documented returns the commands below cmd that its help lists, and help topics.
func documented(cmd *cobra.Command) []*cobra.Command {
	return slices.DeleteFunc(slices.Clone(cmd.Commands()), func(sub *cobra.Command) bool { return sub.Hidden || sub.Name() == "help" })
}

// title is what a user types for cmd: a help topic is no command of its own.
func title(cmd *cobra.Command) string {
	if cmd.IsAdditionalHelpTopicCommand() {
		return cmd.Root().Name() + " help " + cmd.Name()
	}
	return cmd.CommandPath()
}

// anchor is the fragment of a command's heading.
func anchor(command string) string { return strings.ReplaceAll(command, " ", "-") }

// flags writes a group of flags of a command as a table, or refers to an earlier command with the same flags.
func (p *commandsPage) flags(command string, g *pflag.FlagSet) {
	var table strings.Builder
	g.VisitAll(func(f *pflag.Flag) {
		placeholder, usage := pflag.UnquoteUsage(f)
		flag := "--" + f.Name
		if f.Shorthand != "" {
			flag = "-" + f.Shorthand + ", " + flag
		}
		if placeholder != "" {
			flag += " " + placeholder
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && !strings.Contains(usage, "(default") {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(&table, "| `%s` | %s |\n", flag, cell(usage))
	})
	if first, ok := p.seen[table.String()]; ok {
		p.printf("\n%s: as for [%s](#%s).\n", g.Name(), first, anchor(first))
		return
	}
	p.seen[table.String()] = command
	p.printf("\n%s:\n\n| flag | meaning |\n| --- | --- |\n%s", g.Name(), table.String())
}

// flagGroups returns the visible flags of cmd but --help, by the headings of its help, in order.
func flagGroups(cmd *cobra.Command) []*pflag.FlagSet {
	var groups []*pflag.FlagSet
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		title := "Flags"
		if g := f.Annotations[groupKey]; g != nil {
			title = g[0]
		}
		for _, g := range groups {
			if g.Name() == title {
				g.AddFlag(f)
				return
			}
		}
		g := pflag.NewFlagSet(title, pflag.ContinueOnError)
		g.SortFlags = false
		g.AddFlag(f)
		groups = append(groups, g)
	})
	return groups
}

// helpText returns the long help of cmd. Indented lines, tables above all, become blocks of code.
func helpText(cmd *cobra.Command) string {
	text := strings.TrimSpace(cmd.Long)
	if text == "" {
		return cmd.Short + "."
	}
	var out []string
	for _, paragraph := range strings.Split(text, "\n\n") {
		if strings.HasPrefix(paragraph, "  ") || strings.HasPrefix(paragraph, "\t") {
			out = append(out, "```\n"+outdent(paragraph)+"\n```")
		} else {
			out = append(out, prose(strings.TrimLeft(paragraph, "# ")))
		}
	}
	return strings.Join(out, "\n\n")
}

// outdent removes the indent of the first line from every line.
func outdent(text string) string {
	text = strings.TrimRight(text, "\n")
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, indent)
	}
	return strings.Join(lines, "\n")
}

// prose escapes what Markdown would read as more than text.
func prose(text string) string {
	return strings.NewReplacer("<", "\\<", "*", "\\*", "_", "\\_").Replace(text)
}

// cell is prose within a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(prose(text), "\n", " "), "|", "\\|")
}
