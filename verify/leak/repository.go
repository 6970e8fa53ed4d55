package leak

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/text"
	"relocate/internal/yamlnode"
	"relocate/render"
	"relocate/report"
	"relocate/verify/leak/kappctrl"
)

// Limits on what is held from one bundle. Content beyond them is not read, which is a finding.
const (
	maxText   = 32 << 20 // bytes of text
	maxThings = 200_000  // documents, fetches, steps, image keys
)

// repositoryBundle is the state of the check of a root bundle.
type repositoryBundle struct {
	in        *traversal
	node      *bundle.Node
	lockText  []byte
	lock      *lock // nil when unreadable
	reader    *render.Packages
	documents []*kappctrl.Document
	parts     []part // of the Package whose fetches are being checked
	findings  []report.Finding
	linked    bool // packages/ is a link
	packages  bool // it has a file below packages/
	unread    bool // packages/ was not read in full
	bytes     int
	things    int
	full      bool                          // the limits are reached
	schemas   bool                          // values schemas are within the limits
	templates map[string]bool               // files that are ytt templates
	byName    map[string]*kappctrl.Document // the first document of each kind and name
}

// root checks a root.
func (t *traversal) root(ctx context.Context, root v1.Hash) error {
	found, err := t.store.lookup(ctx, root)
	if err != nil {
		return err
	}
	if found.node == nil {
		if errors.Is(found.cause, fs.ErrPermission) {
			return found.cause
		}
		t.add(newFinding(found.code, report.Install, position{bundle: t.name(root)}, t.name(root),
			"the root is not available: %s", found.why))
		return nil
	}
	for _, gap := range found.gaps {
		t.add(newFinding(gap.code, gap.level, position{bundle: found.node.Name()}, found.node.Name(),
			"the root is not whole: %s", gap.why))
	}
	if found.node.Kind != bundle.Bundle {
		return nil
	}
	r := &repositoryBundle{in: t, node: found.node, schemas: true, templates: map[string]bool{}, byName: map[string]*kappctrl.Document{}}
	r.reader = t.opt.Renderer.Packages(r.node.Descriptor.Digest, r.document)
	err = readFiles(ctx, t.src, r.node, inRepository, r.visit)
	if err == nil {
		err = r.read(ctx)
	}
	t.wasRead()
	t.report.Bundles++
	if err != nil {
		code, why, err := explain(err)
		if err == nil {
			t.add(newFinding(code, report.Install, r.at(""), r.node.Name(), "the bundle cannot be read: %s", why))
		}
		return err
	}
	return t.checkBundle(ctx, r)
}

// checkBundle checks a root that was read, by its kind.
func (t *traversal) checkBundle(ctx context.Context, r *repositoryBundle) error {
	if r.node.Manifests != "" {
		t.report.PlainManifests++
		t.want(r.node, 0)
		return nil
	}
	if !r.packages && !r.linked {
		t.add(newFinding(codeNoPackages, report.Warning, r.at("packages"), "", "is missing: a bundle of another kind "+
			"needs none, but kapp-controller refuses this one as a PackageRepository"))
		t.want(r.node, 0)
		return nil
	}
	if err := r.check(ctx); err != nil {
		return err
	}
	t.unsure = t.unsure || r.unread
	slices.SortStableFunc(r.findings, byLine)
	t.add(r.findings...)
	return nil
}

// read reads the Packages of the files that were visited.
func (r *repositoryBundle) read(ctx context.Context) error {
	list, err := r.reader.End(ctx)
	for _, f := range list {
		r.unread = true
		r.note(newFinding(f.Code, f.Level, r.at(f.File).in(f.Line), "", "%s", f.Message))
	}
	return err
}

// inRepository accepts the files of a repository bundle that kapp-controller reads, and files that
// users may expect it to read.
func inRepository(p string) bool {
	return p == carvel.LockFile || p == "packages" || strings.HasPrefix(p, "packages/")
}

func (r *repositoryBundle) at(file string) position {
	return position{bundle: r.node.Name(), file: file}
}

// of returns the position of a line of d.
func (r *repositoryBundle) of(d *kappctrl.Document, line int) position {
	at := r.at(d.File).in(line)
	if d.Head.Package != nil {
		at.pkg = packageName(d.Head.Package)
	}
	return at
}

func packageName(p *carvel.Package) string { return text.Clip(p.Name+" "+p.Version, 200) }

