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
	"relocate/rewrite"
	"relocate/tarball"
	"relocate/verify"
	"relocate/verify/leak"
)

// repository verifies a private registry, against an archive where there is one.
func (f *verifyFlags) repository(ctx context.Context, file string, roots []v1.Hash, show *progress) (*verifyReport, error) {
	repo, rest, err := f.target(file)
	if err != nil {
		return nil, err
	}
	opt := verify.Options{Level: verify.Level(f.level), Jobs: f.jobs, RepoTags: f.repoTags}
	r := &verifyReport{Version: reportVersion, Subject: repo.Name(), Problems: []verify.Problem{}, strict: true}
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
		r.Subject, roots, r.Roots = root.pinned(), []v1.Hash{root.Digest}, []rootReport{root}
		if r.Subject != root.Reference {
			r.Proved = append(r.Proved, "the digest of the tag came from this registry: compare it with the digest that the export printed")
		}
	}
	for _, d := range roots[len(r.Roots):] {
		r.Roots = append(r.Roots, rootReport{repo.Digest(d.String()).Name(), d})
	}
	omitted, err := f.compare(ctx, target, repo, roots, opt, r, show)
	if err == nil {
		err = f.resolve(ctx, target, repo, roots, omitted, r, show)
	}
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", repo.Name(), err)
	}
	if file == "" {
		r.Proved = append(r.Proved, "signatures and what else is attached were not looked for: only the archive tells what there must be")
	}
	return r.judge(), nil
}

// compare compares what is in a repository with what should be, and returns what was left out by choice, as far
// as somebody knows.
func (f *verifyFlags) compare(ctx context.Context, target *reading, repo name.Repository, roots []v1.Hash, opt verify.Options, r *verifyReport, show *progress) ([]bundle.Omitted, error) {
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
	var omitted []bundle.Omitted
	if result.Plan != nil {
		r.holds(result.Plan)
		omitted = result.Plan.Omitted
	}
	if opt.Want != nil {
		omitted = opt.Want.Omitted
	}
	if !f.output.wantsPlan() { // which is most of what is in memory
		r.plan = nil
	}
	r.mend = "import again: what is missing is sent; layers that are missing are with --trust blobs, damaged ones with --trust nothing"
	r.level = opt.Level
	if len(r.Omitted) > 0 {
		r.Proved = append(r.Proved, "but for the layers listed below, which may not be distributed and were left out:")
	}
	r.Proved = append(r.Proved, map[verify.Level]string{
		verify.Manifests: "every manifest and bundle was read there; layers were not asked for: --level blobs or deep does",
		verify.Blobs:     "every manifest and bundle was read there, and the registry says that it has every layer",
		verify.Deep:      "every byte was read there and hashed",
	}[opt.Level])
	return omitted, nil
}

// resolve goes the way of kapp-controller from the roots.
func (f *verifyFlags) resolve(ctx context.Context, target *reading, repo name.Repository, roots []v1.Hash, omitted []bundle.Omitted, r *verifyReport, show *progress) error {
	ph := show.begin("resolve", 0, 0)
	found, err := leak.Resolve(ctx, target, repo, roots, leak.Options{Jobs: f.jobs, Omitted: omitted, Read: func() { ph.add(1, 0) }})
	ph.end()
	if err != nil {
		return err
	}
	return errors.Join(r.found(found, &f.known), f.output.platforms(ctx, r, target, f.jobs))
}

// expect reads from the archive what the repository must hold, and returns the roots.
func (f *verifyFlags) expect(ctx context.Context, file string, given []v1.Hash, opt *verify.Options, r *verifyReport) (roots []v1.Hash, err error) {
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
	opt.Pins, r.Unseen = opt.Want.Graph.Pins, opt.Want.Graph.Unseen
	if !f.noTag {
		if opt.Tags, err = rewrite.Tags(opt.Want.Graph.Roots, f.tag); err != nil {
			return nil, fmt.Errorf("%w: %w", relocate.ErrTags, err)
		}
	}
	if err := f.compareSeal(r, a); err != nil {
		return nil, err
	}
	r.compareRoots(rootsOf(opt.Want.Graph), given)
	r.Proved = append(r.Proved, "it holds what "+file+" names")
	for _, root := range opt.Want.Graph.Roots {
		if !slices.Contains(roots, root.Digest) {
			roots = append(roots, root.Digest)
		}
	}
	return roots, nil
}

// acceptLeftOut takes the attachments that the report of --accept says were left out as known.
func (f *verifyFlags) acceptLeftOut(opt *verify.Options, r *verifyReport) error {
	if _, err := f.known.known(); err != nil {
		return err
	}
	for _, a := range opt.Want.Graph.Attachments {
		if f.known.leftOut[a] {
			opt.LeftOut = append(opt.LeftOut, a)
		}
	}
	if r.AcceptedLeftOut = opt.LeftOut; len(opt.LeftOut) > 0 {
		r.Proved = append(r.Proved, fmt.Sprintf("but for %s that the report of --accept says was left out", count(len(opt.LeftOut), "attachment")))
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
