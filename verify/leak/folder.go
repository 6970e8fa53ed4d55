package leak

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/imgpkg"
	"relocate/internal/yamlnode"
	"relocate/render/ytt"
	"relocate/report"
	"relocate/verify/leak/content"
	"relocate/verify/leak/kappctrl"
)

// result is what was found in one folder.
type result struct {
	report   Report // its counts, without those of bundles
	bundles  []bundleCount
	findings findings
	nested   []*bundle.Node // named by the locks
}

// bundleCount is what a bundle adds to the counts of a report, once.
type bundleCount struct {
	digest        v1.Hash
	files         int
	ids, idsFound int // of its lock
}

// appFolder is the state of the check of the folder of an App: what the fetches of a Package put
// there, or a bundle that no Package fetches.
type appFolder struct {
	in       *traversal
	work     *work
	groups   []group
	pkg      string         // names of the Packages
	files    []content.File // with their paths in the folder
	size     int            // bytes kept of them
	unpacked int64          // bytes unpacked from charts
	locks    []*lock        // of the parts; nil when a part has none, or it is unreadable
	unknown  []string       // folders of the parts whose files are not known
	out      result
	named    map[int]bool // lock entries that a file names, or that values compose

	installs []Install // of its files

	objects []report.Finding // about Apps, PackageRepositories and PackageInstalls in files, with their paths in the folder
	fetched [][]ytt.File     // by part, for rendering: the files, text or not
	cut     string           // why fetched does not have all that steps read; empty when it has
	binary  int              // bytes of files in fetched that are not text
}

// lookInto reads the files in the folder that its Packages' template steps read, and the images that
// its locks name.
func (t *traversal) lookInto(ctx context.Context, w *work) (result, error) {
	a := &appFolder{in: t, work: w, pkg: names(w.uses), locks: make([]*lock, len(w.parts)), fetched: make([][]ytt.File, len(w.parts)), named: map[int]bool{}}
	var more bool
	if a.groups, more = groups(w.uses); more {
		a.out.findings.note(newFinding(codeNotRead, report.Install, w.uses[0].at, "", "what it fetches is read by more than %d different sets of template steps; not all were examined", maxGroups))
	}
	if err := a.readParts(ctx); err != nil || len(a.unknown) == len(w.parts) {
		return a.out, err
	}
	if a.renders() {
		if err := a.localiseLocks(); err != nil {
			return a.out, err
		}
	}
	a.checkManifests()
	a.nested()
	groups := a.groups
	if len(groups) == 0 {
		groups = []group{{}}
	}
	for _, g := range groups {
		if err := a.examine(ctx, g); err != nil {
			return a.out, err
		}
	}
	a.countBundles()
	a.out.findings.sort(a.rank)
	return a.out, nil
}

// readParts reads what is in the folder.
func (a *appFolder) readParts(ctx context.Context) error {
	first := 0
	for i, p := range a.work.parts {
		for _, f := range p.inline {
			a.out.report.Files++
			a.files = append(a.files, content.File{Path: path.Join(p.folder, kappctrl.CleanPath(f.Path)), Data: []byte(f.Data)})
		}
		unread := p.unknown
		if p.node != nil {
			var err error
			if unread, err = a.read(ctx, i); err != nil {
				return err
			}
		}
		if unread {
			a.unknown = append(a.unknown, p.folder)
		}
		if l := a.locks[i]; l != nil {
			l.first = first
			first += len(l.images.Images)
		}
	}
	return nil
}

// countBundles counts what was read of each bundle.
func (a *appFolder) countBundles() {
	for i, p := range a.work.parts {
		if p.node == nil || slices.Contains(a.unknown, p.folder) {
			continue
		}
		c := bundleCount{digest: p.node.Descriptor.Digest}
		for _, f := range a.files {
			if part, file := a.locate(f.Path); part == i && f.Data != nil && file != carvel.LockFile {
				c.files++
			}
		}
		if l := a.locks[i]; l != nil {
			c.countIDs(l, a.named)
		}
		a.out.bundles = append(a.out.bundles, c)
	}
}

func (c *bundleCount) countIDs(l *lock, named map[int]bool) {
	for i, e := range l.images.Images {
		if e.Annotations[carvel.KbldID] == "" {
			continue
		}
		c.ids++
		if named[l.first+i] {
			c.idsFound++
		}
	}
}

// locate returns the part that a file of the folder belongs to, and its path there; -1 for none.
func (a *appFolder) locate(file string) (part int, rest string) {
	for i, p := range a.work.parts {
		if p.folder == "" {
			return i, file
		}
		if rest, below := strings.CutPrefix(file, p.folder+"/"); below {
			return i, rest
		}
	}
	return -1, file
}

// at returns the position of a file of the folder, in its bundle.
func (a *appFolder) at(file string) position {
	i, rest := a.locate(file)
	if i < 0 || a.work.parts[i].node == nil {
		return a.work.uses[0].at
	}
	return position{bundle: a.work.parts[i].node.Name(), pkg: a.pkg, file: rest}
}

// atPart returns the position of a part of the folder.
func (a *appFolder) atPart(i int) position {
	return position{bundle: a.work.parts[i].node.Name(), pkg: a.pkg}
}

