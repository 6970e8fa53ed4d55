package leak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/report"
)

// Limits on what is held of one bundle; what is beyond them is not looked at, which is a finding.
const (
	maxText   = 32 << 20 // bytes of text
	maxThings = 200_000  // documents, fetches, steps, image keys
)

// rootBundle is a root bundle while its Packages are looked at.
type rootBundle struct {
	*traversal
	node      *bundle.Node
	lockText  []byte
	lock      *lock // nil when it cannot be read
	documents []*packageDocument
	findings  []report.Finding
	linked    bool // packages/ is a link
	packages  bool // there is a file below packages/
	unread    bool // something of packages/ was not read in full
	bytes     int
	things    int
	full      bool // the limits are reached
	schemas   bool // there is room for values schemas
}

// root looks at a root.
func (s *traversal) root(ctx context.Context, root v1.Hash) error {
	found, err := s.site.look(ctx, root)
	if err != nil {
		return err
	}
	if found.node == nil {
		if errors.Is(found.cause, fs.ErrPermission) {
			return found.cause
		}
		s.add(newFinding(found.code, report.Install, position{bundle: s.site.name(root)}, s.site.name(root), "the root cannot be had: %s", found.why))
		return nil
	}
	for _, lack := range found.lacks {
		s.add(newFinding(lack.code, lack.level, position{bundle: found.node.Name()}, found.node.Name(), "the root is not whole: %s", lack.why))
	}
	if found.node.Kind != bundle.Bundle {
		return nil
	}
	r := &rootBundle{traversal: s, node: found.node, schemas: true}
	err = bundle.ReadText(ctx, s.src, r.node, inRepository, r.visit)
	s.wasRead()
	s.report.Bundles++
	if err != nil {
		code, why, err := explain(err)
		if err == nil {
			s.add(newFinding(code, report.Install, r.in(""), r.node.Name(), "the bundle cannot be read: %s", why))
		}
		return err
	}
	if !r.packages && !r.linked {
		s.add(newFinding(codeNoPackages, report.Warning, r.in("packages"), "", "is missing: a bundle of another kind needs none, but kapp-controller refuses this one as a PackageRepository"))
		s.want(r.node, nil, 0)
		return nil
	}
	if err := r.check(ctx); err != nil {
		return err
	}
	s.unsure = s.unsure || r.unread
	slices.SortStableFunc(r.findings, byLine)
	s.add(r.findings...)
	return nil
}

// inRepository accepts what kapp-controller looks at in a repository bundle, and what it might be expected to.
func inRepository(p string) bool {
	return p == carvel.LockFile || p == "packages" || carvel.IsPackageFile(p) || strings.HasPrefix(p, "packages/") && strings.HasSuffix(p, ".json")
}

func (r *rootBundle) in(file string) position { return position{bundle: r.node.Name(), file: file} }

// of returns the position of a line of d.
func (r *rootBundle) of(d *packageDocument, line int) position {
	at := r.in(d.file).in(line)
	if d.Package != nil {
		at.pkg = packageName(d.Package)
	}
	return at
}

func packageName(p *carvel.Package) string { return clip(p.Name+" "+p.Version, 200) }

// visit takes over a file of the bundle.
func (r *rootBundle) visit(t bundle.Text) error {
	r.packages = r.packages || strings.HasPrefix(t.Path, "packages/")
	switch {
	case !t.Regular:
		r.linked = r.linked || t.Path == "packages"
	case t.Data == nil && t.Size > 0:
		r.notRead(report.Install, t.Path, 0, fmt.Sprintf("has %d bytes, more than the limit of %d", t.Size, bundle.MaxText))
	case t.Path == carvel.LockFile:
		if r.lockText == nil { // the first counts
			r.lockText = append([]byte{}, t.Data...)
		}
	case strings.HasSuffix(t.Path, ".json"):
		if s := string(t.Data); strings.Contains(s, "packaging.carvel.dev") || strings.Contains(s, "package.carvel.dev") {
			r.note(newFinding(codeDropped, report.Warning, r.in(t.Path).in(1), "", "is JSON: kapp-controller reads .yml and .yaml only"))
		}
	case carvel.IsPackageFile(t.Path):
		r.readDocuments(t)
	}
	return nil
}

func (r *rootBundle) note(f report.Finding) { r.findings = append(r.findings, f) }

func (r *rootBundle) notRead(level report.Level, file string, line int, why string) {
	r.unread = true
	r.note(newFinding(codeNotRead, level, r.in(file).in(line), "", "%s", why))
}

// readDocuments reads a file of Packages.
func (r *rootBundle) readDocuments(t bundle.Text) {
	template := bytes.Contains(t.Data, []byte("#@"))
	gaps := carvel.ReadPackageFile(t.Path, t.Data, func(d carvel.PackageDocument) bool {
		doc, err := newPackageDocument(t.Path, d)
		if err != nil {
			r.notRead(report.Warning, t.Path, d.Line, err.Error())
			return true
		}
		if r.bytes+len(doc.schema) > maxText {
			if r.schemas {
				r.note(newFinding(codeNotRead, report.Warning, r.in(t.Path).in(d.Line), "", "values schemas from here on were not looked at: there are too many"))
			}
			doc.schema, r.schemas = nil, false
		}
		r.bytes += len(doc.schema)
		n, things := doc.size()
		if r.bytes, r.things = r.bytes+n, r.things+things; r.bytes > maxText || r.things > maxThings {
			if !r.full {
				r.notRead(report.Install, t.Path, d.Line, "the Packages before it have too much for one look; what follows was not looked at")
			}
			r.full = true
			return false
		}
		doc.ytt = template
		r.documents = append(r.documents, doc)
		return true
	})
	for _, gap := range gaps {
		level := report.Warning
		if gap.Hides {
			level = report.Install
		}
		r.notRead(level, t.Path, gap.Line, gap.Message)
	}
}
