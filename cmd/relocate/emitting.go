package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/carvel"
	"relocate/internal/inspect"
	"relocate/internal/outfile"
	"relocate/rewrite"
	"relocate/verify/leak"
)

// emission is what emit writes.
type emission struct {
	objects []rewrite.Object // in the order to apply
	nodes   []outfile.File   // for nodes, not for kubectl
	notes   []string         // for the operator
}

// emit makes the objects that go with the PackageRepositories of repo. s is the archive that they are from, nil
// when there is none.
func (f *emitFlags) emit(ctx context.Context, list []rewrite.PackageRepository, repo name.Repository, s *inspect.Subject) (*emission, error) {
	e := &emission{}
	secret := cmp.Or(f.objects.secretRef, "pull-"+rewrite.DNSName(repo.RegistryStr()))
	named := f.has(withSecret) && !f.has(withSecretExport)
	for i := range list {
		list[i].API = f.api
		if named {
			list[i].SecretRef = secret
		}
	}
	if err := f.addSurroundings(e, repo, secret); err != nil {
		return nil, usageError{err}
	}
	if s != nil {
		f.addMirrors(e, rewrite.Sources(s.Graph, repo), repo)
	}
	for _, p := range list {
		e.objects = append(e.objects, p.Object())
	}
	seen := map[string]string{}
	for _, which := range f.installs {
		if err := f.addInstall(ctx, e, s, which, list[0].SecretRef, seen); err != nil {
			return nil, err
		}
	}
	if list[0].SecretRef != "" && !f.has(withSecretExport) {
		if err := e.noteNested(ctx, s, repo); err != nil {
			return nil, err
		}
	}
	e.notes = append(e.notes, repositoryNotes...)
	return e, nil
}

// noteNested adds a note about objects inside packages that need a Secret, if there is an archive with any.
func (e *emission) noteNested(ctx context.Context, s *inspect.Subject, repo name.Repository) error {
	if s == nil {
		return nil
	}
	found, err := leak.Scan(ctx, s.Source, s.Graph, leak.Options{Jobs: defaultJobs})
	if err != nil {
		return err
	}
	if note := nestedNote(found, repo); note != "" {
		e.notes = append(e.notes, note)
	}
	return nil
}

// nestedNote says what objects inside packages need if the registry needs a login; empty if there are no such objects.
func nestedNote(found *leak.Report, repo name.Repository) string {
	if found.WithoutSecret == 0 {
		return ""
	}
	return fmt.Sprintf("the packages contain PackageInstalls, PackageRepositories or Apps that fetch images and name no Secret (%d): if %s needs a login, "+
		"only secretgen-controller and a SecretExport provide it; emit --with secret,secretexport writes one", found.WithoutSecret, repo.RegistryStr())
}

// repositoryNotes say what happens when a PackageRepository is applied.
var repositoryNotes = []string{
	"kapp-controller fetches a PackageRepository when its digest changes: packages that the new one does not have disappear from the cluster, but what is installed stays",
	"keep the name and the repository of the PackageRepository from one relocation to the next: two PackageRepositories with the same package from different repositories conflict, and the second one fails",
}

// homes returns the namespaces of the PackageRepositories' Secrets and of what is installed; a Secret serves
// both where they are one.
func (f *emitFlags) homes() (repository, install string) {
	repository = cmp.Or(f.objects.namespace, rewrite.GlobalNamespace)
	if f.api == rewrite.OldPackagingAPI {
		repository = f.controllerNamespace
	}
	return repository, cmp.Or(f.installNamespace, f.objects.namespace, "default")
}

// addSurroundings adds what a PackageRepository needs before it is applied.
func (f *emitFlags) addSurroundings(e *emission, repo name.Repository, secret string) error {
	home, installHome := f.homes()
	homes := []string{home}
	if len(f.installs) > 0 && installHome != home {
		homes = append(homes, installHome)
	}
	err := errors.Join(f.addNamespaces(e, homes), f.addSecrets(e, homes, repo, secret))
	if len(f.caCerts) > 0 && err == nil {
		err = f.addCA(e, repo)
	}
	if f.has(withHostsTOML) {
		e.node(containerdFolder(repo)+"/hosts.toml", rewrite.HostsTOML(repo, f.access()))
	}
	f.noteNodes(e, repo)
	return err
}

func (f *emitFlags) addNamespaces(e *emission, names []string) error {
	var errs []error
	for _, namespace := range names {
		if f.has(withNamespace) && namespace != "default" && namespace != f.controllerNamespace {
			errs = append(errs, e.add(rewrite.Namespace(namespace)))
		}
	}
	return errors.Join(errs...)
}

