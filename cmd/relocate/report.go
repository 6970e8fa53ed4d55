package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/bundle"
	"relocate/copy"
	"relocate/internal/outfile"
	"relocate/internal/printer"
	"relocate/internal/progress"
	"relocate/report"
	"relocate/rewrite"
	"relocate/tarball"
)

// reportVersion is the version of the JSON of --report, plan, inspect and verify.
const reportVersion = 1

// writeRoots writes each root and its digest on lines of their own.
func writeRoots(w io.Writer, roots []report.Root) {
	for _, root := range roots {
		fmt.Fprintln(w, line(root.Reference))
		if !strings.HasSuffix(root.Reference, root.Digest.String()) {
			fmt.Fprintf(w, "  is %s\n", root.Digest)
		}
		if root.Manifests != "" {
			fmt.Fprintf(w, "  has plain manifests, %s; relocate emit --with manifests writes them\n", line(root.Manifests))
		}
		if root.Derived != nil {
			fmt.Fprintf(w, "  is derived from %s; signatures of the original do not apply to it\n", root.Derived)
		}
	}
}

// archiveOf returns the report of an archive that is written or read.
func archiveOf(file string, a interface {
	Size() int64
	Seal() v1.Hash
	Format() tarball.Format
}) *report.Archive {
	return &report.Archive{File: file, Size: a.Size(), Form: a.Format().String(), Seal: a.Seal()}
}

// copyReport is what --report writes.
type copyReport struct {
	Version    int                 `json:"version"`
	Action     string              `json:"action"` // export, import, copy, shard
	Roots      []report.Root       `json:"roots"`
	Archive    *report.Archive     `json:"archive,omitempty"`
	Signature  *report.Signature   `json:"signature,omitempty"` // of the archive that was imported
	Sealed     *sealedReport       `json:"sealed,omitempty"`    // beside the archive that was exported
	Source     *sourceReport       `json:"source,omitempty"`    // of an archive that was read from a server
	Repository string              `json:"repository,omitempty"`
	Shard      *relocate.Shard     `json:"shard,omitempty"` // whose blobs were uploaded
	Tags       []string            `json:"tags,omitempty"`  // of the roots at the destination
	Contents   report.Contents     `json:"contents"`
	Result     *copy.Result        `json:"result"`
	Kept       *keptReport         `json:"kept,omitempty"`   // by an earlier run
	Reread     int                 `json:"reread,omitempty"` // blobs that were wrong when first read
	Moved      []relocate.MovedTag `json:"moved,omitempty"`
	Failures   []failureReport     `json:"failures,omitempty"`
	Seconds    float64             `json:"seconds"`
	atOnce     int                 // requests

	Attachments *attachmentsReport `json:"attachments,omitempty"` // nil where they were not looked for

	Omitted []report.Omitted `json:"omitted,omitempty"`
	Bases   []report.Base    `json:"bases,omitempty"` // of which the archive assumes layers
	Moves   []rewrite.Move   `json:"moves,omitempty"`

	Selection []report.Selected `json:"selection,omitempty"` // of the roots from which packages were chosen
	Replaced  []report.Replaced `json:"replaced,omitempty"`  // by others, for some platforms
	leaks

	plan      *bundle.Plan
	sealed    *relocate.Sealed // nil: none
	keyFile   string           // of --sign-key
	platforms map[v1.Hash][]string
	config    string   // the file of --config
	named     bool     // which gives the root a name
	again     []string // flags that verify needs, too
	command   string   // as it was run
	renders   bool     // packages were rendered
	archive   []string // words that name the archive
}

