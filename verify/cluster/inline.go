package cluster

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/text"
	"relocate/internal/yamlnode"
	"relocate/render/kbld"
	"relocate/report"
	"relocate/verify/leak/content"
	"relocate/verify/leak/kappctrl"
)

// inlined are the files in the text of an App or a Package: of an inline fetch, or of a ytt step.
type inlined struct {
	object  *object
	files   []inlineFile
	bundles []fetchedBundle
	steps   [][]string // the paths of each kbld step that sees files
}

// inlineFile is a file in a string of an object.
type inlineFile struct {
	name, data string
	path       string // of the string in the object
	line       int    // of its first line in the input
	block      bool   // its lines are lines of the input
	kbld       int    // index in steps of the first kbld step that its documents go through; -1 for none
}

// fetchedBundle is a bundle that an App fetches into a folder.
type fetchedBundle struct{ ref, folder string }

// inlineFiles adds the inline files of the App whose spec is app.
func (x *extraction) inlineFiles(app *yaml.Node, at ...string) {
	in := inlined{object: x.object}
	fetches, steps := yamlnode.Items(yamlnode.Get(app, "fetch")), yamlnode.Items(yamlnode.Get(app, "template"))
	stepOf := make([]int, len(steps)+1) // the kbld step that the output of each step goes through next
	stepOf[len(steps)] = -1
	for i, step := range slices.Backward(steps) {
		stepOf[i] = stepOf[i+1]
		if how := yamlnode.Get(step, "kbld"); how != nil || hasKey(step, "kbld") {
			stepOf[i] = len(in.steps)
			in.steps = append(in.steps, texts(yamlnode.Get(how, "paths")))
		}
	}
	for i, fetch := range fetches {
		folder := yamlnode.Text(fetch, "path")
		if folder == "" && len(fetches) > 1 {
			folder = strconv.Itoa(i)
		}
		if ref := yamlnode.Text(fetch, "imgpkgBundle", "image"); ref != "" {
			in.bundles = append(in.bundles, fetchedBundle{ref, folder})
		}
		x.path = append(slices.Clone(at), "fetch", fmt.Sprintf("[%d]", i), "inline", "paths")
		x.inlinePaths(&in, yamlnode.Get(fetch, "inline", "paths"), folder, stepOf[0])
	}
	for i, step := range steps {
		x.path = append(slices.Clone(at), "template", fmt.Sprintf("[%d]", i), "ytt", "inline", "paths")
		x.inlinePaths(&in, yamlnode.Get(step, "ytt", "inline", "paths"), fmt.Sprintf("(inline %d)", i), stepOf[i])
	}
	if len(in.files) > 0 {
		x.objects.inlined = append(x.objects.inlined, in)
	}
}

// inlinePaths adds the files of a mapping from path to content.
func (x *extraction) inlinePaths(in *inlined, paths *yaml.Node, folder string, step int) {
	for name, value := range yamlnode.Pairs(paths) {
		if value.Kind != yaml.ScalarNode {
			continue
		}
		f := inlineFile{name: path.Join(folder, name), data: value.Value, path: x.at(name), line: value.Line, kbld: step}
		if f.block = value.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0; f.block {
			f.line++ // the mark of the block is on the line before
		}
		x.objects.held += heldClaim + len(f.data) + len(f.path)
		in.files = append(in.files, f)
	}
}

// hasKey reports whether a mapping has a key, with or without a value.
func hasKey(n *yaml.Node, key string) bool {
	for k := range yamlnode.Pairs(n) {
		if k == key {
			return true
		}
	}
	return false
}

// texts returns the texts of a sequence of scalars.
func texts(n *yaml.Node) (list []string) {
	for _, item := range yamlnode.Items(n) {
		list = append(list, yamlnode.Text(item))
	}
	return list
}

// inlineFiles examines the files in the text of Apps and Packages.
func (v *verification) inlineFiles(ctx context.Context) error {
	var claims []claim
	for i := range v.objects.inlined {
		in := &v.objects.inlined[i]
		scan := &inlineScan{verification: v, in: in}
		files, lock, err := scan.open(ctx)
		if err != nil {
			return err
		}
		content.Scan(files, lock, scan)
		claims = append(claims, scan.claims...)
	}
	for i := range claims {
		v.wantClaim(&claims[i])
	}
	if err := v.asker.ask(ctx); err != nil {
		return err
	}
	v.result.References += len(claims)
	for i := range claims {
		ref, _ := v.inside(claims[i].ref)
		v.local(&claims[i], ref)
	}
	return nil
}

// inlineScan is the scan of the inline files of one object.
type inlineScan struct {
	*verification
	in     *inlined
	steps  []*kbld.Step // of in
	locks  kbld.Step    // has the locks only
	locked []string     // by entry of the locks: where kbld points to
	claims []claim      // that lead into the repository
}

