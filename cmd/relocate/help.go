package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// writeHelp writes the help of a command, or of a topic, which has no usage.
func writeHelp(cmd *cobra.Command, _ []string) {
	out := cmd.OutOrStdout()
	fmt.Fprintln(out, cmp.Or(cmd.Long, cmd.Short+"."))
	if cmd.Runnable() {
		fmt.Fprintf(out, "\n%s", cmd.UsageString())
	}
}

// newHelp returns the command help, which reports a command that does not exist.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		Long:  "help shows the help of a command, as relocate COMMAND --help does.",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			of, _, err := cmd.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, sub := range of.Commands() {
				if strings.HasPrefix(sub.Name(), toComplete) && !sub.Hidden {
					names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, unknown, err := cmd.Root().Find(args)
			if err != nil {
				return usageError{err}
			}
			if len(unknown) == 0 {
				of.InitDefaultHelpFlag()
				return of.Help()
			}
			topic := nearest(commandNames(of), unknown[0])
			if copyWords[unknown[0]] != "" {
				topic = "copy"
			}
			if topic == "" {
				return usageError{fmt.Errorf("no help for %q: unknown command", unknown[0])}
			}
			return guessf(replacing(unknown[0], topic), "no help for %q: unknown command", unknown[0])
		},
	}
}
