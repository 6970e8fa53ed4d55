package main

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate/oci"
	"relocate/registry"
)

// registriesTitle is the heading of registryFlags in the help.
const registriesTitle = "Registries"

// registryFlags are the flags for connections to registries.
type registryFlags struct {
	options       registry.Options
	verify        bool
	passwordStdin bool
}

func (f *registryFlags) add(flags *pflag.FlagSet) {
	defaults := registry.Defaults()
	flags.StringSliceVar(&f.options.CACerts, "registry-ca-cert-path", nil, "also trust the CA certificates in `FILE` (PEM)")
	flags.BoolVar(&f.verify, "registry-verify-certs", true, "verify the certificates of registries")
	flags.BoolVar(&f.options.Insecure, "registry-insecure", false, "allow plain HTTP (loopback needs no flag); logins are sent over it only to registries named on the command line")
	flags.StringVar(&f.options.Username, "registry-username", "", "log in as `NAME` to the registries named on the command line")
	flags.StringVar(&f.options.Password, "registry-password", "", "`PASSWORD` of --registry-username")
	flags.BoolVar(&f.passwordStdin, "registry-password-stdin", false, "read the password from standard input")
	flags.StringVar(&f.options.Token, "registry-token", "", "send the bearer `TOKEN` to the registries named on the command line")
	flags.BoolVar(&f.options.Anonymous, "registry-anon", false, "do not log in, even if the environment or Docker's configuration has a login")
	flags.StringSliceVar(&f.options.Keychains, "registry-keychain", nil, "log in to a cloud's registries with the keychain `NAME`: aks, ecr, gke or github (repeatable)")
	flags.StringVar(&f.options.ClientCert, "registry-client-cert", "", "present the client certificate in `FILE` (PEM) to the registries named on the command line")
	flags.StringVar(&f.options.ClientKey, "registry-client-key", "", "read the key of the client certificate from `FILE` (PEM)")
	flags.StringSliceVar(&f.options.TokenHosts, "token-host", nil, "request tokens from `HOST`, even though it is outside the registry's domain (repeatable)")
	flags.StringSliceVar(&f.options.RedirectHosts, "redirect-host", nil, "follow redirects to `HOST`, and continue uploads there, even at a private address (repeatable)")
	flags.DurationVar(&f.options.ConnectTimeout, "registry-connect-timeout", defaults.ConnectTimeout, "fail if connecting takes longer than `TIME`")
	flags.DurationVar(&f.options.HeaderTimeout, "registry-response-header-timeout", defaults.HeaderTimeout, "fail if a registry takes longer than `TIME` to begin its answer")
	flags.DurationVar(&f.options.IdleTimeout, "registry-idle-timeout", defaults.IdleTimeout, "fail if a transfer moves no data for `TIME`; the whole transfer has no time limit")
	flags.IntVar(&f.options.Tries, "registry-retry-count", defaults.Tries, "try a request at most `N` times; an unreachable registry is retried for two minutes")
	flags.DurationVar(&f.options.RetryWait, "registry-retry-wait", defaults.RetryWait, "wait at most `TIME` before the first retry, and twice as long before each further one")
}

// client returns a client. Logins in the flags apply to the named registries only.
func (f *registryFlags) client(jobs concurrency, named []name.Repository) (*registry.Client, error) {
	opt, err := f.checked(jobs)
	if err != nil {
		return nil, err
	}
	for _, repo := range named {
		opt.Named = append(opt.Named, repo.RegistryStr())
	}
	client, err := registry.New(opt)
	if err != nil {
		return nil, usageError{err}
	}
	return client, nil
}

