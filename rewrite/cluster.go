package rewrite

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/bundle"
	"relocate/carvel"
)

// ClusterOptions say what a cluster gets beside the PackageRepositories. The zero value adds
// nothing.
type ClusterOptions struct {
	API string // of the PackageRepositories; empty means PackagingAPI

	Namespaces    bool // of all objects, but for default and ControllerNamespace
	Secret        bool // for the registry
	SecretExport  bool // of that Secret, to all namespaces; no object names the Secret then
	ControllerCA  bool // the Secret with CA for kapp-controller
	MirrorSet     bool // an ImageDigestMirrorSet, by which OpenShift's nodes pull from the destination
	Registries    bool // the same for CRI-O and podman, as a file for nodes
	Hosts         bool // how containerd reaches the registry, as files for nodes
	InstallsAdmin bool // each ServiceAccount of Installs may do everything, as kctrl has it

	ControllerNamespace string // empty means the constant
	InstallNamespace    string // empty means that of the PackageRepositories, or default
	Installs            []Install
	Import              *ImportJob // nil: none

	Login     Login         // for the Secret; the zero value means placeholders
	CA        []byte        // certificates of the registry (PEM); empty when clients trust it already
	PlainHTTP bool          // the registry has no TLS
	Manifests []Manifests   // plain ones, in front of all objects
	Graph     *bundle.Graph // whose images get mirrors; nil means none
}

// Cluster is what a cluster gets.
type Cluster struct {
	Notes []string // for the operator

	objects []object // in the order to apply
	nodes   []File
	opt     ClusterOptions
	repo    name.Repository
	secret  string // name
	// Namespaces of the PackageRepositories' Secret and of what is installed. One Secret serves
	// both if they are the same.
	home, installHome string
}

// File is a file of a folder for a cluster.
type File struct {
	Path     string // with slashes
	Text     []byte
	Skeleton bool // to be filled in by hand
}

// ForCluster returns what a cluster gets with PackageRepositories. All of them, and the images of plain manifests,
// are in repo.
//
// Errors: names that Kubernetes does not accept; a CA that has anything but certificates.
func ForCluster(list []PackageRepository, repo name.Repository, opt ClusterOptions) (*Cluster, error) {
	var first PackageRepository
	if len(list) > 0 {
		first = list[0]
	}
	opt.ControllerNamespace = cmp.Or(opt.ControllerNamespace, ControllerNamespace)
	c := &Cluster{
		opt: opt, repo: repo, secret: cmp.Or(first.SecretRef, "pull-"+DNSName(repo.RegistryStr())),
		home:        cmp.Or(first.Namespace, carvel.GlobalNamespace),
		installHome: cmp.Or(opt.InstallNamespace, first.Namespace, "default"),
	}
	if opt.API == OldPackagingAPI {
		c.home = opt.ControllerNamespace
	}
	if err := c.addFoundations(); err != nil {
		return nil, err
	}
	if opt.Graph != nil {
		c.addMirrors(sources(opt.Graph, repo))
	}
	for _, p := range list {
		first.SecretRef = c.addRepository(p)
	}
	if err := c.addInstalls(first.SecretRef); err != nil {
		return nil, err
	}
	c.replaceInManifests()
	return c, nil
}

// addRepository adds a PackageRepository, and returns the name of the Secret that it has then.
func (c *Cluster) addRepository(p PackageRepository) (secretRef string) {
	p.API = c.opt.API
	if c.opt.Secret && !c.opt.SecretExport {
		p.SecretRef = c.secret
	}
	o := p.object()
	if len(c.opt.Installs) > 0 {
		o.annotate("kapp.k14s.io/change-group", changeGroup)
	}
	c.objects = append(c.objects, o)
	return p.SecretRef
}

// addInstalls adds what installs packages.
func (c *Cluster) addInstalls(secretRef string) error {
	for _, i := range c.opt.Installs {
		if err := c.addInstall(i, secretRef); err != nil {
			return err
		}
	}
	if c.opt.API == OldPackagingAPI && len(c.opt.Installs) > 0 && (c.opt.Secret || secretRef != "") {
		c.note("an InstalledPackage cannot name a Secret for fetching: unless the Package does, " +
			"its bundles are fetched without a login")
	}
	return nil
}

