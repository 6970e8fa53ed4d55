package tarball

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
)

// ErrNoDelta says that a plan leaves out layers that a base has, which imgpkg's format cannot express.
var ErrNoDelta = errors.New("an archive in imgpkg's format has all layers: it cannot be a delta")

// Base returns the archive as a base of a plan: what a destination has once it was imported. That
// includes what the archive itself assumes. It reads nothing but the inventory, which Open has read.
//
// Errors: ErrNoSeal.
func (a *Archive) Base() (bundle.Base, error) {
	if a.imgpkg != nil {
		return bundle.Base{}, fmt.Errorf("%s: %w", a.Name(), ErrNoSeal)
	}
	return bundle.Base{Kind: bundle.BaseArchive, Digest: a.seal, Roots: a.l.inv.Roots, Has: func(d v1.Descriptor) bool {
		i, ok := a.index[d.Digest]
		return ok && a.l.blobs[i].Size == d.Size || a.assumes(d) != nil
	}}, nil
}

// Assumed returns the layers that the archive assumes to be at the destination, as its inventory says.
func (a *Archive) Assumed() []bundle.Assumed {
	if a.l.inv == nil {
		return nil
	}
	return a.l.inv.Assumed
}

// Joined is a delta with its bases: content that the delta does not have is read from them.
type Joined struct {
	*Archive
	Bases []*Archive
}

// Content is Archive.Content, of the first that has d.
//
// Errors: fs.ErrNotExist.
func (j *Joined) Content(d v1.Hash) (bundle.Content, error) {
	r, err := j.Archive.Content(d)
	for i := 0; err != nil && i < len(j.Bases); i++ {
		r, err = j.Bases[i].Content(d)
	}
	return r, err
}

// Sort returns the layers that the delta assumes: those that one of its bases has, and the others.
func (j *Joined) Sort() (has, lacks []bundle.Assumed) {
	for _, a := range j.Assumed() {
		if r, err := j.Content(a.Digest); err == nil && r.Size() == a.Size {
			has = append(has, a)
		} else {
			lacks = append(lacks, a)
		}
	}
	return has, lacks
}

// CheckBases hashes the layers of the bases that the delta assumes, jobs at once, at least 1. progress is
// as for Check.
//
// Errors: ErrDamaged, with the base and the layer; those of reading the files; that of ctx.
func (j *Joined) CheckBases(ctx context.Context, jobs int, progress func(blobs int, bytes int64)) error {
	has, _ := j.Sort()
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(jobs, 1))
	for _, a := range has {
		for _, base := range j.Bases {
			i, ok := base.index[a.Digest]
			if !ok {
				continue
			}
			g.Go(func() error {
				damage, err := base.checkBlob(running, i, progress)
				if err == nil && damage != nil {
					err = base.damaged(*damage)
				}
				return err
			})
			break
		}
	}
	return g.Wait()
}

// Trace says where layers that the delta assumes, and that its bases do not have, come from: where a base
// assumes a layer, too, that is what the base assumes it of. It returns these origins, and the layers with
// their places in them.
func (j *Joined) Trace(layers []bundle.Assumed) (origins []bundle.Base, traced []bundle.Assumed) {
	for _, a := range layers {
		origin := j.origin(v1.Descriptor{Digest: a.Digest, Size: a.Size})
		a.Base = slices.IndexFunc(origins, func(b bundle.Base) bool { return b.Kind == origin.Kind && b.Digest == origin.Digest })
		if a.Base < 0 {
			a.Base = len(origins)
			origins = append(origins, origin)
		}
		traced = append(traced, a)
	}
	return origins, traced
}

// origin is where a layer comes from. That ends: no archive has its own seal in its inventory.
func (j *Joined) origin(d v1.Descriptor) (origin bundle.Base) {
	at := j.Archive
	for {
		assumed := at.assumes(d)
		if assumed == nil || assumed.Base < 0 || assumed.Base >= len(at.l.inv.Bases) { // nothing has checked the bases
			return origin
		}
		origin = at.l.inv.Bases[assumed.Base]
		i := slices.IndexFunc(j.Bases, func(b *Archive) bool {
			return origin.Kind == bundle.BaseArchive && b.imgpkg == nil && b.seal == origin.Digest
		})
		if i < 0 {
			return origin
		}
		at = j.Bases[i]
	}
}

// assumes returns the entry of a layer that the archive assumes; nil if it does not.
func (a *Archive) assumes(d v1.Descriptor) *bundle.Assumed {
	if len(a.assumed) == 0 {
		return nil
	}
	list := a.l.inv.Assumed
	at, found := slices.BinarySearchFunc(a.assumed, d.Digest, func(i int32, d v1.Hash) int { return compareHash(list[i].Digest, d) })
	if !found || list[a.assumed[at]].Size != d.Size {
		return nil
	}
	return &list[a.assumed[at]]
}

// indexAssumed prepares assumes.
func (a *Archive) indexAssumed() {
	list := a.l.inv.Assumed
	a.assumed = make([]int32, len(list))
	for i := range list {
		a.assumed[i] = int32(i)
	}
	slices.SortFunc(a.assumed, func(i, j int32) int { return compareHash(list[i].Digest, list[j].Digest) })
}

func compareHash(a, b v1.Hash) int {
	return cmp.Or(cmp.Compare(a.Hex, b.Hex), cmp.Compare(a.Algorithm, b.Algorithm))
}

// given returns the bases of the inventory, each with the layers that are assumed of it.
func (a *Archive) given() []bundle.Base {
	bases := slices.Clone(a.l.inv.Bases)
	for i := range bases {
		bases[i].Has = func(d v1.Descriptor) bool {
			assumed := a.assumes(d)
			return assumed != nil && assumed.Base == i
		}
	}
	return bases
}

// checkBases checks the spelling of the bases. The content decides whether they are needed.
func (inv *inventory) checkBases() error {
	for i, b := range inv.Bases {
		hash, err := v1.NewHash(b.Digest.String())
		if err != nil || hash.Algorithm != "sha256" || b.Kind != bundle.BaseArchive && b.Kind != bundle.BaseInventory {
			return fmt.Errorf("%w: the inventory's bases[%d] is %.200q", ErrDamaged, i, fmt.Sprint(b))
		}
		for _, root := range b.Roots {
			if ref, err := name.ParseReference(root.Reference); err != nil || ref.Name() != root.Reference {
				return fmt.Errorf("%w: the inventory's bases[%d] has the root %.200q, which is not a reference", ErrDamaged, i, root.Reference)
			}
		}
	}
	return nil
}
