package leak

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/manifests"
	"relocate/render/kbld"
	"relocate/report"
	"relocate/verify/leak/content"
	"relocate/verify/leak/kappctrl"
)

// packageFiles holds the files that the template steps of one package read.
type packageFiles struct {
	files   []content.File
	locks   []kappctrl.Lock // of the bundles
	unknown []string        // as in kappctrl.Folder
	steps   kappctrl.Steps  // nil for a bundle that no Package fetches: all of its files are read

	named []bool // by the number of a lock entry, set by references: the files name its id, or values compose it
}

// references returns the references in the files that kbld sees or that look like references, and
// the findings that need no registry, by file and line. The caller sets Bundle and Package of the
// findings. A finding without File is about a template step, and its line is in the Package's file.
func (p *packageFiles) references() ([]content.Reference, []report.Finding) {
	to, in := p.results(), &kappctrl.Folder{Locks: p.locks, Unknown: p.unknown}
	for _, f := range p.files {
		in.Files = append(in.Files, &content.File{Path: kappctrl.CleanPath(f.Path), Data: f.Data})
	}
	content.Scan(p.steps.Files(in, to.notes), p.lockStep(), to)
	if more := to.findings.left + to.left; more > 0 {
		to.findings.list = append(to.findings.list, report.Finding{Code: codeNotRead, Level: to.findings.level(),
			Message: fmt.Sprintf("has %d more findings and references than are listed", more)})
	}
	slices.SortStableFunc(to.findings.list, byLine)
	return to.references, to.findings.list
}

// schemaDefaults returns findings for the references in the defaults of a Package's values schema
// that are missing from the lock of the package's bundle. The Package is the first document of f, a
// file of the repository bundle.
func (p *packageFiles) schemaDefaults(f content.File) []report.Finding {
	to := p.results()
	content.SchemaDefaults(&f, p.lockStep(), to)
	return to.findings.list
}

// lockStep returns a kbld step that has only the locks.
func (p *packageFiles) lockStep() *kbld.Step {
	step := &kbld.Step{}
	(&kappctrl.Folder{Locks: p.locks}).AddTo(step)
	return step
}

// results collects what is found in the files of one package.
type results struct {
	references []content.Reference
	left       int // number of references beyond the limit
	findings   findings
	added      map[sameFinding]bool
	named      []bool // as in packageFiles
}

// sameFinding is the key of findings that say the same.
type sameFinding struct {
	code      report.Code
	file      string
	line      int
	reference string
}

// maxReferences is the limit on checked references of one package.
const maxReferences = 100_000

func (p *packageFiles) results() *results {
	if p.named == nil {
		p.named = make([]bool, kappctrl.CountEntries(p.locks))
	}
	return &results{named: p.named, added: map[sameFinding]bool{}}
}

// Reference adds a reference.
func (r *results) Reference(ref content.Reference) {
	if ref.Entry >= 0 {
		r.named[ref.Entry] = true
	}
	if len(r.references) == maxReferences {
		r.left++
		return
	}
	r.references = append(r.references, ref)
}

// Note adds a finding, once for each place and reference. It copies the reference, so that the file
// can be freed.
func (r *results) Note(f report.Finding) {
	f.Reference = strings.Clone(text.Clip(f.Reference, maxReference))
	key := sameFinding{f.Code, f.File, f.Line, f.Reference}
	if !r.added[key] && r.findings.add(f) {
		r.added[key] = true
	}
}

func (r *results) notes(list ...report.Finding) {
	for _, f := range list {
		r.Note(f)
	}
}

// textFinding is a finding about the text of a file, with its path in the folder.
type textFinding struct {
	report.Finding
	of       group      // the uses that it is about
	at       []position // where it is reported; nil for where the file is
	ofSchema bool       // it is about a default of a Package's values schema, and the file is the Package's
}

