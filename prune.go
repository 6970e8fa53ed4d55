package relocate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/imgpkg"
	"relocate/registry"
	"relocate/tarball"
)

// Drop is a root that a repository need not have any longer. It has a Tag, a Digest or an Archive.
type Drop struct {
	Name    string           // as the operator named it
	Tag     string           // of the root
	Digest  v1.Hash          // of the root, which other tags still keep
	Archive *tarball.Archive // all its roots, with the tags that an import gives them
}

// PruneOptions say how Prune runs, and whether it deletes.
type PruneOptions struct {
	Options
	Delete bool // what the plan says; otherwise nothing is deleted
}

// Pruning says what of a repository only the dropped roots need, and what was deleted.
type Pruning struct {
	Repository string           `json:"repository"`
	Drop       []Dropped        `json:"drop"`
	Manifests  []PrunedManifest `json:"manifests"`          // in the order in which they are deleted
	Untag      []PrunedTag      `json:"untag,omitempty"`    // tags of manifests that stay
	Packages   []string         `json:"packages,omitempty"` // name and version of those that no root has afterwards
	Blobs      int              `json:"blobs"`              // that nothing else in the repository names, manifests among them
	Bytes      int64            `json:"bytes"`
	Keep       KeptContent      `json:"keep"`
	Unread     []Unread         `json:"unread,omitempty"` // of what is dropped
	Deleted    *Deletion        `json:"deleted,omitempty"`
}

// Dropped is a dropped root as it was found.
type Dropped struct {
	Root   string   `json:"root"`             // as the operator named it
	Tag    string   `json:"tag,omitempty"`    // that goes
	Digest *v1.Hash `json:"digest,omitempty"` // nil: the repository does not have it
	KeptBy []string `json:"keptBy,omitempty"` // what needs the manifest besides: tags, or roots of which it is a part
}

// PrunedManifest is a manifest that only the dropped roots need.
type PrunedManifest struct {
	Digest v1.Hash  `json:"digest"`
	Kind   string   `json:"kind"` // bundle, index, image, attachment or locations
	Size   int64    `json:"size"` // of the manifest
	Names  []string `json:"names,omitempty"`
	Tags   []string `json:"tags,omitempty"` // which go with it
}

// Name is the first of the names, or of the tags but the one that protects the manifest; it may be
// empty.
func (m PrunedManifest) Name() string {
	for _, s := range slices.Concat(m.Names, m.Tags) {
		if s != imgpkg.DefaultTag(m.Digest) {
			return s
		}
	}
	return ""
}

// PrunedTag is a tag that goes alone, because its manifest stays.
type PrunedTag struct {
	Tag    string  `json:"tag"`
	Digest v1.Hash `json:"digest"`
}

// KeptContent is what stays in the repository, as far as its tags lead to it.
type KeptContent struct {
	Roots     []string `json:"roots"` // tags that are not made of digests
	Tags      int      `json:"tags"`
	Manifests int      `json:"manifests"`
	Blobs     int      `json:"blobs"` // manifests among them
	Bytes     int64    `json:"bytes"`
}

// Unread is a manifest of which it is not known what it needs.
type Unread struct {
	Digest v1.Hash `json:"digest"`
	Reason string  `json:"reason"`
}

// Deletion is what was deleted.
type Deletion struct {
	Manifests int          `json:"manifests"` // among them those that somebody else deleted meanwhile
	Tags      int          `json:"tags"`      // with their manifests or alone
	Stay      []StayedItem `json:"stay,omitempty"`
}

// StayedItem is something that the registry did not delete.
type StayedItem struct {
	What   string `json:"what"` // a tag or a digest
	Reason string `json:"reason"`
}

// Errors of Prune.
var (
	// ErrPruneUnknown says that it is not known what some tag needs. Nothing was deleted.
	ErrPruneUnknown = errors.New("nothing was deleted")
	// ErrPruneNothing says that the repository has none of the dropped roots.
	ErrPruneNothing = errors.New("has none of the dropped roots")
	// ErrPruneChanged says that tags changed after the plan was made. Nothing was deleted.
	ErrPruneChanged = errors.New("nothing was deleted: tags changed while the plan was made")
)