// addSecrets adds the Secret to each of the namespaces, or to the first one with a SecretExport to all.
func (f *emitFlags) addSecrets(e *emission, namespaces []string, repo name.Repository, secret string) error {
	if f.has(withSecretExport) {
		namespaces = namespaces[:1]
	}
	var errs []error
	for _, namespace := range namespaces {
		if f.has(withSecret) {
			errs = append(errs, e.add(rewrite.RegistrySecret(secret, namespace, repo.Registry, f.login)))
		}
	}
	if f.has(withSecretExport) {
		errs = append(errs, e.add(rewrite.SecretExport(secret, namespaces[0])))
	}
	return errors.Join(errs...)
}

// add adds an object, and returns the error of making it.
func (e *emission) add(o rewrite.Object, err error) error {
	e.objects = append(e.objects, o)
	return err
}

// addCA adds the certificates, for kapp-controller and for nodes.
func (f *emitFlags) addCA(e *emission, repo name.Repository) error {
	var all []byte
	for _, file := range f.caCerts {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("--registry-ca-cert-path: %w", err)
		}
		all = append(append(all, text...), '\n')
	}
	o, err := rewrite.CAConfig(f.controllerNamespace, all)
	if err != nil {
		return fmt.Errorf("--registry-ca-cert-path %s: %w", strings.Join(f.caCerts, ","), err)
	}
	if f.has(withCA) {
		e.objects = append(e.objects, o)
		e.notes = append(e.notes, fmt.Sprintf("the Secret %s in %s replaces caCerts: if the Secret exists already, add its certificates to these; a ConfigMap of that name is ignored beside the Secret",
			rewrite.ControllerConfig, f.controllerNamespace))
	}
	text := []byte(o.StringData["caCerts"])
	if f.has(withHostsTOML) {
		e.node(containerdFolder(repo)+"/ca.crt", text)
	}
	if f.has(withRegistriesConf) {
		folder := path.Join("containers", "certs.d", rewrite.HostFolder(repo.Registry))
		e.node(folder+"/ca.crt", text)
		e.notes = append(e.notes, fmt.Sprintf("CRI-O and podman read the CA of %s from %s: copy nodes/%s/ca.crt to that folder on each node",
			repo.RegistryStr(), rewrite.CertsPath(repo.Registry), folder))
	}
	return nil
}

// access is how nodes reach the registry.
func (f *emitFlags) access() rewrite.Access {
	return rewrite.Access{CA: len(f.caCerts) > 0, PlainHTTP: f.plainHTTP}
}

// node adds a file for nodes.
func (e *emission) node(file string, text []byte) {
	e.nodes = append(e.nodes, outfile.File{Path: path.Join("nodes", file), Text: text})
}

// containerdFolder is where the files of a registry are for containerd, below nodes.
func containerdFolder(repo name.Repository) string {
	return path.Join("containerd", "certs.d", rewrite.HostFolder(repo.Registry))
}

// noteNodes says what no emitted file can set: OpenShift's own settings of registries, and plain HTTP in kapp-controller.
func (f *emitFlags) noteNodes(e *emission, repo name.Repository) {
	host := repo.RegistryStr()
	if f.has(withIDMS) && len(f.caCerts) > 0 {
		e.notes = append(e.notes, fmt.Sprintf("OpenShift's nodes also need the CA of %s: put it into a ConfigMap in openshift-config under the key %s, "+
			"and name that ConfigMap in spec.additionalTrustedCA of the object images.config.openshift.io/cluster", host, strings.Replace(host, ":", "..", 1)))
	}
	if f.has(withIDMS) && f.plainHTTP {
		e.notes = append(e.notes, fmt.Sprintf("OpenShift's nodes use plain HTTP with %s only if that host is in spec.registrySources.insecureRegistries of the object images.config.openshift.io/cluster", host))
	}
	if plain, err := name.NewRegistry(host); f.plainHTTP && err == nil && plain.Scheme() != "http" {
		e.notes = append(e.notes, fmt.Sprintf("kapp-controller cannot fetch from %s: it uses plain HTTP only with localhost, names in .local and private IP addresses, and no setting changes that", host))
	}
}

// addMirrors adds what lets nodes find at repo what is named as at its source.
func (f *emitFlags) addMirrors(e *emission, sources []string, repo name.Repository) {
	switch {
	case !f.has(withIDMS) && !f.has(withRegistriesConf):
		return
	case len(sources) == 0 && !(f.plainHTTP && f.has(withRegistriesConf)):
		e.notes = append(e.notes, "no image comes from another repository: nothing to mirror")
		return
	}
	if f.has(withIDMS) && len(sources) > 0 {
		e.objects = append(e.objects, rewrite.MirrorSet(sources, repo))
	}
	if f.has(withRegistriesConf) {
		e.node("registries.conf.d/relocate-"+rewrite.DNSName(repo.Name())+".conf", rewrite.RegistriesConf(sources, repo, f.access()))
	}
	e.notes = append(e.notes, "mirrors apply to images that Pods name by digest: images named by tag are not found at the destination, and kapp-controller itself uses no mirror")
}

