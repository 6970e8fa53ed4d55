package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate/carvel"
	"relocate/rewrite"
	"relocate/tarball"
)

// emitFlags are the flags of emit.
type emitFlags struct {
	lock, toRepo string
	directory    string
	api          string
	with         []string
	installs     []string

	installNamespace, controllerNamespace string
	caCerts                               []string
	plainHTTP                             bool
	fromLogin                             bool
	login                                 rewrite.Login
	objects                               objectFlags
}

// What --with names.
const (
	withNamespace      = "namespace"
	withSecret         = "secret"
	withSecretExport   = "secretexport"
	withCA             = "ca"
	withIDMS           = "idms"
	withRegistriesConf = "registries-conf"
	withHostsTOML      = "hosts-toml"
	withAdmin          = "cluster-admin"
)

var withAll = []string{withNamespace, withSecret, withSecretExport, withCA, withIDMS, withRegistriesConf, withHostsTOML, withAdmin}

const emitHelp = `emit writes what an import writes to stdout, without a registry: the PackageRepository, pinned by digest,
for kubectl apply. It takes the archive and the repository it was imported to, or the BundleLock that an
import wrote with --lock-output.

--with names what else is written, in the order to apply it:

  namespace        the namespaces of the objects
  secret           a registry Secret with placeholders to replace, which the PackageRepository names; or with
                   the login given, if --secret-from-login says so
  secretexport     a SecretExport of it, for clusters with secretgen-controller: nothing needs to name it then
  ca               the Secret kapp-controller-config with the certificates of --registry-ca-cert-path
  idms             an ImageDigestMirrorSet (OpenShift), by which nodes pull from REPO what Pods still name, by
                   digest, as at its source
  registries-conf  the same for CRI-O and podman, and the registry's CA (needs -d)
  hosts-toml       how containerd reaches REPO's registry, with its CA (needs -d)
  cluster-admin    a ClusterRoleBinding that lets each --install do everything, as kctrl has it

--install writes a PackageInstall with its ServiceAccount and a values Secret of the package's defaults, commented
out. What the ServiceAccount may do is yours to say, but for --with cluster-admin.

-d DIR writes a file an object and a kustomization.yaml; what is for nodes goes to DIR/nodes. Written again,
files are updated in place. Files that you wrote or changed are never replaced: Secrets and values that you
filled in are kept, for any other emit refuses to write anything.

`

