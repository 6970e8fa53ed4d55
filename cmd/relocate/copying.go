package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate"
	"relocate/bundle"
	"relocate/copy"
	"relocate/internal/outfile"
	"relocate/internal/watchdog"
	"relocate/report/page"
	"relocate/tarball"
	"relocate/volume"
)

// copying is one run of the root command.
type copying struct {
	*copyFlags
	stdin          io.Reader
	stdout, stderr io.Writer
	show           *display
	start          time.Time
	repo           name.Repository      // of --to-repo
	platforms      map[v1.Hash][]string // what a page says of the images
	ended          *termination
}

// options say how the verb runs.
func (c *copying) options() relocate.Options {
	opt := relocate.Options{Jobs: c.jobs.least, MostJobs: c.jobs.most, TempDir: c.tmpDir, KeepGoing: c.keepGoing, Progress: c.show.see}
	c.rendering.set(&opt)
	c.selection.set(&opt)
	if c.fromTar == "" || !c.selection.given() {
		c.config.set(&opt)
	}
	c.chosen.set(&opt)
	if isPage(c.report) {
		opt.Content = func(ctx context.Context, src bundle.Source, plan *bundle.Plan) (err error) {
			c.platforms, err = page.Platforms(ctx, src, plan, c.jobs.least)
			return err
		}
	}
	return opt
}

// from is the source in a registry, by the flags.
func (c *copying) from() (relocate.Source, error) {
	from, err := c.sourceFlags.source(&c.common)
	if err != nil {
		return from, err
	}
	known, err := c.known.acceptance()
	if err != nil {
		return from, err
	}
	from.Strict, from.Accept = c.strict, *known
	return from, nil
}

// to is the destination in a registry, by the flags.
func (c *copying) to() (to relocate.Destination, err error) {
	to = relocate.Destination{
		Tag: c.tag, NoTag: c.noTag, RepoTags: c.repoTags, Trust: copy.Trust(c.trustRegistry), Attachments: c.policy(),
		NonDistributable: c.nonDistributable, AwaitBlobs: c.shard.await,
		Name: c.objects.name, Namespace: c.objects.namespace, SecretRef: c.objects.secretRef,
	}
	if c.repo, err = parseRepo("--to-repo", c.toRepo); err != nil {
		return to, err
	}
	to.Repository = c.repo
	to.Client, err = c.common.destination(to.Repository)
	return to, err
}

