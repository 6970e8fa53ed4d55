package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/carvel"
	"relocate/internal/inspect"
	"relocate/rewrite"
)

// emitFlags are the flags of emit.
type emitFlags struct {
	lock, toRepo string
	directory    string
	prune        bool
	api          string
	with         []string
	installs     []string
	values       []string // files
	sites        string   // file
	emitted      *emitted

	installNamespace, controllerNamespace string
	caCerts                               []string
	plainHTTP                             bool
	fromLogin                             bool
	login                                 rewrite.Login
	job                                   jobFlags
	objects                               objectFlags
	config                                configFlags
	archives                              archiveFlags
}

// What --with names.
const (
	withManifests      = "manifests"
	withNamespace      = "namespace"
	withSecret         = "secret"
	withSecretExport   = "secretexport"
	withCA             = "ca"
	withIDMS           = "idms"
	withRegistriesConf = "registries-conf"
	withHostsTOML      = "hosts-toml"
	withAdmin          = "cluster-admin"
	withImportJob      = "import-job"
)

var withAll = []string{
	withManifests, withNamespace, withSecret, withSecretExport, withCA, withIDMS, withRegistriesConf, withHostsTOML,
	withAdmin, withImportJob,
}

const emitHelp = `emit prints what an import prints, without a registry: the PackageRepository,
pinned by digest, for kubectl apply. It needs the archive and the repository
that it was imported to, or the BundleLock that an import wrote with
--lock-output.

--with adds other objects, in the order to apply:

  manifests         the archive's plain manifests (--manifests of an export),
                    with each image replaced by the one in REPO, by digest
  namespace         the namespaces of the objects
  secret            a Secret for the registry, named by the PackageRepository.
                    It has placeholders to replace, or the login that you give
                    with --secret-from-login
  secretexport      a SecretExport of that Secret, for clusters with
                    secretgen-controller; then no object has to name the Secret
  ca                the Secret kapp-controller-config with the certificates of
                    --registry-ca-cert-path
  idms              an ImageDigestMirrorSet (OpenShift): if a Pod names an image
                    at its source, by digest, nodes pull it from REPO
  registries-conf   the same for CRI-O and podman, with the registry's CA
                    (needs -d)
  hosts-toml        how containerd reaches the registry of REPO, with its CA
                    (needs -d)
  cluster-admin     a ClusterRoleBinding that gives each --install full rights,
                    as kctrl does
  import-job[=N]    a Job that imports the archive inside the cluster, and its
                    ServiceAccount, which has no rights; with N, also an Indexed
                    Job whose N Pods upload layers and configs from several
                    nodes. With secret, also the Secrets that they need. Needs
                    --job-image and --job-source

--install adds a PackageInstall, its ServiceAccount, and a Secret with the
values of --values-file or, without it, the default values, commented out. With
--api install.package.carvel.dev/v1alpha1 it adds an InstalledPackage instead.
Without --with cluster-admin, the ServiceAccount has no rights: bind a role to
it.

-d DIR writes each object to its own file, and a kustomization.yaml. Files for
nodes go to DIR/nodes. The next emit updates these files. It keeps Secrets and
values that you filled in; if you changed any other file, it writes nothing.
With --prune it removes files that it no longer writes.

--sites FILE names several sites, each with its own registry. DIR/base gets what
they share, and DIR/sites/NAME what differs. Apply a site's folder with kubectl
apply -k DIR/sites/NAME.

`

