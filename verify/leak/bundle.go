package leak

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/yamlnode"
	"relocate/report"
	"relocate/verify/leak/content"
	"relocate/verify/leak/kappctrl"
)

// result is what was found in one bundle.
type result struct {
	report   Report // its counts
	findings findings
	nested   []*bundle.Node // named by its lock
}

// packageBundle is the state of the check of one bundle or inline fetch.
type packageBundle struct {
	in       *traversal
	work     *work
	groups   []group
	pkg      string // names of the Packages that fetch it
	files    []content.File
	size     int   // bytes kept of them
	unpacked int64 // bytes unpacked from charts
	lock     *lock // nil when unreadable
	out      result
	named    map[int]bool // lock entries that a file names, or that values compose

	fetched  map[position]string // references of nested fetches
	compared int                 // versions compared with PackageInstalls
}

// lookInto reads the files of a bundle that its Packages' template steps read, and the images that
// its lock names.
func (t *traversal) lookInto(ctx context.Context, w *work) (result, error) {
	b := &packageBundle{in: t, work: w, pkg: names(w.uses), named: map[int]bool{}, fetched: map[position]string{}}
	var more bool
	if b.groups, more = groups(w.uses); more {
		b.out.findings.note(newFinding(codeNotRead, report.Install, w.uses[0].at, "", "what it fetches is read by more than %d different sets of template steps; not all were examined", maxGroups))
	}
	if w.node == nil {
		for _, f := range w.inline {
			b.files = append(b.files, content.File{Path: kappctrl.CleanPath(f.Path), Data: []byte(f.Data)})
		}
	} else if unread, err := b.read(ctx); unread || err != nil {
		return b.out, err
	}
	for _, f := range b.files {
		if f.Data != nil && f.Path != carvel.LockFile {
			b.out.report.Files++
		}
	}
	for _, g := range b.groups {
		b.references(g)
	}
	if len(b.groups) == 0 {
		b.references(group{})
	}
	b.nested()
	b.countIDs()
	b.out.findings.merge()
	return b.out, nil
}

func (b *packageBundle) countIDs() {
	if b.lock == nil {
		return
	}
	for i, e := range b.lock.images.Images {
		if e.Annotations[carvel.KbldID] == "" {
			continue
		}
		b.out.report.IDs++
		if b.named[i] {
			b.out.report.IDsFound++
		}
	}
}

// at returns the position of a file of the bundle.
func (b *packageBundle) at(file string) position {
	return position{bundle: b.work.node.Name(), pkg: b.pkg, file: file}
}

// read reads the bundle and its lock.
func (b *packageBundle) read(ctx context.Context) (unread bool, err error) {
	n := b.work.node
	err = readFiles(ctx, b.in.src, n, b.wants, func(f bundle.File, data []byte) {
		if f.Mode.IsRegular() {
			b.file(f, data)
		}
	})
	b.in.wasRead()
	b.out.report.Bundles++
	if err != nil {
		code, why, err := explain(err)
		if err == nil {
			b.out.findings.note(newFinding(code, report.Install, b.at(""), n.Name(), "the bundle cannot be read: %s", why))
		}
		return true, err
	}
	return false, b.readLock(ctx)
}

// file adds a file of the bundle. The path of a file that is not read counts, too.
func (b *packageBundle) file(f bundle.File, data []byte) {
	switch b.size += len(data); {
	case data == nil && f.Size > 0:
		b.out.findings.note(newFinding(codeNotRead, report.Warning, b.at(f.Path), "", "has %d bytes, more than the limit of %d", f.Size, yamlnode.MaxSize))
	case b.size > maxText:
		b.out.findings.note(newFinding(codeNotRead, report.Install, b.at(""), "", "has more than %d bytes of text; the rest was not examined", maxText))
		data = nil
	case isBinary(data) && !yamlnode.IsUTF16(data):
		b.size -= len(data)
		b.files = append(b.files, content.File{Path: f.Path})
		if b.isPackedChart(f.Path) {
			b.unpack(f.Path, data, 0)
		}
		return
	}
	b.files = append(b.files, content.File{Path: f.Path, Data: data})
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
			if data, err = io.ReadAll(content); err != nil {
				return err
			}
		}
		visit(f, data)
		return nil
	})
}

// readLock reads the bundle's lock and looks up the images that it names.
func (b *packageBundle) readLock(ctx context.Context) error {
	at, text := b.at(carvel.LockFile), []byte(nil)
	if i := slices.IndexFunc(b.files, func(f content.File) bool { return f.Path == carvel.LockFile && f.Data != nil }); i >= 0 {
		text = b.files[i].Data // the first one counts
	}
	l, wrong := parseLock(text, at)
	b.out.findings.note(wrong...)
	if l == nil {
		return nil
	}
	b.lock = l
	if b.work.depth == maxDepth {
		b.out.findings.note(newFinding(codeDamaged, report.Install, at, "", "bundles are nested more than %d deep", maxDepth))
		l.images = &carvel.ImagesLock{}
		return nil
	}
	missing, err := b.in.localise(ctx, b.work.node, l, at)
	if err != nil {
		return err
	}
	b.out.findings.note(missing...)
	for _, found := range l.targets {
		if found.node != nil && found.node.Kind == bundle.Bundle {
			b.out.nested = append(b.out.nested, found.node)
		}
	}
	return nil
}

// wants accepts the files that some Package's steps read, or all files when no Package fetches the
// bundle.
func (b *packageBundle) wants(p string) bool {
	if p == carvel.LockFile {
		return true
	}
	if len(b.groups) == 0 {
		return !strings.HasPrefix(p, ".imgpkg/")
	}
	return slices.ContainsFunc(b.groups, func(g group) bool { return g.steps().Read(p) })
}

// isBinary reports whether data is not text.
func isBinary(data []byte) bool { return bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data) }
