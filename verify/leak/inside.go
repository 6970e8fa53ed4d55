package leak

import (
	"bytes"
	"context"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"relocate/bundle"
)

// result is what was found in one bundle: the counts of it in a Report, and the bundles that its lock names.
type result struct {
	Report
	findings []bundle.Finding
	nested   []*bundle.Node
}

// inside is one bundle, or inline fetch, while it is looked into.
type inside struct {
	*traversal
	work  *work
	files []textFile
	lock  *lock // nil when there is none that can be read
	out   result
	found map[int]bool // entries of the lock that a file names, or values that make them
}

// lookInto reads what the template steps of its Packages read of a bundle, and what its lock names.
func (s *traversal) lookInto(ctx context.Context, w *work) (result, error) {
	b := &inside{traversal: s, work: w, found: map[int]bool{}}
	if w.node == nil {
		for _, t := range w.inline {
			b.files = append(b.files, textFile{path: path.Clean(t.path), data: []byte(t.data)})
		}
	} else if unread, err := b.read(ctx); unread || err != nil {
		return b.out, err
	}
	for _, f := range b.files {
		if f.data != nil && f.path != bundle.LockFile {
			b.out.Files++
		}
	}
	for _, group := range groups(w.uses) {
		b.references(group)
	}
	b.nested()
	if b.lock != nil {
		for i, e := range b.lock.Images {
			if e.Annotations[bundle.KbldID] == "" {
				continue
			}
			b.out.IDs++
			if b.found[i] {
				b.out.IDsFound++
			}
		}
	}
	slices.SortStableFunc(b.out.findings, byLine)
	return b.out, nil
}

func (b *inside) note(list ...bundle.Finding) { b.out.findings = append(b.out.findings, list...) }

// in returns the position of a file of the bundle.
func (b *inside) in(file string) position {
	return position{bundle: b.work.node.Name(), pkg: names(b.work.uses), file: file}
}

// read reads the bundle and its lock.
func (b *inside) read(ctx context.Context) (unread bool, err error) {
	n := b.work.node
	var lockText []byte
	size := 0
	err = bundle.ReadText(ctx, b.src, n, b.wants, func(t bundle.Text) error {
		switch size += len(t.Data); {
		case !t.Regular:
		case t.Data == nil && t.Size > 0:
			b.note(newFinding(bundle.NotRead, bundle.Warning, b.in(t.Path), "", "has %d bytes, more than the limit of %d", t.Size, bundle.MaxText))
		case size > maxText:
			b.note(newFinding(bundle.NotRead, bundle.Warning, b.in(""), "", "has more than %d bytes of text; what follows was not looked at", maxText))
			t.Data = nil
		case isBinary(t.Data):
			size -= len(t.Data)
			t.Data = nil
		case t.Path == bundle.LockFile && lockText == nil: // the first counts
			lockText = t.Data
		}
		if t.Regular { // what is not looked at is there all the same
			b.files = append(b.files, textFile{path: t.Path, data: t.Data})
		}
		return nil
	})
	b.wasRead()
	b.out.Bundles++
	if err != nil {
		code, why, err := explain(err)
		if err == nil {
			b.note(newFinding(code, bundle.Install, b.in(""), n.Name(), "the bundle cannot be read: %s", why))
		}
		return true, err
	}
	return false, b.readLock(ctx, lockText)
}

// readLock reads the bundle's lock, and looks for what it names.
func (b *inside) readLock(ctx context.Context, data []byte) error {
	at := b.in(bundle.LockFile)
	l, wrong := parseLock(data, at)
	b.note(wrong...)
	if l == nil {
		return nil
	}
	b.lock = l
	if b.work.depth == maxDepth {
		b.note(newFinding(Damaged, bundle.Install, at, "", "bundles are nested more than %d deep", maxDepth))
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
	p = strings.Trim(path.Clean("/"+p), "/")
	return p == "" || p == file || strings.HasPrefix(file, p+"/")
}

// wants accepts the files that some Package's steps read, or all that may be YAML or text when there is none.
func (b *inside) wants(p string) bool {
	if p == bundle.LockFile {
		return true
	}
	if len(b.work.uses) == 0 {
		return !strings.HasPrefix(p, ".imgpkg/")
	}
	return slices.ContainsFunc(b.work.uses, func(u use) bool { return stepsRead(u.steps, p) })
}

// stepsRead reports whether one of the steps reads the file p. A step without paths reads all when it is the first.
func stepsRead(steps []step, p string) bool {
	if len(steps) == 0 { // which kapp-controller refuses
		return true
	}
	for i, s := range steps {
		if len(s.paths) == 0 && i == 0 && len(s.inline) == 0 {
			return true
		}
		if slices.ContainsFunc(s.paths, func(path string) bool { return path != "-" && leadsTo(path, p) }) {
			return true
		}
	}
	return false
}

// isBinary reports whether data is no text.
func isBinary(data []byte) bool { return bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data) }

