// Package verify compares what is present with what should be. Repository walks a private registry,
// checks it as thoroughly as its level says, and compares it with what an archive holds. Users
// names the images that a damaged blob affects.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/internal/imgpkg"
	"relocate/oci"
	"relocate/render"
	"relocate/report"
)

// Level says how thoroughly a repository is checked.
type Level string

// The levels. Each includes the one before it.
const (
	Manifests Level = "manifests" // reads every manifest, lock, config and bundle, compares tags and locations images, asks for foreign layers
	Blobs     Level = "blobs"     // asks the registry for each layer; some registries answer yes for a layer that is gone
	Deep      Level = "deep"      // reads and hashes each layer
)

// Result is what Repository found.
type Result struct {
	Plan     *bundle.Plan     // what is present; nil when manifests are missing or wrong
	Problems []report.Problem // in graph order
	Rows     []report.Row     // in the order of the kinds below; a kind without things has no row
}

// Target is a repository to verify.
type Target interface {
	bundle.Source
	Resolve(ctx context.Context, id string) (v1.Hash, error)
	HasBlob(ctx context.Context, d v1.Descriptor) (bool, error)
}

// Options change what Repository does. The zero value is level manifests, one request at a time.
type Options struct {
	Level    Level // empty means Manifests
	Jobs     int
	Pins     []bundle.Pin // what tags in Packages stand for
	Tags     map[string]v1.Hash
	RepoTags bool                // the repository was filled with imgpkg's --repo-based-tags; needs Want
	LeftOut  []bundle.Attachment // of Want; not looked for
	Want     *bundle.Plan        // what must be present; nil when only the roots are known
	Layers   bundle.Source       // where level deep reads layers; nil means the target
	Read     func()              // called for each manifest read; safe for concurrent use
	Progress func(blobs int, bytes int64)
	Renderer *render.Renderer // runs the templates below packages/; nil: the files are read as they are

	// Platforms are those that the children of indexes were chosen for, if Want does not say which were
	// left out.
	Platforms []v1.Platform
}

// Repository walks the roots, which are digests in repo, through target. It returns what is present
// and everything that is wrong with it. Without opt.Want it cannot know which foreign layers were
// carried, so missing ones are not problems and stay in the plan's Omitted. An error means that the
// repository could not be verified.
func Repository(ctx context.Context, target Target, repo name.Repository, roots []v1.Hash, opt Options) (*Result, error) {
	var refs []name.Reference
	for _, d := range roots {
		refs = append(refs, repo.Digest(d.String()))
	}
	walk := bundle.WalkOptions{
		Jobs: opt.Jobs, Closed: true, Pins: opt.Pins, Attachments: opt.wanted(), Read: opt.Read, Renderer: opt.Renderer, Platforms: opt.Platforms,
	}
	if opt.Want != nil {
		walk.Without = bundle.LeftOut(opt.Want.Omitted)
	}
	g, err := bundle.Walk(ctx, target, refs, walk)
	var plan *bundle.Plan
	if err == nil {
		plan, err = bundle.NewPlan(g, bundle.PlanOptions{NonDistributable: opt.Want != nil && len(report.OmittedLayers(opt.Want.Omitted)) == 0})
	}
	if missing, more := bundle.Missing(err); missing != nil && !errors.Is(err, fs.ErrPermission) {
		return &Result{Problems: missingProblems(missing, more, opt.Want == nil)}, nil
	}
	if errors.Is(err, digest.ErrMismatch) || errors.Is(err, oci.ErrMalformed) {
		return &Result{Problems: []report.Problem{{Kind: report.Damaged, What: "content of " + repo.Name(), Reason: err.Error()}}}, nil
	}
	if errors.Is(err, fs.ErrNotExist) { // a manifest is present, but its config or bundle layer is missing
		return &Result{Problems: []report.Problem{{Kind: report.Missing, What: "content of " + repo.Name(), Reason: err.Error()}}}, nil
	}
	if err != nil {
		return nil, err
	}
	v := &verification{target: target, repo: repo, opt: opt, plan: plan, expected: len(plan.Blobs)}
	if opt.Want == nil {
		v.expectOmitted()
	}
	if err := v.checkAll(ctx); err != nil {
		return nil, err
	}
	v.omitMissing()
	return v.result(), nil
}

