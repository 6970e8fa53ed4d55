package ytt

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"carvel.dev/ytt/pkg/cmd/template"
	"carvel.dev/ytt/pkg/filepos"
	"carvel.dev/ytt/pkg/files"
	"carvel.dev/ytt/pkg/orderedmap"
	"carvel.dev/ytt/pkg/version"
	"carvel.dev/ytt/pkg/workspace"
	"carvel.dev/ytt/pkg/workspace/datavalues"
	"carvel.dev/ytt/pkg/yamlmeta"
	_ "carvel.dev/ytt/pkg/yttlibraryext" // @ytt:toml
)

// reply is the child's side of Run.
func reply(request []byte) ([]byte, error) {
	in, err := decodeRequest(request)
	if err != nil {
		return nil, err
	}
	text, a, err := render(in)
	if err != nil {
		a = answer{Failed: err.Error()}
	}
	return encodeAnswer(text, a), nil
}

// stdin is the path that ytt gives to standard input.
const stdin = "stdin.yml"

// source is an input file, and whether it was read. While it is spared it seems empty.
type source struct {
	files.BytesSource
	origin       string
	read, spared bool
}

// Description names the file in messages as the program does.
func (s *source) Description() string {
	if path := s.BytesSource.Description(); s.origin == "" || path == stdin {
		return path
	}
	return "file " + s.origin
}

func (s *source) Bytes() ([]byte, error) {
	if s.read = true; s.spared {
		return nil, nil
	}
	return s.BytesSource.Bytes()
}

// render runs ytt in this process. Its errors are ytt's.
func render(in Input) ([]byte, answer, error) {
	version.Version = "0.51.1"
	opts := template.NewOptions()
	opts.IgnoreUnknownComments = in.IgnoreUnknownComments
	opts.DataValuesFlags.Inspect = in.Inspect == DataValues
	if in.Inspect == Schema {
		opts.DataValuesFlags.InspectSchema = true
		opts.RegularFilesSourceOpts.OutputType.Types = []string{template.RegularFilesOutputTypeOpenAPI}
	}
	// The library asks for each file once, in order, by the name that it has in messages.
	for _, f := range in.Values {
		opts.DataValuesFlags.FromFiles = append(opts.DataValuesFlags.FromFiles, valuesName(f))
	}
	given := in.Values
	opts.DataValuesFlags.ReadFilesFunc = func(string) ([]*files.File, error) {
		_, file, err := newFile(given[0])
		given = given[1:]
		return []*files.File{file}, err
	}

	sources, all := make([]*source, len(in.Files)), make([]*files.File, len(in.Files))
	for i, f := range in.Files {
		var err error
		if sources[i], all[i], err = newFile(f); err != nil {
			return nil, answer{}, err
		}
	}
	marks := template.FileMarksOpts{FileMarks: in.FileMarks}
	marked, err := marks.Apply(files.NewSortedFiles(slices.Clone(all)))
	if err != nil {
		return nil, answer{}, err
	}
	p := &printer{places: newPlaces(all, in)}
	var text []byte
	if in.Inspect != "" {
		text, err = inspect(opts, marked, p)
	} else {
		text, err = run(opts, marked, spared(all, sources), p)
	}
	if err != nil {
		return nil, answer{}, err
	}
	p.answer.Uses = uses(all, marked, sources)
	return text, p.answer, nil
}

// try runs a part of ytt. Where ytt panics, so does the program of kapp-controller.
func try(part func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &FailedError{fmt.Sprintf("panic: %v", v)}
		}
	}()
	return part()
}

// inspect prints what is asked for in place of the result.
func inspect(opts *template.Options, list []*files.File, p *printer) (text []byte, err error) {
	err = try(func() error {
		result := opts.RunWithFiles(template.Input{Files: list}, silent{})
		if result.Err != nil {
			return result.Err
		}
		p.visit(result.DocSet)
		text, err = result.DocSet.AsBytes()
		return err
	})
	return text, err
}

