package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"

	"relocate"
	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/inspect"
	"relocate/internal/outfile"
	"relocate/rewrite"
	"relocate/verify/leak"
)

// emission is what emit writes.
type emission struct {
	*rewrite.Cluster
	notes []string // for the operator
}

// emit makes the objects that go with the PackageRepositories of repo. s is the archive that they
// are from, nil for none.
func (f *emitFlags) emit(
	ctx context.Context, list []rewrite.PackageRepository, repo name.Repository, s *inspect.Subject,
) (*emission, error) {
	opt, err := f.options()
	if err != nil {
		return nil, usageError{err}
	}
	e := &emission{}
	if s != nil {
		if err := f.fromArchive(ctx, e, opt, s, repo, list); err != nil {
			return nil, err
		}
	}
	if e.Cluster, err = rewrite.ForCluster(list, repo, *opt); err != nil {
		return nil, usageError{err}
	}
	e.notes = append(e.Notes, e.notes...)
	return e, f.noteRepositories(ctx, e, list, repo, s)
}

// noteRepositories adds notes about PackageRepositories and what is in them.
func (f *emitFlags) noteRepositories(
	ctx context.Context, e *emission, list []rewrite.PackageRepository, repo name.Repository, s *inspect.Subject,
) error {
	for _, p := range list {
		if note := p.Note(); note != "" {
			e.notes = append(e.notes, note)
		}
	}
	if needs := f.has(withSecret) || f.objects.secretRef != ""; s != nil && needs && !f.has(withSecretExport) {
		found, err := f.scan(ctx, s)
		if err != nil {
			return err
		}
		if note := nestedNote(found, repo); note != "" {
			e.notes = append(e.notes, note)
		}
	}
	if len(list) > 0 {
		e.notes = append(e.notes, repositoryNotes...)
	}
	return nil
}

// options are those that the flags alone say.
func (f *emitFlags) options() (*rewrite.ClusterOptions, error) {
	ca, err := f.certificates()
	return &rewrite.ClusterOptions{
		API: f.api, Namespaces: f.has(withNamespace),
		Secret: f.has(withSecret), SecretExport: f.has(withSecretExport), Login: f.login,
		ControllerCA: f.has(withCA), CA: ca, PlainHTTP: f.plainHTTP,
		MirrorSet: f.has(withIDMS), Registries: f.has(withRegistriesConf), Hosts: f.has(withHostsTOML),
		InstallsAdmin: f.has(withAdmin), ControllerNamespace: f.controllerNamespace, InstallNamespace: f.installNamespace,
	}, err
}

// fromArchive adds what comes from the archive.
func (f *emitFlags) fromArchive(
	ctx context.Context, e *emission, opt *rewrite.ClusterOptions, s *inspect.Subject, repo name.Repository,
	list []rewrite.PackageRepository,
) (err error) {
	opt.Graph = s.Graph
	if opt.Manifests, err = f.manifests(ctx, e, s, repo); err != nil {
		return err
	}
	withoutOlder(s.Graph, list)
	if f.has(withImportJob) {
		if opt.Import, err = f.job.importJob(s, f.objects.name); err != nil {
			return err
		}
	}
	opt.Installs, err = f.packages(ctx, e, s)
	return err
}

// manifests returns the plain manifests of an archive, where --with asks for them.
func (f *emitFlags) manifests(
	ctx context.Context, e *emission, s *inspect.Subject, repo name.Repository,
) ([]rewrite.Manifests, error) {
	has := manifestsOf(s.Graph) != nil
	switch {
	case has && !f.has(withManifests):
		e.notes = append(e.notes, "the archive also has plain manifests: --with manifests writes them")
		return nil, nil
	case !f.has(withManifests):
		return nil, nil
	case !has:
		return nil, usagef("--with manifests: %s has none; export them with --manifests PATH", s.Name)
	}
	list, err := relocate.Manifests(ctx, s.Source, s.Graph, repo)
	if err != nil {
		return nil, err
	}
	for _, m := range list {
		if m.Images {
			e.notes = append(e.notes, fmt.Sprintf("the Pods of the manifests %s name no Secret for %s: if it needs a login, "+
				"configure it on the nodes, or add imagePullSecrets to the ServiceAccounts", m.Name, repo.RegistryStr()))
		}
		if m.Defines() {
			e.notes = append(e.notes, f.howToApply(m))
		}
	}
	found, err := f.scan(ctx, s)
	if err != nil {
		return nil, err
	}
	if n := outsideManifests(found, s.Graph); n > 0 {
		e.notes = append(e.notes, fmt.Sprintf("the manifests still name images or addresses outside, or may (%s): %s lists them", count(n, "reference"), shellLine([]string{"relocate", "verify", s.Name})))
	}
	return list, nil
}

