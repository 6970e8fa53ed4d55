package tarball

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"relocate/bundle"
	"relocate/render"
	"relocate/report"
)

// Name returns the path at which Open opened the archive, or the name of what OpenRanged opened; else "the archive".
func (a *Archive) Name() string {
	switch {
	case a.set != nil:
		return a.set.Path()
	case a.f != nil:
		return a.f.Name()
	case a.ranged != nil:
		return a.ranged.Name()
	}
	return "the archive"
}

// Omitted returns what the archive says that it leaves out; nothing proves it before a plan is made.
func (a *Archive) Omitted() []report.Omitted {
	if a.imgpkg != nil {
		return nil
	}
	return a.l.inv.Omitted
}

// CheckedPlan checks everything but the content of layers, and returns the plan. It uses jobs
// goroutines, at least 1. Something that is missing in the archive is damage; what is in missing volumes
// is not: see Complete. r is as for Plan.
//
// Errors: ErrDamaged; ErrNotRendered; those of reading the file; that of ctx.
func (a *Archive) CheckedPlan(ctx context.Context, jobs int, r *render.Renderer) (*bundle.Plan, error) {
	return a.planAfter(ctx, func() ([]Damage, error) { return a.checkSealed(ctx) }, jobs, r)
}

// HeadPlan checks and reads what comes before the layers, and the end of the file, and returns the plan.
// It does not look at the layers. In imgpkg's format it checks what Open and Plan check.
//
// Errors: as CheckedPlan.
func (a *Archive) HeadPlan(ctx context.Context, jobs int, r *render.Renderer) (*bundle.Plan, error) {
	manifests := 0 // after the last of them come configs of the small section at most
	for i, b := range a.l.blobs {
		if a.mediaType[b.Digest] != "" {
			manifests = i + 1
		}
	}
	plan, err := a.planAfter(ctx, func() ([]Damage, error) { return a.checkHead(manifests) }, jobs, r)
	if err != nil {
		return nil, err
	}
	damage, err := a.checkHead(plan.Small)
	if err == nil && a.imgpkg == nil {
		var end *Damage
		if end, err = a.checkFrame(len(a.l.offsets)); end != nil {
			damage = append(damage, *end)
		}
	}
	if err == nil && len(damage) > 0 {
		err = a.damaged(damage[0])
	}
	return plan, errors.Join(err, a.unchanged())
}

// checkHead checks the documents and the frames of the first blobs.
func (a *Archive) checkHead(blobs int) ([]Damage, error) {
	damage, err := a.checkDocs()
	if err != nil || a.imgpkg != nil {
		return damage, err
	}
	frames, err := a.checkFrames(blobs)
	for _, frame := range frames {
		if frame != nil {
			damage = append(damage, *frame)
		}
	}
	return damage, err
}

// planAfter returns the plan if check finds no damage. Something that is missing in the archive is damage.
func (a *Archive) planAfter(ctx context.Context, check func() ([]Damage, error), jobs int, r *render.Renderer) (*bundle.Plan, error) {
	damage, err := check()
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", a.Name(), err)
	}
	if len(damage) > 0 {
		return nil, a.damaged(damage[0])
	}
	plan, err := a.Plan(ctx, jobs, r)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", a.Name(), asDamage(err))
	}
	return plan, nil
}

func (a *Archive) damaged(d Damage) error {
	if in := a.VolumesOf(d); in != "" {
		return fmt.Errorf("%s %w: in %s: %s", a.Name(), ErrDamaged, in, d)
	}
	return fmt.Errorf("%s %w: %s", a.Name(), ErrDamaged, d)
}

// isMissing reports whether err is about manifests that the graph needs and that were not found.
func isMissing(err error) bool {
	missing, _ := bundle.Missing(err)
	return missing != nil
}

// mostMissing is how many images an error names.
const mostMissing = 10

// asDamage makes ErrDamaged of what is missing in the archive, and names and counts all of it.
func asDamage(err error) error {
	missing, more := bundle.Missing(err)
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
	n := len(lines) + more
	text := strings.Join(lines[:min(len(lines), mostMissing)], "\n  ")
	if n > mostMissing {
		text += fmt.Sprintf("\n  and %d more", n-mostMissing)
	}
	return fmt.Errorf("%w: %s", ErrDamaged, text)
}
