package relocate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/choose"
	"relocate/internal/text"
	"relocate/oci"
	"relocate/registry"
	"relocate/report"
)

// platforms returns the chosen platforms for an export that resumes.
func (s Selection) platforms() []string {
	var list []string
	for _, p := range s.Platforms {
		list = append(list, "platform "+p.String())
	}
	slices.Sort(list)
	if list = slices.Compact(list); s.Derive {
		list = append(list, "derived")
	}
	return list
}

// trims reports whether other indexes and bundles are made for the platforms.
func (s Selection) trims() bool { return s.Derive && len(s.Platforms) > 0 }

// sparse are the platforms for which indexes stay as they are, without other children.
func (s Selection) sparse() []v1.Platform {
	if s.Derive {
		return nil
	}
	return s.Platforms
}

// trimmed returns the name of what is made of a root for the platforms, and by the choice of packages.
// One that was named by digest keeps no tag.
func (s Selection) trimmed(root name.Reference, d v1.Hash) name.Reference {
	tag, ok := root.(name.Tag)
	if !ok && s.of(root).IsZero() {
		return root.Context().Digest(d.String())
	}
	of, id := "", s.of(root).String()+"\n"+strings.Join(s.platforms(), "\n")
	if ok {
		of = tag.TagStr()
	} else {
		id += "\n" + root.Identifier()
	}
	sum := sha256.Sum256([]byte(id))
	return root.Context().Tag(choose.Tag(of, hex.EncodeToString(sum[:4])))
}

// trim makes of a part of roots another one, where the selection says so: indexes of the chosen children
// alone, and bundles that name them. walk has what is known of the source. What is made is kept in a scratch
// file in dir, or where temporary files go, until the part is closed.
//
// Errors: ErrOptions where no index has a chosen platform; those of bundle.Walk and bundle.Trim.
func (p *part) trim(ctx context.Context, o Options, roots []name.Reference, walk bundle.WalkOptions, dir string) (err error) {
	if !o.Selection.trims() {
		return nil
	}
	if p.scratch, err = newScratch(dir); err != nil {
		return err
	}
	p.source.Keep(p.scratch)
	ph := o.begin("read", 0, 0)
	defer ph.end()
	walk.Pins, walk.Read, walk.Platforms = p.pins, ph.read, o.Selection.Platforms
	g, err := bundle.Walk(ctx, p.source, p.roots, walk)
	if err == nil {
		err = o.checkPlatforms(g)
	}
	if err != nil {
		return err
	}
	if p.made, err = bundle.Trim(ctx, p.source, g, walk); err != nil {
		return err
	}
	digests := map[string]v1.Hash{}
	for _, root := range g.Roots {
		digests[root.Reference.Name()] = root.Digest
	}
	p.replace(g)
	p.roots = slices.Clone(p.roots)
	for i, ref := range p.roots {
		to, ok := p.made[digests[ref.Name()]]
		if !ok {
			continue
		}
		of := ref
		for _, root := range roots {
			if o.Selection.Root(root).Name() == ref.Name() {
				of = root
			}
		}
		p.roots[i] = o.Selection.trimmed(of, to)
		p.pins = append(slices.Clone(p.pins), bundle.Pin{Reference: p.roots[i].Name(), Digest: to})
		p.named[p.roots[i].Name()] = of.Name()
		p.rename(ref, of)
		p.reselect(ref, report.Root{Reference: p.roots[i].Name(), Digest: to})
	}
	return nil
}

// replace notes in place of what others were made. What was itself made here, by a choice, is what that
// was made of.
func (p *part) replace(g *bundle.Graph) {
	for _, n := range g.Nodes {
		was := n.Descriptor.Digest
		to, ok := p.made[was]
		if !ok {
			continue
		}
		if n.Derived != nil && p.source.Has(was) {
			was = n.Derived.From
		}
		p.replaced = append(p.replaced, report.Replaced{Kind: string(n.Kind), Reference: n.Name(), From: was, To: to})
		p.originals = append(p.originals, &bundle.Node{Descriptor: v1.Descriptor{Digest: was}, From: n.From})
	}
}

// rename names a root that was replaced as the user did, and not by what a choice made of it.
func (p *part) rename(was, root name.Reference) {
	for i, r := range p.replaced {
		if r.Reference == was.Name() {
			p.replaced[i].Reference = root.Name()
		}
	}
}

