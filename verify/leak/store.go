package leak

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/internal/imgpkg"
	"relocate/oci"
	"relocate/report"
)

// store is the place where everything has to be: the carried graph, or the private repository. Safe
// for concurrent use.
type store interface {
	// lookup returns what is present of the manifest d and, for an index, of its children. Each is
	// asked for once.
	lookup(ctx context.Context, d v1.Hash) (*lookup, error)

	// localises returns how imgpkg rewrites the lock of the bundle n when it pulls n from the
	// store.
	localises(ctx context.Context, n *bundle.Node) (localised, error)

	// resolve returns the digest of ref, which nothing rewrites. inside is false when ref points
	// elsewhere. The digest is zero when ref has none.
	resolve(ctx context.Context, ref name.Reference) (d v1.Hash, inside bool, err error)
}

// lookup is what is present of a manifest.
type lookup struct {
	node  *bundle.Node // nil when missing
	code  report.Code  // when node is nil: codeMissing or codeDamaged
	why   string       // as code
	cause error        // as code
	head  bool         // the manifest itself is present; imgpkg asks for nothing more
	gaps  []gap        // of an image that is present
}

// gap is a missing part of an image.
type gap struct {
	code  report.Code
	level report.Level
	why   string
}

// leftOut is the gap for a layer that the operator left out.
func leftOut(d v1.Hash) gap {
	return gap{codeForeign, report.Pull, fmt.Sprintf("its layer %s, which may not be distributed, is left out", d)}
}

// digests returns the digests of what is omitted: layers, and children of indexes.
func digests(omitted []report.Omitted) map[v1.Hash]bool {
	set := map[v1.Hash]bool{}
	for _, o := range omitted {
		set[o.Digest] = true
	}
	return set
}

// localised says how imgpkg rewrites a lock (docs/carvel.md, "What imgpkg pull rewrites").
type localised int

const (
	always  localised = iota // after an import: everything carried is present
	trusted                  // with a locations image: to its own repository, without a check
	probed                   // without one: only if all of its images are present
	broken                   // with one that imgpkg cannot read: the pull fails
)

// carried is the store of a carried graph.
type carried struct {
	graph   *bundle.Graph
	omitted map[v1.Hash]bool
	pins    map[string]v1.Hash // tag → digest
	seen    sync.Map           // a set of digests
	named   sync.Map           // digests of layers that a lookup reported as left out
	count   atomic.Int64
}

func newCarried(g *bundle.Graph, omitted []report.Omitted) *carried {
	c := &carried{graph: g, omitted: digests(omitted), pins: map[string]v1.Hash{}}
	for _, pin := range g.Pins {
		c.pins[pin.Reference] = pin.Digest
	}
	return c
}

func (c *carried) lookup(_ context.Context, d v1.Hash) (*lookup, error) {
	if _, known := c.seen.LoadOrStore(d, nil); !known {
		c.count.Add(1)
	}
	n := c.graph.Node(d)
	if n == nil {
		return &lookup{code: codeMissing, why: "it is not carried"}, nil
	}
	l := &lookup{node: n}
	nodes := []*bundle.Node{n}
	if n.Kind == bundle.Index {
		for _, child := range n.Children {
			if m := c.graph.Node(child); m != nil {
				nodes = append(nodes, m)
			}
		}
	}
	for _, n := range nodes {
		for _, b := range n.Blobs {
			if c.omitted[b.Digest] {
				c.named.Store(b.Digest, nil)
				l.gaps = append(l.gaps, leftOut(b.Digest))
			}
		}
	}
	return l, nil
}

// namedLayer reports whether a lookup reported a layer as left out, which makes a finding.
func (c *carried) namedLayer(d v1.Hash) bool {
	_, named := c.named.Load(d)
	return named
}

func (c *carried) localises(context.Context, *bundle.Node) (localised, error) { return always, nil }

func (c *carried) resolve(_ context.Context, ref name.Reference) (v1.Hash, bool, error) {
	if d, err := v1.NewHash(ref.Identifier()); err == nil {
		return d, false, nil
	}
	return c.pins[ref.Name()], false, nil
}

// private is the store of a private repository.
type private struct {
	target  Target
	repo    name.Repository
	omitted map[v1.Hash]bool
	read    func()
	known   sync.Map // digest → func() (*lookup, error)
	count   atomic.Int64
}

// Limits on what Resolve follows. Anything larger was made to exhaust its reader.
const (
	maxManifests = 400_000
	maxDepth     = 32 // of bundles in bundles, and of indexes in indexes
)

func (p *private) lookup(ctx context.Context, d v1.Hash) (*lookup, error) { return p.lookAt(ctx, d, 0) }

