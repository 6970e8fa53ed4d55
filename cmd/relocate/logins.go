package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate/registry"
)

// Sides of a copy. A registry flag applies to both; with a side before its name, to that one.
const (
	sourceSide      = "src"
	destinationSide = "dst"
)

// wholes are groups of flags that a side overrides together, so that it does not mix two logins.
var wholes = [][]string{
	{"registry-username", "registry-password", "registry-password-stdin", "registry-token", "registry-anon"},
	{"registry-client-cert", "registry-client-key"},
}

// addSides adds the registry flags of each side.
func addSides(cmd *cobra.Command) {
	addSide(cmd, sourceSide)
	addSide(cmd, destinationSide)
}

// addSide adds the registry flags of one side.
func addSide(cmd *cobra.Command, side string) {
	flags := pflag.NewFlagSet(side, pflag.ContinueOnError)
	new(registryFlags).add(flags)
	flags.VisitAll(func(f *pflag.Flag) {
		f.Name, f.Hidden = side+"-"+f.Name, true
		cmd.Flags().AddFlag(f)
	})
}

// isLogin reports whether a flag is a part of a login, or of a client certificate.
func isLogin(flag string) bool {
	isPart := func(names []string) bool { return slices.Contains(names, flag) }
	return flag == "registry-keychain" || slices.ContainsFunc(wholes, isPart)
}

// client returns a client for one side. Its own flags override those for both sides.
func (f *common) client(side string, named []name.Repository) (*registry.Client, error) {
	flags, loginGiven, err := f.of(side)
	if err != nil {
		return nil, usageError{err}
	}
	if flags.passwordStdin {
		if flags.options.Password != "" {
			return nil, usagef("--registry-password and --registry-password-stdin cannot be used together")
		}
		if flags.options.Password, err = f.password.read(); err != nil {
			return nil, err
		}
	}
	if !loginGiven {
		flags.loginFrom(os.Getenv)
	}
	if len(flags.options.Keychains) == 0 && !flags.options.Anonymous {
		flags.options.Keychains = keychainsFrom(os.Getenv)
	}
	flags.options.Environ = os.Environ()
	return flags.client(f.jobs, named)
}

// of returns the registry flags that apply to a side, and whether one of them is a login.
func (f *common) of(side string) (flags *registryFlags, loginGiven bool, err error) {
	flags = &registryFlags{}
	set := pflag.NewFlagSet(side, pflag.ContinueOnError)
	flags.add(set)
	set.VisitAll(func(to *pflag.Flag) {
		from := f.flags.Lookup(to.Name)
		if f.hasOwn(side, to.Name) {
			from = f.flags.Lookup(side + "-" + to.Name)
		}
		if from.Changed {
			err = errors.Join(err, copyValue(to.Value, from.Value))
			loginGiven = loginGiven || slices.Contains(wholes[0], to.Name)
		}
	})
	return flags, loginGiven, err
}

// hasOwn reports whether the command line has the flag of a side, or another one of its group.
func (f *common) hasOwn(side, flag string) bool {
	group := []string{flag}
	for _, names := range wholes {
		if slices.Contains(names, flag) {
			group = names
		}
	}
	return slices.ContainsFunc(group, func(name string) bool { return f.flags.Changed(side + "-" + name) })
}

// copyValue copies the value of a flag to one that the same function defined.
func copyValue(to, from pflag.Value) error {
	if list, ok := from.(pflag.SliceValue); ok {
		return to.(pflag.SliceValue).Replace(list.GetSlice())
	}
	return to.Set(from.String())
}

// checkSides rejects flags for a side that is not a registry, and two uses of standard input.
func (f *common) checkSides(source, destination, archive bool) error {
	var errs []error
	f.flags.Visit(func(flag *pflag.Flag) {
		errs = append(errs, firstWrong(
			check{!source && strings.HasPrefix(flag.Name, sourceSide+"-"), "--" + flag.Name + ": the source is not a registry"},
			check{!destination && strings.HasPrefix(flag.Name, destinationSide+"-"), "--" + flag.Name + ": the destination is not a registry"},
			check{archive && strings.HasSuffix(flag.Name, "registry-password-stdin"), "--" + flag.Name + ": standard input already has the archive"},
		))
	})
	return errors.Join(append(errs, f.checkPasswords(source && destination))...)
}