func newEmit() *cobra.Command {
	f := &emitFlags{}
	cmd := &cobra.Command{
		Use:   "emit (FILE --to-repo REPO | --lock FILE --name NAME)",
		Short: "Write the PackageRepository, and other objects, for the target cluster",
		Long:  emitHelp + statusHelp,
		Example: `  relocate emit tce.tar --to-repo registry.airgap.internal/tce/main | kubectl apply -f -
  relocate emit tce.tar --to-repo registry.airgap.internal/tce/main --with namespace,secret \
    --install contour.community.tanzu.vmware.com/1.20.1 -d clusters/prod/tce`,
		Args: archiveArgs(func(cmd *cobra.Command, args []string) error {
			lock, archive := f.lock != "", len(args) > 0
			return firstWrong(
				check{!lock && !archive, "name an archive, or a BundleLock with --lock"},
				check{lock && archive, "give an archive or --lock, not both"},
				check{len(args) > 1, fmt.Sprintf("name one archive, not %d", len(args))},
			)
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			e, err := f.collect(cmd.Context(), args)
			if err != nil {
				return err
			}
			if f.directory != "" {
				if err := e.writeTo(f.directory, cmd.ErrOrStderr()); err != nil {
					return err
				}
			} else if err := e.write(cmd.OutOrStdout()); err != nil {
				return err
			}
			e.say(cmd.ErrOrStderr())
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

func (f *emitFlags) add(cmd *cobra.Command) {
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.toRepo, "to-repo", "", "the repository `REPO` that the archive was imported to")
		flags.StringVar(&f.lock, "lock", "", "a BundleLock `FILE` of the destination, instead of an archive")
		flags.StringVarP(&f.directory, "directory", "d", "", "write files to the folder `DIR` instead of stdout")
	})
	group(cmd, "PackageRepository", func(flags *pflag.FlagSet) {
		f.objects.add(flags)
		flags.StringVar(&f.api, "api", rewrite.PackagingAPI, "its `VERSION`; "+rewrite.OldPackagingAPI+" is for kapp-controller until v0.19.0-alpha.9")
	})
	group(cmd, "Other objects", func(flags *pflag.FlagSet) {
		flags.StringSliceVar(&f.with, "with", nil, "write the objects in `LIST`, too: "+strings.Join(withAll, ", "))
		flags.StringArrayVar(&f.installs, "install", nil, "install the package `NAME[/VERSION][=AS]`, the newest version if none is named, as AS (repeatable)")
		flags.StringVar(&f.installNamespace, "install-namespace", "", "the `NAMESPACE` to install to (default: that of --namespace, else default)")
		flags.StringVar(&f.controllerNamespace, "kapp-controller-namespace", rewrite.ControllerNamespace, "the `NAMESPACE` that kapp-controller runs in")
		flags.StringSliceVar(&f.caCerts, "registry-ca-cert-path", nil, "a `FILE` of CA certificates (PEM) for --with ca, hosts-toml and registries-conf")
		flags.BoolVar(&f.plainHTTP, "registry-insecure", false, "the registry speaks plain HTTP: tell nodes to use it")
		flags.BoolVar(&f.fromLogin, "secret-from-login", false, "put the login below into the registry Secret")
		flags.StringVar(&f.login.Username, "registry-username", "", "the `NAME` of the login")
		flags.StringVar(&f.login.Password, "registry-password", "", "its `PASSWORD`")
	})
}

// has reports whether --with names what.
func (f *emitFlags) has(what string) bool { return slices.Contains(f.with, what) }

// check rejects command lines that make no sense.
func (f *emitFlags) check() error {
	for _, what := range f.with {
		if what == "itms" { // decided against: docs/decisions/0007-cluster.md
			return usagef("--with itms: no ImageTagMirrorSet can be right: the destination keeps all images in one repository, without their tags; idms mirrors by digest")
		}
		if !slices.Contains(withAll, what) {
			return usagef("--with %s: must be one of %s", what, strings.Join(withAll, ", "))
		}
	}
	return firstWrong(slices.Concat(f.apiChecks(), f.withChecks(), f.certificateChecks(), f.loginChecks())...)
}

// apiChecks are about the API version of the PackageRepository.
func (f *emitFlags) apiChecks() []check {
	old := f.api == rewrite.OldPackagingAPI
	return []check{
		oneOf("--api", f.api, rewrite.PackagingAPI, rewrite.OldPackagingAPI),
		{old && f.objects.namespace != "", "--namespace with --api " + f.api + ": such a PackageRepository has no namespace"},
		{old && len(f.installs) > 0, "--install goes with --api " + rewrite.PackagingAPI + " only"},
	}
}

// withChecks are about the objects of --with and what they need.
func (f *emitFlags) withChecks() []check {
	installs := len(f.installs) > 0
	secret := f.has(withSecret) || f.objects.secretRef != ""
	nodes := f.has(withRegistriesConf) || f.has(withHostsTOML)
	mirrors := f.has(withIDMS) || f.has(withRegistriesConf)
	return []check{
		{f.has(withSecretExport) && !secret, "--with secretexport needs a Secret: add secret to the list, or name one with --secret-ref"},
		{f.has(withAdmin) && !installs, "--with cluster-admin goes with --install"},
		{f.installNamespace != "" && !installs, "--install-namespace goes with --install"},
		{nodes && f.directory == "", "--with " + withRegistriesConf + " and " + withHostsTOML + " write files for nodes, not for kubectl: name a folder with -d"},
		{f.lock != "" && (mirrors || installs), "--install, and --with idms and registries-conf, need an archive: a lock does not list the repository's content"},
	}
}

// certificateChecks are about the certificates of the registry.
func (f *emitFlags) certificateChecks() []check {
	certs := len(f.caCerts) > 0
	used := f.has(withCA) || f.has(withHostsTOML) || f.has(withRegistriesConf)
	return []check{
		{f.has(withCA) && !certs, "--with ca: give the certificates with --registry-ca-cert-path FILE"},
		{certs && !used, "--registry-ca-cert-path goes with --with ca, hosts-toml or registries-conf"},
		{certs && f.plainHTTP, "--registry-insecure and --registry-ca-cert-path exclude each other: plain HTTP has no certificates"},
	}
}

// loginChecks keep a login out of the objects unless --secret-from-login asks for it.
func (f *emitFlags) loginChecks() []check {
	given := f.login != rewrite.Login{}
	whole := f.login.Username != "" && f.login.Password != ""
	return []check{
		{given && !f.fromLogin, "--registry-username and --registry-password: emit contacts no registry; --secret-from-login writes them to the Secret"},
		{f.fromLogin && !whole, "--secret-from-login: give --registry-username and --registry-password"},
		{f.fromLogin && !f.has(withSecret), "--secret-from-login goes with --with secret"},
	}
}

// collect makes the objects of an archive or a lock.
func (f *emitFlags) collect(ctx context.Context, args []string) (*emission, error) {
	if f.lock != "" {
		list, repo, err := f.repositoriesOfLock()
		if err != nil {
			return nil, err
		}
		return f.emit(ctx, list, repo, nil)
	}
	if f.toRepo == "" {
		return nil, usagef("where was %s imported to? give --to-repo REPO", args[0])
	}
	repo, err := parseRepo("--to-repo", f.toRepo)
	if err != nil {
		return nil, err
	}
	a, err := tarball.Open(args[0])
	if err != nil {
		return nil, err
	}
	defer a.Close()
	plan, err := a.CheckedPlan(ctx, defaultJobs)
	if err != nil {
		return nil, err
	}
	list, err := rewrite.PackageRepositories(plan.Graph, repo, f.objects.name, f.objects.namespace, f.objects.secretRef)
	if err != nil {
		return nil, usageError{err}
	}
	if len(list) == 0 {
		return nil, usagef("%s holds no package repository: no root is a bundle with packages/", args[0])
	}
	return f.emit(ctx, list, repo, &subject{name: args[0], graph: plan.Graph, source: a})
}

// repositoriesOfLock takes the bundle in a lock for a package repository.
func (f *emitFlags) repositoriesOfLock() (list []rewrite.PackageRepository, repo name.Repository, err error) {
	text, err := os.ReadFile(f.lock)
	if err != nil {
		return nil, repo, err
	}
	lock, err := carvel.ParseBundleLock(text)
	if err != nil {
		return nil, repo, usagef("read %s: %w", f.lock, err)
	}
	repo = lock.Image.Context()
	if f.toRepo != "" {
		if repo, err = parseRepo("--to-repo", f.toRepo); err != nil {
			return nil, repo, err
		}
	}
	o := f.objects
	if o.name == "" { // the lock does not know the source repository, after which an import names it
		return nil, repo, usagef("a lock does not tell the name of the PackageRepository that the import wrote: give --name")
	}
	p, err := rewrite.NewPackageRepository(lock.Image, repo, lock.Tag, o.name, o.namespace, o.secretRef)
	if err != nil {
		return nil, repo, usageError{fmt.Errorf("read %s: %w", f.lock, err)}
	}
	return []rewrite.PackageRepository{p}, repo, nil
}
