package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"relocate/crossing"
)

const configHelp = `A crossing file says what is carried, what is known and accepted, and where it
goes. One file describes both sides, and can be kept in git:

  apiVersion: relocate/v1alpha1
  kind: Crossing
  roots:
  - bundle: registry.example.com/tce/main:v0.12.0
    choose:
      packages: [contour.*, cert-manager.*]
      latest: 1
  allow: [docs.example.com]
  destination:
    repository: registry.airgap.internal/tce/main

  relocate plan --config tce.yml                   review before the download
  relocate --config tce.yml --to-tar tce.tar
  relocate rehearse --config tce.yml tce.tar
  relocate --config tce.yml --from-tar tce.tar
  relocate verify --config tce.yml                 the destination

Each key means what its flag means. A flag on the command line overrides it: a
list replaces the list. -b, -i and --lock replace all roots, with their choices;
--tag and --no-tag replace each other. Paths are relative to the file's folder.
A command does not use keys that it has no flag for, but checks them, too:
unknown keys, duplicate keys, and values of the wrong type are errors.

An import, rehearse, verify, inspect and emit refuse an archive whose roots are
not those of the file. Without an archive, inspect and render show the file's
only root as a whole, and verify verifies the destination.

A crossing file contains no logins: see relocate help registries.

`

// newConfigHelp returns the help about the file of --config: a topic, not a command.
func newConfigHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Help on the file that describes a crossing",
		Long:  configHelp + "The keys, with the flag that means the same:\n\n" + strings.TrimRight(configKeys(), "\n"),
	}
}

// configKeys lists the keys of a file.
func configKeys() string {
	var b strings.Builder
	for _, k := range crossing.Keys() {
		if k.Flag == "" {
			continue
		}
		help := k.Help
		if k.Values != nil {
			help += ": " + strings.Join(k.Values, ", ")
		}
		fmt.Fprintf(&b, "  %s (--%s)\n      %s\n", k.Name, k.Flag, wrapped(help, 6, 6))
	}
	return b.String()
}
