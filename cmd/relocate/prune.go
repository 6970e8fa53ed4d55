package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/internal/printer"
	"relocate/oci"
)

// pruneReport is what prune prints.
type pruneReport struct {
	Version int `json:"version"`
	*relocate.Pruning
}

// pruneFlags are the flags of prune.
type pruneFlags struct {
	repo   string
	drop   []string
	yes    bool
	format format
	config configFlags

	archives archiveFlags
	common
}

const pruneHelp = `prune shows what only the given roots need in a repository, and with --yes
deletes it. A root is a tag, a digest (sha256:…) or an archive, which means all
its roots and their tags.

All other tags stay, and everything that they lead to: bundles, images,
locations images, signatures and other attachments, whoever put them there. So a
manifest stays if a tag that is not dropped points to it. prune reads every
manifest that a tag leads to; if one cannot be read, it deletes nothing.

The roots go last: after an interruption, the same command continues. Do not
import into the repository while it runs. The registry frees the space when its
garbage collector runs. Status 3 means that it refused to delete some of it.

docs/pruning.md says more, also about particular registries.

`

func newPrune() *cobra.Command {
	f := &pruneFlags{}
	cmd := &cobra.Command{
		Use:   "prune --repo REPO --drop ROOT... [--yes]",
		Short: "Delete from a private registry what only old versions need",
		Long:  pruneHelp + statusHelp,
		Example: `  relocate prune --repo registry.airgap.internal/tce/main --drop v0.11.0
  relocate prune --repo registry.airgap.internal/tce/main --drop v0.11.0 --yes
  relocate prune --repo registry.airgap.internal/tce/main --drop tce-0.11.tar`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("%s: name the repository with --repo, and what is no longer needed with --drop", args[0])
			}
			return firstWrong(
				check{f.repo == "", "name the repository with --repo"},
				check{len(f.drop) == 0, "name what is no longer needed with --drop: a tag, a digest or an archive"},
				check{slices.Contains(f.drop, ""), "--drop is empty: name a tag, a digest or an archive"},
			)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := f.run(newProgress(cmd.Context(), f.progress, cmd.ErrOrStderr()))
			if found == nil || err != nil && found.Deleted == nil {
				return err
			}
			r := pruneReport{reportVersion, found}
			if printErr := f.format.print(cmd.OutOrStdout(), r, r.text); printErr != nil || err != nil {
				return errors.Join(err, printErr)
			}
			if d := found.Deleted; d != nil && !d.IsComplete() {
				return problemsError{statusPartly, "", "see docs/pruning.md for what the registry does not delete"}
			}
			return nil
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.repo, "repo", "", "prune the repository `REPO`: registry/path")
		flags.StringArrayVar(&f.drop, "drop", nil, "delete what only `ROOT` needs: a tag, a digest or an archive (repeatable)")
		flags.BoolVar(&f.yes, "yes", false, "delete; without it, only show what would be deleted")
		addFormat(flags, &f.format)
	})
	f.common.add(cmd)
	f.config.addTo(cmd, "Flags", f.configFor)
	f.archives.addTo(cmd, nil)
	return cmd
}

// run makes the plan, and with --yes does what it says.
func (f *pruneFlags) run(ctx context.Context, show *display) (_ *relocate.Pruning, err error) {
	repo, err := parseRepo("--repo", f.repo)
	if err != nil {
		return nil, err
	}
	at := relocate.Destination{Repository: repo}
	var drop []relocate.Drop
	for _, s := range f.drop {
		d, err := f.parseDrop(ctx, s, repo)
		if err != nil {
			return nil, err
		}
		if d.Archive != nil {
			defer func() { err = errors.Join(err, d.Archive.Close()) }()
		}
		drop = append(drop, d)
	}
	if at.Client, err = f.destination(repo); err != nil {
		return nil, err
	}
	opt := relocate.PruneOptions{Options: relocate.Options{Jobs: f.jobs.least, MostJobs: f.jobs.most, Progress: show.see, Renderer: newRenderer()}, Delete: f.yes}
	return relocate.Prune(ctx, at, drop, opt)
}

// parseDrop reads a root of --drop. The caller closes its archive.
func (f *pruneFlags) parseDrop(ctx context.Context, s string, repo name.Repository) (d relocate.Drop, err error) {
	d.Name = s
	_, statErr := os.Stat(s)
	switch {
	case f.archives.isURL(s):
		d.Archive, err = f.archives.open(ctx, s)
	case strings.HasPrefix(s, "sha256:"):
		if d.Digest, err = v1.NewHash(s); err != nil {
			return d, usagef("--drop %s: not a digest (sha256:…)", s)
		}
	case oci.IsTag(s) && statErr != nil && !strings.HasSuffix(s, ".tar"):
		d.Tag = s
	case statErr != nil && isReference(s):
		ref, err := parseReference("--drop", s)
		if err != nil {
			return d, err
		}
		if ref.Context().Name() != repo.Name() {
			return d, usagef("--drop %s: is not in %s", s, repo.Name())
		}
		if digest, ok := ref.(name.Digest); ok {
			d.Digest = oci.HashOf(digest)
		} else {
			d.Tag = ref.Identifier()
		}
	default:
		d.Archive, err = f.archives.open(ctx, s)
	}
	return d, err
}

