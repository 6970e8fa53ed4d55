package leak

import (
	"context"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/report"
	"relocate/verify/leak/kappctrl"
)

// traversal is one Scan or Resolve. It checks root bundles one after the other, then the bundles
// that they name, level by level. Only a level runs concurrently, and each bundle in it has its own
// result.
type traversal struct {
	src   bundle.Source
	store store
	name  func(v1.Hash) string // how the store names a digest
	opt   Options

	walked   []report.Finding // from the walk
	report   Report
	findings findings
	added    map[report.Finding]bool
	versions map[string][]string // of the Packages of all roots, by refName
	unsure   bool                // not all Packages were read
	wanted   map[v1.Hash]*work
	queue    []*work
}

func newTraversal(src bundle.Source, store store, name func(v1.Hash) string, opt Options) *traversal {
	return &traversal{src: src, store: store, name: name, opt: opt,
		added: map[report.Finding]bool{}, versions: map[string][]string{}, wanted: map[v1.Hash]*work{}}
}

// work is a bundle to check, or an inline fetch.
type work struct {
	node   *bundle.Node
	inline []kappctrl.InlineFile // when node is nil
	uses   []use                 // in the order of the Packages; empty when no Package fetches the bundle
	depth  int
}

// run checks the roots and everything below them, and fills the report.
func (t *traversal) run(ctx context.Context, roots []v1.Hash) error {
	for i, root := range roots {
		if slices.Contains(roots[:i], root) {
			continue
		}
		if err := t.root(ctx, root); err != nil {
			return err
		}
	}
	t.add(t.walked...)
	for len(t.queue) > 0 {
		level := t.queue
		t.queue = nil
		if err := t.level(ctx, level); err != nil {
			return err
		}
	}
	if t.findings.hidden > 0 {
		t.findings.list = append(t.findings.list, newFinding(codeNotRead, report.Install, position{}, "",
			"there are %d more findings that break an install or a pull than are listed", t.findings.hidden))
	}
	t.report.Findings, t.report.More = t.findings.list, t.findings.left
	return nil
}

// level checks bundles concurrently and adds their results in order.
func (t *traversal) level(ctx context.Context, level []*work) error {
	results := make([]result, len(level))
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(t.opt.Jobs, 1))
	for i, w := range level {
		if running.Err() != nil {
			break
		}
		g.Go(func() (err error) { results[i], err = t.lookInto(running, w); return err })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, r := range results {
		t.add(r.findings.list...)
		t.findings.left += r.findings.left
		t.findings.hidden += r.findings.hidden
		t.report.count(&r.report)
		for _, n := range r.nested {
			t.want(n, nil, level[i].depth+1)
		}
	}
	return nil
}

// ask looks up everything that l names concurrently. The checks, which run one by one, then have
// the answers.
func (t *traversal) ask(ctx context.Context, l *lock) error {
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(t.opt.Jobs, 1))
	for _, e := range l.images.Images {
		if running.Err() != nil {
			break
		}
		g.Go(func() error { _, err := t.store.lookup(running, hashOf(e.Image)); return err })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// want queues the bundle n for a check, for the use u, which may be nil.
func (t *traversal) want(n *bundle.Node, u *use, depth int) {
	w := t.wanted[n.Descriptor.Digest]
	if w == nil {
		w = &work{node: n, depth: depth}
		t.wanted[n.Descriptor.Digest] = w
		t.queue = append(t.queue, w)
	}
	if u != nil {
		w.uses = append(w.uses, *u)
	}
}

// add adds findings to the report, each once.
func (t *traversal) add(list ...report.Finding) { t.findings.addOnce(t.added, list...) }

func (t *traversal) wasRead() {
	if t.opt.Read != nil {
		t.opt.Read()
	}
}