// checkPasswords rejects two passwords on standard input: of each side, or of one side and of both.
func (f *common) checkPasswords(twoSides bool) error {
	source := f.flags.Changed("src-registry-password-stdin")
	destination := f.flags.Changed("dst-registry-password-stdin")
	both := twoSides && f.flags.Changed("registry-password-stdin")
	second := source && !f.hasOwn(destinationSide, "registry-password") || destination && !f.hasOwn(sourceSide, "registry-password")
	return firstWrong(check{source && destination || both && second,
		"--src-registry-password-stdin, --dst-registry-password-stdin: standard input has only one password; give one of these flags"})
}

// passwordInput is the password on standard input, which is read once.
type passwordInput struct {
	from func() io.Reader
	once sync.Once
	text string
	err  error
}

// maxPassword is how long a password may be, in bytes.
const maxPassword = 64 << 10

func (p *passwordInput) read() (string, error) {
	p.once.Do(func() {
		text, err := io.ReadAll(io.LimitReader(p.from(), maxPassword))
		text = bytes.TrimRight(text, "\r\n")
		switch {
		case err != nil:
			p.err = fmt.Errorf("read the password from standard input: %w", err)
		case len(text) == 0:
			p.err = usagef("--registry-password-stdin: standard input is empty")
		}
		p.text = string(text)
	})
	return p.text, p.err
}

// loginFrom sets the login from the environment, as imgpkg does without a flag.
func (f *registryFlags) loginFrom(getenv func(string) string) {
	get := func(key string) string { return firstOf(getenv, "RELOCATE_"+key, "IMGPKG_"+key) }
	switch {
	case get("USERNAME") != "" || get("PASSWORD") != "":
		f.options.Username, f.options.Password = get("USERNAME"), get("PASSWORD")
	case get("TOKEN") != "":
		f.options.Token = get("TOKEN")
	case len(f.options.Keychains) == 0:
		f.options.Anonymous = get("ANON") == "true"
	}
}

// keychainsFrom returns the keychains that the environment names.
func keychainsFrom(getenv func(string) string) []string {
	names := firstOf(getenv, "RELOCATE_ACTIVE_KEYCHAINS", "IMGPKG_ACTIVE_KEYCHAINS")
	if names == "" && getenv("IMGPKG_ENABLE_IAAS_AUTH") == "true" {
		names = "gke,ecr,aks,github"
	}
	return strings.FieldsFunc(names, func(r rune) bool { return r == ',' || r == ' ' })
}

// firstOf returns the first variable of the environment that is set.
func firstOf(getenv func(string) string, keys ...string) string {
	for _, key := range keys {
		if value := getenv(key); value != "" {
			return value
		}
	}
	return ""
}

// newRegistriesHelp returns the help about registries: a topic, not a command.
func newRegistriesHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "registries",
		Short: "Help on logins, certificates and flags for one side",
		Long: `relocate logs in to a registry with the first login that it finds:

  1. Environment variables for the host: RELOCATE_REGISTRY_HOSTNAME_x, with
     _USERNAME_x and _PASSWORD_x, or _IDENTITY_TOKEN_x, or _REGISTRY_TOKEN_x.
     The suffix _x is any name, and optional. The host can have a port, a path
     with which the repository must begin, and globs between dots, as in
     *.example.com/team. IMGPKG_REGISTRY_… works the same.
  2. The keychain of a cloud: --registry-keychain NAME, or
     RELOCATE_ACTIVE_KEYCHAINS=NAME,… (or IMGPKG_…). aks runs
     docker-credential-acr-env, ecr docker-credential-ecr-login, gke
     docker-credential-gcr or -gcloud, each for its own hosts. github sends
     GITHUB_TOKEN to ghcr.io.
  3. --registry-username and --registry-password, or --registry-token, for the
     registries of -b, -i, --lock, --repo and --to-repo, but not for one that
     only --signatures-from names. Without these flags: RELOCATE_USERNAME,
     RELOCATE_PASSWORD, RELOCATE_TOKEN (or IMGPKG_…).
  4. Docker's configuration with its credential helpers, else
     $REGISTRY_AUTH_FILE, else podman's auth.json.

relocate sends a login when the registry asks for one. A credential helper that
is missing or fails is an error only then. --registry-anon, or
RELOCATE_ANON=true, uses no login. The client certificate of
--registry-client-cert and --registry-client-key is presented to the registries
named on the command line, and to their token servers.

These flags of a copy apply to both sides. With src- or dst- before its name, a
flag applies to one side, and overrides the flag for both:

  both sides         source only            destination only
  --registry-…       --src-registry-…       --dst-registry-…
  --token-host       --src-token-host       --dst-token-host
  --redirect-host    --src-redirect-host    --dst-redirect-host

A login is overridden as a whole: with --dst-registry-token, --registry-username
does not apply to the destination.`,
	}
}
