package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/carvel"
	"relocate/internal/digest"
	"relocate/internal/text"
	"relocate/oci"
	"relocate/render"
)

// Limits on a graph. A larger one is an attempt to exhaust memory.
const (
	maxDepth       = 32
	maxChildren    = 50_000
	maxDescriptors = 400_000
)

// WalkOptions are the options of Walk. The zero value walks a public registry, one request at a time.
type WalkOptions struct {
	Jobs   int    // requests at once; 0 means 1
	Closed bool   // the source, an archive or one repository, has everything; no other place is tried
	Pins   []Pin  // digests of tags; the source resolves other tags, but a Closed walk does not find them
	Read   func() // called for each manifest that was read; must be safe for concurrent use

	Discovery   Discovery        // finds attachments; nil for none. A Closed walk ignores it
	Signatures  *name.Repository // also searched for cosign's tags, if not nil
	Attachments []Attachment     // for a Closed walk. Those that src does not have are left out

	Renderer *render.Renderer // runs the templates below packages/; nil: the files are read as they are

	// Has, if not nil, reports whether the source has something that a Package fetches and no lock
	// covers. What it does not have is left out, with a finding.
	Has func(name.Reference) bool

	// Made, if not nil, reports whether a manifest was made here. Nothing is attached to it yet, so no
	// registry is asked.
	Made func(v1.Hash) bool

	// Replaced are manifests in place of which others were made, by digest and where they are. What is
	// attached to them does not apply, and is listed apart.
	Replaced []*Node

	// Platforms, if any, are those that children of indexes are chosen for; others are left out. An
	// index that has none of them is not changed.
	Platforms []v1.Platform

	// Without are children of indexes that are left out: of an archive or a repository that does not
	// have them, those that its plan omits. See LeftOut.
	Without map[v1.Hash]bool

	// Incomplete, if not nil, is called in graph order for each manifest that the source does not have,
	// or that cannot be read in full, instead of an error. The graph has what was read. A tag that is
	// not found in a Closed walk is left out without a call.
	Incomplete func(d v1.Hash, err error)

	// Absent leaves out what indexes name and src does not have, if nothing else names it: to look into a
	// repository of which nobody says which platforms it is for.
	Absent bool

	// Root, if not nil, is called for each root after it was read, and before anything that it names. An
	// error ends the walk.
	Root func(reference string, kind Kind) error
}

// Walk reads the graph of roots from src, level by level, each digest once. The same content gives the
// same graph, for any number of jobs.
//
// Errors: a joined MissingError for each image that was not found, at most 1,000, in graph order (see
// Missing). All other errors end the walk: digest.ErrMismatch for content that does not match its
// digest, oci.ErrMalformed, those of src and of opt.Root.
func Walk(ctx context.Context, src Source, roots []name.Reference, opt WalkOptions) (*Graph, error) {
	kept := map[v1.Hash]bool{}
	for {
		w := newWalk(src, opt)
		w.kept = kept
		if err := w.all(ctx, roots); err != nil {
			return nil, err
		}
		if !w.keepMore() {
			return w.graph, nil
		}
	}
}

// all reads the graph of roots.
func (w *walk) all(ctx context.Context, roots []name.Reference) error {
	for _, pin := range w.opt.Pins {
		w.pinned[pin.Reference] = pin.Digest
	}
	var level []*want
	for _, ref := range roots {
		if next := w.add(&want{ref: ref, name: ref.Name(), tries: []name.Reference{ref}}); next != nil {
			level = append(level, next)
		}
	}
	if err := w.levels(ctx, level); err != nil {
		return err
	}
	if err := w.attach(ctx); err != nil {
		return err
	}
	return w.finish(roots)
}

