package relocate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/choose"
	"relocate/report"
	"relocate/verify/leak"
)

// part is what a selection makes of roots: the roots to walk in their place, and a source that has what
// was made of them.
type part struct {
	source   *bundle.Overlay
	roots    []name.Reference
	pins     []bundle.Pin
	selected []report.Selected
	findings []report.Finding // of the choice

	scans map[v1.Hash]*leak.Report // of bundles that were derived, each by itself

	made      map[v1.Hash]v1.Hash // for platforms: what stands for other manifests
	named     map[string]string   // by what was made of a root for platforms: the root
	replaced  []report.Replaced   // for platforms
	originals []*bundle.Node      // of replaced: digests, and where they are
	scratch   *scratch            // for what was made for platforms; nil: nothing
}

// choosing chooses packages of roots.
type choosing struct {
	*part
	opt     Options
	walk    bundle.WalkOptions          // of the source
	matched map[string][]*choose.Chosen // by choice: what it chose of each root
	missing bool                        // a root was not found
}

// choose makes the part of roots that the choices of the selection want, and adds to over what it derives. walk
// has what is known of the source, in which attachments are not looked for yet.
//
// Errors: ErrOptions where a choice fits nothing; choose.ErrRefused; those of bundle.Walk.
func (o Options) choose(
	ctx context.Context, over *bundle.Overlay, roots []name.Reference, walk bundle.WalkOptions,
) (*part, error) {
	p := &part{source: over, roots: roots, pins: walk.Pins, scans: map[v1.Hash]*leak.Report{}, named: map[string]string{}}
	if !o.Selection.chooses() {
		return p, nil
	}
	c := &choosing{part: p, opt: o, walk: walk, matched: map[string][]*choose.Chosen{}}
	p.roots = nil
	for _, ref := range roots {
		if err := c.root(ctx, ref); err != nil {
			return nil, err
		}
	}
	return p, c.check(roots)
}

// root adds a root, or what is derived from it. What is no package repository stays whole, and so does
// what is not found: the walk says so.
func (c *choosing) root(ctx context.Context, ref name.Reference) error {
	choice := c.opt.Selection.of(ref)
	if choice.IsZero() {
		c.roots = append(c.roots, ref)
		return nil
	}
	repo, node, err := c.repository(ctx, ref)
	if err != nil {
		return err
	}
	if repo == nil {
		c.roots = append(c.roots, ref)
		return nil
	}
	r := &derivation{choosing: c, ref: ref, choice: choice, repo: repo, node: node}
	chosen, err := repo.Choose(ctx, choice, r.installs)
	if err != nil {
		return err
	}
	c.matched[choice.String()] = append(c.matched[choice.String()], chosen)
	for _, f := range repo.Findings { // what could not be read was not chosen
		f.Bundle = ref.Name()
		if f.Level.Breaks() {
			f.Level = report.Warning
		}
		c.findings = append(c.findings, f.Advised())
	}
	for _, f := range chosen.Findings {
		f.Bundle = cmp.Or(f.Bundle, ref.Name())
		c.findings = append(c.findings, f.Advised())
	}
	return r.take(ctx, chosen)
}

// repository reads a root. It returns nil for one that is no package repository or is not found.
func (c *choosing) repository(ctx context.Context, ref name.Reference) (*choose.Repository, *bundle.Node, error) {
	named := ref.Name()
	if i := slices.IndexFunc(c.pins, func(p bundle.Pin) bool { return p.Reference == ref.Name() }); i >= 0 {
		ref = ref.Context().Digest(c.pins[i].Digest.String())
	}
	desc, _, err := c.source.Manifest(ctx, ref)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		c.missing = true
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("find %s: %w", ref.Name(), err)
	}
	n, err := bundle.ReadNode(ctx, c.source, ref.Context().Digest(desc.Digest.String()))
	if err == nil && c.walk.Root != nil {
		err = c.walk.Root(named, n.Kind)
	}
	if err != nil || n.Kind != bundle.Bundle {
		return nil, nil, err
	}
	var repo *choose.Repository
	err = n.Layer(ctx, c.source, func(layer io.Reader) (err error) {
		repo, err = choose.Read(ctx, n.Descriptor.Digest, layer, c.opt.Renderer)
		return err
	})
	if err != nil || len(repo.Packages) == 0 {
		return nil, nil, err
	}
	return repo, n, nil
}

