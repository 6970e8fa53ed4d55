package relocate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/oci"
)

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
