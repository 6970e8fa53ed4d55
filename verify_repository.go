package relocate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/copy"
	"relocate/internal/text"
	"relocate/oci"
	"relocate/registry"
	"relocate/report"
	"relocate/verify"
	"relocate/verify/leak"
)

// verifyRepository verifies a repository, against an archive if one is given.
func (c *verifying) verifyRepository(ctx context.Context) (*report.Verdict, error) {
	c.Level = cmp.Or(c.Level, verify.Manifests)
	c.verdict = &report.Verdict{
		Act: "Verification", Subject: c.at.Repository.Name(), Level: string(c.Level), Strict: true, AttachedNote: notLookedFor,
	}
	roots, want := c.Roots, verify.Options{
		Level: c.Level, Jobs: c.requests(), RepoTags: c.at.RepoTags, Renderer: c.Renderer, Platforms: c.Selection.sparse(),
	}
	if c.archive != nil {
		var err error
		if roots, err = c.expect(ctx, &want); err != nil {
			return nil, err
		}
	}
	client, err := c.client(c.at.Client)
	if err != nil {
		return nil, err
	}
	if c.archive == nil && len(roots) == 0 {
		root, err := c.resolveRoot(ctx, client)
		if err != nil {
			return nil, err
		}
		roots = []v1.Hash{root}
	}
	for _, d := range roots[len(c.verdict.Roots):] {
		c.verdict.Roots = append(c.verdict.Roots, report.Root{Reference: c.at.Repository.Digest(d.String()).Name(), Digest: d})
	}
	target, err := newTarget(client.Reader(c.at.Repository))
	if err != nil {
		return nil, err
	}
	defer target.scratch.remove()
	if err := c.lookAt(ctx, target, roots, want); err != nil {
		return nil, fmt.Errorf("verify %s: %w", c.at.Repository.Name(), err)
	}
	if c.archive == nil {
		c.verdict.NotProved = append(c.verdict.NotProved, "that signatures and other attachments are present: only the archive lists them")
	}
	return c.verdict.Judge(), nil
}

// expect reads from the archive what the repository must hold, and returns the roots.
func (c *verifying) expect(ctx context.Context, want *verify.Options) (roots []v1.Hash, err error) {
	if want.Want = c.plan; want.Want == nil {
		var p *part
		opt := c.Options
		opt.Seal = v1.Hash{} // the verdict says whether it is another one
		if p, want.Want, err = opt.checkedPart(ctx, c.archive); err != nil {
			return nil, err
		}
		p.close()
	}
	g := want.Want.Graph
	c.acceptLeftOut(want)
	want.Pins = g.Pins
	for _, u := range g.Unseen {
		c.verdict.Unseen = append(c.verdict.Unseen, report.Unseen(u))
	}
	if want.Tags, err = c.at.tags(g.Roots); err != nil {
		return nil, err
	}
	if err := c.compareSeal(); err != nil {
		return nil, err
	}
	c.compareRoots(g.NamedRoots())
	c.verdict.Proved = append(c.verdict.Proved, "it has everything that "+c.archive.Name()+" lists")
	for _, root := range g.Roots {
		if !slices.Contains(roots, root.Digest) {
			roots = append(roots, root.Digest)
		}
	}
	return roots, nil
}

// acceptLeftOut accepts the attachments that an import left out, according to Accept.
func (c *verifying) acceptLeftOut(want *verify.Options) {
	for _, a := range want.Want.Graph.Attachments {
		if x := (report.Attachment{Subject: a.Subject, Digest: a.Digest, Tag: a.Tag}); c.Accept.LeftOut(x) {
			want.LeftOut, c.verdict.AcceptedLeftOut = append(want.LeftOut, a), append(c.verdict.AcceptedLeftOut, x)
		}
	}
	if n := len(want.LeftOut); n > 0 {
		c.verdict.NotProved = append(c.verdict.NotProved, fmt.Sprintf("that all attachments are present: %s left out at the import, according to the report of --accept", text.Count(n, "attachment")))
	}
}

// resolveRoot returns the digest of Root, and makes it the subject.
//
// Errors: fs.ErrNotExist.
func (c *verifying) resolveRoot(ctx context.Context, client *registry.Client) (v1.Hash, error) {
	if c.Root == nil {
		return v1.Hash{}, optionsf("nothing to compare %s with: name the archive, or a root", c.at.Repository)
	}
	root := report.Root{Reference: c.Root.Name()}
	if d, ok := c.Root.(name.Digest); ok {
		hash, err := v1.NewHash(d.DigestStr())
		if err != nil {
			return hash, err
		}
		root.Digest = hash
	} else {
		desc, _, err := client.Manifest(ctx, c.Root)
		if err != nil {
			return v1.Hash{}, fmt.Errorf("verify %s: %w", c.Root, err)
		}
		root.Digest = desc.Digest
		c.verdict.NotProved = append(c.verdict.NotProved,
			"that the tag names what was exported: its digest came from this registry; compare it with the digest that the export printed")
	}
	c.verdict.Subject, c.verdict.Roots = root.Pinned(), []report.Root{root}
	return root.Digest, nil
}

