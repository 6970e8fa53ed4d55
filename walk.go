package relocate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/bundle"
	"relocate/copy"
	"relocate/internal/text"
	"relocate/registry"
	"relocate/report"
	"relocate/rewrite"
	"relocate/tarball"
	"relocate/verify/leak"
)

// scratch is a scratch file.
type scratch struct {
	*os.File
	dir string
}

// newScratch makes a scratch file in dir, or, when that is empty, where temporary files go.
func newScratch(dir string) (*scratch, error) {
	f, err := os.CreateTemp(dir, ".relocate-*")
	if err != nil {
		return nil, fmt.Errorf("create a scratch file: %w", err)
	}
	_ = os.Remove(f.Name()) // where an open file can be removed, even a kill leaves nothing
	return &scratch{f, filepath.Dir(f.Name())}, nil
}

// remove removes the file, whose content is not needed any longer.
func (s *scratch) remove() {
	_ = s.Close()
	_ = os.Remove(s.Name()) // on systems where an open file cannot be removed
}

// walker walks the roots of a source.
type walker struct {
	Source
	opt    Options
	roots  []name.Reference
	client *registry.Client
	bases  []bundle.Base // of the plan
}

func newWalker(from Source, opt Options) (*walker, error) {
	roots, err := from.roots()
	if err == nil {
		err = opt.Selection.check()
	}
	if err != nil {
		return nil, err
	}
	client, err := opt.client(from.Client)
	return &walker{Source: from, opt: opt, roots: roots, client: client}, err
}

// leaveOut leaves out of the plan what the destination of an archive has.
func (w *walker) leaveOut(to Target) error {
	if w.bases = to.Bases; len(w.bases) > 0 && to.Format == tarball.Imgpkg {
		return optionsError{tarball.ErrNoDelta}
	}
	return nil
}

// noteUnused says which bases have nothing that the plan needs, or nothing that those before them do not have.
func (w *walker) noteUnused(plan *bundle.Plan) {
	for _, b := range w.bases {
		if !slices.ContainsFunc(plan.Bases, func(used bundle.Base) bool { return used.Digest == b.Digest }) {
			w.opt.note("", "nothing is left out because of the %s", b)
		}
	}
}

// walked is what a walk of registries found: the plan, and a source of its content.
type walked struct {
	part    *part
	plan    *bundle.Plan
	beside  *scanBeside                  // what is found; nil: not begun
	scan    func() (*leak.Report, error) // waits for the scan, and returns what would point outside
	source  bundle.Source
	scratch *scratch
}

// close ends the scan, and removes the scratch files.
func (w *walked) close() {
	if w.beside != nil {
		w.beside.stop()
	}
	w.part.close()
	w.scratch.remove()
}

