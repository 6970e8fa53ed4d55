package render

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/internal/yamlnode"
	"relocate/render/packagingapi"
	"relocate/render/ytt"
	"relocate/report"
)

// Limits on what is below packages/ of one bundle. Above them nothing is rendered.
const (
	maxPackageText  = 16 << 20 // bytes of the files, and of what ytt prints
	maxPackageFiles = 20_000
)

// The codes of findings about what is below packages/.
const (
	codeRefused report.Code = "refused" // kapp-controller refuses the whole repository
	codeNotRead report.Code = "not-read"
)

// Packages reads what is below packages/ of one repository bundle as kapp-controller does: it runs ytt
// over all files. Where ytt cannot run, it reads the files as they are. Begin with Renderer.Packages.
type Packages struct {
	renderer *Renderer
	bundle   v1.Hash
	visit    func(carvel.PackageDocument) bool

	any      bool        // there is a YAML file
	known    *repository // rendered before
	plain    bool        // the files are read as they are
	files    []ytt.File
	size     int
	stopped  bool // visit returned false
	hides    bool // a gap may hide a Package
	findings []report.Finding
}

// Packages returns a reader of the bundle with a digest. It calls visit for the documents until visit
// returns false. A nil Renderer, and one without a program, reads the files as they are.
func (r *Renderer) Packages(bundle v1.Hash, visit func(carvel.PackageDocument) bool) *Packages {
	p := &Packages{renderer: r, bundle: bundle, visit: visit, plain: r == nil || r.Program.Path == ""}
	if !p.plain {
		p.known = r.repositories.of(bundle)
	}
	return p
}

// Wants reports whether Add needs the content of a file.
func (p *Packages) Wants(path string) bool {
	return carvel.IsPackageFile(path) || !p.plain && strings.HasPrefix(path, "packages/")
}

// Add adds a file that it wants. Of a path that is added again, ytt reads the last one, as imgpkg
// unpacks it.
func (p *Packages) Add(path string, data []byte) {
	p.any = p.any || carvel.IsPackageFile(path)
	switch {
	case p.plain:
		p.readPlain(path, data)
	case p.known != nil:
	default:
		p.files = append(p.files, ytt.File{Path: path, Data: data})
		if p.size += len(data); p.size > maxPackageText || len(p.files) > maxPackageFiles {
			p.unrendered(fmt.Sprintf("packages/ has more than %d bytes or %d files", maxPackageText, maxPackageFiles))
		}
	}
}

// Known reports whether the bundle was rendered before. Then nothing needs to be added.
func (p *Packages) Known() bool { return p.known != nil }

// Any reports whether a file was added that may have Packages.
func (p *Packages) Any() bool { return p.any }

// TooLarge says that a file is so large that the caller does not read it.
func (p *Packages) TooLarge(path string, size int64) {
	if !p.plain && p.known == nil {
		p.unrendered(fmt.Sprintf("%s has %d bytes", path, size))
	}
}

// unrendered reads the files as they are.
func (p *Packages) unrendered(why string) {
	p.plain = true
	for _, f := range p.files {
		p.readPlain(f.Path, f.Data)
	}
	p.files = nil
	p.note(report.Finding{Code: codeNotRead, Level: report.Warning, File: "packages", Message: "was not rendered: " + why})
}

// readPlain reads a file as it is.
func (p *Packages) readPlain(path string, data []byte) {
	if p.stopped || !carvel.IsPackageFile(path) {
		return
	}
	gaps := carvel.ReadPackageFile(path, data, func(d carvel.PackageDocument) bool {
		p.stopped = !p.visit(d)
		return !p.stopped
	})
	for _, gap := range gaps {
		f := report.Finding{Code: codeNotRead, Level: report.Warning, File: path, Line: gap.Line, Message: gap.Message}
		if gap.Hides {
			f.Level, p.hides = report.Install, true
		}
		p.note(f)
	}
}

func (p *Packages) note(f report.Finding) { p.findings = append(p.findings, f) }