// missingProblems names what is missing. alone says that nothing but the roots tells what should be there.
func missingProblems(missing []*bundle.MissingError, more int, alone bool) []report.Problem {
	var problems []report.Problem
	for _, m := range missing {
		p := report.Problem{Kind: report.Missing, What: "manifest " + m.Reference, Reason: "the registry does not have it" + m.Purpose() + ": " + m.Unwrap().Error()}
		if errors.Is(m, oci.ErrUnreadable) {
			p.Kind, p.Reason = report.Damaged, unreadable(m.Unwrap())+m.Purpose()
		}
		if alone && m.Platform != "" {
			p.Reason += "; if it was left out by choice, verify with --platform, or with the archive"
		}
		if m.WantedBy != "" {
			p.Images = []string{m.WantedBy}
		}
		problems = append(problems, p)
	}
	if more > 0 {
		problems = append(problems, report.Problem{Kind: report.Missing, What: fmt.Sprintf("%d more manifests", more), Reason: "the registry does not have them"})
	}
	return problems
}

// unreadable says what to do about a manifest that the registry cannot read. Another import does
// not help, because the registry believes that it has the manifest.
func unreadable(err error) string {
	return err.Error() + ": remove its file from the registry's storage, and import again"
}

// verification is one run of Repository. Each check writes to its own place in found, and each
// check of a layer to its own place in wrong. There may be hundreds of thousands of layers, so they
// have no entry in checks.
type verification struct {
	target Target
	repo   name.Repository
	opt    Options
	plan   *bundle.Plan
	checks []check
	found  [][]report.Problem
	layers int               // number of layers checked
	wrong  []*report.Problem // by the index of the layer in the plan's blobs

	expected int // number of the plan's blobs that must be present; they come first
}

// check examines n things of one kind.
type check struct {
	of  string // as in Row
	n   int
	run func(context.Context) ([]report.Problem, error)
}

// add queues a check of one thing.
func (v *verification) add(of string, run func(context.Context) (*report.Problem, error)) {
	v.checks = append(v.checks, check{of, 1, func(ctx context.Context) ([]report.Problem, error) {
		p, err := run(ctx)
		if p == nil {
			return nil, err
		}
		return []report.Problem{*p}, err
	}})
}

// wanted returns opt.Want's node for n, which has the references to it, or n if there is none.
func (v *verification) wanted(n *bundle.Node) *bundle.Node {
	if v.opt.Want != nil {
		if w := v.opt.Want.Graph.Node(n.Descriptor.Digest); w != nil {
			return w
		}
	}
	return n
}