// pruneKinds are the kinds of manifests, in the order in which they are counted.
var pruneKinds = [][2]string{{"bundle", "bundle"}, {"image", "image"}, {"index", "index"}, {"attachment", "attachment"}, {"locations", "locations image"}}

// text writes the plan, and what was deleted.
func (r pruneReport) text(w io.Writer) {
	fmt.Fprintf(w, "repository  %s\n", r.Repository)
	for _, d := range r.Drop {
		fmt.Fprintf(w, "drop        %s\n", line(droppedText(d)))
	}
	number, tags := map[string]int{}, len(r.Untag)
	for _, m := range r.Manifests {
		number[m.Kind]++
		tags += len(m.Tags)
	}
	var kinds []string
	for _, kind := range pruneKinds {
		if n := number[kind[0]]; n > 0 {
			kinds = append(kinds, count(n, kind[1]))
		}
	}
	of := ""
	if len(kinds) > 0 {
		of = " (" + strings.Join(kinds, ", ") + ")"
	}
	fmt.Fprintf(w, "delete      %s%s and %s\n", count(len(r.Manifests), "manifest"), of, count(tags, "tag"))
	fmt.Fprintf(w, "frees       up to %s (%s)\n", size(r.Bytes), count(r.Blobs, "blob"))
	fmt.Fprintf(w, "keep        %s and %s, %s (%s)\n", count(r.Keep.Manifests, "manifest"), count(r.Keep.Tags, "tag"), size(r.Keep.Bytes), count(r.Keep.Blobs, "blob"))
	if len(r.Keep.Roots) > 0 {
		fmt.Fprintf(w, "roots kept  %s\n", line(strings.Join(r.Keep.Roots, ", ")))
	}
	r.writeLists(w)
	r.writeDeleted(w)
}

func droppedText(d relocate.Dropped) string {
	root := d.Root
	if d.Tag != "" && root != d.Tag && !strings.HasSuffix(root, ":"+d.Tag) { // an archive
		root += ": " + d.Tag
	}
	switch {
	case d.Digest == nil:
		return root + ": not found"
	case len(d.KeptBy) > 0:
		return fmt.Sprintf("%s is %s, which stays: needed by %s", root, d.Digest, strings.Join(d.KeptBy, ", "))
	}
	return fmt.Sprintf("%s is %s", root, d.Digest)
}

// writeLists lists what goes.
func (r pruneReport) writeLists(w io.Writer) {
	var packages, manifests, tags, unread []string
	for _, p := range r.Packages {
		packages = append(packages, "  "+line(p))
	}
	for _, m := range slices.Backward(r.Manifests) { // the roots first
		manifests = append(manifests, strings.TrimRight(fmt.Sprintf("  %s  %-10s  %s", m.Digest, m.Kind, line(m.Name())), " "))
	}
	for _, t := range r.Untag {
		tags = append(tags, "  "+line(t.Tag))
	}
	for _, u := range r.Unread {
		unread = append(unread, fmt.Sprintf("  %s\n    %s", u.Digest, line(u.Reason)))
	}
	for _, list := range []struct {
		title string
		lines []string
	}{
		{"package versions that no root has any longer", packages},
		{"manifests that only the dropped roots need", manifests},
		{"tags that go alone, because another tag needs their manifests", tags},
		{"manifests that cannot be read in full: what only they need stays", unread},
	} {
		if len(list.lines) > 0 {
			fmt.Fprintf(w, "\n%s\n%s\n", list.title, printer.First(list.lines, mostProblems, "; -o json lists them all"))
		}
	}
}

// writeDeleted says what was deleted.
func (r pruneReport) writeDeleted(w io.Writer) {
	d := r.Deleted
	if d == nil {
		fmt.Fprintln(w, "\nnothing was deleted; --yes deletes this")
		return
	}
	fmt.Fprintf(w, "\ndeleted %s and %s; the registry frees the space when its garbage collector runs\n", count(d.Manifests, "manifest"), count(d.Tags, "tag"))
	if len(d.Stay) == 0 {
		return
	}
	var stay []string
	for _, s := range d.Stay {
		stay = append(stay, fmt.Sprintf("  %s\n    %s", line(s.What), line(s.Reason)))
	}
	fmt.Fprintf(w, "the registry still has these:\n%s\n", printer.First(stay, mostProblems, "; -o json lists them all"))
	if d.IsComplete() {
		fmt.Fprintln(w, "they are tags of locations images or attachments whose bundles and images are deleted, and do no harm")
	}
}