// open returns the files with the kbld steps that they go through, and a step that has the locks
// only.
func (s *inlineScan) open(ctx context.Context) ([]*content.File, *kbld.Step, error) {
	for range s.in.steps {
		s.steps = append(s.steps, &kbld.Step{})
	}
	if len(s.steps) > 0 {
		for _, b := range s.in.bundles {
			if err := s.addBundle(ctx, b); err != nil {
				return nil, nil, err
			}
		}
	}
	var files []*content.File
	for _, f := range s.in.files {
		s.add(f.name, []byte(f.data), nil)
		file := &content.File{Path: f.name, Data: []byte(f.data)}
		if f.kbld >= 0 {
			file.Kbld = s.steps[f.kbld]
		}
		files = append(files, file)
	}
	return files, &s.locks, nil
}

// reads reports whether a kbld step of the object reads a file by one of its paths.
func reads(paths []string, file string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return p != "-" && kappctrl.LeadsTo(p, file) })
}

// add adds a file, or a lock, to the kbld steps that read it.
func (s *inlineScan) add(name string, data []byte, lock *carvel.ImagesLock) {
	for i, paths := range s.in.steps {
		switch {
		case !reads(paths, name):
		case lock != nil:
			s.steps[i].AddLock(name, lock, len(s.locked))
		default:
			s.steps[i].AddFile(name, data)
		}
	}
}

// addBundle adds the lock of a bundle, and the files that the kbld steps read.
func (s *inlineScan) addBundle(ctx context.Context, b fetchedBundle) error {
	n := s.bundleOf(&claim{kind: bundleFetch, ref: b.ref})
	if n == nil {
		return nil
	}
	all := slices.Concat(s.in.steps...)
	err := n.Files(ctx, s.asker.source, func(p string) bool {
		return p == carvel.LockFile || reads(all, path.Join(b.folder, p))
	}, func(f bundle.File, content io.Reader) error {
		switch {
		case !f.Mode.IsRegular():
			return nil
		case f.Size > yamlnode.MaxSize:
			s.noteOf(0, report.Finding{Code: codeNotChecked, Level: report.Warning, Reference: b.ref,
				Message: fmt.Sprintf("its file %s has %d bytes, more than the limit of %d: it was not read", text.Quote(f.Path), f.Size, yamlnode.MaxSize)})
			return nil
		}
		data, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		name := path.Join(b.folder, f.Path)
		lock, err := carvel.ParseImagesLock(data)
		if f.Path != carvel.LockFile || err != nil {
			s.add(name, data, nil)
			return nil
		}
		s.locks.AddLock(name, lock, len(s.locked))
		s.add(name, nil, lock)
		for _, e := range lock.Images {
			s.locked = append(s.locked, s.repo.Digest(e.Image.DigestStr()).Name())
		}
		return nil
	})
	wrong, broken := damage(err)
	if wrong != nil {
		s.noteOf(0, report.Finding{Code: codeNotChecked, Level: report.Warning, Reference: b.ref, Message: "its lock cannot be read: " + saying(wrong.Error())})
	}
	return broken
}

// Reference implements content.Sink.
func (s *inlineScan) Reference(r content.Reference) {
	i, line := s.place(r.File, r.Line)
	c := claim{object: s.in.object, path: s.in.files[i].path, line: line, ref: r.Value, level: report.Pull}
	if r.Rewritten {
		c.ref = s.locked[r.Entry]
	}
	ref, inside := s.inside(c.ref)
	switch {
	case inside:
		s.claims = append(s.claims, c)
	case ref != nil && s.allowed(ref.Context().RegistryStr(), ref.Context().RepositoryStr()):
		s.result.References++
		s.result.Allowed++
	default: // the scan notes it
		s.result.References++
	}
}

// Note implements content.Sink. It drops what is about a place where images may be.
func (s *inlineScan) Note(f report.Finding) {
	if _, inside := s.inside(f.Reference); inside || slices.ContainsFunc(s.opt.Allow, func(p Place) bool { return p.Holds(f.Reference) }) {
		return
	}
	i, line := s.place(f.File, f.Line)
	f.Line = line
	s.noteOf(i, f)
}

// noteOf adds a finding about file i.
func (s *inlineScan) noteOf(i int, f report.Finding) {
	f = f.Advised()
	f.Object, f.Path, f.File = &s.in.object.Object, s.in.files[i].path, ""
	f.Line = max(f.Line, s.in.files[i].line)
	s.result.Findings = append(s.result.Findings, f)
}

// place returns the index of a file, and the line of the input for a line of it.
func (s *inlineScan) place(name string, line int) (int, int) {
	i := max(slices.IndexFunc(s.in.files, func(f inlineFile) bool { return f.name == name }), 0)
	f := s.in.files[i]
	if !f.block || line < 1 {
		return i, f.line
	}
	return i, f.line + line - 1
}