// checked returns what the flags say, unless they do not go together.
func (f *registryFlags) checked(jobs concurrency) (registry.Options, error) {
	opt := f.options
	opt.SkipVerify = !f.verify
	opt.Jobs, opt.MostJobs, opt.UserAgent = jobs.least, jobs.most, "relocate/"+version
	user, token, login := opt.Username != "", opt.Token != "", opt.Username != "" || opt.Token != "" || len(opt.Keychains) > 0
	if err := firstWrong(
		together("--registry-username", user, "--registry-password", opt.Password != ""),
		exclusive("--registry-username", user, "--registry-token", token),
		check{opt.Anonymous && login, "--registry-anon cannot be used with a login"},
		together("--registry-client-cert", opt.ClientCert != "", "--registry-client-key", opt.ClientKey != ""),
	); err != nil {
		return opt, err
	}
	return opt, f.checkLimits()
}

// checkLimits checks the flags with times, counts and hosts.
func (f *registryFlags) checkLimits() error {
	var checks []check
	for _, limit := range []struct {
		flag string
		time time.Duration
	}{
		{"--registry-connect-timeout", f.options.ConnectTimeout},
		{"--registry-response-header-timeout", f.options.HeaderTimeout},
		{"--registry-idle-timeout", f.options.IdleTimeout},
		{"--registry-retry-wait", f.options.RetryWait},
	} {
		checks = append(checks, check{limit.time <= 0, fmt.Sprintf("%s %v: must be more than 0", limit.flag, limit.time)})
	}
	tries := f.options.Tries
	checks = append(checks, check{tries < 1 || tries > 100, fmt.Sprintf("--registry-retry-count %d: must be between 1 and 100", tries)})
	for _, host := range f.options.TokenHosts {
		checks = append(checks, check{!isHostPort(host), "--token-host " + host + ": write a host, or host:port"})
	}
	for _, host := range f.options.RedirectHosts {
		checks = append(checks, check{!isHostPort(host), "--redirect-host " + host + ": write a host, or host:port"})
	}
	return firstWrong(checks...)
}

func isHostPort(s string) bool {
	u, err := url.Parse("//" + s)
	return err == nil && u.Host == s && u.Hostname() != ""
}

// common are the flags of all commands that connect to a registry.
type common struct {
	jobs     concurrency
	progress progressMode
	flags    *pflag.FlagSet // the command's; it has the registry flags
	password passwordInput
}

func (f *common) add(cmd *cobra.Command) {
	group(cmd, "Running", func(flags *pflag.FlagSet) {
		f.jobs.add(flags)
		addProgress(flags, &f.progress)
	})
	f.addRegistries(cmd)
}

// addRegistries adds the flags for connections alone, for commands with few requests.
func (f *common) addRegistries(cmd *cobra.Command) {
	f.jobs = automatic
	group(cmd, registriesTitle, new(registryFlags).add)
	f.flags, f.password.from = cmd.Flags(), cmd.InOrStdin
}

// source returns a client that uses the credentials in the flags for the registries of roots: those
// that the operator named.
func (f *common) source(roots []name.Reference) (*registry.Client, error) {
	var repos []name.Repository
	for _, ref := range roots {
		repos = append(repos, ref.Context())
	}
	return f.client(sourceSide, repos)
}

// destination returns a client that uses the credentials in the flags for the registry of repo.
func (f *common) destination(repo name.Repository) (*registry.Client, error) {
	return f.client(destinationSide, []name.Repository{repo})
}

// parseRepo reads a repository: a registry and a path, without tag or digest.
func parseRepo(flag, s string) (name.Repository, error) {
	if _, rest := splitReference(s); strings.HasPrefix(rest, ":") && !strings.Contains(s, "://") {
		return name.Repository{}, usagef("%s %s: is a reference with a tag; name the repository only (--tag gives an import its tag)", flag, s)
	}
	repo, err := oci.ParseRepository(s)
	if err != nil {
		return repo, usagef("%s %s: %w", flag, s, err)
	}
	return repo, nil
}

// parseReference reads a reference with a tag or a digest.
func parseReference(flag, s string) (name.Reference, error) {
	ref, err := oci.ParseReference(s)
	if err != nil {
		return nil, usagef("%s %s: %w", flag, s, err)
	}
	return ref, nil
}