// visit adds a file of the bundle.
func (r *repositoryBundle) visit(f bundle.File, data []byte) {
	r.packages = r.packages || strings.HasPrefix(f.Path, "packages/")
	switch {
	case !f.Mode.IsRegular():
		r.linked = r.linked || f.Path == "packages"
	case data == nil && f.Size > 0 && !carvel.IsPackageFile(f.Path) && f.Path != carvel.LockFile:
		r.reader.TooLarge(f.Path, f.Size)
	case data == nil && f.Size > 0:
		r.reader.TooLarge(f.Path, f.Size)
		why := fmt.Sprintf("has %d bytes, more than the limit of %d", f.Size, yamlnode.MaxSize)
		r.notRead(report.Install, f.Path, 0, why)
	case f.Path == carvel.LockFile:
		if r.lockText == nil { // the first one counts
			r.lockText = append([]byte{}, data...)
		}
	case r.reader.Wants(f.Path):
		r.templates[f.Path] = bytes.Contains(data, []byte("#@"))
		r.reader.Add(f.Path, data)
	}
	if strings.HasSuffix(f.Path, ".json") && packageAPI.Match(data) {
		r.note(newFinding(codeDropped, report.Information, r.at(f.Path).in(1), "",
			"is JSON: kapp-controller reads .yml and .yaml only"))
	}
}

// packageAPI matches the groups of Packages.
var packageAPI = regexp.MustCompile(`packag(ing|e)\.carvel\.dev`)

func (r *repositoryBundle) note(f report.Finding) { r.findings = append(r.findings, f) }

func (r *repositoryBundle) notRead(level report.Level, file string, line int, why string) {
	r.unread = true
	r.note(newFinding(codeNotRead, level, r.at(file).in(line), "", "%s", why))
}

// document adds a document below packages/. It returns false when there are too many.
func (r *repositoryBundle) document(d carvel.PackageDocument) bool {
	doc, err := kappctrl.ReadDocument(d.File, d)
	if err != nil {
		r.notRead(report.Warning, d.File, d.Line, err.Error())
		return true
	}
	if doc.Refused != nil {
		r.note(newFinding(codeRefused, report.Install, r.of(doc, d.Line), "", "kapp-controller refuses the whole repository: %v", doc.Refused))
	}
	if r.bytes+len(doc.Schema) > maxText {
		if r.schemas {
			r.note(newFinding(codeNotRead, report.Warning, r.at(d.File).in(d.Line), "", "values schemas from here on were not examined: there are too many"))
		}
		doc.Schema, r.schemas = nil, false
	}
	r.bytes += len(doc.Schema)
	n, things := doc.Size()
	if r.bytes, r.things = r.bytes+n, r.things+things; r.bytes > maxText || r.things > maxThings {
		if !r.full {
			r.notRead(report.Install, d.File, d.Line, "the Packages before it have too much for one look; the rest was not examined")
		}
		r.full = true
		return false
	}
	r.documents = append(r.documents, doc)
	return true
}

// check checks everything that was read of a repository bundle, and queues the bundles that it
// names.
func (r *repositoryBundle) check(ctx context.Context) error {
	if err := r.readLock(ctx); err != nil {
		return err
	}
	slices.SortStableFunc(r.documents, func(a, b *kappctrl.Document) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Head.Line-b.Head.Line)
	})
	r.checkServed()
	for _, d := range r.documents {
		r.checkDocument(d)
		if err := r.checkFetches(ctx, d); err != nil {
			return err
		}
	}
	if r.lock != nil { // bundles that no Package fetches
		for _, found := range r.lock.targets {
			if found.node != nil && found.node.Kind == bundle.Bundle {
				r.in.want(found.node, 1)
			}
		}
	}
	return nil
}

// readLock reads the bundle's lock and looks up the images that it names.
func (r *repositoryBundle) readLock(ctx context.Context) error {
	at := r.at(carvel.LockFile)
	l, wrong := parseLock(r.lockText, at)
	r.findings = append(r.findings, wrong...)
	if l == nil {
		return nil
	}
	r.lock = l
	r.findings = append(r.findings, l.withoutID(at)...)
	if err := r.in.ask(ctx, l); err != nil {
		return err
	}
	missing, err := r.in.localise(ctx, r.node, l, at)
	r.findings = append(r.findings, missing...)
	return err
}