// check refuses a selection that does not fit the roots.
func (c *choosing) check(roots []name.Reference) error {
	if c.missing {
		return nil
	}
	for named, choice := range c.opt.Selection.Roots {
		is := func(ref name.Reference) bool { return ref.Name() == named }
		if !slices.ContainsFunc(roots, is) {
			return optionsf("packages are chosen of %s, which is not a root", named)
		}
		if !choice.IsZero() && !slices.ContainsFunc(c.selected, func(s report.Selected) bool { return s.From.Reference == named }) {
			return optionsf("packages are chosen of %s, which is not a package repository", named)
		}
	}
	if len(c.selected) == 0 {
		return optionsf("packages are chosen, but no root is a package repository")
	}
	for _, choice := range c.opt.Selection.choices() {
		if chosen := c.matched[choice.String()]; len(chosen) > 0 {
			if err := choose.Unmatched(chosen...); err != nil {
				return optionsError{err}
			}
		}
	}
	if len(c.roots) == 0 {
		return optionsf("the choice leaves no package")
	}
	return c.checkNames()
}

// checkNames refuses what is derived of one root under the name of another root that stays whole.
func (c *choosing) checkNames() error {
	for _, s := range c.selected {
		if s.Root == nil {
			continue
		}
		is := func(ref name.Reference) bool { return ref.Name() == s.Root.Reference }
		if i := slices.IndexFunc(c.roots, is); slices.ContainsFunc(c.roots[i+1:], is) {
			return optionsf("the choice of %s has the name of another root, %s: export each to its own archive", s.From.Reference, s.Root.Reference)
		}
	}
	return nil
}

// derivation is one root from which packages are chosen.
type derivation struct {
	*choosing
	ref    name.Reference
	choice choose.Choice
	repo   *choose.Repository
	node   *bundle.Node
}

// derive derives a bundle, and returns its tag at the source, which exists here only, and the pin of
// that.
func (d *derivation) derive(ctx context.Context, chosen *choose.Chosen) (name.Reference, bundle.Pin, error) {
	made, err := d.repo.Derive(ctx, chosen)
	if err != nil {
		return nil, bundle.Pin{}, fmt.Errorf("choose packages of %s: %w", d.ref, err)
	}
	d.source.Add(made.Descriptor, made.Manifest, d.repo.Digest, made.Config, made.Layer)
	tag := d.opt.Selection.Root(d.ref)
	return tag, bundle.Pin{Reference: tag.Name(), Digest: made.Descriptor.Digest}, nil
}

// installs says what packages install, by walking and scanning a bundle of just those. The text of their
// files says so, and no rendering: values of a site must not make another bundle of the same choice.
func (d *derivation) installs(ctx context.Context, packages []carvel.Package) ([][]choose.Need, error) {
	probe := &choose.Chosen{Choice: d.choice}
	for _, p := range packages {
		probe.Versions = append(probe.Versions, choose.Version{Package: p})
	}
	tag, pin, err := d.derive(ctx, probe)
	if err != nil {
		return nil, err
	}
	ph := d.opt.begin("read", 0, 0)
	opt := d.walk
	opt.Pins, opt.Read = append(slices.Clone(d.walk.Pins), pin), ph.read
	g, err := bundle.Walk(ctx, d.source, []name.Reference{tag}, opt)
	ph.end()
	if err != nil {
		return nil, err
	}
	ph = d.opt.begin("scan", 0, 0)
	scan := d.opt.scanning(nil, ph.read)
	scan.RenderPackages = false
	found, err := leak.Scan(ctx, d.source, g, scan)
	ph.end()
	if err != nil {
		return nil, err
	}
	if !d.opt.RenderPackages {
		d.scans[pin.Digest] = found
	}
	return needsOf(packages, found.Installs), nil
}

