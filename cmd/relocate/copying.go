package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/bundle"
	"relocate/copy"
	"relocate/rewrite"
	"relocate/tarball"
	"relocate/verify"
	"relocate/verify/leak"
)

// copying is one run of the root command.
type copying struct {
	*copyFlags
	stdin          io.Reader
	stdout, stderr io.Writer
	show           *progress
	named          *roots // by the command line; nil when an archive has them
}

// importArchive fills a repository from an archive. It has checked everything but the content of
// layers before it sends the first byte.
func (c *copying) importArchive(ctx context.Context) error {
	start := time.Now()
	repo, unlock, err := c.destination()
	if err != nil {
		return err
	}
	defer unlock()
	a, err := tarball.Open(c.fromTar)
	if err != nil {
		return err
	}
	defer a.Close()
	return c.importFrom(ctx, a, repo, start)
}

// importFrom fills repo from an archive that is open.
func (c *copying) importFrom(ctx context.Context, a *tarball.Archive, repo name.Repository, start time.Time) error {
	plan, err := checkedPlan(ctx, a, c.fromTar, c.jobs)
	if err == nil {
		err = c.checkOmitted(plan)
	}
	if err != nil {
		return err
	}
	if c.objects.secretRef != "" {
		found, err := scan(ctx, a, plan, c.jobs, c.show)
		if err != nil {
			return err
		}
		c.noteNested(found, repo)
	}
	r, write, err := c.fillFrom(ctx, a, plan, repo)
	r.Archive = archiveOf(c.fromTar, a)
	return c.finish(r, start, write, errors.Join(err, c.platforms(ctx, r, a)))
}

// fillFrom fills repo with what plan says of an archive that is open.
func (c *copying) fillFrom(ctx context.Context, a *tarball.Archive, plan *bundle.Plan, repo name.Repository) (r *copyReport, write func() error, err error) {
	return c.fill(ctx, "import", plan, repo, func(dst copy.Repository, opt copy.Options) (*copy.Result, error) {
		result, err := copy.ToRepository(ctx, plan, a, dst, repo, opt)
		if unchanged := a.Unchanged(); unchanged != nil {
			err = unchanged
		}
		return result, err
	})
}

// importStream fills a repository from an archive on standard input. Layers are sent as they come,
// manifests when the seal was right.
func (c *copying) importStream(ctx context.Context) error {
	start := time.Now()
	repo, unlock, err := c.destination()
	if err != nil {
		return err
	}
	defer unlock()
	scratch, err := newScratch(c.tmpDir)
	if err != nil {
		return err
	}
	defer scratch.remove()
	in, out := io.Pipe()
	context.AfterFunc(ctx, func() { _ = out.CloseWithError(ctx.Err()) }) // a read of a silent pipe ends by nothing else
	go func() {
		_, err := io.Copy(out, c.stdin)
		_ = out.CloseWithError(err)
	}()
	defer func() { _ = in.Close() }() // who copies to it ends
	all := bufio.NewReader(in)
	if first, _ := all.Peek(len("manifest.json") + 1); tarball.IsImgpkg(first) {
		return c.importSpooled(ctx, all, scratch, repo, start)
	}
	s, err := tarball.OpenStream(all, scratch)
	if err != nil {
		return fmt.Errorf("standard input %w", err)
	}
	plan, err := s.Plan(ctx, c.jobs)
	if err != nil {
		return fmt.Errorf("standard input: %w", asDamage(err))
	}
	if err := c.checkOmitted(plan); err != nil {
		return err
	}
	c.show.note("keeps %s in %s, and at most %s of a layer while it is sent", size(s.Kept()), scratch.dir, size(largest(plan)))
	r, write, err := c.fill(ctx, "import", plan, repo, func(dst copy.Repository, opt copy.Options) (*copy.Result, error) {
		return copy.FromStream(ctx, plan, s, dst, repo, scratch, s.Kept(), opt)
	})
	r.Archive = archiveOf(c.fromTar, s)
	return c.finish(r, start, write, err)
}

// importSpooled fills repo from a stream in imgpkg's form, in which what tells of the others stands anywhere: all
// of it is kept first.
func (c *copying) importSpooled(ctx context.Context, in io.Reader, scratch *scratch, repo name.Repository, start time.Time) error {
	c.show.note("this is imgpkg's form, of which all is kept in %s before it is imported", scratch.dir)
	n, err := io.Copy(scratch, in)
	if err != nil {
		return fmt.Errorf("keep standard input in %s: %w", scratch.dir, err)
	}
	a, err := tarball.NewArchive(scratch, n)
	if err != nil {
		return fmt.Errorf("standard input %w", err)
	}
	return c.importFrom(ctx, a, repo, start)
}

