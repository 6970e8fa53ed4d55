package leak

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"relocate/report"
)

// lockFile is where a bundle has its ImagesLock.
const lockFile = ".imgpkg/images.yml"

// isLock reports whether a file is the bundle's ImagesLock. imgpkg rewrites no other.
func isLock(file string) bool { return file == lockFile }

// input is a file that a template step reads.
type input struct {
	textFile
	kbld  *kbld  // the first kbld step that its documents go through; nil for none
	chart *chart // the Helm chart it is of; nil for none
	cue   bool   // a cue step reads it

	starts []int32 // offsets of its lines
}

// inlineMark is before the path of a file that a step has inline.
const inlineMark = "(inline) "

// Limits on the steps of a package. Real ones have up to four, with three paths.
const (
	maxSteps = 20
	maxPaths = 1000 // of one step
)

// inputs returns the files that the steps read, by path, inline ones last, and builds the kbld steps.
// Without steps, that is all files, and a kbld step with the lock is taken for granted.
func (s *scan) inputs() []*input {
	f := flow{scan: s, read: map[int]bool{}}
	for _, file := range s.files {
		f.all = append(f.all, &input{textFile: textFile{cleanPath(file.path), file.data}})
	}
	slices.SortStableFunc(f.all, func(a, b *input) int { return strings.Compare(a.path, b.path) })
	f.files = len(f.all)
	s.charts(f.all)
	if len(s.steps) == 0 {
		k := &kbld{}
		k.addLock(s, false)
		for _, in := range f.all {
			in.kbld, in.cue = k, true
		}
		s.dependencies("")
		return f.all
	}
	for i := range s.steps {
		if i == maxSteps {
			s.note(place{line: s.steps[i].line}, codeNotRead, report.Install, "",
				fmt.Sprintf("has more than %d template steps; the others were not looked at", maxSteps), "")
			break
		}
		f.step(&s.steps[i])
	}
	var out []*input
	for i, in := range f.all {
		if f.read[i] {
			out = append(out, in)
		}
	}
	return out
}

// flow follows files through the steps, as kapp-controller runs them: each reads files of the fetched folder
// or what the step before gave.
type flow struct {
	*scan
	all    []*input
	files  int          // how many of all are of the folder: they come first, sorted
	read   map[int]bool // indexes of all
	stream []int        // what the step before gave: indexes of all, in the order read
	piped  bool         // there was such a step
}

// step runs a step.
func (f *flow) step(st *step) {
	in := f.stepInputs(st)
	if st.kind == "sops" { // which writes files, and gives nothing on
		return
	}
	var k *kbld
	if st.kind == "kbld" {
		k = &kbld{}
	}
	f.stream, f.piped = nil, true
	for _, i := range in {
		file := f.all[i]
		f.read[i] = true
		file.cue = file.cue || st.kind == "cue"
		if k == nil {
			f.stream = append(f.stream, i)
			continue
		}
		if isLock(file.path) || file.kbld == nil { // an earlier kbld step gave the objects on, not its configuration
			k.addFile(f.scan, file.textFile)
		}
		if file.kbld == nil {
			file.kbld = k
		}
		if !isLock(file.path) {
			f.stream = append(f.stream, i)
		}
	}
}

// stepInputs returns what a step reads, in its order, each file once.
func (f *flow) stepInputs(st *step) []int {
	paths, values := st.paths, st.values // of which templates take what they need: no output has it as it is
	switch {
	case len(paths)+len(values) > maxPaths:
		f.note(place{line: st.line}, codeNotRead, report.Install, "",
			fmt.Sprintf("the template step %s has more than %d paths; the others were not looked at", st.kind, maxPaths), "")
		paths, values = paths[:min(len(paths), maxPaths)], values[:min(len(values), maxPaths)]
	case paths == nil && f.piped && (st.kind == "ytt" || st.kind == "kbld"):
		paths = []string{"-"}
	case paths == nil:
		paths = []string{"."}
	}
	var in []int
	once := map[int]bool{}
	add := func(list []int) {
		for _, i := range list {
			if !once[i] {
				once[i] = true
				in = append(in, i)
			}
		}
	}
	for _, p := range slices.Concat(paths, values) {
		if p == "-" {
			add(f.stream)
			continue
		}
		if st.kind == "helmTemplate" {
			f.dependencies(cleanPath(p))
		}
		add(f.below(p, st))
	}
	for _, name := range slices.Sorted(maps.Keys(st.inline)) {
		add([]int{len(f.all)})
		f.all = append(f.all, &input{textFile: textFile{inlineMark + name, []byte(st.inline[name])}})
	}
	return in
}

// below returns the files that a path names: itself, or what is in that folder, sorted.
func (f *flow) below(p string, st *step) []int {
	clean := cleanPath(p)
	var in []int
	from := func(prefix string) {
		start, _ := slices.BinarySearchFunc(f.all[:f.files], prefix, func(in *input, p string) int { return strings.Compare(in.path, p) })
		for i := start; i < f.files && strings.HasPrefix(f.all[i].path, prefix); i++ {
			if prefix == clean && prefix != "" && f.all[i].path != clean {
				break
			}
			in = append(in, i)
		}
	}
	if from(clean); clean != "" {
		from(clean + "/")
	}
	if len(in) == 0 && clean != "" {
		f.note(place{line: st.line}, codeMissingPath, report.Install, p,
			fmt.Sprintf("the template step %s reads %q, which the bundle does not have: the step fails", st.kind, shorten(p)),
			"put the file into the bundle, or take the path out of the step")
	}
	return in
}

// cleanPath returns a path of a step as files have it; empty for the folder itself.
func cleanPath(p string) string { return path.Clean("/" + p)[1:] }