// needsOf returns the needs of each package.
func needsOf(packages []carvel.Package, installs []leak.Install) [][]choose.Need {
	needs := map[string][]choose.Need{}
	for _, i := range installs {
		of := i.Package + " " + i.Version
		needs[of] = append(needs[of], choose.Need{Name: i.Name, Constraint: i.Constraint, Prereleases: i.Prereleases, File: i.File, Line: i.Line, Computed: i.Computed})
	}
	list := make([][]choose.Need, len(packages))
	for i, p := range packages {
		list[i] = needs[p.Name+" "+p.Version]
	}
	return list
}

// take adds what was chosen as a root, unless that is nothing.
func (d *derivation) take(ctx context.Context, chosen *choose.Chosen) error {
	s := report.Selected{From: report.Root{Reference: d.ref.Name(), Digest: d.repo.Digest}, Choice: json.RawMessage(chosen.Choice.String())}
	if d.node.Derived != nil {
		s.From.Derived = &report.Derived{From: d.node.Derived.From, Choice: json.RawMessage(d.node.Derived.Choice)}
	}
	for _, v := range chosen.Versions {
		s.Versions = append(s.Versions, report.SelectedVersion{Name: v.Name, Version: v.Version, Reason: string(v.Reason), NeededBy: v.NeededBy})
	}
	for _, p := range chosen.Left {
		if n := len(s.Left); n == 0 || s.Left[n-1].Name != p.Name {
			s.Left = append(s.Left, report.LeftPackage{Name: p.Name})
		}
		last := &s.Left[len(s.Left)-1]
		last.Versions = append(last.Versions, p.Version)
		if i := slices.IndexFunc(chosen.Skipped, func(s choose.Skipped) bool { return s.Name == p.Name }); i >= 0 {
			last.Why = chosen.Skipped[i].Why
		}
	}
	if len(chosen.Versions) > 0 {
		tag, pin, err := d.derive(ctx, chosen)
		if err != nil {
			return err
		}
		if other := d.sameName(pin); other != "" {
			return optionsf("the same choice of %s and of %s would have one name, %s: name the roots by tag, or export each to its own archive", other, d.ref.Name(), tag.Name())
		}
		d.roots, d.pins = append(d.roots, tag), append(slices.Clone(d.pins), pin)
		s.Root = &report.Root{Reference: tag.Name(), Digest: pin.Digest, Derived: &report.Derived{From: d.repo.Digest, Choice: s.Choice}}
	}
	d.selected = append(d.selected, s)
	return nil
}

// sameName returns the root of which something else was derived under the name of the pin; "" for none.
func (d *derivation) sameName(pin bundle.Pin) string {
	for _, s := range d.selected {
		if s.Root != nil && s.Root.Reference == pin.Reference && s.Root.Digest != pin.Digest {
			return s.From.Reference
		}
	}
	return ""
}

// scan is Options.scan of a part. The findings of its choice are among those of the scan.
func (p *part) scan(ctx context.Context, o Options, src bundle.Source, plan *bundle.Plan) (*leak.Report, error) {
	if err := o.Values.Check(plan.Graph.Packages); err != nil {
		return nil, err
	}
	beside := p.scanBeside(ctx, o, src, plan)
	defer beside.stop()
	return beside.wait()
}

// scanBeside is Options.scanBeside of a part.
func (p *part) scanBeside(ctx context.Context, o Options, src bundle.Source, plan *bundle.Plan) *scanBeside {
	return o.beside(ctx, func(ctx context.Context, read func()) (found *leak.Report, err error) {
		if len(p.roots) == 1 && len(plan.Omitted) == 0 {
			found = p.scans[plan.Graph.Roots[0].Digest]
		}
		if found == nil {
			found, err = leak.Scan(ctx, src, plan.Graph, o.scanning(plan.Omitted, read))
		}
		if err == nil {
			p.addTo(found)
		}
		return found, err
	})
}

// addTo adds the findings of the choice to those of a scan. Where the scan found the same, the choice
// knows why.
func (p *part) addTo(found *leak.Report) {
	for _, f := range p.findings {
		i := slices.IndexFunc(found.Findings, func(g report.Finding) bool {
			return g.Code == f.Code && g.Reference == f.Reference && slices.Contains(strings.Split(g.Package, ", "), f.Package)
		})
		if i < 0 {
			found.Findings = append(found.Findings, f)
		} else {
			found.Findings[i].Message, found.Findings[i].Action = f.Message, f.Action
		}
	}
}