// walk reads the roots as read does, and begins to scan what it finds. Where the source is Strict, it
// waits for the end of the scan.
//
// Errors: *render.UnusedValuesError; *NotClosedError where the source is Strict.
func (w *walker) walk(ctx context.Context, dir string) (*walked, error) {
	found, err := w.read(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err = w.opt.Values.Check(found.plan.Graph.Packages); err == nil {
		found.beside = found.part.scanBeside(ctx, w.opt, found.source, found.plan)
		found.scan = sync.OnceValues(found.beside.wait)
		err = w.checkStrict(found)
	}
	if err != nil {
		found.close()
		return nil, err
	}
	return found, nil
}

// checkStrict checks what the scan finds where the source is Strict.
func (w *walker) checkStrict(found *walked) error {
	if !w.Strict {
		return nil
	}
	r, err := found.scan()
	if err != nil {
		return err
	}
	return w.checkClosed(r)
}

// read reads the graph of the roots at their registries. What it reads is kept in a scratch file in dir,
// or where temporary files go, so that nothing is fetched twice. The caller closes the result.
func (w *walker) read(ctx context.Context, dir string) (_ *walked, err error) {
	scratch, err := newScratch(dir)
	if err != nil {
		return nil, err
	}
	spool := copy.NewSpool(w.client, scratch)
	found := &walked{scratch: scratch}
	defer func() {
		if err != nil {
			found.close()
		}
	}()
	over, err := w.over(ctx, spool.Keeping())
	if err != nil {
		return nil, err
	}
	p, err := w.opt.choose(ctx, over, w.roots, w.walkOptions())
	if err != nil {
		return nil, err
	}
	found.part = p
	if err := p.trim(ctx, w.opt, w.roots, w.walkOptions(), dir); err != nil {
		return nil, err
	}
	found.source = p.source.Over(spool)
	g, err := w.graph(ctx, p)
	if err != nil {
		return nil, err
	}
	if n := spool.ReadAgain(); n > 0 {
		w.opt.note("", "read %s again that arrived damaged the first time: check the network and the memory", text.Count(n, "blob"))
	}
	if found.plan, err = bundle.NewPlan(g, bundle.PlanOptions{NonDistributable: w.NonDistributable, Bases: w.bases}); err == nil {
		w.noteUnused(found.plan)
	}
	return found, err
}

// walkOptions are those of a walk that does not look for attachments.
func (w *walker) walkOptions() bundle.WalkOptions {
	return bundle.WalkOptions{Jobs: w.opt.requests(), Pins: w.pins, Root: w.check(), Renderer: w.opt.Renderer, Platforms: w.opt.Selection.Platforms, Absent: w.anyKind}
}

// graph walks the roots of a part.
func (w *walker) graph(ctx context.Context, p *part) (*bundle.Graph, error) {
	ph := w.opt.begin("read", 0, 0)
	opt := w.walkOptions()
	check := w.check()
	opt.Root = func(ref string, kind bundle.Kind) error { return check(cmp.Or(p.named[ref], ref), kind) }
	opt.Pins, opt.Read, opt.Made, opt.Platforms = p.pins, ph.read, p.source.Has, w.opt.Selection.sparse()
	opt.Replaced = p.originals
	w.discover(&opt)
	g, err := bundle.Walk(ctx, p.source, p.roots, opt)
	ph.end()
	if err == nil {
		err = errors.Join(w.opt.checkPlatforms(g), checkAttached(w.Attachments, g))
	}
	if err != nil {
		return nil, err
	}
	if w.Signatures != nil && !hasFrom(g, *w.Signatures) {
		w.noteNoSignatures(g)
	}
	g.Listed = p.relock(w.listed())
	p.inapplicable(g)
	return g, nil
}

// discover lets a walk look for attachments where the source says.
func (w *walker) discover(opt *bundle.WalkOptions) {
	if w.Attachments != copy.AttachNothing {
		opt.Discovery, opt.Signatures = w.client, w.Signatures
	}
}

// checkAttached fails when something must be attached to every image that is listed, and is not.
func checkAttached(attachments copy.Attachments, g *bundle.Graph) error {
	if attachments != copy.AttachAll {
		return nil
	}
	if images := g.WithoutAttachments(); len(images) > 0 {
		return &bundle.NoAttachmentsError{Images: images}
	}
	return nil
}

// scan looks for what a plan carries that would point outside; what is in the plan is read from
// src.
//
// Errors: *render.UnusedValuesError.
func (o Options) scan(ctx context.Context, src bundle.Source, plan *bundle.Plan) (*leak.Report, error) {
	if err := o.Values.Check(plan.Graph.Packages); err != nil {
		return nil, err
	}
	beside := o.scanBeside(ctx, src, plan)
	defer beside.stop()
	return beside.wait()
}

// scanBeside is a scan that runs beside another phase. Its own phase begins when the other has ended.
type scanBeside struct {
	opt    Options
	cancel context.CancelFunc
	done   chan struct{}
	found  *leak.Report
	err    error

	mu    sync.Mutex
	read  int // manifests, before the phase began
	phase *phase
}

// scanBeside starts a scan. The caller has checked the values, and calls stop at the end.
func (o Options) scanBeside(ctx context.Context, src bundle.Source, plan *bundle.Plan) *scanBeside {
	return o.beside(ctx, func(ctx context.Context, read func()) (*leak.Report, error) {
		return leak.Scan(ctx, src, plan.Graph, o.scanning(plan.Omitted, read))
	})
}

// beside starts a scan, which calls read for each manifest.
func (o Options) beside(ctx context.Context, scan func(ctx context.Context, read func()) (*leak.Report, error)) *scanBeside {
	s := &scanBeside{opt: o, done: make(chan struct{})}
	ctx, s.cancel = context.WithCancel(ctx)
	go func() {
		defer close(s.done)
		s.found, s.err = scan(ctx, s.manifest)
	}()
	return s
}

// stop ends the scan. After it nothing reads from its source.
func (s *scanBeside) stop() {
	s.cancel()
	<-s.done
}

// manifest counts a manifest that was read.
func (s *scanBeside) manifest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == nil {
		s.read++
		return
	}
	s.phase.read()
}

