package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate"
	"relocate/bundle"
	"relocate/report"
	"relocate/rewrite"
	"relocate/tarball"
	"relocate/verify"
	"relocate/verify/leak"
)

// repository verifies a private registry, against an archive where there is one.
func (f *verifyFlags) repository(ctx context.Context, file string, roots []v1.Hash, show *progress) (*verified, error) {
	repo, rest, err := f.target(file)
	if err != nil {
		return nil, err
	}
	opt := verify.Options{Level: verify.Level(f.level), Jobs: f.jobs, RepoTags: f.repoTags}
	r := &verified{Verdict: &report.Verdict{Act: "Verification", Subject: repo.Name(), Level: f.level, Strict: true, AttachedNote: notLooked}}
	if file != "" {
		if roots, err = f.expect(ctx, file, roots, &opt, r); err != nil {
			return nil, err
		}
	}
	client, err := f.destination(repo)
	if err != nil {
		return nil, err
	}
	target, err := newReading(client.Reader(repo))
	if err != nil {
		return nil, err
	}
	defer target.close()
	if file == "" && len(roots) == 0 {
		root, err := f.rootAt(ctx, client, repo, rest)
		if err != nil {
			return nil, fmt.Errorf("verify %s: %w", f.repo, err)
		}
		r.Subject, roots, r.Roots = root.Pinned(), []v1.Hash{root.Digest}, []report.Root{root}
		if r.Subject != root.Reference {
			r.NotProved = append(r.NotProved, "that the tag stands for what was exported: its digest came from this registry; compare it with the digest that the export printed")
		}
	}
	for _, d := range roots[len(r.Roots):] {
		r.Roots = append(r.Roots, report.Root{Reference: repo.Digest(d.String()).Name(), Digest: d})
	}
	omitted, err := f.compare(ctx, target, repo, roots, opt, r, show)
	if err == nil {
		err = f.resolve(ctx, target, repo, roots, omitted, r, show)
	}
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", repo.Name(), err)
	}
	if file == "" {
		r.NotProved = append(r.NotProved, "that signatures and what else is attached are present: only the archive says what there must be")
	}
	r.Judge()
	return r, nil
}

// compare compares what is in a repository with what should be, and returns what was left out by choice, as far
// as somebody knows.
func (f *verifyFlags) compare(ctx context.Context, target *reading, repo name.Repository, roots []v1.Hash, opt verify.Options, r *verified, show *progress) ([]report.Omitted, error) {
	blobs, bytes := 0, int64(0)
	if opt.Want != nil {
		if opt.Level != verify.Manifests {
			for _, b := range opt.Want.Blobs[opt.Want.Small:] {
				blobs, bytes = blobs+1, bytes+b.Descriptor.Size
			}
		}
		withoutLayers(opt.Want)
	}
	ph := show.begin("verify", blobs, bytes)
	defer ph.end()
	opt.Progress, opt.Layers = ph.add, target.Repository
	if blobs == 0 {
		opt.Read = func() { ph.add(1, 0) }
	}
	result, err := verify.Repository(ctx, target, repo, roots, opt)
	if err != nil {
		return nil, err
	}
	r.Problems, r.Rows = append(r.Problems, result.Problems...), result.Rows
	var omitted []report.Omitted
	if result.Plan != nil {
		r.holds(result.Plan, len(result.Plan.Graph.Attachments) > 0)
		omitted = result.Plan.Omitted
	}
	if opt.Want != nil {
		omitted = opt.Want.Omitted
	}
	if !f.output.wantsPlan() { // which is most of what is in memory
		r.plan = nil
	}
	r.Fix = "import again: what is missing is sent; layers that are missing are with --trust blobs, damaged ones with --trust nothing"
	r.Proved = append(r.Proved, map[verify.Level]string{
		verify.Manifests: "every manifest and bundle was read there",
		verify.Blobs:     "every manifest and bundle was read there, and the registry says that it has every layer",
		verify.Deep:      "every byte was read there and hashed",
	}[opt.Level])
	return omitted, nil
}

// resolve goes the way of kapp-controller from the roots.
func (f *verifyFlags) resolve(ctx context.Context, target *reading, repo name.Repository, roots []v1.Hash, omitted []report.Omitted, r *verified, show *progress) error {
	ph := show.begin("resolve", 0, 0)
	found, err := leak.Resolve(ctx, target, repo, roots, leak.Options{Jobs: f.jobs, Omitted: omitted, Read: func() { ph.add(1, 0) }})
	ph.end()
	if err != nil {
		return err
	}
	return errors.Join(r.take(found, &f.known), f.output.platforms(ctx, r, target, f.jobs))
}

// expect reads from the archive what the repository must hold, and returns the roots.
func (f *verifyFlags) expect(ctx context.Context, file string, given []v1.Hash, opt *verify.Options, r *verified) (roots []v1.Hash, err error) {
	a := f.opened
	if a == nil {
		if a, err = tarball.Open(file); err != nil {
			return nil, err
		}
		defer a.Close()
	}
	if opt.Want, err = a.CheckedPlan(ctx, f.jobs); err != nil {
		return nil, err
	}
	if err := f.acceptLeftOut(opt, r); err != nil {
		return nil, err
	}
	opt.Pins = opt.Want.Graph.Pins
	for _, u := range opt.Want.Graph.Unseen {
		r.Unseen = append(r.Unseen, report.Unseen(u))
	}
	if !f.noTag {
		if opt.Tags, err = rewrite.Tags(opt.Want.Graph.Roots, f.tag); err != nil {
			return nil, fmt.Errorf("%w: %w", relocate.ErrTags, err)
		}
	}
	if err := f.compareSeal(r, a); err != nil {
		return nil, err
	}
	r.compareRoots(opt.Want.Graph.NamedRoots(), given)
	r.Proved = append(r.Proved, "it holds what "+file+" names")
	for _, root := range opt.Want.Graph.Roots {
		if !slices.Contains(roots, root.Digest) {
			roots = append(roots, root.Digest)
		}
	}
	return roots, nil
}

// acceptLeftOut takes the attachments that the report of --accept says were left out as known.
func (f *verifyFlags) acceptLeftOut(opt *verify.Options, r *verified) error {
	known, err := f.known.acceptance()
	if err != nil {
		return err
	}
	for _, a := range opt.Want.Graph.Attachments {
		if x := (report.Attachment{Subject: a.Subject, Digest: a.Digest, Tag: a.Tag}); known.LeftOut(x) {
			opt.LeftOut, r.AcceptedLeftOut = append(opt.LeftOut, a), append(r.AcceptedLeftOut, x)
		}
	}
	if n := len(opt.LeftOut); n > 0 {
		r.NotProved = append(r.NotProved, fmt.Sprintf("that all attachments are present: %s left out at the import, by the report of --accept", count(n, "attachment")))
	}
	return nil
}

// withoutLayers takes from a plan what a comparison does not look at, most of its memory: that a manifest is
// the same says that its layers are.
func withoutLayers(plan *bundle.Plan) {
	plan.Blobs, plan.Small = nil, 0
	for _, n := range plan.Graph.Nodes {
		n.Blobs = nil
	}
}
