package relocate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/internal/text"
	"relocate/render"
	"relocate/report"
	"relocate/tarball"
	"relocate/volume"
)

// checked is an archive that is checked: a file or a stream.
type checked interface {
	bundle.Source
	Plan(ctx context.Context, jobs int, r *render.Renderer) (*bundle.Plan, error)
	Check(ctx context.Context, jobs int, progress func(blobs int, bytes int64)) ([]tarball.Damage, error)
}

// verifyArchive verifies an archive, from its file or from a stream.
func (c *verifying) verifyArchive(ctx context.Context, a checked) (*report.Verdict, error) {
	c.verdict = &report.Verdict{
		Act: "Verification", Subject: c.name, Archive: &report.Archive{}, Strict: c.Strict,
		Pinned:       c.Seal != (v1.Hash{}) || len(c.Roots) > 0 || c.Signature != nil,
		AttachedNote: notLookedFor, Fix: "transfer the file again; if the original is damaged, too, export again",
	}
	wait, stop := c.startCheck(ctx, a)
	defer stop()
	plan, planErr := a.Plan(ctx, c.jobs(), c.Renderer)
	var beside *scanBeside
	if plan != nil {
		if err := c.Values.Check(plan.Graph.Packages); err != nil {
			return nil, err
		}
		beside = c.scanBeside(ctx, a, plan)
		defer beside.stop()
	}
	damage, err := wait()
	if err == nil && isNoDamage(planErr) {
		err = planErr
	}
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", c.name, err)
	}
	*c.verdict.Archive = *archiveOf(c.archive)
	c.verdict.Archive.File = c.name
	c.listDamage(damage, plan)
	if err := c.checkVolumes(ctx, damage, plan); err != nil {
		return nil, fmt.Errorf("verify %s: %w", c.name, err)
	}
	if planErr != nil && !isListed(planErr, damage) {
		c.problem(report.Damaged, "content", planErr.Error())
	}
	c.verdict.Proved, c.verdict.NotProved = provedOf(c.archive, plan)
	if err := c.compareSeal(); err != nil {
		return nil, err
	}
	c.compareRoots(c.verdict.Roots)
	if err := c.lookInto(ctx, a, plan, beside, len(damage) == 0 && c.archive.Complete() == nil); err != nil {
		return nil, fmt.Errorf("verify %s: %w", c.name, err)
	}
	return c.verdict.Judge(), ctx.Err()
}

// isNoDamage reports whether a plan could not be read for another reason than damage.
func isNoDamage(planErr error) bool {
	file := (*fs.PathError)(nil)
	return errors.As(planErr, &file) || errors.Is(planErr, tarball.ErrNotRendered)
}

// isListed reports whether a verdict lists already why a plan could not be read: damage, or a volume that is missing.
func isListed(planErr error, damage []tarball.Damage) bool {
	missing := (*volume.MissingError)(nil)
	return errors.As(planErr, &missing) || len(damage) > 0 && errors.Is(planErr, digest.ErrMismatch)
}

// archiveOf returns the report of an archive.
func archiveOf(a *tarball.Archive) *report.Archive {
	zeros, unread := a.After()
	r := &report.Archive{
		File: a.Name(), Size: a.Size(), Form: a.Format().String(), Seal: a.Seal(), Zeros: zeros, Unread: unread,
	}
	if set := a.Volumes(); set != nil {
		r.Volumes = &report.Volumes{Count: set.Volumes(), Size: set.Volume, Parity: set.Parity}
	}
	return r
}

func (c *verifying) problem(kind, what, reason string) {
	c.verdict.Problems = append(c.verdict.Problems, report.Problem{Kind: kind, What: what, Reason: reason})
}

