package main

import (
	"fmt"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate/bundle"
	"relocate/internal/outfile"
	"relocate/report"
	"relocate/report/page"
)

// writePage writes the page of a verdict to a file, which is replaced as a whole.
func writePage(path string, v *report.Verdict, opt page.Options) error {
	text, err := page.Render(v, opt)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return outfile.Write(path, text)
}

// pageOptions are what a page of this run has beside the verdict. plan and platforms may be nil.
func pageOptions(command string, plan *bundle.Plan, platforms map[v1.Hash][]string) page.Options {
	return page.Options{Plan: plan, Platforms: platforms, Program: "relocate " + version, Command: command, Time: time.Now()}
}

// What a page says of attachments.
const (
	notLooked     = "They were looked for only at the export; what else the source had is not known here."
	allAsked      = "Every repository that an image comes from was asked."
	notWanted     = "They were not looked for (--attachments none)."
	verifyArchive = "that the file is intact when it arrives: relocate verify, with the seal, checks that"
	verifyTarget  = "that the registry still has all of it, and that no reference points outside: relocate verify --repo checks that"
)

// verdict is the verdict on an export, an import or a copy between registries.
func (r *copyReport) verdict() *report.Verdict {
	done := map[string]string{"export": "Exported", "import": "Imported", "copy": "Copied"}[r.Action]
	v := &report.Verdict{
		Act: map[string]string{"export": "Export", "import": "Import", "copy": "Copy"}[r.Action], OK: len(r.Failures) == 0,
		Archive: r.Archive, Repository: r.Repository, Tags: r.Tags, Notes: r.notes(), AttachedNote: notWanted,
	}
	r.plan.Describe(v, false)
	v.Roots, v.Findings, v.Accepted, v.Scan, v.Selected, v.Replaced = r.Roots, r.Findings, r.Accepted, r.Scan, r.Selection, r.Replaced
	v.Subject = r.Repository
	if r.Archive != nil && v.Subject == "" {
		v.Subject = r.Archive.File
	}
	v.Sentence = fmt.Sprintf("%s to %s: %s", done, v.Subject, r.Contents)
	if v.OK {
		v.Proved = []string{"every manifest, config and layer that was copied was hashed on the way, and has the digest that names it"}
	} else {
		v.Sentence = fmt.Sprintf("%s could not be %s", count(len(r.Failures), "manifest and blob"), strings.ToLower(done))
		v.Hint = "run the same command again: what is already present is not copied again"
	}
	for _, f := range r.Failures {
		v.Problems = append(v.Problems, report.Problem{Kind: "failed", What: f.Digest.String(), Images: []string{f.Image}, Reason: f.Reason})
	}
	v.NotProved = []string{verifyTarget}
	if r.Action == "export" {
		v.NotProved = []string{verifyArchive}
	}
	v.Attached, v.Unseen = nil, nil
	if a := r.Attachments; a != nil {
		v.Attached, v.Bare, v.Unseen, v.AttachedNote = a.Found, a.Absent, a.Unseen, allAsked
		if r.Action == "import" {
			v.AttachedNote = notLooked
		}
	}
	return v.Limit()
}

// notes says what happened beside the verdict.
func (r *copyReport) notes() (notes []string) {
	if r.Reread > 0 {
		notes = append(notes, count(r.Reread, "blob")+" arrived damaged, and correct when read again: check the medium, the memory and the network.")
	}
	for _, m := range r.Moved {
		note := fmt.Sprintf("The tag %s has moved since the export began: it was %s, which was exported, and is now %s.", m.Reference, m.Was, m.Is)
		if m.Is == (v1.Hash{}) {
			note = fmt.Sprintf("The tag %s was %s, which was exported; whether it has moved since is not known: %s.", m.Reference, m.Was, m.Reason)
		}
		notes = append(notes, note)
	}
	return notes
}

// commandLine is the command as it was run, for a page: without passwords and tokens.
func commandLine(cmd *cobra.Command, args []string) string {
	words := []string{cmd.CommandPath()}
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		value := flag.Value.String()
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			value = strings.Join(list.GetSlice(), ",")
		}
		switch {
		case strings.HasSuffix(flag.Name, "-password"), strings.HasSuffix(flag.Name, "-token"):
			value = "…"
		case flag.Value.Type() == "bool" && value == "true":
			words = append(words, "--"+flag.Name)
			return
		}
		words = append(words, "--"+flag.Name, value)
	})
	return withoutPassword(strings.Join(append(words, args...), " "))
}
