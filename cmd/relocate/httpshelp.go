package main

import "github.com/spf13/cobra"

// newHTTPSHelp returns the help about archives on servers: a topic, not a command.
func newHTTPSHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "https",
		Short: "Help on archives that are read from a URL",
		Long: `Wherever a command reads an archive, FILE can be an https:// URL. relocate reads
the ranges that it needs, with GET alone, so links that S3, GCS or Azure have
signed work. Nothing is stored on disk.

  relocate --from-tar https://store.example.com/tce.tar --to-repo REPO
  RELOCATE_FROM_TAR="$LINK" relocate --to-repo REPO
  relocate inspect --from-tar-url-file link.txt

The list of processes shows a URL that is on the command line. A URL in a file,
or in RELOCATE_FROM_TAR where no archive is named, is not shown. When the server
refuses the URL in a file, the file is read again, so a new link can be given
while a command runs. What may be secret in a URL is never printed or written.

The server of an archive is told nothing that is for registries. Its own flags
begin with --src-registry-: -username, -password, -password-stdin and -token for
a login, -client-cert and -client-key, -ca-cert-path, -insecure for plain HTTP,
-retry-count and all others of relocate help registries. --from-tar-header-file
names a file with headers for it. They go to the host of the URL alone, also
when it redirects to a host of --redirect-host. Of several URLs, they are for
the host of the first one.

A server cannot prove that a file stayed the same; digests and the seal do.
--seal and --trust say which archive it must be. --seal, --signature, --volumes
and --base take URLs, too.

docs/https.md has recipes for servers and object stores.`,
	}
}
