package leak

import (
	"context"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/report"
)

// traversal is one Scan or Resolve. Root bundles are looked at one after the other, then what they lead to, level
// by level; only that runs concurrently, and each bundle has a result of its own.
type traversal struct {
	src  bundle.Source
	site site
	opt  Options

	walked   []report.Finding // of the walk
	report   Report
	versions map[string][]string // of the Packages of all roots, by refName
	unsure   bool                // not all Packages were read
	added    map[report.Finding]bool
	tally
	wanted map[v1.Hash]*work
	queue  []*work
}

// work is a bundle to look into, or an inline fetch.
type work struct {
	node   *bundle.Node
	inline []inlineText // when there is no node
	uses   []use        // in the order of the Packages; none of a bundle that no Package fetches
	depth  int
}

// use is the fetch of a bundle by a Package.
type use struct {
	at     position // of the fetch, in the repository bundle
	steps  []step   // their paths are relative to the fetched bundle
	inline []inlineText
	of     *packageDocument
}

// maxReported is how many warnings a report has, and how many other findings.
const maxReported = 10_000

func (s *traversal) run(ctx context.Context, roots []v1.Hash) (*Report, error) {
	s.added, s.wanted, s.versions = map[report.Finding]bool{}, map[v1.Hash]*work{}, map[string][]string{}
	for i, root := range roots {
		if slices.Contains(roots[:i], root) {
			continue
		}
		if err := s.root(ctx, root); err != nil {
			return nil, err
		}
	}
	s.add(s.walked...)
	for len(s.queue) > 0 {
		level := s.queue
		s.queue = nil
		if err := s.level(ctx, level); err != nil {
			return nil, err
		}
	}
	if s.hidden > 0 {
		s.report.Findings = append(s.report.Findings, newFinding(codeNotRead, report.Install, position{}, "",
			"there are %d more findings that break an install or a pull than are listed", s.hidden))
	}
	s.report.More, s.report.Manifests = s.left, s.site.manifests()
	return &s.report, nil
}

// level looks into bundles, and takes over what was found in their order.
func (s *traversal) level(ctx context.Context, level []*work) error {
	results := make([]result, len(level))
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(s.opt.Jobs, 1))
	for i, w := range level {
		if running.Err() != nil {
			break
		}
		g.Go(func() (err error) { results[i], err = s.lookInto(running, w); return err })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, r := range results {
		s.add(r.findings...)
		s.left, s.hidden = s.left+r.left, s.hidden+r.hidden
		s.report.Bundles += r.Bundles
		s.report.Files += r.Files
		s.report.PackageInstalls += r.PackageInstalls
		s.report.WithoutSecret += r.WithoutSecret
		s.report.References += r.References
		s.report.Inside += r.Inside
		s.report.IDs += r.IDs
		s.report.IDsFound += r.IDsFound
		for _, n := range r.nested {
			s.want(n, nil, level[i].depth+1)
		}
	}
	return nil
}

// ask looks for all that l names, so that it is known when they are looked at one by one.
func (s *traversal) ask(ctx context.Context, l *lock) error {
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(s.opt.Jobs, 1))
	for _, e := range l.Images {
		if running.Err() != nil {
			break
		}
		g.Go(func() error { _, err := s.site.look(running, hashOf(e.Image)); return err })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// want makes n a bundle to look into, for u, which may be nil.
func (s *traversal) want(n *bundle.Node, u *use, depth int) {
	w := s.wanted[n.Descriptor.Digest]
	if w == nil {
		w = &work{node: n, depth: depth}
		s.wanted[n.Descriptor.Digest] = w
		s.queue = append(s.queue, w)
	}
	if u != nil {
		w.uses = append(w.uses, *u)
	}
}

// follow makes what f fetches wanted.
func (r *rootBundle) follow(d *packageDocument, f fetch, found *looked) {
	switch {
	case found.node == nil:
	case found.node.Kind == bundle.Bundle:
		r.want(found.node, r.use(d, f), 1)
	case f.Kind == "imgpkgBundle":
		r.note(newFinding(codeBadImage, report.Install, r.of(d, f.Line), f.Reference, "fetches %s, which is no bundle", f.Reference))
	}
}

// wantInline makes the files of an inline fetch wanted.
func (r *rootBundle) wantInline(d *packageDocument, f fetch) {
	if len(f.inline) > 0 {
		r.queue = append(r.queue, &work{inline: f.inline, uses: []use{*r.use(d, f)}})
	}
}

func (r *rootBundle) use(d *packageDocument, f fetch) *use {
	return &use{at: r.of(d, f.Line), steps: stepsWithin(d.steps, f.folder), inline: d.inline, of: d}
}

// stepsWithin returns the steps as a fetch sees them that lands in folder: with paths relative to it, and
// without those that lead to what others fetch.
func stepsWithin(steps []step, folder string) []step {
	folder = cleanPath(folder)
	if folder == "" {
		return steps
	}
	out := []step{}
	for _, s := range steps {
		hasPaths := s.paths != nil
		s.paths, s.values = within(s.paths, folder), within(s.values, folder)
		if !hasPaths || len(s.paths)+len(s.values)+len(s.inline) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// within returns the paths that lead into folder, relative to it; nil for nil.
func within(list []string, folder string) []string {
	if list == nil {
		return nil
	}
	paths := []string{}
	for _, p := range list {
		clean := cleanPath(p)
		switch rest, below := strings.CutPrefix(clean, folder+"/"); {
		case p == "-":
			paths = append(paths, p)
		case below:
			paths = append(paths, rest)
		case clean == "" || clean == folder || strings.HasPrefix(folder, clean+"/"):
			paths = append(paths, ".")
		}
	}
	return paths
}

// add puts findings into the report, each once.
func (s *traversal) add(findings ...report.Finding) {
	for _, f := range findings {
		switch {
		case s.added[f]:
		case s.takes(f.Level, maxReported):
			s.added[f] = true
			s.report.Findings = append(s.report.Findings, f)
		}
	}
}

func (s *traversal) wasRead() {
	if s.opt.Read != nil {
		s.opt.Read()
	}
}
