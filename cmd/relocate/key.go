package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate/custody"
	"relocate/internal/inputfile"
)

// Endings of the files of a key.
const (
	keyEnding    = ".key"
	publicEnding = ".pub"
)

func newKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make and show keys for signatures and receipts",
		Long: `key new NAME makes a key for signatures: NAME.key, which stays with its owner,
and NAME.pub, which goes to those who are to trust it. key show FILE prints the
public part of a key in the forms that cosign and OpenSSH read.

` + statusHelp,
		Example: `  relocate key new ops
  relocate key show ops.pub`,
		Args: func(_ *cobra.Command, args []string) error { return usagef("write key new NAME, or key show FILE") },
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(newKeyNew(), newKeyShow())
	return cmd
}

func newKeyNew() *cobra.Command {
	passwordFile := ""
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a key",
		Long: `key new makes an ECDSA P-256 key: NAME.key, the private key in cosign's
encrypted form, and NAME.pub, the public key in PEM. cosign, OpenSSH and openssl
take such keys. No file is replaced.

The password is asked for twice, or comes from --password-file or
COSIGN_PASSWORD. Read the fingerprint to those who are to trust the key, by
telephone: they compare it with that of key show NAME.pub.

` + statusHelp,
		Example: `  relocate key new ops
  relocate key show ops.pub`,
		Args: oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			return makeKey(cmd.Context(), cmd.OutOrStdout(), args[0], passwordFile)
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&passwordFile, "password-file", "", "read the password from `FILE` (default: $"+passwordVariable+", else the terminal)")
	})
	return cmd
}

// oneName checks that there is one argument, which can be the beginning of a file's name.
func oneName(_ *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usagef("name one key; got %d arguments", len(args))
	}
	return nil
}

// makeKey writes a new key to two new files.
func makeKey(ctx context.Context, w io.Writer, name, passwordFile string) error {
	for _, path := range []string{name + keyEnding, name + publicEnding} {
		if _, err := os.Lstat(path); err == nil {
			return usagef("%s exists: give the key another name", path)
		}
	}
	password, err := newPassword(ctx, passwordFile)
	if err != nil {
		return err
	}
	key, err := custody.NewKey()
	if err != nil {
		return err
	}
	private, err := key.Encrypt(password)
	if err != nil {
		return err
	}
	public, err := key.Public().PEM()
	if err != nil {
		return err
	}
	if err := writeNew(name+keyEnding, private, 0o600); err != nil {
		return err
	}
	if err := writeNew(name+publicEnding, public, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(w, "made %s, which stays here, and %s, for those who trust it\n  fingerprint  %s\n",
		line(name+keyEnding), line(name+publicEnding), key.Public().Fingerprint())
	return nil
}

// newPassword reads the password of a new key, from a terminal twice.
func newPassword(ctx context.Context, file string) ([]byte, error) {
	password, err := readPassword(ctx, file, "password for the new key")
	if err != nil {
		return nil, err
	}
	if _, ok := os.LookupEnv(passwordVariable); ok || file != "" {
		return password, nil
	}
	again, err := readPassword(ctx, file, "the same again")
	if err == nil && !bytes.Equal(password, again) {
		err = usagef("the two passwords differ")
	}
	return password, err
}

// writeNew writes a file that does not exist yet.
func writeNew(path string, text []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(path))
	}
	return nil
}

func newKeyShow() *cobra.Command {
	passwordFile := ""
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Show the public part of a key",
		Long: `key show prints the fingerprint of a key, its public part in PEM (for cosign,
openssl and --trust), and a line for a file of OpenSSH's allowed signers (for
ssh-keygen and --trust). FILE has a public key or a private one, whose password
is asked for.

` + statusHelp,
		Example: `  relocate key show ops.pub
  relocate key show ~/.ssh/id_ed25519.pub`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			public, err := publicPart(cmd.Context(), args[0], passwordFile)
			if err != nil {
				return err
			}
			return showKey(cmd.OutOrStdout(), public)
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&passwordFile, "password-file", "", "read the password of a private key from `FILE` (default: $"+passwordVariable+", else the terminal)")
	})
	return cmd
}

// publicPart returns the public part of the key in a file.
func publicPart(ctx context.Context, file, passwordFile string) (custody.PublicKey, error) {
	raw, err := inputfile.Read(ctx, file, custody.MaxFile)
	if err != nil {
		return custody.PublicKey{}, err
	}
	if bytes.Contains(raw, []byte("PRIVATE KEY-----")) {
		key, err := readKey(ctx, file, passwordFile)
		if err != nil {
			return custody.PublicKey{}, err
		}
		return key.Public(), nil
	}
	public, err := custody.ParsePublicKey(raw)
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return public, err
}

func showKey(w io.Writer, k custody.PublicKey) error {
	fmt.Fprintf(w, "fingerprint: %s\n\n", k.Fingerprint())
	if text, err := k.PEM(); err == nil { // a key in an authenticator has none
		fmt.Fprintf(w, "%s\n", text)
	}
	_, err := fmt.Fprintf(w, "# allowed signers: who, for what, and until when\nNAME@PLACE namespaces=\"%s\",valid-before=\"YYYYMMDDZ\" %s\n", custody.SealNamespace, k.Line())
	return err
}