func (p *private) lookAt(ctx context.Context, d v1.Hash, depth int) (*lookup, error) {
	once, known := p.known.Load(d)
	if !known {
		once, _ = p.known.LoadOrStore(d, sync.OnceValues(func() (*lookup, error) { return p.ask(ctx, d, depth) }))
	}
	return once.(func() (*lookup, error))()
}

// ask reads the manifest d and looks up what it names.
func (p *private) ask(ctx context.Context, d v1.Hash, depth int) (*lookup, error) {
	if p.count.Add(1) > maxManifests {
		return nil, fmt.Errorf("look into %s: %w: it leads to more than %d manifests", p.repo, oci.ErrMalformed, maxManifests)
	}
	if p.read != nil {
		p.read()
	}
	n, err := bundle.ReadNode(ctx, p.target, p.repo.Digest(d.String()))
	if err != nil {
		code, why, broken := explain(err)
		if n == nil && errors.Is(err, fs.ErrNotExist) {
			why = "the registry does not have it"
		}
		return &lookup{code: code, why: why, cause: err, head: n != nil || code == codeDamaged}, broken
	}
	l := &lookup{node: n}
	if depth == maxDepth {
		return &lookup{code: codeDamaged, why: fmt.Sprintf("indexes are nested more than %d deep", maxDepth)}, nil
	}
	for _, child := range n.Children {
		if p.omitted[child] {
			continue
		}
		below, err := p.lookAt(ctx, child, depth+1)
		if err != nil {
			return nil, err
		}
		if below.node == nil {
			l.gaps = append(l.gaps, gap{below.code, report.Install, fmt.Sprintf("its child %s: %s", child, below.why)})
		}
		l.gaps = append(l.gaps, below.gaps...)
	}
	return l, p.foreign(ctx, l)
}

// foreign asks for the layers of l that a registry does not require when it accepts a manifest.
func (p *private) foreign(ctx context.Context, l *lookup) error {
	target, can := p.target.(blobTarget)
	if !can || l.node.Kind == bundle.Index {
		return nil
	}
	for _, b := range l.node.Blobs[min(1, len(l.node.Blobs)):] {
		if !oci.IsForeign(b) {
			continue
		}
		there, err := target.HasBlob(ctx, b)
		if err != nil {
			return fmt.Errorf("ask for layer %s: %w", b.Digest, err)
		}
		switch {
		case there:
		case p.omitted[b.Digest]:
			l.gaps = append(l.gaps, leftOut(b.Digest))
		default:
			l.gaps = append(l.gaps, gap{codeForeign, report.Install, fmt.Sprintf("its layer %s, which may not be distributed, is missing", b.Digest)})
		}
	}
	return nil
}

func (p *private) localises(ctx context.Context, n *bundle.Node) (localised, error) {
	_, err := n.ReadLocations(ctx, p.target, p.repo)
	switch {
	case err == nil:
		return trusted, nil
	case errors.Is(err, oci.ErrMalformed), errors.Is(err, digest.ErrMismatch), errors.Is(err, oci.ErrUnreadable):
		return broken, nil
	case isAbsent(err):
		return p.withoutLocations(ctx, n)
	}
	return 0, err
}

// withoutLocations returns probed when the locations image is missing, and broken when only its
// blob is missing.
func (p *private) withoutLocations(ctx context.Context, n *bundle.Node) (localised, error) {
	_, err := p.target.Resolve(ctx, imgpkg.LocationsTag(n.Descriptor.Digest))
	switch {
	case err == nil, errors.Is(err, oci.ErrUnreadable):
		return broken, nil
	case isAbsent(err):
		return probed, nil
	}
	return 0, err
}

func (p *private) resolve(ctx context.Context, ref name.Reference) (v1.Hash, bool, error) {
	if ref.Context().Name() != p.repo.Name() {
		return v1.Hash{}, false, nil
	}
	if d, err := v1.NewHash(ref.Identifier()); err == nil {
		return d, true, nil
	}
	d, err := p.target.Resolve(ctx, ref.Identifier())
	if isAbsent(err) || errors.Is(err, oci.ErrUnreadable) {
		return v1.Hash{}, true, nil
	}
	return d, true, err
}

// explain returns the code and the message of an error that means missing or damaged content. It
// returns any other error as it is.
func explain(err error) (report.Code, string, error) {
	switch {
	case errors.Is(err, oci.ErrMalformed), errors.Is(err, digest.ErrMismatch), errors.Is(err, oci.ErrUnreadable):
		return codeDamaged, err.Error(), nil
	case errors.Is(err, fs.ErrPermission):
		return codeMissing, "the registry does not show it: " + err.Error(), nil
	case errors.Is(err, fs.ErrNotExist):
		return codeMissing, "it is not there: " + err.Error(), nil
	}
	return "", "", err
}

// isAbsent reports whether err means that a registry does not have, or does not show, the content
// asked for.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}
