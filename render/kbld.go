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

// kbld runs a kbld step. For what kbld would ask a registry the images say so, and the step goes on.
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
	sources := make([]kbld.Source, len(out.Documents))
	printed := &stream{text: out.Text}
	for i, doc := range out.Documents {
		sources[i] = doc.Source
		place := origins[doc.Source.Input].start(doc.Source.Document)
		printed.starts = append(printed.starts, place)
		for _, s := range stringsOf(i, doc.Text, place) {
			if s.Path != "/metadata/annotations/kbld.k14s.io~1images" {
				s.Place = origins[doc.Source.Input].at(doc.Source, s.Path)
				printed.strings = append(printed.strings, s)
			}
		}
	}
	for _, image := range out.Images {
		i := Image{Step: n.step, Document: image.Document, Path: image.Path, Value: image.Value, Result: image.Result}
		if image.Document < len(sources) {
			i.Place = origins[sources[image.Document].Input].at(sources[image.Document], image.Path)
		}
		n.result.Images = append(n.result.Images, i)
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
	file    string                       // of the app folder; empty: the file is the stream
	starts  []ytt.Place                  // of its documents
	strings map[int]map[string]ytt.Place // by document and JSON pointer
}

// originsOf returns the origins of a file that a step reads.
func (n *run) originsOf(f file) origins {
	if f.Origin != stdin || n.stream == nil {
		return origins{file: f.Origin}
	}
	o := origins{starts: n.stream.starts, strings: map[int]map[string]ytt.Place{}}
	for _, s := range n.stream.strings {
		if o.strings[s.Document] == nil {
			o.strings[s.Document] = map[string]ytt.Place{}
		}
		o.strings[s.Document][s.Path] = s.Place
	}
	return o
}

// start returns the place of a document.
func (o origins) start(doc int) ytt.Place {
	if doc < len(o.starts) {
		return o.starts[doc]
	}
	return ytt.Place{File: o.file}
}

// at returns the place of a string at a path of a document that kbld printed.
func (o origins) at(from kbld.Source, pointer string) ytt.Place {
	if from.Item >= 0 {
		pointer = "/items/" + strconv.Itoa(from.Item) + pointer
	}
	if place, ok := o.strings[from.Document][pointer]; ok {
		return place
	}
	return o.start(from.Document)
}
