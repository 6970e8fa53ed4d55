package tarball

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/render"
	"relocate/report"
)

// Plan walks the roots through the archive's own manifests, with jobs reads at once, and returns
// the plan that they imply. The archive must hold exactly that: nothing missing, nothing surplus,
// and an equal inventory. Only the inventory says where things were found, and what was not visible
// there. r runs the templates below packages/ of repositories; nil: the files are read as they are.
//
// An archive that was made without running them is read that way, too, where its content differs:
// findings of the graph say so.
//
// Errors: ErrDamaged; ErrNotRendered; bundle.MissingError; those of bundle.Walk; that of ctx.
func (a *Archive) Plan(ctx context.Context, jobs int, r *render.Renderer) (*bundle.Plan, error) {
	if a.imgpkg != nil {
		return a.imgpkgPlan(ctx, jobs, r)
	}
	plan, err := a.plan(ctx, bundle.WalkOptions{Jobs: jobs, Renderer: r})
	if err == nil || ctx.Err() != nil {
		return plan, err
	}
	plain, plainErr := a.plan(ctx, bundle.WalkOptions{Jobs: jobs, Has: a.has})
	switch {
	case plain == nil || !plain.Graph.MayHide(): // it has no templates
	case plainErr == nil:
		return plain, nil
	case r == nil:
		return nil, plainErr
	}
	return plan, err
}

// ErrNotRendered says that what an archive must hold is not known: templates below packages/ of its
// repositories could not be run.
var ErrNotRendered = errors.New("it has templates that were not run, and so what it must hold is not known")

// plan is Plan with one way to read what is below packages/. It returns a plan also when the inventory
// says something else.
func (a *Archive) plan(ctx context.Context, opt bundle.WalkOptions) (*bundle.Plan, error) {
	roots, err := a.Roots()
	if err != nil {
		return nil, err
	}
	inv := a.l.inv
	opt.Closed, opt.Pins, opt.Attachments, opt.Without = true, inv.Pins, inv.Attachments, bundle.LeftOut(inv.Omitted)
	g, err := bundle.Walk(ctx, a, roots, opt)
	if errors.Is(err, fs.ErrNotExist) && !isMissing(err) { // a blob that a manifest needs
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(inv.origins(g), inv.unseen(g), inv.listed(g), inv.checkBases()); err != nil {
		return nil, err
	}
	a.share(g)
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{NonDistributable: len(report.OmittedLayers(inv.Omitted)) == 0, Bases: a.given()})
	if err != nil {
		return nil, err
	}
	err = inv.compare(newInventory(plan))
	if err != nil && g.MayHide() {
		err = fmt.Errorf("%w: %s", ErrNotRendered, err) //nolint:errorlint // it may be no damage
	}
	return plan, err
}

// origins sets where the nodes of g were found.
func (inv *inventory) origins(g *bundle.Graph) error {
	for i, m := range inv.Manifests {
		n := g.Node(m.Digest)
		if n == nil {
			continue // compare reports it
		}
		from, err := name.NewRepository(m.From)
		if err != nil || from.Name() != m.From {
			return fmt.Errorf("%w: the inventory's manifests[%d] was found in %q, which is not a repository", ErrDamaged, i, m.From)
		}
		n.From = from
	}
	return nil
}

// unseen sets what was not visible where g was found.
func (inv *inventory) unseen(g *bundle.Graph) error {
	for i, u := range inv.Unseen {
		if !u.Valid() || i > 0 && inv.Unseen[i-1].Compare(u) >= 0 {
			return fmt.Errorf("%w: the inventory's unseen[%d] is %.200q", ErrDamaged, i, fmt.Sprint(u))
		}
	}
	g.Unseen = inv.Unseen
	return nil
}

// listed sets the lock whose images the roots of g are.
func (inv *inventory) listed(g *bundle.Graph) error {
	if len(inv.Lock) == 0 {
		return nil
	}
	roots := map[string]bool{}
	for _, root := range g.Roots {
		roots[root.Digest.String()] = true
	}
	lock := &carvel.ImagesLock{}
	for i, e := range inv.Lock {
		ref, err := name.NewDigest(e.Image)
		if err != nil || ref.Name() != e.Image || !roots[ref.DigestStr()] {
			return fmt.Errorf("%w: the inventory's lock[%d] is %.200q, which is not a root", ErrDamaged, i, e.Image)
		}
		lock.Images = append(lock.Images, carvel.LockEntry{Image: ref, Annotations: e.Annotations})
	}
	g.Listed = lock
	return nil
}

// share replaces the graph's copies of digests by those of the inventory, which saves memory.
func (a *Archive) share(g *bundle.Graph) {
	for _, n := range g.Nodes {
		for i, d := range n.Blobs {
			if at, ok := a.index[d.Digest]; ok {
				n.Blobs[i].Digest = a.l.blobs[at].Digest
			} else if assumed := a.assumes(d); assumed != nil {
				n.Blobs[i].Digest = assumed.Digest
			}
		}
	}
}

// compare reports the first difference in each list between an inventory and the one that the
// content implies.
func (inv *inventory) compare(implied *inventory) error {
	return errors.Join(
		compareLists("roots", inv.Roots, implied.Roots, equal),
		compareLists("pins", inv.Pins, implied.Pins, equal),
		compareLists("manifests", inv.Manifests, implied.Manifests, func(a, b manifestEntry) bool {
			return a.Digest == b.Digest && a.MediaType == b.MediaType && a.Size == b.Size && a.Kind == b.Kind && a.From == b.From && slices.Equal(a.References, b.References)
		}),
		compareLists("attachments", inv.Attachments, implied.Attachments, equal),
		compareLists("omitted", inv.Omitted, implied.Omitted, equal),
		compareLists("bases", inv.Bases, implied.Bases, func(a, b bundle.Base) bool { return a.Kind == b.Kind && a.Digest == b.Digest }),
		compareLists("assumed", inv.Assumed, implied.Assumed, equal),
		compareLists("blobs", inv.Blobs, implied.Blobs, equal))
}

func equal[T comparable](a, b T) bool { return a == b }

func compareLists[T any](name string, said, implied []T, same func(a, b T) bool) error {
	for i := range min(len(said), len(implied)) {
		if !same(said[i], implied[i]) {
			return fmt.Errorf("%w: the inventory's %s[%d] is %.200q, the content says %.200q", ErrDamaged, name, i, fmt.Sprint(said[i]), fmt.Sprint(implied[i]))
		}
	}
	if len(said) != len(implied) {
		return fmt.Errorf("%w: the inventory has %d %s, the content %d", ErrDamaged, len(said), name, len(implied))
	}
	return nil
}