// levels reads a level and all levels below it.
func (w *walk) levels(ctx context.Context, level []*want) error {
	var missing missingErrors
	for depth := 0; len(level) > 0; depth++ {
		if depth > maxDepth {
			return fmt.Errorf("walk %s: bundles and indexes are nested more than %d deep", level[0].name, maxDepth)
		}
		if err := w.read(ctx, level); err != nil {
			return err
		}
		var err error
		if level, err = w.register(level, &missing); err != nil {
			return err
		}
	}
	for _, x := range w.absent {
		if len(x.names) > 0 { // something else names it, too, that was read later
			missing.add(x.err, x.neededBy)
		}
	}
	return missing.join()
}

// walk is the state of one Walk. Only read runs jobs concurrently, and each job writes to its own want.
type walk struct {
	src    Source
	opt    WalkOptions
	graph  *Graph
	pinned map[string]v1.Hash
	seen   map[string]*want // by digest, and by tag reference
	held   atomic.Int64     // size in memory, see count
	absent []*want          // children of indexes that were not found
	kept   map[v1.Hash]bool // children of indexes that are not left out, because something else leads to them

	places      map[string]*place        // by repository
	signatures  *place                   // opt.Signatures, once its tags are listed
	attachments map[v1.Hash][]Attachment // of opt, by subject
	attaching   bool                     // manifests are now attachments, never bundles
}

func newWalk(src Source, opt WalkOptions) *walk {
	return &walk{
		src: src, opt: opt, graph: &Graph{byDigest: map[v1.Hash]*Node{}}, pinned: map[string]v1.Hash{}, seen: map[string]*want{}, places: map[string]*place{},
	}
}

// add returns x when its digest is new. Otherwise it merges x into the known one and returns nil.
func (w *walk) add(x *want) *want {
	key := x.ref.Name()
	if d, ok := w.pin(x.ref); ok {
		w.graph.Pins = append(w.graph.Pins, Pin{key, d})
		x.tries = []name.Reference{x.ref.Context().Digest(d.String())}
		key = d.String()
	} else if d, ok := x.ref.(name.Digest); ok {
		key = d.DigestStr()
	}
	x.names = []string{x.name}
	if x.desc != nil {
		x.names = nil // an index names its children by digest only
	}
	if known := w.seen[key]; known != nil {
		known.merge(x)
		return nil
	}
	w.seen[key] = x
	return x
}

// pin returns the known digest of a tag. Pins do not apply to references by digest.
func (w *walk) pin(ref name.Reference) (v1.Hash, bool) {
	if _, isTag := ref.(name.Tag); !isTag {
		return v1.Hash{}, false
	}
	d, ok := w.pinned[ref.Name()]
	return d, ok
}

// read finds everything in a level. The first entries of the bundles' locks come first: where one is
// found decides where the others of its bundle, which wait for it, are tried first.
func (w *walk) read(ctx context.Context, level []*want) error {
	var first, others []*want
	for _, x := range level {
		if x.group == nil || x.group.first == x {
			first = append(first, x)
		} else {
			others = append(others, x)
		}
	}
	list := append(first, others...)
	return w.each(ctx, len(list), func(ctx context.Context, i int) error {
		x := list[i]
		if x.group != nil && x.group.first != x {
			select {
			case <-x.group.decided: // each of the first is already being read, so this cannot wait for ever
			case <-ctx.Done():
				return ctx.Err()
			}
			if x.group.inBundleRepo {
				slices.Reverse(x.tries[:2])
			}
		}
		if err := w.find(ctx, x); err != nil {
			return err
		}
		if x.group != nil && x.group.first == x {
			x.group.inBundleRepo = x.found != nil && len(x.tries) > 1 && x.found.From.Name() == x.tries[1].Context().Name()
			close(x.group.decided)
		}
		return nil
	})
}

