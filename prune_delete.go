package relocate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/copy"
	"relocate/registry"
)

// delete deletes what the plan says.
func (p *pruner) delete(ctx context.Context) error {
	at := p.client.Deleter(p.repo)
	if err := at.CanDelete(ctx); err != nil {
		return err
	}
	if err := p.checkUnchanged(ctx, at); err != nil {
		return err
	}
	p.result.Deleted = &Deletion{}
	ph := p.begin("prune", len(p.result.Manifests), 0)
	defer ph.end()
	d := &deleting{pruner: p, at: at, ph: ph, refused: map[v1.Hash]error{}}
	if err := d.manifests(ctx); err != nil {
		return err
	}
	if err := d.tags(ctx); err != nil {
		return err
	}
	return d.check(ctx)
}

// checkUnchanged fails if there are other tags than those of the plan, or roots that moved.
//
// Errors: ErrPruneChanged.
func (p *pruner) checkUnchanged(ctx context.Context, at *registry.Repository) error {
	list, err := at.AllTags(ctx)
	if err != nil {
		return err
	}
	var roots []string
	for _, tag := range list {
		if _, known := p.tags[tag]; !known && !p.dangling[tag] {
			return fmt.Errorf("%w: %s is new", ErrPruneChanged, tag)
		}
		if _, made := p.madeOf(tag); !made && !p.dangling[tag] {
			roots = append(roots, tag)
		}
	}
	return p.each(ctx, len(roots), func(ctx context.Context, i int) error {
		d, err := at.Resolve(ctx, roots[i])
		if err == nil && d != p.tags[roots[i]] {
			return fmt.Errorf("%w: %s now points to %s", ErrPruneChanged, roots[i], d)
		}
		return err
	})
}

// deleting is one deletion.
type deleting struct {
	*pruner
	at *registry.Repository
	ph *phase

	mu      sync.Mutex
	refused map[v1.Hash]error // why a manifest was not deleted
}

// manifests deletes manifests, group by group. Some registries do not delete what an index still
// needs, so what was refused is tried again after the rest.
func (d *deleting) manifests(ctx context.Context) error {
	groups := d.groups
	for {
		before := len(d.refused)
		for _, group := range groups {
			if err := d.each(ctx, len(group), func(ctx context.Context, i int) error { return d.manifest(ctx, group[i]) }); err != nil {
				return err
			}
		}
		if n := len(d.refused); n == 0 || before > 0 && n >= before {
			return nil
		}
		again := []v1.Hash{}
		for _, m := range d.result.Manifests {
			if d.refused[m.Digest] != nil {
				again = append(again, m.Digest)
			}
		}
		groups = [][]v1.Hash{again}
	}
}

func (d *deleting) manifest(ctx context.Context, digest v1.Hash) error {
	err := d.at.DeleteManifest(ctx, digest)
	var answer *registry.Error
	d.mu.Lock()
	defer d.mu.Unlock()
	if errors.As(err, &answer) && answer.Refused() && !errors.Is(err, fs.ErrPermission) {
		d.refused[digest] = err
		return nil
	}
	if err != nil {
		return err
	}
	delete(d.refused, digest)
	d.result.Deleted.Manifests++
	d.ph.step(copy.Step{Blobs: 1})
	return nil
}

// tags deletes the tags that go alone, and those that a registry left when it deleted their manifests.
func (d *deleting) tags(ctx context.Context) error {
	list, err := d.at.AllTags(ctx)
	if err != nil && !errors.Is(err, registry.ErrNoTags) && !errors.Is(err, registry.ErrNoRepository) { // as of a repository that is empty now
		return err
	}
	listed := map[string]bool{}
	for _, tag := range list {
		listed[tag] = true
	}
	alone, goes := d.alone(listed)
	for _, tag := range slices.Sorted(maps.Keys(d.pruner.tags)) {
		if err == nil && !listed[tag] && !goes[tag] {
			return fmt.Errorf("the tag %s, which stays, is gone: it pointed to %s", tag, d.pruner.tags[tag])
		}
	}
	for _, tag := range alone {
		if err := d.tag(ctx, tag); err != nil {
			return err
		}
	}
	return nil
}

// alone returns the tags to delete by themselves, and all tags that go. It counts those that went with
// their manifests.
func (d *deleting) alone(listed map[string]bool) (alone []string, goes map[string]bool) {
	goes = map[string]bool{}
	for _, m := range d.result.Manifests {
		for _, tag := range m.Tags {
			switch goes[tag] = true; {
			case d.refused[m.Digest] != nil:
			case listed[tag]:
				alone = append(alone, tag)
			default:
				d.result.Deleted.Tags++
			}
		}
	}
	for _, t := range d.result.Untag {
		goes[t.Tag] = true
		alone = append(alone, t.Tag)
	}
	return alone, goes
}

func (d *deleting) tag(ctx context.Context, tag string) error {
	err := d.at.DeleteTag(ctx, tag)
	var answer *registry.Error
	switch {
	case err == nil:
		d.result.Deleted.Tags++
	case errors.Is(err, registry.ErrNoDelete):
		d.stays(tag, "the registry deletes by digest only, and the manifest stays")
	case errors.As(err, &answer) && answer.Refused() && !errors.Is(err, fs.ErrPermission):
		d.stays(tag, err.Error())
	default:
		return err
	}
	return nil
}

func (d *deleting) stays(what, reason string) {
	d.result.Deleted.Stay = append(d.result.Deleted.Stay, StayedItem{what, reason})
}

// IsComplete reports whether all manifests and tags of roots were deleted that should be. A tag that
// is made of a digest protects nothing any longer.
func (d *Deletion) IsComplete() bool {
	return !slices.ContainsFunc(d.Stay, func(s StayedItem) bool { _, made := madeOf(s.What); return !made })
}

// check asks the registry for what was deleted, and for the tags that stay.
func (d *deleting) check(ctx context.Context) error {
	for _, m := range d.result.Manifests {
		if err := d.refused[m.Digest]; err != nil {
			d.stays(m.Digest.String(), err.Error())
		}
	}
	there := make([]bool, len(d.result.Manifests))
	err := d.each(ctx, len(there), func(ctx context.Context, i int) error {
		digest := d.result.Manifests[i].Digest
		if d.refused[digest] != nil {
			return nil
		}
		_, err := d.at.Resolve(ctx, digest.String())
		there[i] = err == nil
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	for i, m := range d.result.Manifests {
		if there[i] {
			d.result.Deleted.Manifests--
			d.stays(m.Digest.String(), "the registry said that it deleted the manifest, and still has it")
		}
	}
	return nil
}
