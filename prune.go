package relocate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/internal/imgpkg"
	"relocate/oci"
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
// registry.ErrNoDelete; registry.ErrNoTags; those of registry.Client and, of archives, those of
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
	}
	return nil
}

// resolveTags asks for the digest of each tag.
//
// Errors: ErrPruneUnknown.
func (p *pruner) resolveTags(ctx context.Context, target *target) error {
	list, err := target.AllTags(ctx)
	if err != nil {
		return err
	}
	slices.Sort(list)
	list = slices.Compact(list)
	for _, tag := range list {
		if !listedTag.MatchString(tag) || strings.Trim(tag, ".") == "" {
			return fmt.Errorf("%w: the registry lists the tag %q", ErrPruneUnknown, tag)
		}
	}
	digests := make([]v1.Hash, len(list))
	err = p.each(ctx, len(list), func(ctx context.Context, i int) (err error) {
		digests[i], err = target.Resolve(ctx, list[i])
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("ask for tag %s: %w: %w", list[i], ErrPruneUnknown, err)
		}
		return nil
	})
	p.tags, p.dangling = map[string]v1.Hash{}, map[string]bool{}
	for i, d := range digests {
		if d == (v1.Hash{}) {
			p.dangling[list[i]] = true
		} else {
			p.tags[list[i]] = d
		}
	}
	return err
}

// listedTag matches what registries take for a tag: some of them more than the specification.
var listedTag = regexp.MustCompile(`^[A-Za-z0-9._+-]+$`)