// largest returns the size of the largest layer.
func largest(plan *bundle.Plan) int64 {
	var n int64
	for _, b := range plan.Blobs[plan.Small:] {
		n = max(n, b.Descriptor.Size)
	}
	return n
}

// direct copies from registry to registry.
func (c *copying) direct(ctx context.Context) error {
	start := time.Now()
	repo, unlock, err := c.destination()
	if err != nil {
		return err
	}
	defer unlock()
	source, err := c.walk(ctx, c.named, c.tmpDir, &c.sourceFlags, c.show)
	if err != nil {
		return err
	}
	defer source.close()
	if err := c.checkClosed(source.scan); err != nil {
		return err
	}
	if c.objects.secretRef != "" {
		c.noteNested(source.scan, repo)
	}
	r, write, err := c.fill(ctx, "copy", source.plan, repo, func(dst copy.Repository, opt copy.Options) (*copy.Result, error) {
		return copy.ToRepository(ctx, source.plan, source.source, dst, repo, opt)
	})
	err = errors.Join(err, r.take(source.scan, &c.known), c.platforms(ctx, r, source.source))
	return c.finish(r, start, write, err)
}

// noteNested says what --secret-ref does not reach.
func (c *copying) noteNested(found *leak.Report, repo name.Repository) {
	if note := nestedNote(found, repo); note != "" {
		c.show.note("%s", note)
	}
}

// platforms reads what a page tells of the images.
func (c *copying) platforms(ctx context.Context, r *copyReport, src bundle.Source) (err error) {
	if isPage(c.report) {
		r.platforms, err = platformsOf(ctx, src, r.plan, c.jobs)
	}
	return err
}

// destination returns the repository to fill, locked.
func (c *copying) destination() (repo name.Repository, unlock func(), err error) {
	if repo, err = parseRepo("--to-repo", c.toRepo); err == nil {
		unlock, err = lockRepository(repo)
	}
	return repo, unlock, err
}

// checkedPlan returns the plan of an archive all of which was checked but the content of its layers.
func checkedPlan(ctx context.Context, a *tarball.Archive, path string, jobs int) (*bundle.Plan, error) {
	damage, err := a.Check(ctx, tarball.CheckOptions{})
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", path, err)
	}
	if len(damage) > 0 {
		return nil, fmt.Errorf("%s %w: %s", path, tarball.ErrDamaged, damage[0])
	}
	plan, err := a.Plan(ctx, jobs)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", path, asDamage(err))
	}
	return plan, nil
}

// mostMissing is how many images an archive's error names.
const mostMissing = 10

// asDamage explains an error of an archive's plan: what the archive does not hold is damage. All of it is
// counted.
func asDamage(err error) error {
	missing := bundle.Missing(err)
	if missing == nil {
		return err
	}
	var lines []string
	for _, m := range missing {
		s := "it does not hold " + m.Reference
		if m.WantedBy != "" {
			s += ", which " + m.WantedBy + " names"
		}
		s += m.Purpose()
		lines = append(lines, s)
	}
	n := len(lines) + bundle.MoreMissing(err)
	text := strings.Join(lines[:min(len(lines), mostMissing)], "\n  ")
	if n > mostMissing {
		text += fmt.Sprintf("\n  and %d more", n-mostMissing)
	}
	return fmt.Errorf("%w: %s", tarball.ErrDamaged, text)
}

// fill lets move copy the plan into repo. What refers to it, the PackageRepository and the lock, is there for
// the caller to write; when not everything was copied, there is none.
func (c *copying) fill(ctx context.Context, action string, plan *bundle.Plan, repo name.Repository, move func(copy.Repository, copy.Options) (*copy.Result, error)) (r *copyReport, write func() error, err error) {
	r = c.newReport(action, plan)
	if err := c.checkAttached(plan.Graph); err != nil {
		return r, nil, err
	}
	tags, err := c.tags(plan.Graph)
	if err != nil {
		return r, nil, usageError{err}
	}
	objects, err := rewrite.PackageRepositories(plan.Graph, repo, c.objects.name, c.objects.namespace, c.objects.secretRef)
	if err != nil {
		return r, nil, usageError{err}
	}
	client, err := c.common.destination(repo)
	if err != nil {
		return r, nil, err
	}
	blobs, bytes := copy.Total(plan, c.policy())
	ph := c.show.begin(action, blobs, bytes)
	dst := client.Writer(repo).Checked(manifestTypes(plan.Graph))
	r.Result, err = move(dst, copy.Options{
		Jobs: c.jobs, Trust: copy.Trust(c.trust), Tags: tagList(tags), RepoTags: c.repoTags, KeepGoing: c.keepGoing, Progress: ph.step,
		Attachments: c.policy(),
	})
	r.Reread = ph.end().Again
	r.Repository = repo.Name()
	if refused := dst.Refused(); refused != nil {
		err = refused
	}
	for _, note := range dst.Notes() {
		c.show.note("%s", note)
	}
	if err != nil {
		return r, nil, fmt.Errorf("%s to %s: %w", action, repo.Name(), err)
	}
	r.needsSecret = len(objects) > 0 && c.objects.secretRef == "" && dst.WantsLogin(ctx, r.Roots[0].Digest)
	r.Moves, r.Tags = rewrite.Mapping(plan.Graph, repo), slices.Sorted(maps.Keys(tags))
	return r, func() error {
		if err := errors.Join(c.writeLock(plan.Graph, repo, tags), c.writeObjects(objects)); err != nil {
			return fmt.Errorf("everything is in %s, but a result could not be written: %w; relocate emit writes the PackageRepository again", repo.Name(), err)
		}
		return nil
	}, nil
}