// run does what RunWithFiles of ytt's command does, and prints the result. The spared files are not
// read for a schema and for data values.
func run(opts *template.Options, list []*files.File, spared []*source, p *printer) (text []byte, err error) {
	var values, ofLibraries []*datavalues.Envelope
	err = try(func() error {
		values, ofLibraries, err = opts.DataValuesFlags.AsOverlays(opts.StrictYAML)
		return err
	})
	if err != nil {
		return nil, err
	}
	library := workspace.NewRootLibrary(list)
	loading := workspace.TemplateLoaderOpts{IgnoreUnknownComments: opts.IgnoreUnknownComments}
	root := workspace.NewLibraryExecutionFactory(silent{}, loading, false).New(workspace.LibraryExecutionContext{Current: library, Root: library})
	err = try(func() error {
		spare(spared, true)
		schema, schemas, err := root.Schemas(nil)
		if err != nil {
			return err
		}
		declared, declaredOfLibraries, err := root.Values(values, schema)
		if err != nil {
			return err
		}
		spare(spared, false)
		result, err := root.Eval(declared, append(declaredOfLibraries, ofLibraries...), schemas)
		if err != nil {
			return err
		}
		p.visit(result.DocSet)
		text = printed(result.Files)
		return nil
	})
	if err == nil || len(spared) == 0 {
		return text, err
	}
	// ytt reads all files for a schema first, and fails where it cannot parse one.
	spare(spared, false)
	return nil, cmp.Or(try(func() error { _, _, err := root.Schemas(nil); return err }), err)
}

// printed returns the documents of output files, which ytt has printed already.
func printed(list []files.OutputFile) []byte {
	var texts [][]byte
	for _, f := range list {
		if f.Type() == files.TypeYAML && len(f.Bytes()) > 0 {
			texts = append(texts, f.Bytes())
		}
	}
	return bytes.Join(texts, []byte("---\n"))
}

// declaration begins the annotations of a schema and of data values.
var declaration = []byte("@data/values")

// spared returns the files that declare no schema and no data values. ytt parses each of them twice to
// find that out, before it evaluates them, which takes a third of its time. There are none when a file
// that declares something may read others.
func spared(list []*files.File, sources []*source) (spared []*source) {
	for i, f := range list {
		if f.Type() != files.TypeYAML || !f.IsTemplate() {
			continue
		}
		data, _ := sources[i].BytesSource.Bytes() // in memory
		declares := bytes.Contains(data, declaration)
		if !utf8.Valid(data) || declares && bytes.Contains(data, []byte("load")) {
			return nil
		}
		if !declares {
			spared = append(spared, sources[i])
		}
	}
	return spared
}

func spare(list []*source, spared bool) {
	for _, s := range list {
		s.spared = spared
	}
}

// valuesName returns the name of a file of data values. It begins with no @: that would be a library.
func valuesName(f File) string {
	name := cmp.Or(f.Origin, f.Path)
	if strings.HasPrefix(name, "@") {
		return "./" + name
	}
	return name
}

func newFile(f File) (*source, *files.File, error) {
	s := &source{BytesSource: files.NewBytesSource(f.Path, f.Data), origin: f.Origin}
	file, err := files.NewFileFromSource(s)
	return s, file, err
}

func uses(all, marked []*files.File, sources []*source) []FileUse {
	kept := map[*files.File]bool{}
	for _, f := range marked {
		kept[f] = true
	}
	list := make([]FileUse, len(all))
	for i, f := range all {
		if kept[f] {
			list[i] = FileUse{
				Template: f.IsTemplate(),
				Output:   f.IsForOutput() && f.Type() == files.TypeYAML && !private(f.RelativePath()),
				Read:     sources[i].read,
			}
		}
	}
	return list
}

