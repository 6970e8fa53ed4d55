package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/crossing"
	"relocate/custody"
	"relocate/internal/printer"
)

func newSites() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sites",
		Short: "Show which sites have an archive",
		Long: `sites status FILE shows which sites have an archive, by their receipts. relocate
emit --sites FILE writes a folder for each site.

` + statusHelp,
		Example: `  relocate emit tce.tar --sites sites.yml -d clusters
  relocate sites status sites.yml --receipts receipts --trust site.signers`,
		Args: func(_ *cobra.Command, _ []string) error { return usagef("write sites status FILE") },
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(newSitesStatus())
	return cmd
}

// sitesFlags are the flags of sites status.
type sitesFlags struct {
	receipts string // folder or URL
	trust    trustFlags
	format   format
	archives archiveFlags
}

func newSitesStatus() *cobra.Command {
	f := &sitesFlags{}
	cmd := &cobra.Command{
		Use:   "status FILE",
		Short: "Show which sites have an archive, by their receipts",
		Long: `sites status reads the receipts of each site in FILE (NAME.receipts.jsonl), and
shows how far the site has come with the archive that FILE names by its seal:

  never seen   there is no receipt from the site
  other root   its last receipt is about another archive
  importing    the archive arrived or was imported, but nobody has verified the
               repository since
  failed       the repository was verified, and something is missing or wrong
  complete     the repository has everything that the archive lists; references
               that point outside were accepted. LAYERS says how far layers
               were checked: verify --level blobs asks the registry for each
  closed       the same, and no reference points outside

It contacts no site. The last receipt about the site's repository counts. With
--trust, a receipt counts only if it is signed by a key that is trusted for the
namespace ` + custody.ReceiptNamespace + `. Without it, whoever can write the file can claim
anything.

The status is 0 if all sites are complete or closed, 6 if one is not, 9 if a
later receipt is not signed by anyone trusted, and 5 if lines were removed or
changed.

` + statusHelp,
		Example: `  relocate sites status sites.yml --receipts receipts --trust site.signers
  relocate sites status sites.yml -o json \
    --receipts https://files.example.com/receipts/`,
		Args: func(_ *cobra.Command, args []string) error {
			return firstWrong(check{len(args) != 1, fmt.Sprintf("name one sites file; got %d arguments", len(args))})
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), cmd.OutOrStdout(), args[0]) },
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.receipts, "receipts", "", "read NAME.receipts.jsonl of each site in the folder `DIR`, or below "+
			"a URL (default: the folder of FILE)")
		f.trust.addTrust(flags)
		addFormat(flags, &f.format)
	})
	f.archives.addTo(cmd, nil)
	return cmd
}

func (f *sitesFlags) run(ctx context.Context, w io.Writer, file string) error {
	sites, err := readSites(file)
	if err != nil {
		return err
	}
	if sites.Seal == "" {
		return usagef("%s has no seal: add that of the archive, as its export prints it", file)
	}
	seal, err := v1.NewHash(string(sites.Seal))
	if err != nil {
		return err
	}
	trust, err := f.trust.keys(ctx)
	if err != nil {
		return err
	}
	if f.receipts == "" {
		f.receipts = filepath.Dir(file)
	}
	if err := f.checkFolder(); err != nil {
		return err
	}
	r := &sitesReport{Version: reportVersion, File: file, Seal: seal}
	for _, site := range sites.Sites {
		chain, err := f.read(ctx, string(site.Name), seal, trust)
		if err != nil {
			return fmt.Errorf("receipts of %s: %w", site.Name, err)
		}
		r.add(site, seal, chain)
	}
	r.conclude(trust != nil)
	if !slices.ContainsFunc(r.Sites, func(s siteStatus) bool { return !s.hasNone }) {
		r.Note = fmt.Sprintf("%s has receipts of none of the sites, such as %s: check --receipts", f.receipts, string(sites.Sites[0].Name)+custody.ReceiptsEnding)
	}
	if err := f.format.print(w, r, r.text); err != nil {
		return err
	}
	return r.err()
}

// checkFolder refuses a folder that does not exist: no site would have been seen.
func (f *sitesFlags) checkFolder() error {
	if f.archives.isURL(f.receipts) {
		return nil
	}
	info, err := os.Stat(f.receipts)
	if err != nil {
		return usagef("--receipts: %w", err)
	}
	return firstWrong(check{!info.IsDir(), "--receipts " + f.receipts + ": is not a folder"})
}

// read reads the receipts of a site; a chain without lines where there are none.
func (f *sitesFlags) read(
	ctx context.Context, site string, seal v1.Hash, trust *custody.Trust,
) (chain *custody.Chain, err error) {
	if name := site + custody.ReceiptsEnding; f.archives.isURL(f.receipts) {
		var raw []byte
		if raw, err = f.archives.readBelow(ctx, f.receipts, name, custody.MaxReceipts); err == nil {
			chain, err = custody.ReadChain(name, raw, seal, trust, time.Now())
		}
	} else {
		chain, err = relocate.ReadReceiptsOf(filepath.Join(f.receipts, name), seal, trust)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &custody.Chain{}, nil
	}
	return chain, err
}

// readBelow reads a file in the folder that a URL names.
func (f *archiveFlags) readBelow(ctx context.Context, folder, file string, limit int64) ([]byte, error) {
	u, err := url.Parse(f.urls[folder].url)
	if err != nil {
		return nil, usageError{err}
	}
	name, err := f.name(u.JoinPath(file).String(), "")
	if err != nil {
		return nil, err
	}
	return f.read(ctx, name, limit)
}