// examine checks the files that the uses of g read, and at what they deploy.
func (a *appFolder) examine(ctx context.Context, g group) error {
	// The steps select the files that they read.
	p := &packageFiles{files: a.files, steps: a.steps(g), locks: a.placedLocks(), unknown: a.unknown}
	refs, found := p.references()
	list := slices.Concat(a.inFiles(g, found), a.ofReferences(g, refs), a.ofSchemas(p, g))
	for i, named := range p.named {
		a.named[i] = a.named[i] || named
	}
	if !a.renders() {
		for _, u := range g.uses {
			a.install(u, nil)
		}
	} else {
		var err error
		if list, err = a.rendered(ctx, g, list); err != nil {
			return err
		}
	}
	for _, f := range list {
		f.Basis = cmp.Or(f.Basis, report.AsText)
		if f.at == nil {
			f.at = a.positions(f.of, f.File, f.Line)
		}
		for _, at := range f.at {
			f.Bundle, f.Package, f.File, f.Line = at.bundle, at.pkg, at.file, at.line
			a.out.findings.note(f.Finding)
		}
	}
	return nil
}

// steps returns the steps of a group. Plain manifests have those of At in package manifests: the lock comes before the
// configuration that is beside them.
func (a *appFolder) steps(g group) kappctrl.Steps {
	if len(g.uses) == 0 && a.isManifests() {
		return kappctrl.Steps{{Kind: "kbld", Paths: []string{carvel.LockFile, "config"}}}
	}
	return g.steps()
}

// isManifests reports whether the folder is a bundle of plain manifests, which are written for the cluster.
func (a *appFolder) isManifests() bool {
	n := a.work.parts[0].node
	return n != nil && n.Manifests != "" && a.work.depth == 0
}

// checkManifests finds out whether plain manifests can be written for a cluster.
func (a *appFolder) checkManifests() {
	if !a.isManifests() || a.locks[0] == nil {
		return
	}
	files := map[string][]byte{}
	for _, f := range a.files {
		if manifests.Wants(f.Path) {
			files[f.Path] = f.Data
		}
	}
	if _, err := manifests.At(files, manifests.Repository); err != nil {
		a.out.findings.note(newFinding(codeStepFails, report.Install, a.atPart(0), "",
			"the manifests cannot be written for a cluster: %v", err))
	}
}

// manifestsActions are what to do about references in plain manifests, which have a kbld Config of their own, and no lock.
var manifestsActions = map[report.Code]string{
	"outside-key": "add a kbld Config with a searchRule for this value to the manifests, and export again; write a value in base64 as text first (stringData)",
	"not-locked":  "let kbld find it, and export again: it reads only the items of an object that has items, and what a kbld Config beside the files adds with searchRules or overrides",
	"composed":    "write the image as one value, add a kbld Config with a searchRule for that to the manifests, and export again",
}

// inFiles returns what was found in the files that the uses of g read.
func (a *appFolder) inFiles(g group, found []report.Finding) (list []textFinding) {
	objects := map[sameFinding]bool{}
	for _, f := range a.objects {
		if len(g.uses) == 0 || g.steps().Read(f.File) {
			objects[sameFinding{file: f.File, line: f.Line, reference: f.Reference}] = true
			list = append(list, textFinding{Finding: f, of: g})
		}
	}
	for _, f := range found {
		switch {
		case f.Code == codeWithoutID && len(g.uses) == 0: // kbld might not read the lock
			continue
		case f.Code == codeWithoutID:
			i, _ := a.locate(f.File)
			f.Line = a.locks[i].lineOf(f.Reference)
		case f.Code == "outside-key" && objects[sameFinding{file: f.File, line: f.Line, reference: f.Reference}]:
			continue // that of the object says more
		}
		list = append(list, textFinding{Finding: a.judged(g, f), of: g})
	}
	return list
}