// outsideManifests returns how many references of plain manifests point outside, or may.
func outsideManifests(found *leak.Report, g *bundle.Graph) (n int) {
	for _, f := range found.Findings {
		isManifests := slices.ContainsFunc(g.Roots, func(root bundle.Root) bool {
			node := g.Node(root.Digest)
			return node != nil && node.Manifests != "" && node.Name() == f.Bundle
		})
		if isManifests && f.Reference != "" && f.PointsElsewhere() {
			n++
		}
	}
	return n
}

// howToApply says how to apply manifests that define kinds, of which the objects after them may be.
func (f *emitFlags) howToApply(m rewrite.Manifests) string {
	if f.directory == "" {
		return "the manifests " + m.Name + " define new kinds, which kubectl does not know at once: " +
			"use kapp deploy -a relocate -f -, or for kubectl, write files with -d"
	}
	dir := shellLine([]string{f.directory})
	if f.sites != "" {
		dir += "/sites/NAME"
	}
	return fmt.Sprintf("the manifests %s define new kinds: in a cluster without them, first run kubectl apply -f "+
		"%s/%s "+
		"&& kubectl wait --for=condition=Established crd --all", m.Name, dir, m.File())
}

// manifestsOf returns the names of the plain manifests that a graph has as roots; nil for none.
func manifestsOf(g *bundle.Graph) (names []string) {
	for _, root := range g.Roots {
		if n := g.Node(root.Digest); n != nil && n.Manifests != "" {
			names = append(names, n.Manifests)
		}
	}
	return names
}

// withoutOlder removes from the graph the packages of versions that no PackageRepository serves.
func withoutOlder(g *bundle.Graph, list []rewrite.PackageRepository) {
	for _, p := range list {
		for _, root := range p.Older {
			g.Packages = slices.DeleteFunc(g.Packages, func(p carvel.Package) bool { return p.Repository == root.Digest })
		}
	}
}

// nestedNote says what objects inside packages need if the registry needs a login; empty if there
// are no such objects.
func nestedNote(found *leak.Report, repo name.Repository) string {
	if found.WithoutSecret == 0 {
		return ""
	}
	return fmt.Sprintf("the packages contain PackageInstalls, PackageRepositories or Apps that fetch images and name no "+
		"Secret (%d): if %s needs a login, only secretgen-controller and a SecretExport provide it; "+
		"emit --with secret,secretexport writes one", found.WithoutSecret, repo.RegistryStr())
}

// repositoryNotes say what happens when a PackageRepository is applied.
var repositoryNotes = []string{
	"kapp-controller fetches a PackageRepository when its digest changes: packages that the new one does not have " +
		"disappear from the cluster, but what is installed stays",
	"keep the name and the repository of the PackageRepository from one relocation to the next: two " +
		"PackageRepositories with the same package from different repositories conflict, and the second one fails",
}

// certificates reads the files of CA certificates.
func (f *emitFlags) certificates() ([]byte, error) {
	var all []byte
	for _, file := range f.caCerts {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--registry-ca-cert-path: %w", err)
		}
		all = append(append(all, text...), '\n')
	}
	return all, nil
}

// print writes what was asked for, and the notes.
func (e *emission) print(cmd *cobra.Command, dir string, prune bool) error {
	var placeholders []string
	var err error
	if dir != "" {
		placeholders, err = e.writeTo(dir, prune, cmd.ErrOrStderr())
	} else {
		placeholders, err = e.write(cmd.OutOrStdout())
	}
	if err != nil {
		return err
	}
	for _, note := range append(e.notes, placeholders...) {
		fmt.Fprintf(cmd.ErrOrStderr(), "note: %s\n", line(note))
	}
	return nil
}

// write writes the objects for kubectl apply.
func (e *emission) write(w io.Writer) (placeholders []string, err error) {
	text, placeholders, err := e.Encode()
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	return placeholders, err
}

// writeTo writes the files to dir, the kustomization.yaml last, and removes with prune those of an
// earlier emit that are no longer needed.
func (e *emission) writeTo(dir string, prune bool, stderr io.Writer) (placeholders []string, err error) {
	list, err := e.Files()
	if err != nil {
		return nil, err
	}
	folder, err := writeFolder(dir, list, prune, stderr)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(stderr, "%s in %s, %d of them written; apply them with kubectl apply -k %[2]s\n",
		count(len(list), "file"), line(dir), folder.Written)
	return e.Placeholders(folder.Kept)
}

// writeFolder writes files to dir, and says which others it kept and removed.
func writeFolder(dir string, list []rewrite.File, prune bool, stderr io.Writer) (*outfile.Folder, error) {
	var files []outfile.File
	for _, f := range list {
		files = append(files, outfile.File(f))
	}
	folder, err := outfile.WriteFolder(dir, files, prune)
	if isA[*outfile.RefusedError](err) {
		return nil, usageError{err}
	}
	if err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(folder.Kept)) {
		fmt.Fprintf(stderr, "note: kept %s, which was changed by hand\n", line(path))
	}
	for _, path := range folder.Removed {
		fmt.Fprintf(stderr, "note: removed %s, which is no longer needed\n", line(path))
	}
	return folder, nil
}