// addFoundations adds what a PackageRepository needs before it is applied.
func (c *Cluster) addFoundations() error {
	homes := []string{c.home}
	if len(c.opt.Installs) > 0 && c.installHome != c.home {
		homes = append(homes, c.installHome)
	}
	secretHomes := homes
	if c.opt.API == OldPackagingAPI {
		secretHomes = homes[:1] // an InstalledPackage names no Secret for fetching
	}
	if err := errors.Join(c.addNamespaces(c.namespaces(homes)), c.addSecrets(secretHomes)); err != nil {
		return err
	}
	if len(c.opt.CA) > 0 {
		if err := c.addCA(); err != nil {
			return err
		}
	}
	if c.opt.Hosts {
		c.node(c.containerdFolder()+"/hosts.toml", hostsTOML(c.repo, c.access()))
	}
	c.noteNodes()
	if c.opt.Import == nil {
		return nil
	}
	return c.addImport(*c.opt.Import)
}

// namespaces are homes and that of the import.
func (c *Cluster) namespaces(homes []string) []string {
	if c.opt.Import == nil || slices.Contains(homes, c.opt.Import.Namespace) {
		return homes
	}
	return append(slices.Clone(homes), c.opt.Import.Namespace)
}

func (c *Cluster) addNamespaces(names []string) error {
	var errs []error
	for _, name := range names {
		if !c.opt.Namespaces || name == "default" || name == c.opt.ControllerNamespace {
			continue
		}
		if o, err := namespaceObject(name); c.inManifests(o) == nil {
			errs = append(errs, c.add(o, err))
		}
	}
	return errors.Join(errs...)
}

// addSecrets adds the Secret to each of the namespaces, or to the first one with a SecretExport to
// all.
func (c *Cluster) addSecrets(namespaces []string) error {
	if c.opt.SecretExport {
		namespaces = namespaces[:1]
	}
	var errs []error
	for _, namespace := range namespaces {
		if c.opt.Secret {
			errs = append(errs, c.add(registrySecret(c.secret, namespace, c.repo.Registry, c.opt.Login)))
		}
	}
	if c.opt.SecretExport {
		errs = append(errs, c.add(secretExport(c.secret, namespaces[0])))
	}
	return errors.Join(errs...)
}

// add adds an object, and returns the error of making it.
func (c *Cluster) add(o object, err error) error {
	c.objects = append(c.objects, o)
	return err
}

func (c *Cluster) note(format string, args ...any) {
	c.Notes = append(c.Notes, fmt.Sprintf(format, args...))
}

// node adds a file for nodes.
func (c *Cluster) node(file string, text []byte) {
	c.nodes = append(c.nodes, File{Path: path.Join("nodes", file), Text: text})
}

// addCA adds the certificates, for kapp-controller and for nodes.
func (c *Cluster) addCA() error {
	o, err := caConfig(c.opt.ControllerNamespace, c.opt.CA)
	if err != nil {
		return fmt.Errorf("CA certificates: %w", err)
	}
	if c.opt.ControllerCA {
		c.keepSettings(o)
		c.objects = append(c.objects, o)
		c.note("the Secret %s in %s replaces caCerts: if the Secret exists already, add its certificates to these; a ConfigMap of that name is ignored beside the Secret",
			controllerConfig, c.opt.ControllerNamespace)
	}
	text := []byte(o.StringData["caCerts"])
	if c.opt.Hosts {
		c.node(c.containerdFolder()+"/ca.crt", text)
	}
	if c.opt.Registries {
		folder := path.Join("containers", "certs.d", hostFolder(c.repo.Registry))
		c.node(folder+"/ca.crt", text)
		c.note("CRI-O and podman read the CA of %s from %s: copy nodes/%s/ca.crt to that folder on each node",
			c.repo.RegistryStr(), certsPath(c.repo.Registry), folder)
	}
	return nil
}

// access is how nodes reach the registry.
func (c *Cluster) access() access {
	return access{CA: len(c.opt.CA) > 0, PlainHTTP: c.opt.PlainHTTP}
}

// containerdFolder is the folder of the registry's files for containerd, below nodes.
func (c *Cluster) containerdFolder() string {
	return path.Join("containerd", "certs.d", hostFolder(c.repo.Registry))
}