// manifestTypes returns the media types of the manifests that a copy of a graph cannot do without: attachments can be
// left out, and the locations images of bundles are Docker's.
func manifestTypes(g *bundle.Graph) []types.MediaType {
	var list []types.MediaType
	for _, n := range g.Nodes[:g.Core()] {
		list = append(list, n.Descriptor.MediaType)
		if n.Kind == bundle.Bundle {
			list = append(list, types.DockerManifestSchema2)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (c *copying) tags(g *bundle.Graph) (map[string]v1.Hash, error) {
	if c.noTag {
		return nil, nil
	}
	return tagsOf(g.Roots, c.tag)
}

// tagsOf returns the tags of roots at the destination, or an error that says what to do instead.
func tagsOf(roots []bundle.Root, tag string) (map[string]v1.Hash, error) {
	tags, err := rewrite.Tags(roots, tag)
	if err != nil {
		remedy := "--no-tag imports it by digest, --tag NAME under another tag"
		if len(roots) > 1 {
			remedy = "--no-tag imports them by digest"
		}
		err = fmt.Errorf("%w; %s", err, remedy)
	}
	return tags, err
}

func tagList(tags map[string]v1.Hash) []copy.Tag {
	var list []copy.Tag
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, copy.Tag{Name: name, Digest: tags[name]})
	}
	return list
}

func (c *copying) writeLock(g *bundle.Graph, repo name.Repository, tags map[string]v1.Hash) error {
	if c.lockOutput == "" {
		return nil
	}
	tag := ""
	for name := range tags {
		tag = name // the only one, if the lock names a tag at all
	}
	listed := g.Listed
	if c.named != nil {
		listed = c.named.lock
	}
	text, err := rewrite.Lock(g, repo, tag, listed)
	if err != nil {
		return err
	}
	return writeFile(c.lockOutput, text)
}

func (c *copying) writeObjects(objects []rewrite.PackageRepository) error {
	if len(objects) == 0 {
		c.show.note("no root is a bundle with packages/; there is no PackageRepository to apply")
		return nil
	}
	text, err := rewrite.Encode(objects)
	if err != nil {
		return err
	}
	if c.repositoryOutput != "" {
		return writeFile(c.repositoryOutput, text)
	}
	_, err = c.stdout.Write(text)
	return err
}

// finish writes the results, says what was done and writes the report. An err of the copy is returned;
// what was done in part is reported all the same.
func (c *copying) finish(r *copyReport, start time.Time, write func() error, err error) error {
	var partial *copy.PartialError
	if err != nil && !errors.As(err, &partial) {
		return err
	}
	if partial != nil {
		r.Failures = failuresOf(partial)
	} else if err := write(); err != nil {
		return err
	}
	r.Seconds = time.Since(start).Seconds()
	c.show.noteWaits()
	var failed error
	if c.show.mode == "json" {
		failed = r.event(c.stderr)
	} else {
		r.summarize(c.stderr)
	}
	if r.needsSecret {
		c.show.note("reading %s needs a login, for the cluster too: put one into a Secret, and name it with --secret-ref", r.Repository)
	}
	if c.report != "" {
		failed = errors.Join(failed, r.write(c.report))
	}
	return errors.Join(err, failed)
}

// damageProblems names the images that damage of an archive hits; users may be nil.
func damageProblems(damage []tarball.Damage, users map[v1.Hash][]string) []verify.Problem {
	var problems []verify.Problem
	for _, d := range damage {
		problems = append(problems, verify.Problem{
			Kind: verify.Damaged, What: d.Member, Images: users[d.Digest], Reason: fmt.Sprintf("%s byte %d: %s", place(d), d.Offset, d.Reason),
		})
	}
	return problems
}

// place says what an offset of damage means: of a blob only its digest is known to be wrong.
func place(d tarball.Damage) string {
	if d.Digest.Hex != "" {
		return "from"
	}
	return "at"
}