// each calls do for 0 to n-1, opt.Jobs at once. It returns the first error.
func (p *pruner) each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(p.jobs())
	for i := range n {
		if running.Err() != nil {
			break
		}
		g.Go(func() error { return do(running, i) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// droppedRoots are the dropped roots as they were found.
type droppedRoots struct {
	list  []Dropped
	tags  map[string]bool // that go
	roots []v1.Hash       // that are present
	parts []v1.Hash       // of archives, whether present or not
}

// String names the roots as the operator did.
func (f *droppedRoots) String() string {
	var names []string
	for _, d := range f.list {
		names = append(names, d.Root)
	}
	return strings.Join(slices.Compact(names), ", ")
}

// find finds the dropped roots in the repository.
func (p *pruner) find(ctx context.Context, target *target, drop []Drop) (*droppedRoots, error) {
	found := &droppedRoots{tags: map[string]bool{}}
	for _, d := range drop {
		var err error
		switch {
		case d.Archive != nil:
			err = p.findArchive(ctx, target, d, found)
		case d.Tag != "":
			err = p.findTag(d.Name, d.Tag, found)
		default:
			err = p.findDigest(ctx, target, d.Name, d.Digest, found)
		}
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (p *pruner) findTag(as, tag string, found *droppedRoots) error {
	if _, made := madeOf(tag); made {
		return optionsf("tag %s is not a root: it is made of a digest; drop the digest", tag)
	}
	d, ok := p.tags[tag]
	if !ok {
		found.list = append(found.list, Dropped{Root: as})
		return nil
	}
	found.tags[tag] = true
	found.add(Dropped{Root: as, Tag: tag, Digest: &d})
	return nil
}

func (f *droppedRoots) add(d Dropped) {
	f.list = append(f.list, d)
	if !slices.Contains(f.roots, *d.Digest) {
		f.roots = append(f.roots, *d.Digest)
	}
}

func (p *pruner) findDigest(ctx context.Context, target *target, as string, d v1.Hash, found *droppedRoots) error {
	_, err := target.Resolve(ctx, d.String())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		found.list = append(found.list, Dropped{Root: as})
		return nil
	case err != nil:
		return fmt.Errorf("ask for %s: %w", d, err)
	}
	found.add(Dropped{Root: as, Digest: &d})
	return nil
}

// findArchive finds the roots of an archive, by the tags that an import gives them or by digest, and
// notes all that the archive has.
func (p *pruner) findArchive(ctx context.Context, target *target, drop Drop, found *droppedRoots) error {
	plan, err := drop.Archive.CheckedPlan(ctx, p.jobs(), p.Renderer)
	if err != nil {
		return err
	}
	for _, root := range plan.Graph.Roots {
		tag := root.Tag()
		if _, made := madeOf(tag); !made && p.tags[tag] == root.Digest {
			err = p.findTag(drop.Name, tag, found)
		} else {
			err = p.findDigest(ctx, target, drop.Name, root.Digest, found)
		}
		if err != nil {
			return err
		}
	}
	for _, n := range plan.Graph.Nodes {
		found.parts = append(found.parts, n.Descriptor.Digest)
	}
	return nil
}

// madeOf returns the digest of which imgpkg, cosign or the referrers tag schema made a tag.
func madeOf(tag string) (v1.Hash, bool) {
	if d, _, ok := imgpkg.ParseTag(tag); ok {
		return d, true
	}
	return oci.SubjectOf(tag)
}

// walk reads everything that tags and dropped roots lead to, and then what the registry's referrers
// API attaches to it.
func (p *pruner) walk(ctx context.Context, target *target, dropped *droppedRoots, read func()) error {
	src := &subjects{target: target, of: p.subject}
	starts := slices.Concat(dropped.roots, dropped.parts)
	for _, d := range p.tags {
		starts = append(starts, d)
	}
	asked := map[v1.Hash]bool{}
	for {
		slices.SortFunc(starts, func(a, b v1.Hash) int { return strings.Compare(a.String(), b.String()) })
		starts = slices.Compact(starts)
		if err := p.read(ctx, src, starts, read); err != nil {
			return err
		}
		more, err := p.referrers(ctx, target, p.divide(dropped), asked)
		if err != nil || len(more) == 0 {
			return err
		}
		starts = append(starts, more...)
	}
}

// read makes the graph of starts.
func (p *pruner) read(ctx context.Context, src bundle.Source, starts []v1.Hash, read func()) (err error) {
	var refs []name.Reference
	for _, d := range starts {
		refs = append(refs, p.repo.Digest(d.String()))
	}
	p.unread = map[v1.Hash]error{}
	p.graph, err = bundle.Walk(ctx, src, refs, bundle.WalkOptions{
		Jobs: p.jobs(), Closed: true, Read: read, Renderer: p.Renderer,
		Incomplete: func(d v1.Hash, err error) {
			if missing := (*bundle.MissingError)(nil); !errors.As(err, &missing) || !errors.Is(err, fs.ErrNotExist) || errors.Is(err, oci.ErrUnreadable) {
				p.unread[d] = err
			}
		},
	})
	if err == nil {
		p.attach()
	}
	return err
}

// referrers asks what refers to the manifests that go, unless it was asked before, and returns what
// is new.
func (p *pruner) referrers(ctx context.Context, target *target, sides *sides, asked map[v1.Hash]bool) ([]v1.Hash, error) {
	var list []v1.Hash
	for _, d := range sides.gone {
		if !asked[d] {
			list, asked[d] = append(list, d), true
		}
	}
	found := make([][]v1.Hash, len(list))
	err := p.each(ctx, len(list), func(ctx context.Context, i int) (err error) {
		found[i], err = target.Referrers(ctx, list[i])
		if errors.Is(err, errors.ErrUnsupported) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("ask what refers to %s: %w", list[i], err)
		}
		return nil
	})
	var more []v1.Hash
	for _, d := range slices.Concat(found...) {
		if p.graph.Node(d) == nil {
			more = append(more, d)
		}
	}
	return more, err
}

// subjects is a target that notes which manifest refers to which.
type subjects struct {
	*target
	mu sync.Mutex
	of map[v1.Hash]v1.Hash
}

// Manifest implements bundle.Source.
func (s *subjects) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	desc, raw, err := s.target.Manifest(ctx, ref)
	if err != nil || !bytes.Contains(raw, []byte(`"subject"`)) {
		return desc, raw, err
	}
	if m, err := oci.ParseManifest(desc, raw); err == nil {
		if subject, err := v1.NewHash(m.Subject); err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.of[desc.Digest] = subject
		}
	}
	return desc, raw, nil
}

// checkForeign asks for the foreign layers of what goes: a registry may never have had them.
func (p *pruner) checkForeign(ctx context.Context, target *target, sides *sides) error {
	p.absent = map[v1.Hash]bool{}
	for _, d := range sides.gone {
		for _, b := range p.graph.Node(d).Blobs {
			if !oci.IsForeign(b) {
				continue
			}
			has, err := target.HasBlob(ctx, b)
			if err != nil {
				return fmt.Errorf("ask for blob %s: %w", b.Digest, err)
			}
			p.absent[b.Digest] = !has
		}
	}
	return nil
}