func newEmit() *cobra.Command {
	f := &emitFlags{emitted: &emitted{}}
	cmd := &cobra.Command{
		Use:   "emit (FILE (--to-repo REPO | --sites FILE -d DIR) | --lock FILE --name NAME)",
		Short: "Print the PackageRepository and other objects for the cluster",
		Long:  emitHelp + statusHelp,
		Example: `  relocate emit tce.tar --to-repo registry.airgap.internal/tce/main |
    kubectl apply -f -
  relocate emit tce.tar --to-repo registry.airgap.internal/tce/main \
    --with namespace,secret -d clusters/prod/tce \
    --install contour.community.tanzu.vmware.com/1.20.1`,
		Args: archiveArgs(func(cmd *cobra.Command, args []string) error {
			lock, archive := f.lock != "", len(args) > 0
			return firstWrong(
				check{!lock && !archive, "name an archive, or a BundleLock with --lock"},
				check{lock && archive, "give an archive or --lock, not both"},
				check{!archive && f.sites != "", "--sites needs an archive"},
				check{len(args) > 1, fmt.Sprintf("name one archive, not %d", len(args))},
			)
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if f.sites != "" {
				return f.emitSites(cmd, args[0])
			}
			e, err := f.collect(cmd.Context(), args)
			if err != nil {
				return err
			}
			return e.print(cmd, f.directory, f.prune)
		},
	}
	f.add(cmd)
	f.config.addTo(cmd, "Flags", f.configFor)
	f.archives.addTo(cmd, func(args []string) bool { return f.lock == "" && len(args) == 0 })
	return cmd
}

func (f *emitFlags) add(cmd *cobra.Command) {
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.toRepo, "to-repo", "", "use `REPO`, the repository that the archive was imported to")
		flags.StringVar(&f.lock, "lock", "", "read the BundleLock `FILE` of the destination instead of an archive")
		flags.StringVarP(&f.directory, "directory", "d", "", "write files to the folder `DIR` instead of standard output")
		flags.StringVar(&f.sites, "sites", "", "write a folder for each site in `FILE` (needs -d; see docs/sites.md)")
		flags.BoolVar(&f.prune, "prune", false, "remove from DIR the files that an earlier emit wrote and this one does not")
	})
	group(cmd, "PackageRepository", func(flags *pflag.FlagSet) {
		f.objects.add(flags)
		flags.StringVar(&f.api, "api", rewrite.PackagingAPI, "API `VERSION` of the PackageRepository and of what --install"+
			" writes; "+rewrite.OldPackagingAPI+" is for kapp-controller up to v0.19.0-alpha.9")
	})
	group(cmd, "Import Jobs", f.job.add)
	group(cmd, "Other objects", func(flags *pflag.FlagSet) {
		flags.StringSliceVar(&f.with, "with", nil, "also write the objects in `LIST`: "+strings.Join(withAll, ", "))
		flags.StringArrayVar(&f.installs, "install", nil, "install package NAME under the name AS: "+
			"`NAME[/VERSION][=AS]` pins"+
			" VERSION or the newest one; NAME[=AS]@CONSTRAINT lets the cluster choose the newest version that meets "+
			"CONSTRAINT"+
			" (repeatable)")
		addValuesFiles(flags, &f.values)
		flags.StringVar(&f.installNamespace, "install-namespace", "", "install packages to `NAMESPACE` (default: that of --namespace, else default)")
		flags.StringVar(&f.controllerNamespace, "kapp-controller-namespace", rewrite.ControllerNamespace, "`NAMESPACE` of kapp-controller")
		flags.StringSliceVar(&f.caCerts, "registry-ca-cert-path", nil, "use the CA certificates in `FILE` (PEM) "+
			"for --with ca, hosts-toml, registries-conf and import-job")
		flags.BoolVar(&f.plainHTTP, "registry-insecure", false, "configure nodes and Jobs to use plain HTTP with "+
			"the registry")
		flags.BoolVar(&f.fromLogin, "secret-from-login", false, "write --registry-username and --registry-password to the Secret")
		flags.StringVar(&f.login.Username, "registry-username", "", "user `NAME` to write to the Secret")
		flags.StringVar(&f.login.Password, "registry-password", "", "`PASSWORD` to write to the Secret")
	})
}

// has reports whether --with names what.
func (f *emitFlags) has(what string) bool { return slices.Contains(f.with, what) }

// check rejects command lines that make no sense.
func (f *emitFlags) check() error {
	if err := f.job.take(&f.with); err != nil {
		return err
	}
	for _, what := range f.with {
		if what == "itms" { // decided against: docs/decisions/0007-cluster.md
			return usagef("--with itms: an ImageTagMirrorSet cannot work: the destination keeps all images in one repository, " +
				"without their tags; use idms, which mirrors by digest")
		}
		if !slices.Contains(withAll, what) {
			return usagef("--with %s: must be one of %s", what, strings.Join(withAll, ", "))
		}
	}
	return firstWrong(slices.Concat(f.apiChecks(), f.withChecks(), f.lockChecks(), f.certificateChecks(),
		f.loginChecks(), f.jobChecks(), f.siteChecks())...)
}

// apiChecks are about the API version of the PackageRepository.
func (f *emitFlags) apiChecks() []check {
	old := f.api == rewrite.OldPackagingAPI
	return []check{
		oneOf("--api", f.api, rewrite.PackagingAPI, rewrite.OldPackagingAPI),
		{old && f.objects.namespace != "", "--namespace with --api " + f.api + ": such a PackageRepository has no namespace"},
	}
}

// withChecks are about the objects of --with and what they need.
func (f *emitFlags) withChecks() []check {
	installs := len(f.installs) > 0
	secret := f.has(withSecret) || f.objects.secretRef != ""
	nodes := f.has(withRegistriesConf) || f.has(withHostsTOML)
	return []check{
		{f.has(withSecretExport) && !secret, "--with secretexport needs a Secret: add secret to the list, or name one with --secret-ref"},
		{f.has(withAdmin) && !installs, "--with cluster-admin needs --install"},
		{f.installNamespace != "" && !installs, "--install-namespace needs --install"},
		{len(f.values) > 0 && !installs, "--values-file needs --install"},
		{f.prune && f.directory == "", "--prune needs a folder: -d DIR"},
		{nodes && f.directory == "", "--with " + withRegistriesConf + " and " + withHostsTOML +
			" write files for nodes, not for kubectl: name a folder with -d"},
	}
}

