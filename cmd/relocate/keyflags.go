package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"relocate"
	"relocate/custody"
	"relocate/internal/inputfile"
	"relocate/internal/watchdog"
)

// passwordVariable has the password of a key, as it does for cosign.
const passwordVariable = "COSIGN_PASSWORD"

// keyFlags name a private key.
type keyFlags struct {
	file, passwordFile string
	flag               string // the name of the flag for the key
}

// add adds the flags --NAME and --NAME-password-file.
func (f *keyFlags) add(flags *pflag.FlagSet, name, what string) {
	f.flag = "--" + name
	flags.StringVar(&f.file, name, "", what)
	flags.StringVar(&f.passwordFile, name+"-password-file", "", "read the key's password from `FILE` (default: $"+passwordVariable+", else the terminal)")
}

func (f *keyFlags) check() check {
	return check{f.passwordFile != "" && f.file == "", f.flag + "-password-file needs " + f.flag}
}

// read reads the key; nil without one.
func (f *keyFlags) read(ctx context.Context) (*custody.Key, error) {
	if f.file == "" {
		return nil, nil
	}
	return readKey(ctx, f.file, f.passwordFile)
}

// readKey reads the private key in a file, and its password if it has one.
func readKey(ctx context.Context, file, passwordFile string) (*custody.Key, error) {
	raw, err := inputfile.Read(ctx, file, custody.MaxFile+1)
	if err != nil {
		return nil, err
	}
	key, err := custody.ParseKey(raw, func() ([]byte, error) {
		return readPassword(ctx, passwordFile, "password of "+file)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// readPassword reads a password from the file, else the environment, else the terminal, where it is not
// shown.
func readPassword(ctx context.Context, file, prompt string) ([]byte, error) {
	if file != "" {
		password, err := inputfile.Read(ctx, file, maxPassword)
		return bytes.TrimRight(password, "\r\n"), err
	}
	if password, ok := os.LookupEnv(passwordVariable); ok {
		return []byte(password), nil
	}
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		return nil, usagef("the key needs a password, and there is no terminal to ask for it: set %s, or name a file with it", passwordVariable)
	}
	fmt.Fprintf(os.Stderr, "%s: ", line(prompt))
	var password []byte
	_, err := watchdog.In(ctx).Waiting(func() (n int, err error) {
		password, err = term.ReadPassword(in)
		return len(password), err
	})
	fmt.Fprintln(os.Stderr)
	return password, err
}

// summarizeSealed says what lies beside an archive, and how a stock tool checks it.
func summarizeSealed(w io.Writer, s *relocate.Sealed, keyFile string) {
	if s.Signature == "" {
		return
	}
	already := ""
	if s.WasSigned {
		already = ", which was there already"
	}
	fmt.Fprintf(w, "  signature    %s%s, by %s\n", line(s.Signature), already, s.Key)
	if s.File != "" {
		fmt.Fprintf(w, "  verify with  %s\n", line(stockVerify(s, keyFile)))
	}
}

// stockVerify is the command with which cosign or ssh-keygen verifies a signature.
func stockVerify(s *relocate.Sealed, keyFile string) string {
	if s.IsSSH {
		return shellLine([]string{"ssh-keygen", "-Y", "verify", "-f", "SIGNERS", "-I", "PRINCIPAL", "-n", custody.SealNamespace, "-s", s.Signature}) +
			" < " + shellLine([]string{s.File})
	}
	public := "PUBLIC-KEY"
	if name, ok := strings.CutSuffix(keyFile, keyEnding); ok {
		public = name + publicEnding
	}
	return shellLine([]string{"cosign", "verify-blob", "--key", public, "--bundle", s.Signature, "--insecure-ignore-tlog", s.File})
}

// sealedReport is what --report says of what lies beside an archive that was written.
type sealedReport struct {
	File           string `json:"file,omitempty"` // with the seal
	Signature      string `json:"signature,omitempty"`
	KeyFingerprint string `json:"keyFingerprint,omitempty"`
}

func sealedOf(s *relocate.Sealed) *sealedReport {
	if s == nil {
		return nil
	}
	return &sealedReport{s.File, s.Signature, s.Key}
}
