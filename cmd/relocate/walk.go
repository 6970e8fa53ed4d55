package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/bundle"
	"relocate/copy"
	"relocate/registry"
	"relocate/verify/leak"
)

// walked is what a walk of registries found: the plan, and a source of its content.
type walked struct {
	plan    *bundle.Plan
	scan    *leak.Report // what would lead outside
	source  *copy.Spool
	scratch *scratch
}

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
	_ = os.Remove(f.Name()) // where an open file may go, even a kill leaves nothing
	return &scratch{f, filepath.Dir(f.Name())}, nil
}

// remove gives up the file; nothing of it is missed.
func (s *scratch) remove() {
	_ = s.Close()
	_ = os.Remove(s.Name()) // elsewhere it goes now
}

// walk reads the graph of the roots at their registries. What it reads is kept in a scratch file in dir, or
// where temporary files go, so that nothing is fetched twice. from says what is carried beside. The caller
// closes the result.
func (f *common) walk(ctx context.Context, roots *roots, dir string, from *sourceFlags, show *progress) (_ *walked, err error) {
	client, err := f.source(roots.refs)
	if err != nil {
		return nil, err
	}
	scratch, err := newScratch(dir)
	if err != nil {
		return nil, err
	}
	w := &walked{source: copy.NewSpool(client, scratch), scratch: scratch}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	ph := show.begin("read", 0, 0)
	opt := bundle.WalkOptions{Jobs: f.jobs, Pins: roots.pins, Root: roots.check, Read: func() { ph.add(1, 0) }}
	if err := from.discover(&opt, client); err != nil {
		return nil, err
	}
	g, err := bundle.Walk(ctx, w.source.Keeping(), roots.refs, opt)
	ph.end()
	if err == nil {
		err = from.checkAttached(g)
	}
	if err != nil {
		return nil, err
	}
	if n := w.source.ReadAgain(); n > 0 {
		show.note("read %s again that came damaged the first time: check the network and the memory", count(n, "blob"))
	}
	if opt.Signatures != nil && !hasFrom(g, *opt.Signatures) {
		show.note("%s", whyNothing(g, *opt.Signatures, roots.refs))
	}
	g.Listed = roots.listed()
	if w.plan, err = bundle.NewPlan(g, from.nonDistributable); err != nil {
		return nil, err
	}
	w.scan, err = scan(ctx, w.source, w.plan, f.jobs, show)
	return w, err
}

// hasFrom reports whether one of the attachments was found in repo.
func hasFrom(g *bundle.Graph, repo name.Repository) bool {
	return slices.ContainsFunc(g.Attachments, func(a bundle.Attachment) bool {
		return g.Node(a.Digest).From.Name() == repo.Name()
	})
}

// whyNothing says why nothing was found in the repository of --signatures-from, and what to do. A login of the flags is
// not sent to a registry that only this flag names: it was given for another.
func whyNothing(g *bundle.Graph, repo name.Repository, roots []name.Reference) string {
	isHere := func(ref name.Reference) bool { return ref.Context().RegistryStr() == repo.RegistryStr() }
	switch {
	case !slices.Contains(g.Unseen, bundle.Unseen{Reference: repo.Name(), What: bundle.UnseenTags, Reason: bundle.Refused}):
		return fmt.Sprintf("found nothing in %s (--signatures-from) that is attached to these images: check the repository's name", repo.Name())
	case slices.ContainsFunc(roots, isHere):
		return fmt.Sprintf("%s (--signatures-from) refuses to be read: check the login for %s and its rights", repo.Name(), repo.RegistryStr())
	}
	return fmt.Sprintf("%s (--signatures-from) refuses to be read: login flags are for the registries of -b, -i and --lock only; "+
		"for %s use docker login, or RELOCATE_REGISTRY_HOSTNAME in the environment", repo.Name(), repo.RegistryStr())
}

// close gives up the scratch file.
func (w *walked) close() { w.scratch.remove() }

// source returns a client that uses the credentials in the flags for the registries of roots: those that the
// operator named.
func (f *common) source(roots []name.Reference) (*registry.Client, error) {
	var repos []name.Repository
	for _, ref := range roots {
		repos = append(repos, ref.Context())
	}
	return f.client(sourceSide, repos)
}

// destination returns a client that uses the credentials in the flags for the registry of repo.
func (f *common) destination(repo name.Repository) (*registry.Client, error) {
	if f.connect != nil {
		return f.connect()
	}
	return f.client(destinationSide, []name.Repository{repo})
}