// sitesReport is the JSON of sites status.
type sitesReport struct {
	Version   int          `json:"version"`
	OK        bool         `json:"ok"`
	Sentence  string       `json:"sentence"`
	File      string       `json:"file"`
	Seal      v1.Hash      `json:"seal"` // of the archive that the sites are to have
	Sites     []siteStatus `json:"sites"`
	NotProved []string     `json:"notProved"`
	Note      string       `json:"note,omitempty"`

	untrusted, broken bool
}

// siteStatus is what the receipts of a site say.
type siteStatus struct {
	Name       string            `json:"name"`
	Repository string            `json:"repository"`
	State      custody.SiteState `json:"state"`
	Time       time.Time         `json:"time,omitzero"` // of the last receipt, as its signer claims
	By         string            `json:"by,omitempty"`
	Host       string            `json:"host,omitempty"`
	Seal       v1.Hash           `json:"seal,omitzero"` // of the archive that it is about
	Signer     *custody.Signer   `json:"signer,omitempty"`
	Levels     []string          `json:"levels,omitempty"` // of the verification, as in receipts
	hasNone    bool              // there is no file of receipts
	Problems   []string          `json:"problems,omitempty"`
	Notes      []string          `json:"notes,omitempty"`
}

// add adds a site.
func (r *sitesReport) add(site crossing.Site, seal v1.Hash, chain *custody.Chain) {
	at := chain.At(string(site.Repository), seal)
	s := siteStatus{Name: string(site.Name), Repository: string(site.Repository), State: at.State, Problems: at.Problems, Notes: at.Notes, hasNone: len(chain.Lines) == 0}
	if at.Last != nil {
		last := at.Last.Receipt
		s.Time, s.By, s.Host, s.Signer = last.Time, last.By, last.Host, at.Last.Signer
		s.Seal, s.Levels = last.Seal, last.Levels
	}
	switch {
	case at.State == custody.SiteUnseen && at.Elsewhere > 0:
		s.Notes = append(s.Notes, fmt.Sprintf("it has %s, but none is about %s", count(at.Elsewhere, "receipt"), site.Repository))
	case at.State == custody.SiteOther:
		s.Notes = append(s.Notes, fmt.Sprintf("it has the archive with the seal %s", s.Seal))
	}
	r.untrusted = r.untrusted || at.Untrusted
	r.broken = r.broken || len(s.Problems) > 0
	r.Sites = append(r.Sites, s)
}

// isDone reports whether the site has the archive.
func (s siteStatus) isDone() bool {
	return (s.State == custody.SiteComplete || s.State == custody.SiteClosed) && len(s.Problems) == 0
}

// notChecked is how the layers of a site were checked that nobody asked for.
const notChecked = "not checked"

// layers says how the layers of a site were checked.
func (s siteStatus) layers() string {
	switch {
	case s.State != custody.SiteComplete && s.State != custody.SiteClosed:
		return ""
	case slices.Contains(s.Levels, custody.LevelWhole):
		return "hashed"
	case slices.Contains(s.Levels, custody.LevelLayers):
		return "asked for"
	}
	return notChecked
}

// conclude says how many sites have the archive.
func (r *sitesReport) conclude(trusted bool) {
	done := len(r.Sites) - len(slices.DeleteFunc(slices.Clone(r.Sites), siteStatus.isDone))
	r.OK = done == len(r.Sites) && !r.broken
	r.Sentence = fmt.Sprintf("%s is complete at %d of %s in %s", r.Seal, done, count(len(r.Sites), "site"), r.File)
	var unchecked []string
	for _, s := range r.Sites {
		if s.layers() == notChecked {
			unchecked = append(unchecked, s.Name)
		}
	}
	r.NotProved = []string{
		"that the sites still have it: their registries were not asked",
		"that no receipt was removed after the last one of each site",
	}
	if len(unchecked) > 0 {
		r.NotProved = append(r.NotProved, "that layers are present at "+strings.Join(unchecked, ", ")+
			": they were verified without --level blobs or deep")
	}
	if !trusted {
		r.NotProved = append(r.NotProved, "who wrote the receipts: --trust was not given")
	}
}

// err is the error of sites that do not have the archive.
func (r *sitesReport) err() error {
	switch {
	case r.OK:
		return nil
	case r.untrusted:
		return problemsError{statusUntrusted, r.Sentence, "relocate key show FILE shows whose key a file has"}
	case r.broken:
		return problemsError{statusDamage, r.Sentence, "ask the site for its copy of the receipts"}
	}
	return problemsError{statusMissing, r.Sentence, "a site is done when the archive is imported there, " +
		"and verified after that: relocate verify --repo REPO FILE --level blobs --receipts NAME.receipts.jsonl"}
}

// text writes the sites for people.
func (r *sitesReport) text(w io.Writer) {
	word := "OK"
	if !r.OK {
		word = "NOT OK"
	}
	fmt.Fprintln(w, line(word+": "+r.Sentence))
	rows := [][]string{{"SITE", "STATE", "LAYERS", "SINCE", "BY"}}
	for _, s := range r.Sites {
		since, by := "", s.By
		if !s.Time.IsZero() {
			since = s.Time.Format(time.RFC3339)
		}
		if s.Signer != nil {
			by = s.Signer.Principal
		}
		rows = append(rows, []string{s.Name, string(s.State), s.layers(), since, by})
	}
	printer.Table(w, rows)
	for _, s := range r.Sites {
		for _, p := range s.Problems {
			fmt.Fprintf(w, "%s: wrong: %s\n", s.Name, line(p))
		}
		for _, note := range s.Notes {
			fmt.Fprintf(w, "%s: note: %s\n", s.Name, line(note))
		}
	}
	if r.Note != "" {
		fmt.Fprintf(w, "note: %s\n", line(r.Note))
	}
	writeNotProved(w, r.NotProved)
}