// noteNodes says what no file can set: OpenShift's own settings of registries, and plain HTTP in
// kapp-controller.
func (c *Cluster) noteNodes() {
	host := c.repo.RegistryStr()
	if c.opt.MirrorSet && len(c.opt.CA) > 0 {
		c.note("OpenShift's nodes also need the CA of %s: put it into a ConfigMap in openshift-config under the key %s, "+
			"and name that ConfigMap in spec.additionalTrustedCA of the object images.config.openshift.io/cluster", host, strings.Replace(host, ":", "..", 1))
	}
	if c.opt.MirrorSet && c.opt.PlainHTTP {
		c.note("OpenShift's nodes use plain HTTP with %s only if that host is in spec.registrySources.insecureRegistries of the object images.config.openshift.io/cluster", host)
	}
	if plain, err := name.NewRegistry(host); c.opt.PlainHTTP && err == nil && plain.Scheme() != "http" {
		c.note("kapp-controller cannot fetch from %s: it uses plain HTTP only with localhost, names in .local and private IP addresses, and no setting changes that", host)
	}
}

// addMirrors adds the settings with which nodes pull from the destination what is named at its
// source.
func (c *Cluster) addMirrors(sources []string) {
	switch {
	case !c.opt.MirrorSet && !c.opt.Registries:
		return
	case len(sources) == 0 && !(c.opt.PlainHTTP && c.opt.Registries):
		c.note("no image comes from another repository: nothing to mirror")
		return
	}
	if c.opt.MirrorSet && len(sources) > 0 {
		c.objects = append(c.objects, mirrorSet(sources, c.repo))
	}
	if c.opt.Registries {
		c.node("registries.conf.d/relocate-"+DNSName(c.repo.Name())+".conf", registriesConf(sources, c.repo, c.access()))
	}
	c.note("mirrors apply to images that Pods name by digest: images named by tag are not found at the destination, and kapp-controller itself uses no mirror")
}

// addInstall adds what installs a package.
func (c *Cluster) addInstall(i Install, secretRef string) error {
	objects, err := i.objects(c.opt.API, c.installHome, secretRef, c.opt.InstallsAdmin)
	if err != nil {
		return err
	}
	c.objects = append(c.objects, objects...)
	if !c.opt.InstallsAdmin {
		c.note("%s installs with the rights of the ServiceAccount %s/%s, which has none: bind a role to it", i.Name, c.installHome, i.account())
	}
	return nil
}

// Encode returns the YAML of the manifests and the objects for kubectl apply, and a note for each that has
// placeholders. It has no files for nodes.
func (c *Cluster) Encode() (text []byte, notes []string, err error) {
	for _, m := range c.opt.Manifests {
		text = append(text, m.text()...)
	}
	objects, err := encodeObjects(c.objects...)
	if err != nil {
		return nil, nil, err
	}
	text = append(text, objects...)
	notes, err = c.Placeholders(nil)
	return text, notes, err
}

// Files returns a file of each set of manifests and of each object, files for nodes below the folder nodes, and a
// kustomization.yaml.
func (c *Cluster) Files() ([]File, error) {
	files, err := folder("", c.opt.Manifests, c.objects)
	return append(slices.Clone(c.nodes), files...), err
}

// folder returns the files of a folder: a file of each set of manifests and of each object, and a
// kustomization.yaml, which has other folders between them.
func folder(at string, manifests []Manifests, objects []object, others ...string) (files []File, err error) {
	var resources []string
	for _, m := range manifests {
		files, resources = append(files, File{Path: path.Join(at, m.File()), Text: m.text()}), append(resources, m.File())
	}
	resources = append(resources, others...)
	for _, o := range objects {
		text, err := encodeObjects(o)
		if err != nil {
			return nil, err
		}
		files, resources = append(files, File{path.Join(at, o.file()), text, o.skeleton}), append(resources, o.file())
	}
	text, err := kustomization(resources)
	return append(files, File{Path: path.Join(at, "kustomization.yaml"), Text: text}), err
}

// Placeholders returns a note for each object whose text still has a placeholder. filled has the
// text of files that were filled in, by their paths.
func (c *Cluster) Placeholders(filled map[string][]byte) ([]string, error) {
	var notes []string
	for _, o := range c.objects {
		text, isFilled := filled[o.file()]
		if !isFilled {
			var err error
			if text, err = encodeObjects(o); err != nil {
				return nil, err
			}
		}
		var left []string
		for _, word := range placeholders {
			if bytes.Contains(text, []byte(word)) {
				left = append(left, word)
			}
		}
		if len(left) > 0 {
			notes = append(notes, fmt.Sprintf("the Secret %s/%s has placeholders: replace %s",
				o.Metadata.Namespace, o.Metadata.Name, strings.Join(left, " and ")))
		}
	}
	return notes, nil
}