// private reports whether a file is of a library: ytt prints of it what a template asks for.
func private(path string) bool {
	return strings.Contains("/"+path, "/_ytt_lib/")
}

// silent is the user interface of a program that says nothing.
type silent struct{}

func (silent) Printf(string, ...any)  {}
func (silent) Debugf(string, ...any)  {}
func (silent) Warnf(string, ...any)   {}
func (silent) DebugWriter() io.Writer { return io.Discard }

// printer keeps the strings of documents that ytt prints.
type printer struct {
	places places
	answer answer
}

// visit keeps the strings of all documents of a set that are printed.
func (p *printer) visit(set *yamlmeta.DocumentSet) {
	_, _ = set.AsBytesWithPrinter(func(io.Writer) yamlmeta.DocumentPrinter { return p }) // it has no errors
}

// Print keeps the strings of a document.
func (p *printer) Print(doc *yamlmeta.Document) error {
	first := wirePlace{File: -1}
	if m, ok := doc.Value.(*yamlmeta.Map); ok && len(m.Items) > 0 {
		first = p.places.of(m.Items[0].Position, first)
	}
	start := p.places.of(doc.Position, first)
	p.answer.Starts = append(p.answer.Starts, start)
	p.walk(doc.Value, nil, start)
	return nil
}

// walk keeps the strings in a value at a path, which is at a place unless ytt knows a nearer one.
func (p *printer) walk(value any, path []byte, at wirePlace) {
	switch value := value.(type) {
	case *yamlmeta.Map:
		for _, item := range value.Items {
			p.walk(item.Value, token(path, fmt.Sprint(item.Key)), p.places.of(item.Position, at))
		}
	case *yamlmeta.Array:
		for i, item := range value.Items {
			p.walk(item.Value, token(path, strconv.Itoa(i)), p.places.of(item.Position, at))
		}
	case *orderedmap.Map: // of values: without places
		value.Iterate(func(key, value any) { p.walk(value, token(path, fmt.Sprint(key)), at) })
	case []any:
		for i, item := range value {
			p.walk(item, token(path, strconv.Itoa(i)), at)
		}
	case string:
		if MayHoldReference(value) {
			p.answer.Strings = append(p.answer.Strings, wireString{len(p.answer.Starts) - 1, string(path), value, at})
		}
	}
}

var escapes = strings.NewReplacer("~", "~0", "/", "~1")

// token appends a token to a JSON pointer.
func token(path []byte, key string) []byte {
	return append(append(path[:len(path):len(path)], '/'), escapes.Replace(key)...)
}

// places finds the input file of a position: ytt names it by a path that several may have.
type places struct {
	files map[string][]int // by path, indexes of files
	lines map[int][]string // of files whose path is another's, too
}

func newPlaces(all []*files.File, in Input) places {
	p := places{map[string][]int{}, map[int][]string{}}
	for i, f := range all {
		p.files[f.RelativePath()] = append(p.files[f.RelativePath()], i)
	}
	for i, f := range in.Values {
		p.files[f.Path] = append(p.files[f.Path], len(all)+i)
	}
	for _, same := range p.files {
		for _, i := range same {
			if len(same) > 1 {
				p.lines[i] = strings.Split(string(slices.Concat(in.Files, in.Values)[i].Data), "\n")
			}
		}
	}
	return p
}

// of returns the place of a position, or one that is known where ytt does not know it, or where
// files with one path have the same line.
func (p places) of(at *filepos.Position, known wirePlace) wirePlace {
	if !at.IsKnown() {
		return known
	}
	line, found := at.LineNum(), -1
	same := p.files[at.GetFile()]
	for _, i := range same {
		if len(same) > 1 && (line > len(p.lines[i]) || strings.TrimSpace(p.lines[i][line-1]) != strings.TrimSpace(at.GetLine())) {
			continue
		}
		if found >= 0 {
			return known
		}
		found = i
	}
	if found < 0 {
		return known
	}
	return wirePlace{found, line}
}