// lockChecks are about a BundleLock in place of an archive.
func (f *emitFlags) lockChecks() []check {
	installs, mirrors := len(f.installs) > 0, f.has(withIDMS) || f.has(withRegistriesConf)
	return []check{
		{f.lock != "" && (mirrors || installs || f.has(withManifests)), "--install, and --with manifests, idms and " +
			"registries-conf, need an archive: a lock does not list the repository's content"},
		{f.lock != "" && f.has(withImportJob), "--with import-job needs an archive, which the Job imports"},
	}
}

// certificateChecks are about the certificates of the registry.
func (f *emitFlags) certificateChecks() []check {
	certs := len(f.caCerts) > 0
	ofRegistry := f.has(withCA) || f.has(withHostsTOML) || f.has(withRegistriesConf)
	return []check{
		{f.has(withCA) && !certs && f.sites == "", "--with ca: give the certificates with --registry-ca-cert-path FILE"},
		{certs && !f.usesCertificates(), "--registry-ca-cert-path needs --with ca, hosts-toml, registries-conf " +
			"or import-job"},
		{certs && f.plainHTTP && (ofRegistry || !f.has(withImportJob)), "--registry-insecure and --registry-ca-cert-path " +
			"cannot be used together: plain HTTP has no certificates"},
	}
}

// usesCertificates reports whether --with names something that has the certificates of the registry.
func (f *emitFlags) usesCertificates() bool {
	// An archive's server may have one, too.
	return slices.ContainsFunc([]string{withCA, withHostsTOML, withRegistriesConf, withImportJob}, f.has)
}

// loginChecks keep a login out of the objects unless --secret-from-login asks for it.
func (f *emitFlags) loginChecks() []check {
	given := f.login != rewrite.Login{}
	whole := f.login.Username != "" && f.login.Password != ""
	return []check{
		{given && !f.fromLogin, "--registry-username and --registry-password: emit contacts no registry; " +
			"--secret-from-login writes them to the Secret"},
		{f.fromLogin && !whole, "--secret-from-login: give --registry-username and --registry-password"},
		{f.fromLogin && !f.has(withSecret), "--secret-from-login needs --with secret"},
	}
}

// collect makes the objects of an archive or a lock.
func (f *emitFlags) collect(ctx context.Context, args []string) (_ *emission, err error) {
	if f.lock != "" {
		list, repo, err := f.repositoriesOfLock()
		if err != nil {
			return nil, err
		}
		return f.emit(ctx, list, repo, nil)
	}
	if f.toRepo == "" {
		return nil, usagef("--to-repo is missing: give the repository that %s was imported to", args[0])
	}
	repo, err := parseRepo("--to-repo", f.toRepo)
	if err != nil {
		return nil, err
	}
	s, err := f.open(ctx, args[0])
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	defer s.Renderer.Close()
	return f.emitFrom(ctx, s, repo)
}

// open opens an archive. The caller closes it, and its renderer.
func (f *emitFlags) open(ctx context.Context, archive string) (*inspect.Subject, error) {
	opt := relocate.Options{Jobs: automatic.least, Renderer: newRenderer()}
	s, _, err := f.config.openPart(ctx, &f.archives, archive, &selectionFlags{}, opt)
	if err != nil {
		opt.Renderer.Close()
	}
	return s, err
}

// emitFrom makes the objects for an archive that was imported to repo.
func (f *emitFlags) emitFrom(ctx context.Context, s *inspect.Subject, repo name.Repository) (*emission, error) {
	list, err := rewrite.PackageRepositories(s.Graph, repo, f.objects.name, f.objects.namespace, f.objects.secretRef)
	if err != nil {
		return nil, usageError{err}
	}
	if len(list) == 0 && !f.has(withManifests) {
		if manifestsOf(s.Graph) != nil {
			return nil, usagef("%s contains no package repository, but plain manifests: add --with manifests", s.Name)
		}
		return nil, usagef("%s contains no package repository: no root is a bundle with packages/", s.Name)
	}
	return f.emit(ctx, list, repo, s)
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
		return nil, repo, usagef("--name is missing: a lock does not have the name of the PackageRepository")
	}
	p, err := rewrite.NewPackageRepository(lock.Image, repo, lock.Tag, o.name, o.namespace, o.secretRef)
	if err != nil {
		return nil, repo, usageError{fmt.Errorf("read %s: %w", f.lock, err)}
	}
	return []rewrite.PackageRepository{p}, repo, nil
}
