package relocate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/imgpkg"
	"relocate/oci"
)

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
	if of, made := madeOf(tag); made && p.tags[tag] != of {
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
// notes all that the archive has. Plain manifests stay as long as their tag names them: the next archive may have the
// same, and a cluster runs what they name.
func (p *pruner) findArchive(ctx context.Context, target *target, drop Drop, found *droppedRoots) error {
	plan, err := drop.Archive.CheckedPlan(ctx, p.jobs(), p.Renderer)
	if err != nil {
		return err
	}
	for _, root := range plan.Graph.Roots {
		tag := root.Tag()
		_, made := madeOf(tag)
		switch named, n := !made && p.tags[tag] == root.Digest, plan.Graph.Node(root.Digest); {
		case named && n != nil && n.Manifests != "":
			found.list = append(found.list, Dropped{Root: drop.Name, Digest: &root.Digest})
		case named:
			err = p.findTag(drop.Name, tag, found)
		default:
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