// keptReport is what a resumed export did not fetch again.
type keptReport struct {
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

// failureReport is something that could not be copied under --keep-going.
type failureReport struct {
	Image  string  `json:"image"`
	Digest v1.Hash `json:"digest"`
	Reason string  `json:"reason"`
}

func failuresOf(e *copy.PartialError) []failureReport {
	var list []failureReport
	for _, f := range e.Failures {
		list = append(list, failureReport{f.Image, f.Digest, f.Err.Error()})
	}
	return list
}

// newReport reports what a verb did. Findings that cannot be split are an error, beside the report.
func (c *copying) newReport(ctx context.Context, action string, found *relocate.Result) (*copyReport, error) {
	plan := found.Plan
	r := &copyReport{
		Version: reportVersion, Action: action, Roots: plan.Graph.NamedRoots(), Contents: plan.Contents(), Tags: found.Tags,
		Result: found.Copied, Reread: found.Reread, Moved: found.Moved, Omitted: plan.Omitted, Bases: plan.Given(), Moves: found.Moves, Selection: found.Selected, Replaced: found.Replaced,
		atOnce: found.AtOnce, Shard: found.Shard,
		leaks: leaks{Findings: plan.Graph.Findings}, plan: plan, platforms: c.platforms, config: c.config.path, again: c.again, command: c.command, renders: c.rendering.renders,
	}
	if found.Size > 0 {
		r.Archive = &report.Archive{File: c.fromTar + c.toTar, Size: found.Size, Form: found.Format.String(), Seal: found.Seal}
	}
	if found.Cut.Size > 0 {
		r.Archive.Volumes = &report.Volumes{Count: found.Cut.Volumes(), Size: found.Cut.Volume, Parity: found.Cut.Parity}
	}
	r.Signature, r.Sealed, r.sealed, r.keyFile = found.Signature, sealedOf(found.Sealed), found.Sealed, c.signKey.file
	if names, _, err := c.config.rootNames(ctx); err == nil {
		r.named = len(names) > 0
	}
	if found.KeptBlobs > 0 {
		r.Kept = &keptReport{found.KeptBlobs, found.KeptBytes}
	}
	if action != "export" {
		r.Repository = c.repo.Name()
	}
	r.Source, r.archive = c.archives.source(c.fromTar), c.archives.words(c.fromTar)
	if found.Shard != nil {
		r.Contents = report.Contents{Blobs: len(plan.Blobs), Bytes: plan.Size()}
		return r, nil
	}
	if c.attachments != attachmentsNone {
		r.Attachments = attachmentsOf(plan.Graph, action != "import")
	}
	if action == "import" && len(found.Selected) == 0 || found.Scan == nil {
		return r, nil
	}
	return r, r.take(found.Scan, &c.known)
}

// write writes the report to a file: a page when its name ends in .html, otherwise JSON.
func (r *copyReport) write(path string) error {
	if isPage(path) {
		return writePage(path, r.verdict(), pageOptions(r.command, r.plan, r.platforms))
	}
	b, err := printer.JSON(r)
	if err != nil {
		return err
	}
	return outfile.Write(path, b)
}

// event writes the report as the last event of --progress json.
func (r *copyReport) event(w io.Writer) error {
	b, err := json.Marshal(struct {
		Event  string      `json:"event"`
		Report *copyReport `json:"report"`
	}{"summary", r})
	if err != nil {
		return err
	}
	_, err = w.Write(append(printableJSON(b), '\n'))
	return err
}

// verifyWith returns the command that verifies what was imported; empty where none is known. What came from
// a stream is verified by the name that the file of --config gives it.
func (r *copyReport) verifyWith() string {
	words := []string{"relocate", "verify"}
	if r.config != "" {
		words = append(words, "--config", r.config)
	}
	words = append(words, "--repo", r.Repository)
	switch {
	case !isOnce(r.Archive.File):
		words = append(words, r.archive...)
	case !r.named || len(r.again) > 0:
		return ""
	}
	return shellLine(append(words, r.again...))
}

// sameAtVerify are the flags of an import without which verify expects something else.
var sameAtVerify = []string{
	"platform", "platform-mode", "tag", "no-tag", "repo-based-tags", "package", "exclude-package", "latest", "prerelease", "installed",
	"no-dependencies", "kapp-controller-version", "kubernetes-version", "from-tar-header-file",
	"src-registry-ca-cert-path", "src-registry-insecure", "src-registry-client-cert", "src-registry-client-key",
	"dst-registry-ca-cert-path", "dst-registry-insecure", "dst-registry-client-cert", "dst-registry-client-key",
	"registry-ca-cert-path", "registry-insecure", "registry-client-cert", "registry-client-key", "redirect-host",
}

// againFor returns the flags of a command line that the verification of its import needs, too. There the flags of
// the destination have names without a side.
func againFor(flags *pflag.FlagSet) (words []string) {
	for _, name := range sameAtVerify {
		flag := flags.Lookup(name)
		if !flag.Changed || flags.Changed(destinationSide+"-"+name) {
			continue
		}
		name := "--" + strings.TrimPrefix(name, destinationSide+"-")
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			for _, value := range list.GetSlice() {
				words = append(words, name, value)
			}
		} else if flag.Value.Type() == "bool" {
			words = append(words, name+"="+flag.Value.String())
		} else {
			words = append(words, name, flag.Value.String())
		}
	}
	return words
}

