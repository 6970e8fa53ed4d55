package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"
)

// completions write the completion script of a shell; descriptions says whether with the help of
// each flag.
var completions = map[string]func(root *cobra.Command, w io.Writer, descriptions bool) error{
	"bash": (*cobra.Command).GenBashCompletionV2,
	"fish": (*cobra.Command).GenFishCompletion,
	"zsh": func(root *cobra.Command, w io.Writer, descriptions bool) error {
		if descriptions {
			return root.GenZshCompletion(w)
		}
		return root.GenZshCompletionNoDesc(w)
	},
	"powershell": func(root *cobra.Command, w io.Writer, descriptions bool) error {
		if descriptions {
			return root.GenPowerShellCompletionWithDesc(w)
		}
		return root.GenPowerShellCompletion(w)
	},
}

// newCompletion returns the command that prints completion scripts, in place of cobra's with a
// command for each shell.
func newCompletion() *cobra.Command {
	bare := false
	shells := slices.Sorted(maps.Keys(completions))
	cmd := &cobra.Command{
		Use:   "completion (bash | fish | powershell | zsh)",
		Short: "Print a shell completion script",
		Long: `completion prints a script with which a shell completes the commands and flags
of relocate. Bash needs the package bash-completion; zsh needs compinit.`,
		Example: `  source <(relocate completion bash)              # this session; or zsh
  relocate completion bash > /etc/bash_completion.d/relocate
  relocate completion zsh > "${fpath[1]}/_relocate"
  relocate completion fish > ~/.config/fish/completions/relocate.fish
  relocate completion powershell | Out-String | Invoke-Expression`,
		ValidArgs: shells,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usagef("name one shell, not %d", len(args))
			case len(args) == 0 || completions[args[0]] != nil:
				return nil
			}
			if shell := nearest(shells, args[0]); shell != "" {
				return guessf(replacing(args[0], shell), "unknown shell %q", args[0])
			}
			return usageError{fmt.Errorf("unknown shell %q", args[0])}
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return completions[args[0]](cmd.Root(), cmd.OutOrStdout(), !bare)
		},
	}
	cmd.Flags().BoolVar(&bare, "no-descriptions", false, "complete without descriptions")
	return cmd
}