// End reads what was added. It returns findings about what could not be read, and about files that
// kapp-controller refuses.
//
// Errors: that of ctx.
func (p *Packages) End(ctx context.Context) ([]report.Finding, error) {
	r := p.known
	if p.plain || !p.any && r == nil {
		return p.findings, nil
	}
	if r == nil {
		r = p.renderer.repositories.render(ctx, p.bundle, p.renderer, p.files)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var failed *ytt.FailedError
	switch {
	case errors.As(r.err, &failed):
		p.note(report.Finding{Code: codeRefused, Level: report.Install, File: "packages", Message: "ytt fails, so that kapp-controller refuses the whole repository: " + failed.Message})
		p.fallBack(r)
	case r.err != nil:
		p.fallBack(r)
		p.note(p.notRendered(r.err))
	default:
		for _, d := range r.documents {
			if !p.readDocument(d) {
				break
			}
		}
	}
	return p.findings, nil
}

// notRendered says why ytt could not run. Where a gap says that this hides Packages, it is at the
// gap's level.
func (p *Packages) notRendered(err error) report.Finding {
	f := report.Finding{Code: codeNotRead, Level: report.Warning, File: "packages", Message: "was not rendered: " + err.Error()}
	if p.hides {
		f.Level = report.Install
	}
	return f
}

// fallBack reads the files as they are.
func (p *Packages) fallBack(r *repository) {
	for _, f := range r.files {
		p.readPlain(f.Path, f.Data)
	}
}

// readDocument reads a document that ytt printed. It returns false when reading must stop.
func (p *Packages) readDocument(d repositoryDocument) bool {
	read, err := d.read()
	if err == nil {
		return p.visit(read.Clone())
	}
	file, doc := d.file, d.Document
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	f := report.Finding{Code: codeNotRead, Level: report.Install, File: file, Line: doc.Line, Message: "cannot be read: " + err.Error()}
	switch {
	case errors.Is(err, yamlnode.ErrLimit), yamlnode.Decode(doc.Text, &head, false) != nil:
	case !packagingapi.IsServed(head.APIVersion, head.Kind):
		return p.visit(carvel.PackageDocument{Document: doc, File: file, APIVersion: head.APIVersion, Kind: head.Kind})
	default:
		f.Code, f.Message = codeRefused, "kapp-controller refuses the whole repository: "+err.Error()
	}
	p.note(f)
	return true
}

// repositories are the results of one run, by bundle: each is rendered once.
type repositories struct {
	mu    sync.Mutex
	found map[v1.Hash]*repository
	alone sync.Mutex // held while one is rendered
}

// repository is what ytt makes of the files below packages/ of one bundle.
type repository struct {
	documents []repositoryDocument
	err       error      // why there are none
	files     []ytt.File // with an error
}

// repositoryDocument is a document that ytt prints.
type repositoryDocument struct {
	file string // that it comes from
	yamlnode.Document
	read func() (carvel.PackageDocument, error) // once
}

func newRepositoryDocument(file string, doc yamlnode.Document) repositoryDocument {
	return repositoryDocument{file, doc, sync.OnceValues(func() (carvel.PackageDocument, error) { return carvel.ReadPackageDocument(file, doc) })}
}

func (r *repositories) of(bundle v1.Hash) *repository {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.found[bundle]
}

// render renders a bundle that was not rendered before.
func (r *repositories) render(ctx context.Context, bundle v1.Hash, by *Renderer, files []ytt.File) *repository {
	r.alone.Lock()
	defer r.alone.Unlock()
	if known := r.of(bundle); known != nil {
		return known
	}
	made := runPackages(ctx, by, files)
	if ctx.Err() != nil {
		return made
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.found == nil {
		r.found = map[v1.Hash]*repository{}
	}
	r.found[bundle] = made
	return made
}

// runPackages runs ytt as kapp-controller does: ytt --ignore-unknown-comments -f packages.
func runPackages(ctx context.Context, by *Renderer, files []ytt.File) *repository {
	files = lastOfEach(files)
	in := ytt.Input{IgnoreUnknownComments: true}
	for _, f := range files {
		in.Files = append(in.Files, ytt.File{Path: strings.TrimPrefix(f.Path, "packages/"), Data: f.Data})
	}
	out, err := by.ytt(ctx, in)
	switch {
	case err != nil:
	case len(out.Text) > maxPackageText:
		err = fmt.Errorf("ytt prints more than %d bytes", maxPackageText)
	case len(out.Starts) > yamlnode.MaxDocuments:
		err = fmt.Errorf("ytt prints more than %d documents", yamlnode.MaxDocuments)
	}
	if err != nil {
		return &repository{err: err, files: files}
	}
	l := &locator{out: out, texts: map[string][]byte{}, cut: map[string][]yamlnode.Document{}}
	for _, f := range in.Files {
		l.texts[f.Path] = f.Data
	}
	return &repository{documents: l.locate()}
}

// lastOfEach returns the last file of each path, sorted as ytt sorts the files of a folder.
func lastOfEach(files []ytt.File) []ytt.File {
	sorted := slices.Clone(files)
	slices.Reverse(sorted)
	slices.SortStableFunc(sorted, func(a, b ytt.File) int { return cmp.Compare(a.Path, b.Path) })
	return slices.CompactFunc(sorted, func(a, b ytt.File) bool { return a.Path == b.Path })
}

// locator finds out where the documents that ytt prints come from.
type locator struct {
	out   *ytt.Output
	texts map[string][]byte              // of the input files
	cut   map[string][]yamlnode.Document // of the input files, as far as needed
}

// locate returns the documents. One that is the same as in its file has the text of the file, so that
// lines are exact.
func (l *locator) locate() []repositoryDocument {
	var list []repositoryDocument
	strings := l.out.Strings
	for doc := range yamlnode.Documents(l.out.Text) {
		at, n := ytt.Place{}, len(list)
		if n < len(l.out.Starts) {
			at = l.out.Starts[n]
		}
		own := 0
		for own < len(strings) && strings[own].Document <= n {
			own++
		}
		list = append(list, l.one(doc, at, strings[:own]))
		strings = strings[own:]
	}
	return list
}

// one returns a document that comes from a place.
func (l *locator) one(doc yamlnode.Document, at ytt.Place, strings []ytt.String) repositoryDocument {
	if at.File == "" {
		return newRepositoryDocument("packages", yamlnode.Document{Text: doc.Text, Lines: []int{}})
	}
	file := "packages/" + at.File
	if same, ok := l.source(doc, at); ok {
		return newRepositoryDocument(file, same)
	}
	return newRepositoryDocument(file, yamlnode.Document{Line: at.Line, Text: doc.Text, Lines: linesOf(doc, at, strings)})
}

// source returns the document of the file at a place, where it has the same content as doc.
func (l *locator) source(doc yamlnode.Document, at ytt.Place) (source yamlnode.Document, same bool) {
	docs, known := l.cut[at.File]
	if !known {
		if text := l.texts[at.File]; yamlnode.Check(text) == nil && yamlnode.HiddenBreak(string(text)) == 0 {
			docs = slices.Collect(yamlnode.Documents(text))
		}
		l.cut[at.File] = docs
	}
	after, found := slices.BinarySearchFunc(docs, at.Line, func(d yamlnode.Document, line int) int { return d.Line - line })
	switch {
	case found:
		source = docs[after]
	case after > 0:
		source = docs[after-1]
	}
	return source, source.Text != nil && yamlnode.Same(source.Text, doc.Text)
}

// linesOf returns the lines of the file at a place from which the lines of a printed document come:
// those of its strings, as far as ytt says them, and for others that of the string before.
func linesOf(doc yamlnode.Document, at ytt.Place, strings []ytt.String) []int {
	said := map[string]int{} // by path
	for _, s := range strings {
		if s.Place.File == at.File && s.Place.Line > 0 {
			said[s.Path] = s.Place.Line
		}
	}
	lines := make([]int, bytes.Count(doc.Text, []byte("\n"))+1)
	var visit func(n *yaml.Node, path string)
	visit = func(n *yaml.Node, path string) {
		if line := said[path]; line > 0 && n.Line <= len(lines) {
			lines[n.Line-1] = line
		}
		for i, item := range yamlnode.Items(n) {
			visit(item, fmt.Sprintf("%s/%d", path, i))
		}
		for key, value := range yamlnode.Pairs(n) {
			visit(value, path+"/"+pointerEscape.Replace(key))
		}
	}
	if n, err := (yamlnode.Document{Line: 1, Text: doc.Text}).Node(); err == nil && n != nil {
		visit(n, "")
	}
	last := at.Line
	for i, line := range lines {
		if line == 0 {
			lines[i] = last
		}
		last = lines[i]
	}
	return lines
}
