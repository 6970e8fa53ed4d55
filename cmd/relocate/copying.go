package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/copy"
	"relocate/rewrite"
	"relocate/tarball"
	"relocate/verify"
)

// copying is one run of the root command.
type copying struct {
	*copyFlags
	stdout, stderr io.Writer
	show           *progress
}

// export writes an archive.
func (c *copying) export(ctx context.Context) error {
	start := time.Now()
	if err := tarball.CheckTarget(c.toTar); err != nil { // before a walk of minutes
		return err
	}
	source, err := c.walk(ctx, c.bundles, filepath.Dir(c.toTar), c.nonDistributable, c.show)
	if err != nil {
		return err
	}
	defer source.close()
	plan := source.plan
	if err := checkNames(plan.Graph); err != nil {
		return err
	}
	w, err := tarball.Create(c.toTar, plan)
	if err != nil {
		return err
	}
	ph := c.show.begin("export", len(plan.Blobs), plan.Size())
	err = copy.ToArchive(ctx, plan, source.source, w, c.jobs, ph.add)
	ph.end()
	if err != nil {
		return errors.Join(fmt.Errorf("export to %s: %w", c.toTar, err), w.Abort())
	}
	if err := w.Commit(); err != nil {
		return err
	}
	r := newReport("export", plan)
	r.Archive = &archiveReport{c.toTar, w.Size(), w.Seal()}
	manifests := len(plan.Graph.Nodes)
	r.Result = &copy.Result{Manifests: manifests, Blobs: len(plan.Blobs) - manifests, Bytes: plan.Size()}
	return c.finish(r, start)
}

// checkNames refuses package repositories that one import could not name apart.
func checkNames(g *bundle.Graph) error {
	_, err := rewrite.PackageRepositories(g, g.Roots[0].Reference.Context(), "", "", "")
	if err != nil {
		return usagef("%w; export them to archives of their own", err)
	}
	return nil
}

// importArchive fills a repository from an archive. It has checked everything but the content of
// layers before it sends the first byte.
func (c *copying) importArchive(ctx context.Context) error {
	start := time.Now()
	repo, err := parseRepo("--to-repo", c.toRepo)
	if err != nil {
		return err
	}
	a, err := tarball.Open(c.fromTar)
	if err != nil {
		return err
	}
	defer a.Close()
	plan, err := checkedPlan(ctx, a, c.fromTar, c.jobs)
	if err != nil {
		return err
	}
	r, write, err := c.fill(ctx, "import", plan, a, repo)
	if err != nil {
		return err
	}
	if err := a.Unchanged(); err != nil {
		return err
	}
	if err := write(); err != nil {
		return err
	}
	r.Archive = &archiveReport{c.fromTar, a.Size(), a.Seal()}
	return c.finish(r, start)
}

// direct copies from registry to registry.
func (c *copying) direct(ctx context.Context) error {
	start := time.Now()
	repo, err := parseRepo("--to-repo", c.toRepo)
	if err != nil {
		return err
	}
	source, err := c.walk(ctx, c.bundles, "", c.nonDistributable, c.show)
	if err != nil {
		return err
	}
	defer source.close()
	r, write, err := c.fill(ctx, "copy", source.plan, source.source, repo)
	if err != nil {
		return err
	}
	if err := write(); err != nil {
		return err
	}
	return c.finish(r, start)
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
	if missing := bundle.Missing(err); missing != nil {
		return nil, fmt.Errorf("%s %w: it does not hold %s, which %s names", path, tarball.ErrDamaged, missing[0].Reference, missing[0].WantedBy)
	}
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", path, err)
	}
	return plan, nil
}

// fill copies the plan into repo. What refers to it, the PackageRepository and the lock, is there for
// the caller to write.
func (c *copying) fill(ctx context.Context, action string, plan *bundle.Plan, src bundle.Source, repo name.Repository) (r *report, write func() error, err error) {
	tags, err := c.tags(plan.Graph)
	if err != nil {
		return nil, nil, usageError{err}
	}
	objects, err := rewrite.PackageRepositories(plan.Graph, repo, c.objects.name, c.objects.namespace, c.objects.secretRef)
	if err != nil {
		return nil, nil, usageError{err}
	}
	client, err := c.client(nil, repo)
	if err != nil {
		return nil, nil, err
	}
	ph := c.show.begin(action, len(plan.Blobs), plan.Size())
	result, err := copy.ToRepository(ctx, plan, src, client.Writer(repo), repo, copy.Options{
		Jobs: c.jobs, Trust: copy.Trust(c.trust), Tags: tagList(tags), Progress: ph.add,
	})
	ph.end()
	if err != nil {
		return nil, nil, fmt.Errorf("%s to %s: %w", action, repo.Name(), err)
	}
	r = newReport(action, plan)
	r.Repository, r.Result, r.Moves = repo.Name(), result, rewrite.Mapping(plan.Graph, repo)
	r.Tags = slices.Sorted(maps.Keys(tags))
	return r, func() error {
		if err := errors.Join(c.writeLock(plan.Graph, repo, tags), c.writeObjects(objects)); err != nil {
			return fmt.Errorf("everything is in %s, but a result could not be written: %w; relocate emit writes the PackageRepository again", repo.Name(), err)
		}
		return nil
	}, nil
}

func (c *copying) tags(g *bundle.Graph) (map[string]v1.Hash, error) {
	if c.noTag {
		return nil, nil
	}
	return rewrite.Tags(g.Roots, c.tag)
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
	text, err := rewrite.Lock(g.Roots, repo, tag)
	if err != nil {
		return err
	}
	return writeFile(c.lockOutput, text)
}

func (c *copying) writeObjects(objects []rewrite.PackageRepository) error {
	if len(objects) == 0 {
		fmt.Fprintln(c.stderr, "note: no root has packages/; there is no PackageRepository to apply")
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

// finish says what was done and writes the report.
func (c *copying) finish(r *report, start time.Time) error {
	r.Seconds = time.Since(start).Seconds()
	if c.show.mode == "json" {
		if err := r.event(c.stderr); err != nil {
			return err
		}
	} else {
		r.summarize(c.stderr)
	}
	if c.report == "" {
		return nil
	}
	return r.write(c.report)
}

// writeFile puts text under path whole or not at all.
func writeFile(path string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".relocate-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
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