// checkAll queues all checks in graph order and runs them, opt.Jobs at once.
func (v *verification) checkAll(ctx context.Context) error {
	v.queue()
	v.found, v.wrong = make([][]report.Problem, len(v.checks)), make([]*report.Problem, len(v.plan.Blobs))
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(v.opt.Jobs, 1))
	for i := range v.checks {
		if running.Err() != nil {
			break
		}
		g.Go(func() error { return v.runCheck(running, i) })
	}
	for i := v.plan.Small; i < len(v.plan.Blobs) && running.Err() == nil; i++ {
		if v.checksLayer(v.plan.Blobs[i].Descriptor) {
			v.layers++
			g.Go(func() (err error) { v.wrong[i], err = v.checkBlob(running, &v.plan.Blobs[i]); return err })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// queue adds all checks except those of layers, in graph order.
func (v *verification) queue() {
	for _, n := range v.plan.Graph.Nodes {
		if !n.IsChild {
			for _, tag := range v.wanted(n).KeptTags(v.opt.RepoTags) {
				v.add(tags, v.checkTag(tag, n.Descriptor.Digest, n))
			}
		}
		if n.Kind == bundle.Bundle {
			v.add(locations, v.checkLocations(n))
		}
	}
	v.checkAttachments()
	for _, tag := range slices.Sorted(maps.Keys(v.opt.Tags)) {
		v.add(tags, v.checkTag(tag, v.opt.Tags[tag], nil))
	}
}

// runCheck runs check i. Content that the registry cannot read counts as damaged.
func (v *verification) runCheck(ctx context.Context, i int) (err error) {
	if v.found[i], err = v.checks[i].run(ctx); errors.Is(err, oci.ErrUnreadable) {
		v.found[i] = []report.Problem{{Kind: report.Damaged, What: v.checks[i].of, Reason: unreadable(err)}}
		return nil
	}
	return err
}

// checksLayer reports whether the layer d is checked. Foreign layers always are, because a registry
// accepts a manifest without them.
func (v *verification) checksLayer(d *v1.Descriptor) bool {
	return v.opt.Level == Blobs || v.opt.Level == Deep || oci.IsForeign(*d)
}

// expectOmitted adds the foreign layers that the plan omits to its blobs.
func (v *verification) expectOmitted() {
	omitted := map[v1.Hash]bool{}
	for _, o := range v.plan.Omitted {
		omitted[o.Digest] = true
	}
	for _, n := range v.plan.Graph.Nodes {
		for i, d := range n.Blobs {
			if omitted[d.Digest] {
				delete(omitted, d.Digest)
				v.plan.Blobs = append(v.plan.Blobs, bundle.Blob{Descriptor: &n.Blobs[i], Node: n})
			}
		}
	}
}

// omitMissing removes the missing foreign layers from the blobs. Only these stay in the plan's
// Omitted.
func (v *verification) omitMissing() {
	present := map[v1.Hash]bool{}
	blobs, wrong := v.plan.Blobs, v.wrong
	v.plan.Blobs, v.wrong = blobs[:v.expected], wrong[:v.expected]
	for i := v.expected; i < len(blobs); i++ {
		if wrong[i] != nil && wrong[i].Kind == report.Missing {
			v.layers--
			continue
		}
		present[blobs[i].Descriptor.Digest] = true
		v.plan.Blobs, v.wrong = append(v.plan.Blobs, blobs[i]), append(v.wrong, wrong[i])
	}
	v.plan.Omitted = slices.DeleteFunc(v.plan.Omitted, func(o report.Omitted) bool { return present[o.Digest] })
}

// wrongLayers returns the problems of layers, in graph order, with the images that need them.
func (v *verification) wrongLayers() []report.Problem {
	var list []report.Problem
	var users map[v1.Hash][]string // of all blobs; computed only when something is wrong
	for i, p := range v.wrong {
		if p == nil {
			continue
		}
		if users == nil {
			users = Users(v.plan.Graph)
		}
		p.Images = users[v.plan.Blobs[i].Descriptor.Digest]
		list = append(list, *p)
	}
	return list
}

// Kinds of things, as in Row.
const (
	manifests   = "manifests"
	tags        = "tags"
	locations   = "locations images"
	attachments = "attachments"
	layers      = "layers"
)

// result collects what the checks found and compares the manifests.
func (v *verification) result() *Result {
	wrong := v.wrongLayers()
	r := &Result{Plan: v.plan, Problems: append(slices.Concat(v.found...), wrong...)}
	rows := map[string]*report.Row{}
	count := func(of string, checked, wrong int) {
		if rows[of] == nil {
			rows[of] = &report.Row{Of: of}
		}
		rows[of].Checked += checked
		rows[of].Wrong += wrong
	}
	for i, c := range v.checks {
		count(c.of, c.n, len(v.found[i]))
	}
	if v.layers > 0 {
		count(layers, v.layers, len(wrong))
	}
	differences := 0
	if v.opt.Want != nil {
		list := Compare(v.opt.Want, v.plan)
		r.Problems, differences = append(r.Problems, list...), len(list)
	}
	count(manifests, len(v.plan.Graph.Nodes), differences)
	for _, of := range []string{manifests, tags, locations, attachments, layers} {
		if rows[of] != nil {
			r.Rows = append(r.Rows, *rows[of])
		}
	}
	return r
}

func (v *verification) checkTag(tag string, want v1.Hash, n *bundle.Node) func(context.Context) (*report.Problem, error) {
	return func(ctx context.Context) (*report.Problem, error) {
		p := &report.Problem{What: "tag " + tag}
		if n != nil {
			p.Images = []string{n.Name()}
		}
		got, err := v.target.Resolve(ctx, tag)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			p.Kind, p.Reason = report.Missing, "the registry does not have it"
			if n != nil {
				p.Reason += "; it may collect the manifest if nothing else leads to it"
			}
			return p, nil
		case err != nil:
			return nil, fmt.Errorf("ask for tag %s: %w", tag, err)
		case got != want:
			p.Kind, p.Reason = report.Different, fmt.Sprintf("it stands for %s, want %s", got, want)
			return p, nil
		}
		return nil, nil
	}
}

func (v *verification) checkLocations(n *bundle.Node) func(context.Context) (*report.Problem, error) {
	return func(ctx context.Context) (*report.Problem, error) {
		p := &report.Problem{What: "locations image " + imgpkg.LocationsTag(n.Descriptor.Digest), Images: []string{n.Name()}}
		got, err := n.ReadLocations(ctx, v.target, v.repo)
		switch {
		case errors.Is(err, oci.ErrMalformed), errors.Is(err, digest.ErrMismatch):
			p.Kind, p.Reason = report.Damaged, err.Error()
			return p, nil
		case errors.Is(err, fs.ErrNotExist): // the manifest, or one of its blobs
			p.Kind, p.Reason = report.Missing, err.Error()
			if _, err := v.target.Resolve(ctx, imgpkg.LocationsTag(n.Descriptor.Digest)); errors.Is(err, fs.ErrNotExist) {
				p.Reason = "the registry does not have it; imgpkg asks for each image instead"
			}
			return p, nil
		case err != nil:
			return nil, fmt.Errorf("ask for %s: %w", p.What, err)
		case !got.Equal(v.plan.Graph.Locations(n)):
			p.Kind, p.Reason = report.Different, "it does not list what the bundle's lock names"
			return p, nil
		}
		return nil, nil
	}
}

// checkBlob asks for a layer. At level deep it reads the layer.
func (v *verification) checkBlob(ctx context.Context, b *bundle.Blob) (*report.Problem, error) {
	what := "blob " + b.Descriptor.Digest.String()
	if v.opt.Level != Deep {
		there, err := v.target.HasBlob(ctx, *b.Descriptor)
		if err != nil {
			return nil, fmt.Errorf("ask for %s: %w", what, err)
		}
		if !there {
			return &report.Problem{Kind: report.Missing, What: what, Reason: "the registry does not have it"}, nil
		}
		v.progress(b.Descriptor.Size)
		return nil, nil
	}
	err := v.readBlob(ctx, b)
	switch {
	case err == nil:
		return nil, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		return &report.Problem{Kind: report.Missing, What: what, Reason: "the registry does not have it"}, nil
	case errors.Is(err, digest.ErrMismatch):
		return &report.Problem{Kind: report.Damaged, What: what, Reason: err.Error()}, nil
	}
	return nil, fmt.Errorf("read %s: %w", what, err)
}

func (v *verification) readBlob(ctx context.Context, b *bundle.Blob) error {
	layers := v.opt.Layers
	if layers == nil {
		layers = v.target
	}
	r, err := layers.Blob(ctx, v.repo, *b.Descriptor)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	v.progress(b.Descriptor.Size)
	return nil
}

func (v *verification) progress(bytes int64) {
	if v.opt.Progress != nil {
		v.opt.Progress(1, bytes)
	}
}

// Compare returns how got, a graph that was walked, differs from want. It ignores where and by what
// name things were found, and attachments.
func Compare(want, got *bundle.Plan) []report.Problem {
	var list []report.Problem
	core := want.Graph.Core()
	for i, w := range want.Graph.Nodes {
		n := got.Graph.Node(w.Descriptor.Digest)
		p := report.Problem{What: "manifest " + w.Descriptor.Digest.String(), Images: []string{w.Name()}}
		switch {
		case n == nil && i >= core:
			continue // a missing attachment is a separate problem
		case n == nil:
			p.Kind, p.Reason = report.Missing, "nothing there leads to it"
		case n.Kind != w.Kind || n.Descriptor.MediaType != w.Descriptor.MediaType || n.Descriptor.Size != w.Descriptor.Size:
			p.Kind = report.Different
			p.Reason = fmt.Sprintf("it is %s, %s of %d bytes; want %s, %s of %d bytes", n.Kind, n.Descriptor.MediaType,
				n.Descriptor.Size, w.Kind, w.Descriptor.MediaType, w.Descriptor.Size)
		case !slices.Equal(n.Children, w.Children):
			p.Kind, p.Reason = report.Different, "it has other children"
		default:
			continue
		}
		list = append(list, p)
	}
	for _, n := range got.Graph.Nodes {
		if want.Graph.Node(n.Descriptor.Digest) == nil {
			list = append(list, report.Problem{Kind: report.Different, What: "manifest " + n.Descriptor.Digest.String(), Images: []string{n.Name()}, Reason: "nothing should lead to it"})
		}
	}
	return list
}

// Users returns the sorted names of the images that directly need each blob and manifest of the
// graph.
func Users(g *bundle.Graph) map[v1.Hash][]string {
	users := map[v1.Hash][]string{}
	for _, n := range g.Nodes {
		users[n.Descriptor.Digest] = append(users[n.Descriptor.Digest], n.Name())
		for _, d := range n.Blobs {
			users[d.Digest] = append(users[d.Digest], n.Name())
		}
	}
	for d, names := range users {
		slices.Sort(names)
		users[d] = slices.Compact(names)
	}
	return users
}
