package main

import "github.com/spf13/cobra"

// newHTTPSHelp returns the help about archives on servers: a topic, not a command.
func newHTTPSHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "https",
		Short: "Help on reading archives from URLs",
		Long: `Wherever a command reads an archive, FILE can be an https:// URL. relocate reads
only the ranges that it needs, and only with GET, so signed links of S3, GCS and
Azure work. Nothing is stored on disk.

  relocate --from-tar https://store.example.com/tce.tar --to-repo REPO
  RELOCATE_FROM_TAR="$LINK" relocate --to-repo REPO
  relocate inspect --from-tar-url-file link.txt

The list of processes shows a URL on the command line. To hide it, put it in a
file (--from-tar-url-file), or in RELOCATE_FROM_TAR and name no archive. When
the server refuses the URL in a file, relocate reads the file again, so you can
give a new link while a command runs. The secret parts of a URL are never
printed or written.

Your registry logins are not sent to the archive's server. Its flags begin with
--src-registry-: -username, -password, -password-stdin and -token for a login,
-client-cert and -client-key, -ca-cert-path, -insecure for plain HTTP,
-retry-count and all others of relocate help registries. --from-tar-header-file
names a file with headers for it. Logins and headers go only to the host of the
URL, even if it redirects to a host of --redirect-host. If a command has several
URLs, they are for the host of the first.

A server cannot prove that a file stayed the same; digests and the seal do.
--seal and --trust say which archive it must be. --seal, --signature, --volumes
and --base also take URLs.

docs/https.md has recipes for servers and object stores.`,
	}
}
