package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"relocate/crossing"
	"relocate/internal/inspect"
	"relocate/rewrite"
)

// siteChecks are about --sites.
func (f *emitFlags) siteChecks() []check {
	if f.sites == "" {
		return nil
	}
	return []check{
		{f.directory == "", "--sites writes a folder for each site: name the folder of all with -d DIR"},
		exclusive("--sites", true, "--to-repo", f.toRepo != ""),
		{f.fromLogin, "--secret-from-login with --sites: each site has a login of its own; fill in its Secret"},
	}
}

// jobChecks are about the Jobs of --with import-job. With --sites, each site is checked with what its file says.
func (f *emitFlags) jobChecks() []check {
	if f.sites != "" {
		return nil
	}
	return f.job.checks(f.has(withImportJob))
}

// emitSites writes a folder for several sites.
func (f *emitFlags) emitSites(cmd *cobra.Command, archive string) (err error) {
	sites, err := readSites(f.sites)
	if err != nil {
		return err
	}
	s, err := f.open(cmd.Context(), archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	defer s.Renderer.Close()
	if sites.Seal != "" && string(sites.Seal) != s.Archive.Seal.String() {
		return usagef("%s is for the archive with the seal %s, and %s has %s", f.sites, sites.Seal, archive, s.Archive.Seal)
	}
	var list []rewrite.Site
	notes := &siteNotes{of: map[string][]siteNote{}}
	for _, site := range sites.Sites {
		e, err := f.emitSite(cmd.Context(), s, site)
		if err != nil {
			return fmt.Errorf("site %s: %w", site.Name, err)
		}
		list = append(list, rewrite.Site{Name: string(site.Name), Cluster: e.Cluster})
		notes.add(string(site.Name), string(site.Repository), e.notes)
	}
	files, err := rewrite.SiteFiles(list)
	if err != nil {
		return err
	}
	folder, err := writeFolder(f.directory, files, f.prune, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	for i, site := range list {
		placeholders, err := site.Placeholders(below(folder.Kept, site.Folder()))
		if err != nil {
			return err
		}
		notes.add(site.Name, string(sites.Sites[i].Repository), placeholders)
	}
	stderr := cmd.ErrOrStderr()
	fmt.Fprintf(stderr, "%s for %s in %s, %d of them written; "+
		"apply those of a site with kubectl apply -k %[3]s/sites/NAME\n",
		count(len(files), "file"), count(len(list), "site"), line(f.directory), folder.Written)
	for _, note := range notes.list(len(list)) {
		fmt.Fprintf(stderr, "note: %s\n", line(note))
	}
	return nil
}

// readSites reads a file of sites.
func readSites(file string) (*crossing.Sites, error) {
	s, err := crossing.ReadSites(file)
	switch {
	case isA[*crossing.Error](err):
		return nil, sitesFileError{err}
	case err != nil:
		return nil, fmt.Errorf("read sites: %w", err)
	}
	return s, nil
}

// emitSite makes the objects of one site. All sites share what was found in the archive.
func (f *emitFlags) emitSite(ctx context.Context, s *inspect.Subject, site crossing.Site) (*emission, error) {
	of, job := f.forSite(site), f.has(withImportJob)
	asks := site.JobImage != "" || site.JobSource != "" || site.Shards > 0 || site.Receipts != ""
	own := []check{
		{asks && !job, "jobImage, jobSource, shards and receipts are used only by --with import-job"},
		{site.CA != "" && !f.usesCertificates(), "ca is used only by --with ca, hosts-toml, registries-conf and import-job"},
	}
	if err := firstWrong(slices.Concat(own, of.certificateChecks(), of.job.checks(job))...); err != nil {
		return nil, err
	}
	repo, err := parseRepo("repository", of.toRepo)
	if err != nil {
		return nil, err
	}
	return of.emitFrom(ctx, s, repo)
}

// forSite returns the flags with what a site says.
func (f *emitFlags) forSite(site crossing.Site) *emitFlags {
	of := *f
	of.toRepo = string(site.Repository)
	of.objects.secretRef = cmp.Or(site.SecretRef, f.objects.secretRef)
	if site.CA != "" {
		of.caCerts = []string{string(site.CA)}
	}
	if len(of.caCerts) == 0 {
		of.with = slices.DeleteFunc(slices.Clone(f.with), func(what string) bool { return what == withCA })
	}
	if f.has(withImportJob) {
		of.job.forSite(site)
	}
	return &of
}

// below returns the entries below a folder, by their paths in it.
func below(all map[string][]byte, folder string) map[string][]byte {
	part := map[string][]byte{}
	for path, text := range all {
		if file, ok := strings.CutPrefix(path, folder+"/"); ok {
			part[file] = text
		}
	}
	return part
}

// siteNotes are notes about sites, those together that differ only in the registry of the site.
type siteNotes struct {
	order []string              // of the notes, with a word in place of the registry
	of    map[string][]siteNote // by them
}

type siteNote struct{ site, text string }

// add adds notes about a site with a repository.
func (n *siteNotes) add(site, repository string, notes []string) {
	host, _, _ := strings.Cut(repository, "/")
	mask := strings.NewReplacer(repository, "REPOSITORY", host, "REGISTRY", rewrite.DNSName(host), "REGISTRY")
	for _, text := range notes {
		key := mask.Replace(text)
		if n.of[key] == nil {
			n.order = append(n.order, key)
		}
		n.of[key] = append(n.of[key], siteNote{site, text})
	}
}

// list returns the notes, each once. One that is not about all sites says about which.
func (n *siteNotes) list(all int) []string {
	var list []string
	for _, key := range n.order {
		text, notes := key, n.of[key]
		if len(notes) == 1 {
			text = notes[0].text
		}
		var sites []string
		for _, note := range notes {
			sites = append(sites, note.site)
		}
		if len(sites) < all {
			text = strings.Join(sites, ", ") + ": " + text
		}
		list = append(list, text)
	}
	return list
}

// forSite takes what a site says of its Jobs.
func (f *jobFlags) forSite(site crossing.Site) {
	f.image, f.source = cmp.Or(site.JobImage, f.image), cmp.Or(site.JobSource, f.source)
	f.shards = cmp.Or(site.Shards, f.shards)
	f.site = site
}