// wait begins the phase of the scan, and returns what was found.
func (s *scanBeside) wait() (*leak.Report, error) {
	ph := s.opt.begin("scan", 0, 0)
	defer ph.end()
	s.mu.Lock()
	ph.add(s.read, 0)
	s.phase = ph
	s.mu.Unlock()
	<-s.done
	return s.found, s.err
}

// scanning are the options of a scan of what this machine has. To read more bundles at once than it has
// processors for would take memory, and no less time.
func (o Options) scanning(omitted []report.Omitted, read func()) leak.Options {
	opt := o.leak(omitted, read)
	opt.Jobs = min(opt.Jobs, runtime.GOMAXPROCS(0))
	return opt
}

// leak are the options of a search for what points outside.
func (o Options) leak(omitted []report.Omitted, read func()) leak.Options {
	return leak.Options{Jobs: o.jobs(), Omitted: omitted, Read: read, Renderer: o.Renderer, RenderPackages: o.RenderPackages, Values: o.Values}
}

// NotClosedError says that something would point outside, where the source is Strict.
type NotClosedError struct {
	Findings report.Findings // all that the source does not accept, warnings too
}

func (e *NotClosedError) Error() string { return e.Findings.Open() }

// checkClosed fails where the source is Strict and something points outside that it does not
// accept.
func (s *Source) checkClosed(found *leak.Report) error {
	if !s.Strict {
		return nil
	}
	list, _ := s.Accept.Split(found.Findings)
	if list.Breaking() == 0 {
		return nil
	}
	return &NotClosedError{list}
}

// hasFrom reports whether one of the attachments was found in repo.
func hasFrom(g *bundle.Graph, repo name.Repository) bool {
	return slices.ContainsFunc(g.Attachments, func(a bundle.Attachment) bool {
		return g.Node(a.Digest).From.Name() == repo.Name()
	})
}

// noteNoSignatures says why nothing was found in the repository of Signatures, and what to do. A
// client sends a login to the registries that it was given for, the roots' as a rule.
func (w *walker) noteNoSignatures(g *bundle.Graph) {
	repo := *w.Signatures
	isHere := func(ref name.Reference) bool { return ref.Context().RegistryStr() == repo.RegistryStr() }
	switch {
	case !g.RefusedTags(repo):
		w.opt.note("", "found no attachments of these images in %s: check the repository's name", repo)
	case slices.ContainsFunc(w.roots, isHere):
		w.opt.note("", "reading %s was refused: check the login for %s and its permissions", repo, repo.RegistryStr())
	default:
		w.opt.note("signatures-login", "reading %s was refused: the login of the source is not sent to %s", repo, repo.RegistryStr())
	}
}

// checkNames refuses package repositories that one import would give the same name, and says which
// of several versions a PackageRepository will serve.
func (o Options) checkNames(g *bundle.Graph) error {
	objects, err := rewrite.PackageRepositories(g, g.Roots[0].Reference.Context(), "", "", "")
	if err != nil {
		return optionsf("%w; export each to its own archive", err)
	}
	o.noteNewest(objects)
	return nil
}

// noteNewest says which of several versions a PackageRepository serves.
func (o Options) noteNewest(objects []rewrite.PackageRepository) {
	for _, p := range objects {
		if note := p.Note(); note != "" {
			o.note("", "%s", note)
		}
	}
}

// noteTags says which tags of the roots an import will refuse, while the archive can still be made
// differently.
func (o Options) noteTags(roots []bundle.Root) {
	if _, err := rewrite.Tags(roots, ""); err != nil {
		o.note("tags", "the import will refuse the tags of the roots: %v", err)
	}
}