// summarize writes the report for people.
func (r *copyReport) summarize(w io.Writer) {
	if len(r.Failures) > 0 {
		r.summarizeFailures(w)
		return
	}
	if r.Shard != nil {
		r.summarizeShard(w)
		return
	}
	width := r.exportWidth() // of the names of rows
	if r.Action == "export" {
		r.summarizeExport(w, width)
	} else {
		width = len("already present")
		r.summarizeUpload(w)
		r.summarizeLacked(w)
	}
	r.summarizeRoots(w, width)
	r.summarizeReread(w)
	summarizeSelected(w, r.Selection, "; see --report")
	summarizeAttached(w, r.Result)
	r.Attachments.summarize(w)
	summarizeBases(w, r.Bases)
	summarizeReplaced(w, r.Replaced, "; see --report")
	summarizeOmitted(w, r.Omitted)
	if r.Scan != nil && r.renders && r.Scan.Rendering() != "" {
		fmt.Fprintf(w, "  %s\n", r.Scan.Rendering())
	}
	writeFindings(w, r.Findings, mostLines, "; see --report")
	summarizeAccepted(w, r.Accepted)
}

// summarizeReread says how many blobs had to be read twice.
func (r *copyReport) summarizeReread(w io.Writer) {
	if r.Reread > 0 {
		fmt.Fprintf(w, "unstable: %s arrived damaged, and correct when read again: check the medium, the memory and "+
			"the network\n", count(r.Reread, "blob"))
	}
}

// exportWidth is how wide the names of an export's rows are.
func (r *copyReport) exportWidth() int {
	switch {
	case r.sealed != nil && r.sealed.Signature != "":
		return len("verify with")
	case r.Archive != nil && r.Archive.Volumes != nil:
		return len("volumes")
	}
	return len("root")
}

func (r *copyReport) summarizeExport(w io.Writer, width int) {
	fmt.Fprintf(w, "exported %s\n", r.Contents)
	file := r.Archive.File
	if file == stream {
		file = "standard output"
	}
	fmt.Fprintf(w, "  %s: %s, %d bytes (%s) in %s\n", file, count(r.Contents.Blobs, "blob"), r.Archive.Size, size(r.Archive.Size), r.elapsed())
	if r.Archive.Volumes != nil {
		fmt.Fprintf(w, "  %-*s  %s\n", width, "volumes", r.Archive.Volumes)
	}
	if r.Kept != nil {
		fmt.Fprintf(w, "  %-*s  %s (%s) from an earlier run\n", width, "kept", count(r.Kept.Blobs, "blob"), size(r.Kept.Bytes))
	}
	fmt.Fprintf(w, "  %-*s  %s\n", width, "seal", r.Archive.SealText())
	if r.sealed != nil {
		summarizeSealed(w, r.sealed, r.keyFile)
	}
}