// inapplicable notes what is attached to what was replaced.
func (p *part) inapplicable(g *bundle.Graph) {
	for i, r := range p.replaced {
		for _, a := range g.Inapplicable {
			if a.Subject == r.From {
				p.replaced[i].Attachments = append(p.replaced[i].Attachments, report.Attachment{Subject: a.Subject, Digest: a.Digest, Tag: a.Tag})
			}
		}
	}
}

// close removes the scratch file, if there is one.
func (p *part) close() {
	if p != nil && p.scratch != nil {
		p.scratch.remove()
	}
}

// reselect notes that a root that was derived by a choice became another one.
func (p *part) reselect(was name.Reference, root report.Root) {
	for i, s := range p.selected {
		if s.Root != nil && s.Root.Reference == was.Name() {
			root.Derived = s.Root.Derived
			p.selected[i].Root = &root
		}
	}
}

// relock returns a lock of roots with what was made of them; nil for nil.
func (p *part) relock(lock *carvel.ImagesLock) *carvel.ImagesLock {
	if lock == nil || len(p.made) == 0 {
		return lock
	}
	other := &carvel.ImagesLock{}
	for _, e := range lock.Images {
		if to, ok := p.made[oci.HashOf(e.Image)]; ok {
			e.Image = e.Image.Context().Digest(to.String())
		}
		other.Images = append(other.Images, e)
	}
	return other
}

// checkPlatforms fails where there are indexes and none of them has a chosen platform, and notes what an
// operator may not expect.
func (o Options) checkPlatforms(g *bundle.Graph) error {
	unchosen := g.Unchosen()
	if len(unchosen) == 0 {
		return nil
	}
	if !slices.ContainsFunc(g.Chosen, func(n int) bool { return n > 0 }) {
		return optionsf("no index has an image for a chosen platform; the first is %s", unchosen[0])
	}
	o.note("platforms", "%s without an image for a chosen platform, carried whole; the first is %s", text.Count(len(unchosen), "index"), unchosen[0])
	for i, n := range g.Chosen {
		if n == 0 {
			o.note("platforms", "no index has an image for %s", o.Selection.Platforms[i])
		}
	}
	return nil
}

// noteSparse warns of indexes that many registries refuse.
func (o Options) noteSparse(g *bundle.Graph) {
	n := 0
	for _, node := range g.Nodes {
		if len(node.Without) > 0 {
			n++
		}
	}
	if n > 0 {
		o.note("platforms", "%s of which images are left out: docker-registry, Harbor, zot and most others refuse that, as an import finds out before it uploads anything; --platform-mode derive makes indexes that every registry accepts", text.Count(n, "index"))
	}
}

// checkOmitted refuses platforms for which an archive leaves something out.
func (s Selection) checkOmitted(omitted []report.Omitted) error {
	for _, p := range s.Platforms {
		for _, o := range report.OmittedImages(omitted) {
			if oci.IsPlatform(p, o.Platform) {
				return optionsf("the archive was exported without the images for %s, the first of %s: choose a platform that it has, or export it again with --platform %s", o.Platform, o.Image, p)
			}
		}
	}
	return nil
}

// mostPlatforms is how many platforms a registry is asked for at once. Real indexes have less.
const mostPlatforms = 100

// sparseIndexes returns the kinds of indexes of which children are left out, with their platforms.
func sparseIndexes(g *bundle.Graph) []registry.SparseIndex {
	var list []registry.SparseIndex
	seen := map[types.MediaType]map[string]bool{}
	for _, n := range g.Nodes[:g.Core()] {
		kind := n.Descriptor.MediaType
		if len(n.Without) > 0 && seen[kind] == nil {
			seen[kind] = map[string]bool{}
			list = append(list, registry.SparseIndex{MediaType: kind})
		}
		for _, child := range n.Without {
			if seen[kind][child.Platform] || len(seen[kind]) == mostPlatforms {
				continue
			}
			seen[kind][child.Platform] = true
			at := slices.IndexFunc(list, func(i registry.SparseIndex) bool { return i.MediaType == kind })
			p, _ := oci.ParsePlatform(child.Platform) // the zero value for an attestation
			list[at].Platforms = append(list[at].Platforms, p)
		}
	}
	return list
}