// judged returns a finding in a file with its level, and what to do.
func (a *appFolder) judged(g group, f report.Finding) report.Finding {
	switch {
	case a.isManifests():
		f.Action = cmp.Or(manifestsActions[f.Code], f.Action)
	case len(g.uses) == 0 && a.work.depth > 0: // a cluster might never see it
		f.Level = report.Warning
	}
	return f.Advised()
}

// ofReferences counts references, and returns what is wrong with the targets of those that the locks
// rewrite. content has reported all others.
func (a *appFolder) ofReferences(g group, refs []content.Reference) (list []textFinding) {
	for _, ref := range refs {
		a.out.report.References++
		if !ref.Rewritten {
			continue
		}
		switch wrong, known := a.end(ref.Entry); {
		case !known:
		case wrong.code == "":
			a.out.report.Inside++
		default:
			f := newFinding(wrong.code, report.Pull, position{file: ref.File, line: ref.Line}, ref.Value, "names %s, which %s", text.Quote(ref.Value), wrong.why)
			list = append(list, textFinding{Finding: f, of: g})
		}
	}
	return list
}

// ofSchemas checks the defaults in the values schemas of g's Packages.
func (a *appFolder) ofSchemas(p *packageFiles, g group) (list []textFinding) {
	for _, u := range g.uses {
		for _, f := range p.schemaDefaults(content.File{Path: u.of.File, Data: u.of.Schema}) {
			at := []position{u.at.in(u.of.Head.LineOf(f.Line))}
			list = append(list, textFinding{Finding: f, of: g, at: at, ofSchema: true})
		}
	}
	return list
}

// placedLocks returns the locks of the bundles with their places in the folder.
func (a *appFolder) placedLocks() (locks []kappctrl.Lock) {
	for i, p := range a.work.parts {
		if p.node == nil {
			continue
		}
		l := kappctrl.Lock{File: p.lockFile()}
		if a.locks[i] != nil {
			l.Images, l.First = a.locks[i].images, a.locks[i].first
		}
		locks = append(locks, l)
	}
	return locks
}

// end returns what is wrong with a reference that an entry of the locks rewrites. It is not known
// where the targets of the lock were not looked up.
func (a *appFolder) end(entry int) (wrong problem, known bool) {
	for _, l := range a.locks {
		if l != nil && entry >= l.first && entry < l.first+len(l.ends) {
			return l.ends[entry-l.first], true
		}
	}
	return problem{}, false
}

// positions returns the positions to report for a line of file: in a file of a bundle; in each
// Package of g that has the file inline; or, for an empty file, in the steps of each Package.
func (a *appFolder) positions(g group, file string, line int) []position {
	part, rest := a.locate(file)
	var list []position
	for _, u := range g.uses {
		if file == "" {
			list = append(list, u.stepAt(g.steps(), line))
			continue
		}
		if i := slices.IndexFunc(u.of.Inline, func(f kappctrl.InlineFile) bool { return f.Is(file) }); i >= 0 {
			list = append(list, u.at.in(u.of.Inline[i].Line(line)))
		} else if part >= 0 {
			inline := u.of.Fetches[part].Inline
			if i := slices.IndexFunc(inline, func(f kappctrl.InlineFile) bool { return f.Is(rest) }); i >= 0 {
				list = append(list, u.at.in(inline[i].Line(line)))
			}
		}
	}
	switch {
	case len(list) > 0:
		return list
	case part < 0 || a.work.parts[part].node == nil:
		return []position{g.uses[0].at}
	}
	return []position{{bundle: a.work.parts[part].node.Name(), pkg: g.pkg, file: rest, line: line}}
}

// stepAt returns the position in u of the step at line. The line belongs to steps, which may be
// another Package's.
func (u use) stepAt(steps kappctrl.Steps, line int) position {
	for i, s := range steps {
		if s.Line == line && i < len(u.of.Steps) {
			return u.at.in(u.of.Steps[i].Line)
		}
	}
	return u.at
}