// lookAt compares what is in the repository with what should be, and resolves the roots as
// kapp-controller does.
func (c *verifying) lookAt(ctx context.Context, target *target, roots []v1.Hash, want verify.Options) error {
	plan, omitted, err := c.compare(ctx, target, roots, want)
	if err != nil {
		return err
	}
	if plan != nil {
		if err := c.Values.Check(plan.Graph.Packages); err != nil {
			return err
		}
	}
	if c.Content == nil { // the plan is most of what is in memory
		plan = nil
	}
	ph := c.begin("resolve", 0, 0)
	found, err := leak.Resolve(ctx, target, c.at.Repository, roots, c.leak(omitted, ph.read))
	ph.end()
	if err != nil {
		return err
	}
	c.take(found)
	if plan == nil {
		return nil
	}
	return c.content(ctx, target, plan)
}

// compare returns what is in the repository, nil where it has no plan, and what was left out by
// choice, as far as that is known.
func (c *verifying) compare(ctx context.Context, target *target, roots []v1.Hash, want verify.Options) (*bundle.Plan, []report.Omitted, error) {
	blobs, bytes := 0, int64(0)
	if want.Want != nil {
		if c.Level != verify.Manifests {
			for _, b := range want.Want.Blobs[want.Want.Small:] {
				blobs, bytes = blobs+1, bytes+b.Descriptor.Size
			}
			for _, a := range want.Want.Assumed {
				blobs, bytes = blobs+1, bytes+a.Size
			}
		}
		withoutLayers(want.Want)
	}
	ph := c.begin("verify", blobs, bytes)
	defer ph.end()
	want.Progress, want.Layers = ph.add, target.Repository
	if blobs == 0 {
		want.Read = ph.read
	}
	result, err := verify.Repository(ctx, target, c.at.Repository, roots, want)
	if err != nil {
		return nil, nil, err
	}
	c.verdict.Problems, c.verdict.Rows = append(c.verdict.Problems, result.Problems...), result.Rows
	var omitted []report.Omitted
	if result.Plan != nil {
		result.Plan.Describe(c.verdict, want.Want != nil)
		omitted = result.Plan.Omitted
	}
	if want.Want != nil {
		omitted = want.Want.Omitted
	}
	c.verdict.Fix = "import again, which uploads what is missing; for missing layers add --trust-registry blobs, for damaged ones --trust-registry nothing"
	c.verdict.Proved = append(c.verdict.Proved, map[verify.Level]string{
		verify.Manifests: "every manifest and bundle was read from the registry",
		verify.Blobs:     "every manifest and bundle was read from the registry, which says that it has every layer",
		verify.Deep:      "every byte was read from the registry and hashed",
	}[c.Level])
	return result.Plan, omitted, nil
}

// withoutLayers removes from a plan what a comparison does not read, most of its memory: the same
// manifest means the same layers.
func withoutLayers(plan *bundle.Plan) {
	plan.Blobs, plan.Small = nil, 0
	for _, n := range plan.Graph.Nodes {
		n.Blobs = nil
	}
}

// target is a private repository of which each manifest, and each blob that a walk reads, is
// fetched once, however often it is read.
type target struct {
	*registry.Repository
	kept    bundle.Source
	scratch *scratch
	broken  atomic.Int32 // answers that the registry cannot read a manifest
}

// newTarget reads a repository through a scratch file, which the caller removes.
func newTarget(r *registry.Repository) (*target, error) {
	scratch, err := newScratch("")
	if err != nil {
		return nil, err
	}
	return &target{Repository: r, kept: copy.NewSpool(r, scratch).Keeping(), scratch: scratch}, nil
}

// Manifest implements bundle.Source.
func (t *target) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	desc, raw, err := t.kept.Manifest(ctx, ref)
	return desc, raw, t.explain(err)
}

// Resolve asks the registry what a tag or digest stands for.
func (t *target) Resolve(ctx context.Context, id string) (v1.Hash, error) {
	d, err := t.Repository.Resolve(ctx, id)
	return d, t.explain(err)
}

// mostBroken is how many answers speak of single manifests; after more the registry itself is at
// fault.
const mostBroken = 100

// explain makes of a registry's 500 for a manifest an error about that manifest.
func (t *target) explain(err error) error {
	var e *registry.Error
	if !errors.As(err, &e) || e.Status != 500 || t.broken.Add(1) > mostBroken {
		return err
	}
	return fmt.Errorf("%w: %w", oci.ErrUnreadable, err)
}

// Blob implements bundle.Source.
func (t *target) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	return t.kept.Blob(ctx, repo, d)
}
