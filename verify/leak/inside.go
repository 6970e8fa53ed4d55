package leak

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/yamlnode"
	"relocate/report"
)

// result is what was found in one bundle: the counts of it in a Report, and the bundles that its lock names.
type result struct {
	Report
	tally
	findings []report.Finding
	nested   []*bundle.Node
}

// inside is one bundle, or inline fetch, while it is looked into.
type inside struct {
	*traversal
	work     *work
	groups   []group
	pkg      string // names of the Packages that fetch it
	files    []textFile
	size     int   // of what was kept of them, in bytes
	unpacked int64 // bytes of packed charts
	lock     *lock // nil when there is none that can be read
	out      result
	found    map[int]bool // entries of the lock that a file names, or values that make them

	fetched  map[place]string // references of nested fetches
	compared int              // versions with PackageInstalls
}

// lookInto reads what the template steps of its Packages read of a bundle, and what its lock names.
func (s *traversal) lookInto(ctx context.Context, w *work) (result, error) {
	b := &inside{traversal: s, work: w, pkg: names(w.uses), found: map[int]bool{}, fetched: map[place]string{}}
	var more bool
	if b.groups, more = groups(w.uses); more {
		b.note(newFinding(codeNotRead, report.Install, w.uses[0].at, "", "what it fetches is read by more than %d different sets of template steps; not all were looked at", maxGroups))
	}
	if w.node == nil {
		for _, t := range w.inline {
			b.files = append(b.files, textFile{path: cleanPath(t.path), data: []byte(t.data)})
		}
	} else if unread, err := b.read(ctx); unread || err != nil {
		return b.out, err
	}
	for _, f := range b.files {
		if f.data != nil && f.path != carvel.LockFile {
			b.out.Files++
		}
	}
	if len(b.groups) == 0 {
		b.references(group{})
	}
	for _, g := range b.groups {
		b.references(g)
	}
	b.nested()
	b.once()
	b.countIDs()
	b.out.findings = merge(b.out.findings)
	slices.SortStableFunc(b.out.findings, byLine)
	return b.out, nil
}

func (b *inside) countIDs() {
	if b.lock == nil {
		return
	}
	for i, e := range b.lock.Images {
		if e.Annotations[carvel.KbldID] == "" {
			continue
		}
		b.out.IDs++
		if b.found[i] {
			b.out.IDsFound++
		}
	}
}

// note takes over findings, as many as a report may have.
func (b *inside) note(list ...report.Finding) {
	for _, f := range list {
		if b.out.takes(f.Level, maxReported) {
			b.out.findings = append(b.out.findings, f)
		}
	}
}

// in returns the position of a file of the bundle.
func (b *inside) in(file string) position {
	return position{bundle: b.work.node.Name(), pkg: b.pkg, file: file}
}

// read reads the bundle and its lock.
func (b *inside) read(ctx context.Context) (unread bool, err error) {
	n := b.work.node
	var lockText []byte
	err = bundle.ReadText(ctx, b.src, n, b.wants, func(t bundle.Text) error {
		var packed []byte
		switch b.size += len(t.Data); {
		case !t.Regular:
		case t.Data == nil && t.Size > 0:
			b.note(newFinding(codeNotRead, report.Warning, b.in(t.Path), "", "has %d bytes, more than the limit of %d", t.Size, bundle.MaxText))
		case b.size > maxText:
			b.note(newFinding(codeNotRead, report.Install, b.in(""), "", "has more than %d bytes of text; what follows was not looked at", maxText))
			t.Data = nil
		case isBinary(t.Data) && !yamlnode.IsUTF16(t.Data):
			b.size -= len(t.Data)
			packed, t.Data = t.Data, nil
		case t.Path == carvel.LockFile && lockText == nil: // the first counts
			lockText = t.Data
		}
		if t.Regular { // what is not looked at is there all the same
			b.files = append(b.files, textFile{path: t.Path, data: t.Data})
		}
		if packed != nil && b.isPackedChart(t.Path) {
			b.unpack(t.Path, packed, 0)
		}
		return nil
	})
	b.wasRead()
	b.out.Bundles++
	if err != nil {
		code, why, err := explain(err)
		if err == nil {
			b.note(newFinding(code, report.Install, b.in(""), n.Name(), "the bundle cannot be read: %s", why))
		}
		return true, err
	}
	return false, b.readLock(ctx, lockText)
}