// startCheck hashes everything: a file from now on, a stream, which is read once, when the caller waits.
// After stop nothing is read.
func (c *verifying) startCheck(ctx context.Context, a checked) (wait func() ([]tarball.Damage, error), stop func()) {
	if _, isFile := a.(*tarball.Archive); !isFile {
		return func() ([]tarball.Damage, error) { return c.check(ctx, a) }, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	var damage []tarball.Damage
	var err error
	go func() {
		defer close(done)
		damage, err = c.check(ctx, a)
	}()
	return func() ([]tarball.Damage, error) { <-done; return damage, err }, func() { cancel(); <-done }
}

// check hashes everything.
func (c *verifying) check(ctx context.Context, a checked) ([]tarball.Damage, error) {
	blobs, bytes := c.archive.Blobs()
	ph := c.begin("verify", blobs, bytes)
	defer ph.end()
	return a.Check(ctx, c.jobs(), ph.add)
}

// mostDamage is how many damaged places of an archive a verdict lists.
const mostDamage = 1000

// listDamage names damage, and the images that it hits. plan may be nil.
func (c *verifying) listDamage(damage []tarball.Damage, plan *bundle.Plan) {
	if plan != nil {
		plan.Describe(c.verdict, true)
		c.verdict.Roots = plan.Graph.NamedRoots()
	}
	listed := damage[:min(len(damage), mostDamage)]
	users := usersOf(plan, listed)
	for _, d := range listed {
		c.verdict.Problems = append(c.verdict.Problems, report.Problem{
			Kind: report.Damaged, What: d.Member, Images: users[d.Digest],
			Reason: c.inVolume(d) + fmt.Sprintf("%s byte %d: %s", place(d), d.Offset, d.Reason),
		})
	}
	if more := len(damage) - len(listed); more > 0 {
		c.problem(report.Damaged, "more", fmt.Sprintf("there are %d more damaged places", more))
	}
}

// place says what an offset of damage means: of a blob only its digest is known to be wrong.
func place(d tarball.Damage) string {
	if d.Digest.Hex != "" {
		return "from"
	}
	return "at"
}

// usersOf names the images that need what is damaged; plan may be nil.
func usersOf(plan *bundle.Plan, damage []tarball.Damage) map[v1.Hash][]string {
	users := map[v1.Hash][]string{}
	for _, d := range damage {
		users[d.Digest] = nil
	}
	if plan == nil || len(users) == 0 {
		return users
	}
	for _, n := range plan.Graph.Nodes {
		for _, d := range append([]v1.Descriptor{n.Descriptor}, n.Blobs...) {
			names, isDamaged := users[d.Digest]
			if isDamaged && (len(names) == 0 || names[len(names)-1] != n.Name()) { // a layer may come twice
				users[d.Digest] = append(names, n.Name())
			}
		}
	}
	for _, names := range users {
		slices.Sort(names)
	}
	return users
}

// provedOf says what is proved of an archive in which nothing is wrong, and what is not.
func provedOf(a *tarball.Archive, plan *bundle.Plan) (proved, not []string) {
	if a.Format() != tarball.Imgpkg || plan == nil {
		needed := "the roots need all of it and nothing else"
		if plan != nil && len(plan.Assumed) > 0 {
			needed = "the roots need all of it, and nothing else but what it assumes"
		}
		return []string{"every byte is accounted for, every blob hashed", needed}, nil
	}
	proved = []string{"every manifest, config and layer was hashed, and what the roots need is present"}
	not = []string{"references, tags and the headers of members: imgpkg's format has no seal"}
	if others, layers := a.Surplus(plan); others+layers > 0 {
		not = append(not, fmt.Sprintf("what was ignored: %s that nothing uses, %s of another kind", text.Count(layers, "layer"), text.Count(others, "member")))
	}
	return proved, not
}

// compareSeal compares the archive's seal with the one that was given, if any.
func (c *verifying) compareSeal() error {
	if c.Seal == (v1.Hash{}) {
		return nil
	}
	if c.archive.Format() == tarball.Imgpkg {
		return optionsf("%s has imgpkg's format, which has no seal to compare with; its roots prove what it holds", c.name)
	}
	if seal := c.archive.Seal(); seal != c.Seal {
		c.problem(report.Different, "seal", fmt.Sprintf("it is %s, want %s", seal, c.Seal))
		return nil
	}
	c.verdict.Proved = append(c.verdict.Proved, "the seal is the one given: this is the file that was exported")
	return nil
}

// compareRoots compares the roots of an archive with the digests that were given, if any.
func (c *verifying) compareRoots(have []report.Root) {
	if len(c.Roots) == 0 {
		return
	}
	for _, root := range have {
		if !slices.Contains(c.Roots, root.Digest) {
			c.problem(report.Different, "root "+root.Reference, fmt.Sprintf("it is %s, which is not one of the roots given", root.Digest))
		}
	}
	for _, d := range c.Roots {
		if !slices.ContainsFunc(have, func(root report.Root) bool { return root.Digest == d }) {
			c.problem(report.Missing, "root "+d.String(), "the archive does not have it as a root")
		}
	}
	c.verdict.Proved = append(c.verdict.Proved, "the roots are those given")
}

// lookInto takes what the scan of an archive without damage found. plan may be nil.
func (c *verifying) lookInto(ctx context.Context, a checked, plan *bundle.Plan, beside *scanBeside, isWhole bool) error {
	if plan == nil {
		return nil
	}
	if isWhole {
		found, err := beside.wait()
		if err != nil {
			return err
		}
		c.take(found)
	}
	return c.content(ctx, a, plan)
}