// Prune says what of a repository only the dropped roots need and, with opt.Delete, deletes it. All
// other tags stay, and everything that they lead to: attachments and locations images, too. A
// manifest stays unless a dropped root leads to it. Only the Client and Repository of at are used.
//
// With opt.Delete an error may come with a result, which says what was deleted. Another call with
// the same roots continues: the roots go last.
//
// Errors: ErrOptions; ErrHeld; ErrPruneNothing; ErrPruneUnknown; ErrPruneChanged;
// registry.ErrNoDelete; registry.ErrNoTags; registry.ErrNoRepository; those of registry.Client and, of archives, those of
// tarball.Archive.CheckedPlan.
func Prune(ctx context.Context, at Destination, drop []Drop, opt PruneOptions) (*Pruning, error) {
	if len(drop) == 0 {
		return nil, optionsf("no root to drop")
	}
	unlock, err := at.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	p := &pruner{PruneOptions: opt, repo: at.Repository, content: content{subject: map[v1.Hash]v1.Hash{}}}
	if p.client, err = opt.client(at.Client); err != nil {
		return nil, err
	}
	if err := p.plan(ctx, drop); err != nil {
		return nil, fmt.Errorf("prune %s: %w", p.repo.Name(), err)
	}
	if !opt.Delete {
		return p.result, nil
	}
	if err := p.delete(ctx); err != nil {
		return p.result, fmt.Errorf("prune %s: %w", p.repo.Name(), err)
	}
	return p.result, nil
}

// pruner is one Prune.
type pruner struct {
	PruneOptions
	repo   name.Repository
	client *registry.Client

	content
	unread map[v1.Hash]error
	groups [][]v1.Hash // of manifests, in the order to delete them
	result *Pruning
}

// plan finds out what is in the repository, and what of it goes.
func (p *pruner) plan(ctx context.Context, drop []Drop) error {
	target, err := newTarget(p.client.Reader(p.repo))
	if err != nil {
		return err
	}
	defer target.scratch.remove()
	ph := p.begin("read", 0, 0)
	defer ph.end()
	if err := p.resolveTags(ctx, target); err != nil {
		return err
	}
	dropped, err := p.find(ctx, target, drop)
	if err != nil {
		return err
	}
	if err := p.walk(ctx, target, dropped, ph.read); err != nil {
		return err
	}
	sides := p.divide(dropped)
	if len(dropped.roots)+len(sides.gone) == 0 {
		return fmt.Errorf("it %w: %s", ErrPruneNothing, dropped)
	}
	if err := p.checkKept(sides); err != nil {
		return err
	}
	if err := p.checkForeign(ctx, target, sides); err != nil {
		return err
	}
	p.result, p.groups = p.describe(dropped, sides), sides.groups
	return nil
}

// checkKept fails where it is not known what something needs that stays: its children might go.
//
// Errors: ErrPruneUnknown.
func (p *pruner) checkKept(s *sides) error {
	for _, tag := range slices.Sorted(maps.Keys(p.tags)) {
		d := p.tags[tag]
		if err := p.unread[d]; err == nil && p.graph.Node(d) == nil {
			return fmt.Errorf("tag %s: %w: the registry does not have the manifest %s", tag, ErrPruneUnknown, d)
		} else if err != nil && !slices.Contains(s.gone, d) {
			return fmt.Errorf("tag %s: %w: it is not known what the manifest needs: %w", tag, ErrPruneUnknown, err)
		}
	}
	for _, n := range p.graph.Nodes {
		if err := p.unread[n.Descriptor.Digest]; err != nil && s.kept[n.Descriptor.Digest] {
			return fmt.Errorf("%w: it is not known what a manifest that stays needs: %w", ErrPruneUnknown, err)
		}
		if s.kept[n.Descriptor.Digest] && p.graph.Hides(n) {
			return fmt.Errorf("%w: not all packages of %s could be read, and what they need", ErrPruneUnknown, n.Name())
		}
	}
	return nil
}