// groups returns the uses whose steps read the same in the same way together; one group of none for no uses.
func groups(uses []use) [][]use {
	if len(uses) == 0 {
		return [][]use{nil}
	}
	var list [][]use
	for _, u := range uses {
		i := slices.IndexFunc(list, func(group []use) bool { return sameSteps(group[0].steps, u.steps) })
		if i < 0 {
			list = append(list, nil)
			i = len(list) - 1
		}
		list[i] = append(list[i], u)
	}
	return list
}

func sameSteps(a, b []step) bool {
	return slices.EqualFunc(a, b, func(a, b step) bool {
		return a.kind == b.kind && slices.Equal(a.paths, b.paths) && maps.Equal(a.inline, b.inline)
	})
}

// references looks at the references of the files that a group of uses reads.
func (b *inside) references(group []use) {
	c := &content{}
	if b.lock != nil {
		c.lock = b.lock.ImagesLock
	}
	for _, f := range b.files {
		if len(group) == 0 || b.work.node == nil || stepsRead(group[0].steps, f.path) {
			c.files = append(c.files, f)
		}
	}
	if len(group) > 0 {
		c.steps = group[0].steps
	}
	refs, findings := c.references()
	for _, u := range group {
		for _, f := range c.schemaDefaults(textFile{u.of.file, u.of.schema}, 1) {
			at := u.at.in(f.Line + u.of.Line - 1)
			f.Bundle, f.Package, f.Line = at.bundle, at.pkg, at.line
			b.note(f)
		}
	}
	for i, seen := range c.seen {
		b.found[i] = b.found[i] || seen
	}
	for _, f := range findings {
		if f.Code == WithoutID {
			if len(group) == 0 { // nothing says that kbld reads the lock
				continue
			}
			f.Line = b.lock.lineOf(f.Reference)
		}
		f.Action = orElse(f.Action, actions[f.Code])
		for _, at := range b.positions(group, f.File, f.Line) {
			f.Bundle, f.Package, f.File, f.Line = at.bundle, at.pkg, at.file, at.line
			b.note(f)
		}
	}
	for _, ref := range refs {
		b.out.References++
		if ref.entry < 0 || b.lock == nil || ref.entry >= len(b.lock.there) {
			continue
		}
		code, why := b.lock.end(ref.entry)
		if code == "" {
			b.out.Inside++
			continue
		}
		for _, at := range b.positions(group, ref.file, ref.line) {
			b.note(newFinding(code, bundle.Pull, at, ref.value, "names %s, which %s", quote(ref.value), why))
		}
	}
}

// positions returns where line of file is for people: in a file of the bundle, in the Package that has the
// file inline, or, of no file, in the steps of each Package of the group.
func (b *inside) positions(group []use, file string, line int) []position {
	if file == "" {
		var list []position
		for _, u := range group {
			at := u.at
			for i, s := range group[0].steps {
				if s.line == line && i < len(u.steps) {
					at.line = u.steps[i].line
				}
			}
			list = append(list, at)
		}
		return list
	}
	var list []position
	for _, u := range group {
		texts := u.inline
		if b.work.node == nil {
			texts = slices.Concat(texts, b.work.inline)
		}
		for _, t := range texts {
			if path.Clean(t.path) == path.Clean(strings.TrimPrefix(file, "(inline) ")) {
				list = append(list, u.at.in(t.at(line)))
				break
			}
		}
	}
	switch {
	case len(list) > 0:
		return list
	case b.work.node == nil:
		return []position{group[0].at}
	}
	return []position{{bundle: b.work.node.Name(), pkg: names(group), file: file, line: line}}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