// readLock reads the bundle's lock, and looks for what it names.
func (b *inside) readLock(ctx context.Context, data []byte) error {
	at := b.in(carvel.LockFile)
	l, wrong := parseLock(data, at)
	b.note(wrong...)
	if l == nil {
		return nil
	}
	b.lock = l
	if b.work.depth == maxDepth {
		b.note(newFinding(codeDamaged, report.Install, at, "", "bundles are nested more than %d deep", maxDepth))
		l.Images = nil
		return nil
	}
	missing, err := b.localise(ctx, b.work.node, l, at)
	if err != nil {
		return err
	}
	b.note(missing...)
	for _, found := range l.there {
		if found.node != nil && found.node.Kind == bundle.Bundle {
			b.out.nested = append(b.out.nested, found.node)
		}
	}
	return nil
}

// leadsTo reports whether the path p of a step, a file or a folder, has file.
func leadsTo(p, file string) bool {
	p = cleanPath(p)
	return p == "" || p == file || strings.HasPrefix(file, p+"/")
}

// wants accepts the files that some Package's steps read, or all when there is none.
func (b *inside) wants(p string) bool {
	if p == carvel.LockFile {
		return true
	}
	if len(b.groups) == 0 {
		return !strings.HasPrefix(p, ".imgpkg/")
	}
	return slices.ContainsFunc(b.groups, func(g group) bool { return stepsRead(g.steps(), p) })
}

// stepsRead reports whether one of the steps reads the file p. A step without paths reads all when it is the first.
func stepsRead(steps []step, p string) bool {
	if len(steps) == 0 { // which kapp-controller refuses
		return true
	}
	for i, s := range steps {
		if s.paths == nil && (i == 0 || s.kind != "ytt" && s.kind != "kbld") {
			return true
		}
		reads := func(path string) bool { return path != "-" && leadsTo(path, p) }
		if slices.ContainsFunc(s.paths, reads) || slices.ContainsFunc(s.values, reads) {
			return true
		}
	}
	return false
}

// isBinary reports whether data is no text.
func isBinary(data []byte) bool { return bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data) }

// references looks at the references of the files that the uses of g read.
func (b *inside) references(g group) {
	c := &content{files: b.files, steps: g.steps()} // of the files, content takes those that the steps read
	if b.lock != nil {
		c.lock = b.lock.ImagesLock
	}
	refs, findings := c.references()
	b.schemaDefaults(c, g)
	for i, seen := range c.seen {
		b.found[i] = b.found[i] || seen
	}
	for _, f := range findings {
		if f.Code == codeWithoutID {
			if len(g.uses) == 0 { // nothing says that kbld reads the lock
				continue
			}
			f.Line = b.lock.lineOf(f.Reference)
		}
		if len(g.uses) == 0 && b.work.depth > 0 { // nothing says that a cluster ever sees it
			f.Level = report.Warning
		}
		f.Action = cmp.Or(f.Action, actions[f.Code])
		for _, at := range b.positions(g, f.File, f.Line) {
			f.Bundle, f.Package, f.File, f.Line = at.bundle, at.pkg, at.file, at.line
			b.note(f)
		}
	}
	for _, ref := range refs {
		b.reference(g, ref)
	}
}

// reference looks where a reference ends that the lock rewrites. Of any other, content has said what is wrong.
func (b *inside) reference(g group, ref reference) {
	b.out.References++
	if b.lock == nil || ref.entry < 0 || ref.entry >= len(b.lock.there) {
		return
	}
	code, why := b.lock.end(ref.entry)
	if code == "" {
		b.out.Inside++
		return
	}
	for _, at := range b.positions(g, ref.file, ref.line) {
		b.note(newFinding(code, report.Pull, at, ref.value, "names %s, which %s", quote(ref.value), why))
	}
}

// schemaDefaults looks at the defaults in the values schemas of g's Packages.
func (b *inside) schemaDefaults(c *content, g group) {
	for _, u := range g.uses {
		for _, f := range c.schemaDefaults(textFile{u.of.file, u.of.schema}, 1) {
			at := u.at.in(f.Line + u.of.Line - 1)
			f.Bundle, f.Package, f.Line = at.bundle, at.pkg, at.line
			b.note(f)
		}
	}
}