// rank orders findings by the parts that they are about. Those of a Package's file come with the first part.
func (a *appFolder) rank(f report.Finding) int {
	i := slices.IndexFunc(a.work.parts, func(p part) bool { return p.node != nil && p.node.Name() == f.Bundle })
	return max(i, 0)
}

// read reads the bundle of a part and its lock.
func (a *appFolder) read(ctx context.Context, i int) (unread bool, err error) {
	p := a.work.parts[i]
	err = readFiles(ctx, a.in.src, p.node, func(file string) bool { return a.wants(p, file) }, func(f bundle.File, data []byte) {
		if f.Mode.IsRegular() {
			a.keep(i, f, data)
			a.file(path.Join(p.folder, f.Path), f.Size, data)
		}
	})
	a.in.wasRead()
	if err != nil {
		code, why, err := explain(err)
		if err == nil {
			a.out.findings.note(newFinding(code, report.Install, a.atPart(i), p.node.Name(), "the bundle cannot be read: %s", why))
			a.out.bundles = append(a.out.bundles, bundleCount{digest: p.node.Descriptor.Digest})
		}
		return true, err
	}
	return false, a.readLock(ctx, i)
}

// keep keeps a file of a part's bundle for rendering.
func (a *appFolder) keep(part int, f bundle.File, data []byte) {
	switch {
	case !a.renders() || a.cut != "":
		return
	case data == nil && f.Size > 0:
		a.cut = fmt.Sprintf("%s has %d bytes, more than the limit of %d", f.Path, f.Size, yamlnode.MaxSize)
	case isBinary(data):
		a.binary += len(data)
	}
	if a.size+a.binary > maxText {
		a.cut = fmt.Sprintf("its bundles have more than %d bytes", maxText)
	}
	a.fetched[part] = append(a.fetched[part], ytt.File{Path: f.Path, Data: data})
}

// file adds a file of a bundle. The path of a file that is not read counts, too.
func (a *appFolder) file(p string, size int64, data []byte) {
	switch a.size += len(data); {
	case data == nil && size > 0:
		a.out.findings.note(newFinding(codeNotRead, report.Warning, a.at(p), "", "has %d bytes, more than the limit of %d", size, yamlnode.MaxSize))
	case a.size > maxText:
		at := a.at(p)
		at.file = ""
		a.out.findings.note(newFinding(codeNotRead, report.Install, at, "", "has more than %d bytes of text; the rest was not examined", maxText))
		data = nil
	case isBinary(data) && !yamlnode.IsUTF16(data):
		a.size -= len(data)
		a.files = append(a.files, content.File{Path: p})
		if a.isPackedChart(p) {
			a.unpack(p, data, 0)
		}
		return
	}
	a.files = append(a.files, content.File{Path: p, Data: data})
}

// readFiles calls visit for the files of the bundle n that want accepts, including irregular files.
// It passes the data of files within the size limit.
func readFiles(ctx context.Context, src bundle.Source, n *bundle.Node, want func(path string) bool, visit func(f bundle.File, data []byte)) error {
	return n.Files(ctx, src, want, func(f bundle.File, content io.Reader) (err error) {
		var data []byte
		switch {
		case f.Mode.IsDir():
			return nil
		case f.Mode.IsRegular() && f.Size <= yamlnode.MaxSize:
			if data, err = imgpkg.Content(f.Size, content); err != nil {
				return err
			}
		}
		visit(f, data)
		return nil
	})
}

// readLock reads the lock of a part's bundle and looks up the images that it names.
func (a *appFolder) readLock(ctx context.Context, part int) error {
	file := a.work.parts[part].lockFile()
	at, text := a.at(file), []byte(nil)
	if i := slices.IndexFunc(a.files, func(f content.File) bool { return f.Path == file && f.Data != nil }); i >= 0 {
		text = a.files[i].Data // the first one counts
	}
	l, wrong := parseLock(text, at)
	a.out.findings.note(wrong...)
	if l == nil {
		return nil
	}
	a.locks[part] = l
	if a.work.depth == maxDepth {
		a.out.findings.note(newFinding(codeDamaged, report.Install, at, "", "bundles are nested more than %d deep", maxDepth))
		l.images = &carvel.ImagesLock{}
		return nil
	}
	missing, err := a.in.localise(ctx, a.work.parts[part].node, l, at)
	if err != nil {
		return err
	}
	a.out.findings.note(missing...)
	for _, found := range l.targets {
		if found.node != nil && found.node.Kind == bundle.Bundle {
			a.out.nested = append(a.out.nested, found.node)
		}
	}
	return nil
}

// wants accepts the files of a part that some Package's steps read, or all files when no Package
// fetches the bundle.
func (a *appFolder) wants(p part, file string) bool {
	if file == carvel.LockFile {
		return true
	}
	if len(a.groups) == 0 {
		return !strings.HasPrefix(file, ".imgpkg/")
	}
	return slices.ContainsFunc(a.groups, func(g group) bool { return g.steps().Read(path.Join(p.folder, file)) })
}

// isBinary reports whether data is not text.
func isBinary(data []byte) bool { return bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data) }