// addInstall adds what installs a package: NAME[/VERSION][=AS]. seen has the names taken.
func (f *emitFlags) addInstall(ctx context.Context, e *emission, s *inspect.Subject, which, secret string, seen map[string]string) error {
	pkg, as, _ := strings.Cut(which, "=")
	p, err := s.Find(pkg)
	if err != nil {
		return err
	}
	_, namespace := f.homes()
	short, _, _ := strings.Cut(p.Name, ".")
	i := rewrite.Install{Name: cmp.Or(as, short), Namespace: namespace, Package: p.Name, Version: p.Version, SecretRef: secret, Admin: f.has(withAdmin)}
	if other, taken := seen[i.Name]; taken {
		return usagef("--install %s: %s has the name %s already; choose another name, as in %s=NAME", which, other, i.Name, which)
	}
	seen[i.Name] = pkg
	for n, step := range p.Fetches {
		if step.Kind == "imgpkgBundle" || step.Kind == "image" {
			i.Fetches = append(i.Fetches, n)
		}
	}
	if i.Values, err = defaultValues(ctx, s, p); err != nil {
		e.notes = append(e.notes, fmt.Sprintf("%s: no values Secret: %v", which, err))
	}
	objects, err := i.Objects()
	if err != nil {
		return usageError{fmt.Errorf("--install %s: %w", which, err)}
	}
	e.objects = append(e.objects, objects...)
	if !f.has(withAdmin) {
		e.notes = append(e.notes, fmt.Sprintf("%s installs with the rights of the ServiceAccount %s/%s-sa, which has none: bind a role to it", i.Name, namespace, i.Name))
	}
	return nil
}

// defaultValues returns the text of a package's default values, empty when it has none. It may go to a
// terminal, in an object.
func defaultValues(ctx context.Context, s *inspect.Subject, p *carvel.Package) (string, error) {
	d, err := s.Package(ctx, p.Name+"/"+p.Version)
	if err != nil || d.Package.ValuesSchema == nil {
		return "", err
	}
	text, err := d.DefaultValues()
	return printable(string(text)), err
}

// write writes the objects for kubectl apply.
func (e *emission) write(w io.Writer) error {
	var all bytes.Buffer
	for _, o := range e.objects {
		text, err := rewrite.EncodeObjects(o)
		if err != nil {
			return err
		}
		all.Write(text)
		e.notePlaceholders(o, text)
	}
	_, err := w.Write(all.Bytes())
	return err
}

// writeTo writes a file an object to dir, the kustomization.yaml last.
func (e *emission) writeTo(dir string, stderr io.Writer) error {
	files := slices.Clone(e.nodes)
	for _, o := range e.objects {
		text, err := rewrite.EncodeObjects(o)
		if err != nil {
			return err
		}
		files = append(files, outfile.File{Path: o.File(), Text: text, Skeleton: o.Skeleton})
	}
	text, err := rewrite.Kustomization(e.objects)
	if err != nil {
		return err
	}
	files = append(files, outfile.File{Path: "kustomization.yaml", Text: text})
	folder, err := outfile.WriteFolder(dir, files)
	var refused *outfile.RefusedError
	if errors.As(err, &refused) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(folder.Kept)) {
		fmt.Fprintf(stderr, "note: kept %s, which was changed by hand\n", line(path))
	}
	fmt.Fprintf(stderr, "%s in %s, %d of them written; kubectl apply -k %[2]s\n", count(len(files), "file"), line(dir), folder.Written)
	for i, o := range e.objects {
		text := files[len(e.nodes)+i].Text
		if filled, found := folder.Kept[o.File()]; found {
			text = filled
		}
		e.notePlaceholders(o, text)
	}
	return nil
}

// notePlaceholders asks for a login where the text of an object still has a placeholder.
func (e *emission) notePlaceholders(o rewrite.Object, text []byte) {
	for _, placeholder := range []string{rewrite.PlaceholderUsername, rewrite.PlaceholderPassword} {
		if bytes.Contains(text, []byte(placeholder)) {
			e.notes = append(e.notes, fmt.Sprintf("the Secret %s/%s has placeholders: replace %s and %s",
				o.Metadata.Namespace, o.Metadata.Name, rewrite.PlaceholderUsername, rewrite.PlaceholderPassword))
			return
		}
	}
}

// say writes the notes.
func (e *emission) say(stderr io.Writer) {
	for _, note := range e.notes {
		fmt.Fprintf(stderr, "note: %s\n", line(note))
	}
}