// export writes an archive to a file, or to a stream.
func (c *copying) export(ctx context.Context) (err error) {
	from, err := c.from()
	if err != nil {
		return err
	}
	to := relocate.Target{Path: c.toTar, Format: c.tarFormat.Format, NoResume: c.noResume, VolumeSize: int64(c.cut.size), Parity: c.cut.parity, Signature: c.trust.signature}
	if to.Bases, err = c.delta.read(ctx, &c.archives); err != nil {
		return err
	}
	if to.Key, err = c.signKey.read(ctx); err != nil {
		return err
	}
	receipts, err := c.receipts.open(ctx, c.toTar, c.show)
	if err != nil {
		return err
	}
	if isStream(c.toTar) {
		stop, err := c.openStream(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
		to.Writer = c.stdout
	}
	r, err := relocate.Export(ctx, from, to, c.options())
	if err := c.finish(ctx, "export", r, err); err != nil {
		return err
	}
	return receipts.write(c.toTar+" is complete", func(w *relocate.Receipts) error { return w.Exported(c.toTar, r) })
}

// openStream opens what the archive goes to, if that is not standard output.
func (c *copying) openStream(ctx context.Context) (stop func() error, err error) {
	if c.toTar == stream || outfile.Standard(c.toTar) == os.Stdout {
		if isTerminal(c.stdout) {
			return nil, usagef("--to-tar -: standard output is a terminal; send it to a pipe or a file")
		}
		return func() error { return nil }, nil
	}
	f, err := os.OpenFile(c.toTar, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("export to %s: %w", c.toTar, err)
	}
	c.stdout = &resultWriter{w: f, dog: watchdog.In(ctx)}
	return f.Close, nil
}

// Name names standard output in errors of the library.
func (r *resultWriter) Name() string { return "standard output" }

// importArchive fills a repository from an archive in a file or a stream.
func (c *copying) importArchive(ctx context.Context) error {
	to, err := c.to()
	if err != nil {
		return err
	}
	signed, err := c.archives.signed(ctx, &c.trust)
	if err != nil {
		return err
	}
	seal, err := c.archives.seal(ctx, c.seal)
	if err != nil {
		return err
	}
	receipts, err := c.receipts.open(ctx, c.fromTar, c.show)
	if err != nil {
		return err
	}
	if isOnce(c.fromTar) {
		from, stop, err := openOnce(ctx, c.fromTar, c.stdin)
		if err != nil {
			return err
		}
		defer stop()
		opt := c.options()
		opt.Signed, opt.Seal = signed, seal
		r, err := relocate.ImportStream(ctx, from, to, opt)
		return c.imported(ctx, receipts, nil, r, to, err)
	}
	a, signature, err := c.archives.openSigned(ctx, &c.trust, c.fromTar, c.volumes...)
	if missing, ok := errors.AsType[*volume.MissingError](err); ok {
		return &relocate.IncompleteError{Missing: []string{missing.Name}, Copied: &copy.Result{}}
	}
	if err != nil {
		return err
	}
	defer a.Close()
	c.archives.note(c.fromTar, c.show)
	if err := c.config.checkArchive(ctx, a); err != nil {
		return err
	}
	opt := c.options() // what a crossing chooses is known only now
	opt.Signed, opt.Signature, opt.Seal = signed, signature, seal
	if c.shard.shard.given() {
		r, err := relocate.ImportShard(ctx, a, to, relocate.Shard(c.shard.shard), opt)
		return c.finish(ctx, "shard", r, err)
	}
	r, err := relocate.Import(ctx, a, to, opt)
	return c.imported(ctx, receipts, a, r, to, err)
}

// imported finishes an import, and writes its receipt. a is nil for a stream.
func (c *copying) imported(ctx context.Context, receipts *receipting, a *tarball.Archive, r *relocate.Result, to relocate.Destination, err error) error {
	if err := c.finish(ctx, "import", r, err); err != nil {
		return err
	}
	return receipts.write("everything is imported", func(w *relocate.Receipts) error { return w.Imported(c.fromTar, a, r, to) })
}

// direct copies from registry to registry.
func (c *copying) direct(ctx context.Context) error {
	from, err := c.from()
	if err != nil {
		return err
	}
	to, err := c.to()
	if err != nil {
		return err
	}
	r, err := relocate.Copy(ctx, from, to, c.options())
	return c.finish(ctx, "copy", r, err)
}

// finish writes the results, says what was done and writes the report: also what was done in part.
// An err of the verb is returned.
func (c *copying) finish(ctx context.Context, action string, found *relocate.Result, err error) error {
	err = c.explain(err)
	if found == nil {
		return err
	}
	r, failed := c.newReport(ctx, action, found)
	var partial *copy.PartialError
	if errors.As(err, &partial) {
		r.Failures = failuresOf(partial)
	} else if action != "export" && found.Shard == nil {
		if err := c.writeResults(found); err != nil {
			return fmt.Errorf("everything was copied to %s, but a result could not be written: %w; relocate emit writes the PackageRepository again", r.Repository, err)
		}
	}
	r.Seconds = time.Since(c.start).Seconds()
	c.ended.see(r)
	c.show.NoteWaits()
	if c.progress == "json" {
		failed = errors.Join(failed, r.event(c.stderr))
	} else {
		r.summarize(c.stderr)
	}
	if found.NeedsLogin {
		c.show.Note("%s needs a login for reading, so the cluster needs one, too: put it into a Secret, and name the Secret with --secret-ref", r.Repository)
	}
	if c.report != "" {
		failed = errors.Join(failed, r.write(c.report))
	}
	return errors.Join(err, failed)
}

// explain adds to an error what the flags have to do with it.
func (c *copying) explain(err error) error {
	var open *relocate.NotClosedError
	if !errors.As(err, &open) {
		return asUsage(err)
	}
	writeFindings(c.stderr, open.Findings, mostProblems, "; relocate plan -o json lists them all")
	return notClosedError{fmt.Errorf("--strict: %s", open.Findings.Open())}
}

// writeResults writes what refers to the destination.
func (c *copying) writeResults(r *relocate.Result) error {
	if c.objects.secretRef != "" && r.Scan != nil {
		if note := nestedNote(r.Scan, c.repo); note != "" {
			c.show.Note("%s", note)
		}
	}
	if names := manifestsOf(r.Plan.Graph); names != nil {
		how := fmt.Sprintf("imgpkg pull -b %s:NAME and kbld write them for the cluster", c.repo)
		if c.fromTar != "" {
			how = "relocate emit FILE --with manifests writes them for the cluster"
		}
		c.show.Note("the repository also has plain manifests (%s): %s", strings.Join(names, ", "), how)
	}
	if c.lockOutput != "" {
		if err := outfile.Write(c.lockOutput, r.Lock); err != nil {
			return err
		}
	}
	switch {
	case len(r.PackageRepository) == 0 && manifestsOf(r.Plan.Graph) != nil:
	case len(r.PackageRepository) == 0:
		c.show.Note("no root is a package repository (a bundle with packages/), so there is no PackageRepository to apply")
		return nil
	case c.repositoryOutput != "":
		return outfile.Write(c.repositoryOutput, r.PackageRepository)
	}
	_, err := c.stdout.Write(r.PackageRepository)
	return err
}
