package render

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"

	"relocate/render/kbld"
	"relocate/render/ytt"
)

// kbld runs a kbld step. Where kbld would ask a registry, the image says so and the step continues.
func (n *run) kbld(s *kbldStep) (*stream, error) {
	for _, p := range s.Paths {
		if strings.Contains(p, ",") { // kbld takes it for several paths
			return nil, message("kbld splits the path " + strconv.Quote(p) + " at its comma: no such file or directory")
		}
	}
	files, err := n.paths(s.Paths, func(f file) bool {
		return slices.Contains([]string{".json", ".yaml", ".yml"}, path.Ext(f.Path))
	})
	if err != nil {
		return nil, err
	}
	inputs := make([]kbld.Input, len(files))
	for i, f := range files {
		n.use(f)
		inputs[i] = kbld.Input{Path: f.Origin, Data: f.Data}
	}
	out, err := kbld.Run(inputs)
	if out == nil {
		return nil, kbldFailed(err)
	}
	origins := make([]origins, len(files))
	for i, f := range files {
		origins[i] = n.originsOf(f)
	}
	for _, fault := range out.Faults {
		text, action := faultOf(fault)
		n.fault(CodeChanged, n.stepName(n.step)+": "+text, action)
		n.result.Faults[len(n.result.Faults)-1].Place = origins[fault.Source.Input].start(fault.Source.Document)
	}
	seen := map[int]bool{} // documents with images
	for _, image := range out.Images {
		seen[image.Document] = true
		i := Image{Step: n.step, Document: image.Document, Path: image.Path, Value: image.Value, Result: image.Result}
		if image.Document < len(out.Documents) {
			source := out.Documents[image.Document].Source
			i.Place = origins[source.Input].at(source, image.Path)
		}
		n.result.Images = append(n.result.Images, i)
	}
	printed := &stream{text: out.Text}
	for i, doc := range out.Documents {
		from := origins[doc.Source.Input]
		printed.starts = append(printed.starts, from.start(doc.Source.Document))
		printed.strings = append(printed.strings, from.printed(i, doc, seen[i])...)
	}
	if asked := (*kbld.AskedError)(nil); err != nil && !errors.As(err, &asked) {
		return nil, kbldFailed(err)
	}
	return printed, nil
}

// kbldFailed makes the message of kbld one of ours. Limits of ours are reasons why there is no
// rendering.
func kbldFailed(err error) error {
	if failed := (*kbld.FailedError)(nil); errors.As(err, &failed) {
		return message(failed.Message)
	}
	return notRendered("%v", err)
}

// faultOf says what kbld does to a document without a word, and what to do about it.
func faultOf(f kbld.Fault) (text, action string) {
	switch f.Kind {
	case kbld.LostWrapper:
		return "of a document of kind " + strconv.Quote(f.Detail) + " with items, only the items are printed", "print the items as documents of their own"
	case kbld.LostText:
		return `a document ends before its text does: what is behind "..." or behind a JSON value is lost`, "separate documents with ---"
	case kbld.LostAnnotations:
		return "the annotation " + strconv.Quote(f.Detail) + " is not a string: all annotations of the document are lost", "quote the values of annotations"
	}
	return "the integer " + f.Detail + " is rounded", "quote the integer, or use a smaller one"
}

// origins say where the strings of a file come from that a step reads.
type origins struct {
	file   string               // of the app folder; for the stream it is stdin
	starts []ytt.Place          // of its documents
	parts  map[part]*partOrigin // of the stream
}

// part is a document, or an item of it when item is not -1.
type part struct{ document, item int }

// partOrigin has the strings of a part, with paths in it.
type partOrigin struct {
	strings []ytt.String
	places  map[string]ytt.Place
}

// originsOf returns the origins of a file that a step reads.
func (n *run) originsOf(f file) origins {
	if f.Origin != stdin || n.stream == nil {
		return origins{file: f.Origin}
	}
	o := origins{file: stdin, starts: n.stream.starts, parts: map[part]*partOrigin{}}
	for _, s := range n.stream.strings {
		o.add(part{s.Document, -1}, s)
		if index, rest, ok := strings.Cut(strings.TrimPrefix(s.Path, "/items/"), "/"); ok && strings.HasPrefix(s.Path, "/items/") {
			if item, err := strconv.Atoi(index); err == nil {
				s.Path = "/" + rest
				o.add(part{s.Document, item}, s)
			}
		}
	}
	return o
}

func (o origins) add(p part, s ytt.String) {
	of := o.parts[p]
	if of == nil {
		of = &partOrigin{places: map[string]ytt.Place{}}
		o.parts[p] = of
	}
	of.strings = append(of.strings, s)
	of.places[s.Path] = s.Place
}

// printed returns the strings of a document that kbld printed. Where it saw no images they are those
// of the document that it read.
func (o origins) printed(i int, doc kbld.Document, hasImages bool) (list []ytt.String) {
	if o.file == stdin && !hasImages {
		if of := o.parts[part{doc.Source.Document, doc.Source.Item}]; of != nil {
			list = of.strings
		}
		for j := range list {
			list[j].Document = i
		}
		return list
	}
	for _, s := range stringsOf(i, doc.Text, ytt.Place{}) {
		if s.Path != "/metadata/annotations/kbld.k14s.io~1images" { // kbld's own
			s.Place = o.at(doc.Source, s.Path)
			list = append(list, s)
		}
	}
	return list
}

// start returns the place of a document.
func (o origins) start(doc int) ytt.Place {
	if doc < len(o.starts) {
		return o.starts[doc]
	}
	if o.file == stdin {
		return ytt.Place{}
	}
	return ytt.Place{File: o.file}
}

// at returns the place of a string at a path of a document that kbld printed.
func (o origins) at(from kbld.Source, path string) ytt.Place {
	if of := o.parts[part{from.Document, from.Item}]; of != nil {
		if place, ok := of.places[path]; ok {
			return place
		}
	}
	return o.start(from.Document)
}
