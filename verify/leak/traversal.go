package leak

import (
	"context"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/report"
)

// traversal is one Scan or Resolve. It checks root bundles one after the other, then the folders of
// their Packages and the bundles that locks name, level by level. Only a level runs concurrently, and
// each folder or bundle in it has its own result.
type traversal struct {
	src   bundle.Source
	store store
	name  func(v1.Hash) string // how the store names a digest
	opt   Options

	walked   []report.Finding // from the walk
	report   Report
	findings findings
	versions map[string][]string // of the Packages of all roots, by refName
	unsure   bool                // not all Packages were read
	folders  map[string]*work    // of Packages, by keyOf
	fetched  map[v1.Hash]bool    // bundles in them
	wanted   map[v1.Hash]bool    // bundles that no Package fetches
	counted  map[v1.Hash]bool    // bundles in the report's counts
	queue    []*work
}

func newTraversal(src bundle.Source, store store, name func(v1.Hash) string, opt Options) *traversal {
	return &traversal{src: src, store: store, name: name, opt: opt,
		versions: map[string][]string{}, folders: map[string]*work{}, fetched: map[v1.Hash]bool{}, wanted: map[v1.Hash]bool{}, counted: map[v1.Hash]bool{}}
}

// work is the folder of a Package to check, or a bundle that no Package fetches.
type work struct {
	parts []part
	uses  []use // by Packages; empty when no Package fetches it
	depth int   // of a bundle in bundles
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
		level := slices.DeleteFunc(t.queue, func(w *work) bool { return len(w.uses) == 0 && t.fetched[w.parts[0].node.Descriptor.Digest] })
		t.queue = nil
		if err := t.level(ctx, level); err != nil {
			return err
		}
	}
	if t.findings.hidden > 0 {
		t.findings.list = append(t.findings.list, newFinding(codeNotRead, report.Install, position{}, "",
			"there are %d more findings that break an install or a pull than are listed", t.findings.hidden))
	}
	t.report.PackagesAsText = t.report.Packages - t.report.PackagesRendered
	t.report.Findings, t.report.More = t.findings.list, t.findings.left
	return nil
}

// level checks folders and bundles concurrently and adds their results in order.
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
		t.count(&r)
		for _, n := range r.nested {
			t.want(n, level[i].depth+1)
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

// count adds the counts of a result.
func (t *traversal) count(r *result) {
	t.report.count(&r.report)
	for _, b := range r.bundles {
		if !t.counted[b.digest] {
			t.counted[b.digest] = true
			t.report.count(&Report{Scan: report.Scan{Bundles: 1, Files: b.files, IDs: b.ids, IDsFound: b.idsFound}})
		}
	}
}

// wantFolder queues the folder that a Package's fetches make.
func (t *traversal) wantFolder(parts []part, u use) {
	key := keyOf(parts)
	w := t.folders[key]
	if w == nil {
		w = &work{parts: parts, depth: 1}
		t.folders[key] = w
		t.queue = append(t.queue, w)
	}
	w.uses = append(w.uses, u)
	for _, p := range parts {
		if p.node != nil {
			t.fetched[p.node.Descriptor.Digest] = true
		}
	}
}

// want queues a bundle that a lock names, unless a Package fetches it.
func (t *traversal) want(n *bundle.Node, depth int) {
	if !t.wanted[n.Descriptor.Digest] {
		t.wanted[n.Descriptor.Digest] = true
		t.queue = append(t.queue, &work{parts: []part{{node: n}}, depth: depth})
	}
}

// add adds findings to the report.
func (t *traversal) add(list ...report.Finding) { t.findings.note(list...) }

func (t *traversal) wasRead() {
	if t.opt.Read != nil {
		t.opt.Read()
	}
}
