package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
)

// builtFor is the platform that the program was built for.
const builtFor = runtime.GOOS + "/" + runtime.GOARCH

// versionLine is the version for people.
func versionLine() string {
	return fmt.Sprintf("relocate %s (%s, %s)\n", version, runtime.Version(), builtFor)
}

func newVersion() *cobra.Command {
	var f format
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the program's version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{version, runtime.Version(), builtFor}
			return f.print(cmd.OutOrStdout(), v, func(w io.Writer) {
				fmt.Fprint(w, versionLine())
			})
		},
	}
	addFormat(cmd.Flags(), &f)
	return cmd
}