func (r *copyReport) summarizeUpload(w io.Writer) {
	res := r.Result
	fmt.Fprintf(w, "%s %s to %s\n", map[string]string{"import": "imported", "copy": "copied"}[r.Action], r.Contents, r.Repository)
	fmt.Fprintf(w, "  uploaded         %s (%s), %s, %s, %s in %s\n", count(res.Blobs, "layer and config"), size(res.Bytes),
		count(res.Manifests, "manifest"), count(res.Locations, "locations image"), count(res.Tags, "tag"), r.elapsed())
	fmt.Fprintf(w, "  already present  %s (%s), %s, %s, %s\n", count(res.BlobsPresent, "layer and config"), size(res.BytesPresent),
		count(res.ManifestsPresent, "manifest"), count(res.LocationsPresent, "locations image"), count(res.TagsPresent, "tag"))
	if r.Source != nil {
		r.Source.summarize(w)
	}
	if r.Signature != nil {
		fmt.Fprintf(w, "  archive          %s\n", line(signerLine(r.Signature)))
	}
	if res.Assumed > 0 {
		fmt.Fprintf(w, "  assumed          %s (%s), which the archive leaves out: a byte of each was read\n", count(res.Assumed, "layer"), size(res.AssumedBytes))
	}
}

// elapsed says how long it took, and with how many requests at once where that was chosen to be more.
func (r *copyReport) elapsed() string {
	s := progress.Seconds(time.Duration(r.Seconds * float64(time.Second)))
	if r.atOnce > automatic.least {
		s += fmt.Sprintf(", with up to %d requests at once", r.atOnce)
	}
	return s
}

// summarizeRoots writes a row for what each root is, and where. width is of the names of rows.
func (r *copyReport) summarizeRoots(w io.Writer, width int) {
	if slices.ContainsFunc(r.Roots, func(root report.Root) bool { return root.Derived != nil }) {
		width = max(width, len("derived from"))
	}
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-*s  %s\n", width, name, fmt.Sprintf(format, args...))
	}
	for _, root := range r.Roots {
		row("root", "%s", root)
		if root.Derived != nil {
			row("derived from", "%s; signatures of the original do not apply to it", root.Derived)
		}
		if r.Repository != "" {
			row("destination", "%s@%s", r.Repository, root.Digest)
		}
	}
	if len(r.Tags) > 0 {
		row("tagged", "%s", strings.Join(r.Tags, ", "))
	}
	if r.Action == "import" && r.Contents.Packages > 0 {
		if with := r.verifyWith(); with != "" {
			row("verify with", "%s", with)
		}
	}
}

func (r *copyReport) summarizeFailures(w io.Writer) {
	var lines []string
	for _, f := range r.Failures {
		lines = append(lines, fmt.Sprintf("  %s of %s\n    %s", f.Digest, line(f.Image), line(f.Reason)))
	}
	fmt.Fprintf(w, "failed: %s\n%s\n", count(len(r.Failures), "manifest and blob"), printer.First(lines, mostProblems, "; see --report"))
}

// mostLines is how many findings a summary lists.
const mostLines = 10

func summarizeOmitted(w io.Writer, omitted []report.Omitted) {
	summarizePlatforms(w, report.OmittedImages(omitted))
	omitted = report.OmittedLayers(omitted)
	if len(omitted) == 0 {
		return
	}
	var lines []string
	for _, o := range omitted {
		lines = append(lines, fmt.Sprintf("  %s (%s) of %s", o.Digest, size(o.Size), line(o.Image)))
	}
	fmt.Fprintf(w, "left out: %s that may not be distributed; --include-non-distributable-layers copies them\n%s\n",
		count(len(omitted), "layer"), printer.First(lines, mostLines, "; see --report"))
}

// summarizePlatforms says how many images of indexes are left out, and for which platforms.
func summarizePlatforms(w io.Writer, images []report.Omitted) {
	if len(images) == 0 {
		return
	}
	byPlatform := map[string]int{}
	for _, o := range images {
		byPlatform[o.Platform]++
	}
	var list []string
	for _, platform := range slices.Sorted(maps.Keys(byPlatform)) {
		if platform != "" {
			list = append(list, fmt.Sprintf("  %d for %s", byPlatform[platform], line(platform)))
		}
	}
	if n := byPlatform[""]; n > 0 {
		list = append(list, "  "+count(n, "attestation"))
	}
	fmt.Fprintf(w, "left out: %s by platform\n%s\n", count(len(images), "image"), printer.First(list, mostLines, "; see --report"))
}
