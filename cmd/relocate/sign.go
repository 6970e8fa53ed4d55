package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/custody"
)

// signFlags are the flags of sign.
type signFlags struct {
	key keyFlags
}

func newSign() *cobra.Command {
	f := &signFlags{}
	cmd := &cobra.Command{
		Use:   "sign FILE --key KEY",
		Short: "Sign an archive",
		Long: `sign writes the seal of an archive to FILE.seal, and signs that file. It reads
the archive's documents and headers, and no layers.

With a key of cosign, or another in PEM, the signature is a sigstore bundle,
FILE.seal.sigstore.json. With a key of OpenSSH it is FILE.seal.sig, in the
namespace ` + custody.SealNamespace + `. Stock tools verify both without a network:

  cosign verify-blob --key ops.pub --bundle FILE.seal.sigstore.json \
    --insecure-ignore-tlog FILE.seal
  ssh-keygen -Y verify -f SIGNERS -I PRINCIPAL -n ` + custody.SealNamespace + ` \
    -s FILE.seal.sig < FILE.seal

A key can be ECDSA P-256, Ed25519, or RSA with 2048 to 8192 bits. To sign with a
key in an HSM, a KMS or a FIDO authenticator, sign FILE.seal with cosign or
ssh-keygen; relocate verifies that, too. Nothing changes where the key has
signed the archive before.

` + statusHelp,
		Example: `  relocate key new ops
  relocate sign tce.tar --key ops.key
  relocate verify tce.tar --trust ops.pub`,
		Args: archiveArgs(oneLocal("sign it where it was exported, before it is uploaded, and upload what lies " +
			"beside it, too")),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.key.file == "" {
				return usagef("name the private key with --key")
			}
			key, err := f.key.read(cmd.Context())
			if err != nil {
				return err
			}
			sealed, err := relocate.Sign(args[0], key)
			if err != nil {
				return asUsage(err)
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "signed %s\n  seal       %s\n", line(args[0]), sealed.Seal)
			summarizeSealed(w, sealed, f.key.file)
			return nil
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		f.key.add(flags, "key", "sign with the private key in `FILE`: cosign's, another in PEM, or OpenSSH's")
	})
	return cmd
}