// find tries the places of x in order. When none has it, it sets x.err. It returns other errors.
func (w *walk) find(ctx context.Context, x *want) error {
	missing := &MissingError{Reference: x.name}
	if x.by != nil {
		missing.WantedBy = x.by.name
		missing.Platform = x.platform
	}
	var failed error
	for i, ref := range x.tries {
		if w.opt.Closed && i > 0 {
			break // the source gives the same answer for every repository
		}
		desc, raw, err := w.manifest(ctx, ref)
		if err == nil {
			return w.mayBeIncomplete(x, ref.Context(), desc, w.open(ctx, x, ref.Context(), desc, raw))
		}
		missing.Tried = append(missing.Tried, ref.Name())
		if isAbsent(err) || errors.Is(err, oci.ErrUnreadable) {
			if !errors.Is(missing.err, fs.ErrPermission) { // denied access explains more than "not found"
				missing.err = err
			}
			continue
		}
		if failed == nil { // another place may have it; if not, this is the error
			failed = fmt.Errorf("find %s%s: %w", x.name, x.wantedBy(), err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if failed != nil {
		return failed
	}
	x.err = missing
	return nil
}

// mayBeIncomplete keeps an error about the content of x, where the walk continues after one.
func (w *walk) mayBeIncomplete(x *want, repo name.Repository, desc v1.Descriptor, err error) error {
	isContent := errors.Is(err, oci.ErrMalformed) || errors.Is(err, digest.ErrMismatch) || errors.Is(err, fs.ErrNotExist)
	if w.opt.Incomplete == nil || !isContent {
		return err
	}
	if x.found == nil {
		x.found = &Node{Descriptor: desc, Kind: Plain, From: repo}
	}
	x.unread = err
	return nil
}

func (w *walk) manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	if _, isTag := ref.(name.Tag); isTag && w.opt.Closed {
		return v1.Descriptor{}, nil, fmt.Errorf("the tag's digest is not recorded: %w", fs.ErrNotExist)
	}
	desc, raw, err := w.src.Manifest(ctx, ref)
	if err != nil {
		return desc, nil, err
	}
	if d, ok := ref.(name.Digest); ok && desc.Digest.String() != d.DigestStr() { // the source did not check it
		return desc, nil, fmt.Errorf("%w: asked for %s, got %s", digest.ErrMismatch, d.DigestStr(), desc.Digest)
	}
	if w.opt.Read != nil {
		w.opt.Read()
	}
	return desc, raw, nil
}

// register adds the nodes of a level to the graph and returns the next level.
func (w *walk) register(level []*want, missing *missingErrors) ([]*want, error) {
	g := w.graph
	var next []*want
	for _, x := range level {
		if x.err != nil {
			w.lost(x, missing)
			continue
		}
		if err := w.found(x); err != nil {
			return nil, err
		}
		n := x.found
		d := n.Descriptor.Digest
		if g.byDigest[d] != nil { // named by both tag and digest
			w.seen[d.String()].names = append(w.seen[d.String()].names, x.names...)
			continue
		}
		g.byDigest[d], w.seen[d.String()] = n, x
		g.Nodes = append(g.Nodes, n)
		w.collect(x)
		for _, child := range x.next {
			if added := w.add(child); added != nil {
				next = append(next, added)
				if child.group != nil && child.group.first == nil {
					child.group.first = child
				}
			}
		}
	}
	return next, nil
}

// lost notes what was not found.
func (w *walk) lost(x *want, missing *missingErrors) {
	switch {
	case w.opt.Absent && x.desc != nil && len(x.names) == 0:
		w.absent = append(w.absent, x)
	case w.opt.Incomplete == nil:
		missing.add(x.err, x.neededBy)
	default:
		if d, err := v1.NewHash(x.ref.Identifier()); err == nil { // not a tag
			w.opt.Incomplete(d, x.err)
		}
	}
}

// found notes what a tag stands for, and asks opt.Root about a root.
func (w *walk) found(x *want) error {
	d := x.found.Descriptor.Digest
	if x.unread != nil {
		w.opt.Incomplete(d, x.unread)
	}
	if tag, ok := x.ref.(name.Tag); ok {
		w.graph.Pins = append(w.graph.Pins, Pin{tag.Name(), d})
		w.pinned[tag.Name()] = d
	}
	if x.by != nil || w.opt.Root == nil {
		return nil
	}
	return w.opt.Root(x.name, x.found.Kind)
}

// collect adds a bundle's Packages and findings to the graph.
func (w *walk) collect(x *want) {
	d := x.found.Descriptor.Digest
	for _, p := range x.packages.packages {
		p.Repository = d
		w.graph.Packages = append(w.graph.Packages, p)
	}
	for _, m := range x.packages.metadata {
		m.Repository = d
		w.graph.Metadata = append(w.graph.Metadata, m)
	}
	for _, f := range x.packages.findings {
		f.Bundle = x.name
		w.graph.Findings = append(w.graph.Findings, f)
	}
}

// finish sets what is known only at the end: roots, children by digest, sorted names.
func (w *walk) finish(roots []name.Reference) error {
	g := w.graph
	slices.SortFunc(g.Pins, func(a, b Pin) int { return strings.Compare(a.Reference, b.Reference) })
	g.Pins = slices.Compact(g.Pins)
	named := map[string]bool{}
	for _, ref := range roots {
		if !named[ref.Name()] {
			named[ref.Name()] = true
			g.Roots = append(g.Roots, Root{Reference: ref, Digest: w.digestOf(ref)})
		}
	}
	for _, p := range g.Packages {
		for i := range p.Fetches {
			w.resolveFetch(&p.Fetches[i])
		}
	}
	for _, n := range g.Nodes {
		x := w.seen[n.Descriptor.Digest.String()]
		slices.Sort(x.names)
		n.References = slices.Compact(x.names)
		slices.Sort(n.Tags)
		n.IsChild = len(n.References) == 0 && len(n.Tags) == 0
		if err := w.resolveChildren(x, n); err != nil {
			return err
		}
	}
	w.countPlatforms()
	g.keepCircular()
	return nil
}

// digestOf returns the digest of a reference in the graph.
func (w *walk) digestOf(ref name.Reference) v1.Hash {
	if d, ok := w.pin(ref); ok {
		return d
	}
	d, _ := v1.NewHash(ref.Identifier()) // valid: the reference was parsed
	return d
}

// resolveChildren sets the children of n, which x found. Sizes and media types that an index gives must
// be those of its children.
func (w *walk) resolveChildren(x *want, n *Node) error {
	fetched := map[v1.Hash]bool{} // by child: only Packages name it
	for _, child := range x.next {
		d := w.digestOf(child.ref)
		if w.graph.byDigest[d] == nil { // only with opt.Absent or opt.Incomplete
			if w.opt.Absent && child.desc != nil {
				n.Without = append(n.Without, Child{*child.desc, child.platform})
			}
			continue
		}
		if is, says := w.graph.byDigest[d].Descriptor, child.desc; says != nil && (is.Size != says.Size || is.MediaType != says.MediaType) {
			return fmt.Errorf("read %s: %w: has the type %s and %d bytes, but %s says %s and %d bytes",
				child.name, oci.ErrMalformed, is.MediaType, is.Size, x.name, text.Quote(says.MediaType), says.Size)
		}
		only, known := fetched[d]
		if !known {
			n.Children = append(n.Children, d)
		}
		fetched[d] = child.fetch && (only || !known)
	}
	for _, d := range n.Children {
		if fetched[d] {
			n.Circular = append(n.Circular, d)
		}
	}
	return nil
}

// resolveFetch sets the digest of a fetch by tag that no lock covers.
func (w *walk) resolveFetch(f *carvel.Fetch) {
	if f.Digest != (v1.Hash{}) || f.TagSelection || (f.Kind != "imgpkgBundle" && f.Kind != "image") {
		return
	}
	if ref, err := name.ParseReference(f.Reference); err == nil {
		f.Digest, _ = w.pin(ref)
	}
}

// each calls do for 0 to n-1, opt.Jobs at once. It returns the first error.
func (w *walk) each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(w.opt.Jobs, 1))
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
