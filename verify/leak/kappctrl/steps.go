package kappctrl

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/render/kbld"
	"relocate/report"
	"relocate/verify/leak/content"
)

// Step is a template step of a Package (spec.template.spec.template): the files that it reads.
type Step struct {
	Kind   string            // a name in templateKinds
	Paths  []string          // as written, relative to the fetched folder; "-" is the output of the previous step; nil for none
	Values []string          // paths of valuesFrom, like Paths
	Inline map[string]string // path → content
	Line   int               // in the Package's file
}

// templateKind is a kind of template step.
type templateKind struct {
	name     string
	piped    bool // without paths it reads the output of the previous step
	silent   bool // it writes files and has no output
	rewrites bool // it is kbld
	charts   bool // its paths are Helm charts
	cue      bool // it reads CUE
}

var templateKinds = []templateKind{
	{name: "ytt", piped: true},
	{name: "kbld", piped: true, rewrites: true},
	{name: "helmTemplate", charts: true},
	{name: "sops", silent: true},
	{name: "cue", cue: true},
	{name: "kustomize"},
	{name: "jsonnet"},
}

// kind returns the kind of the step.
func (s *Step) kind() templateKind {
	i := slices.IndexFunc(templateKinds, func(k templateKind) bool { return k.name == s.Kind })
	if i < 0 {
		return templateKind{name: s.Kind}
	}
	return templateKinds[i]
}

// kindOf returns the kind of the template step n. It is empty when the step reads no files.
func kindOf(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.MappingNode {
		return ""
	}
	for _, kind := range templateKinds {
		if slices.ContainsFunc(n.Content, func(key *yaml.Node) bool { return key.Value == kind.name }) {
			return kind.name
		}
	}
	return ""
}

// Steps are the template steps of a Package. Nil Steps stand for a bundle that no Package fetches:
// all of its files are read.
type Steps []Step

// Equal reports whether the steps read the same files in the same way, whatever their lines.
func (s Steps) Equal(other Steps) bool {
	return slices.EqualFunc(s, other, func(a, b Step) bool {
		return a.Kind == b.Kind && slices.Equal(a.Paths, b.Paths) && slices.Equal(a.Values, b.Values) && maps.Equal(a.Inline, b.Inline)
	})
}

// Within returns the steps relative to a fetch into folder: with paths relative to it, and without
// paths to the files of other fetches.
func (s Steps) Within(folder string) Steps {
	folder = CleanPath(folder)
	if folder == "" {
		return s
	}
	out := Steps{}
	for _, step := range s {
		hasPaths := step.Paths != nil
		step.Paths, step.Values = within(step.Paths, folder), within(step.Values, folder)
		if !hasPaths || len(step.Paths)+len(step.Values)+len(step.Inline) > 0 {
			out = append(out, step)
		}
	}
	return out
}

// within returns the paths that point into folder, relative to it; nil for nil.
func within(list []string, folder string) []string {
	if list == nil {
		return nil
	}
	paths := []string{}
	for _, p := range list {
		clean := CleanPath(p)
		switch rest, below := strings.CutPrefix(clean, folder+"/"); {
		case p == "-":
			paths = append(paths, p)
		case below:
			paths = append(paths, rest)
		case clean == "" || clean == folder || strings.HasPrefix(folder, clean+"/"):
			paths = append(paths, ".")
		}
	}
	return paths
}

// Read reports whether one of the steps reads a file. A first step without paths reads all files.
func (s Steps) Read(file string) bool {
	if len(s) == 0 { // kapp-controller refuses this
		return true
	}
	reads := func(p string) bool { return p != "-" && leadsTo(p, file) }
	for i, step := range s {
		if step.Paths == nil && (i == 0 || !step.kind().piped) {
			return true
		}
		if slices.ContainsFunc(step.Paths, reads) || slices.ContainsFunc(step.Values, reads) {
			return true
		}
	}
	return false
}

// leadsTo reports whether file is the path p of a step, or in the folder p.
func leadsTo(p, file string) bool {
	p = CleanPath(p)
	return p == "" || p == file || strings.HasPrefix(file, p+"/")
}

// ReadChart reports whether a path of a step is the Helm chart at p.
func (s Steps) ReadChart(p string) bool {
	return slices.ContainsFunc(s, func(step Step) bool {
		return step.kind().charts && slices.ContainsFunc(step.Paths, func(path string) bool { return CleanPath(path) == p })
	})
}

// Limits on the steps of a package. Real packages have up to four steps with three paths.
const (
	maxSteps = 20
	maxPaths = 1000 // of one step
)

// inlineMark is the prefix of the path of an inline file of a step.
const inlineMark = "(inline) "

// The codes of findings about steps.
const (
	codeMissingPath report.Code = "missing-path" // a path of a template step that is not in the bundle
	codeNotRead     report.Code = "not-read"
)

// Files returns the files that the steps read, sorted by path, with inline files last. Each has the
// kbld step that processes its documents. Without steps it returns all files, and assumes a kbld
// step with the lock. Findings without a file are about a step, and their line is in the Package's
// file.
func (s Steps) Files(files []*content.File, lock *carvel.ImagesLock, note func(...report.Finding)) []*content.File {
	f := flow{lock: lock, note: note, all: slices.Clone(files), read: map[int]bool{}}
	slices.SortStableFunc(f.all, func(a, b *content.File) int { return strings.Compare(a.Path, b.Path) })
	f.files = len(f.all)
	f.charts = content.FindCharts(f.all)
	if len(s) == 0 {
		f.withoutSteps()
		return f.all
	}
	for i := range s {
		if i == maxSteps {
			f.noteStep(&s[i], codeNotRead, "", fmt.Sprintf("has more than %d template steps; the others were not examined", maxSteps), "")
			break
		}
		f.step(&s[i])
	}
	var out []*content.File
	for i, file := range f.all {
		if f.read[i] {
			out = append(out, file)
		}
	}
	return out
}

// flow follows files through the steps, as kapp-controller runs them. Each step reads files of the
// fetched folder or the output of the previous step.
type flow struct {
	lock   *carvel.ImagesLock
	note   func(...report.Finding)
	all    []*content.File
	files  int          // number of files of the folder in all; they come first, sorted
	read   map[int]bool // indexes of all
	stream []int        // output of the previous step: indexes of all, in the order read
	piped  bool         // a previous step ran
	charts *content.Charts
}

func (f *flow) noteStep(s *Step, code report.Code, ref, message, action string) {
	f.note(report.Finding{Code: code, Level: report.Install, Line: s.Line, Reference: ref, Message: message, Action: action})
}

func (f *flow) withoutSteps() {
	k := &kbld.Step{}
	k.AddLock(carvel.LockFile, f.lock, 0)
	for _, file := range f.all {
		file.Kbld, file.CUE = k, true
	}
	f.note(f.charts.MissingOfAll()...)
}

// step runs a step.
func (f *flow) step(s *Step) {
	in, kind := f.inputs(s), s.kind()
	if kind.silent {
		return
	}
	f.stream, f.piped = nil, true
	var k *kbld.Step
	if kind.rewrites {
		k = &kbld.Step{}
	}
	for _, i := range in {
		f.read[i] = true
		f.all[i].CUE = f.all[i].CUE || kind.cue
		if k != nil {
			f.rewrite(f.all[i], k)
		}
		if k == nil || !isLock(f.all[i]) {
			f.stream = append(f.stream, i)
		}
	}
}

// rewrite adds a file to a kbld step.
func (f *flow) rewrite(file *content.File, k *kbld.Step) {
	switch {
	case isLock(file):
		f.note(k.AddLock(carvel.LockFile, f.lock, 0)...)
	case file.Kbld != nil: // an earlier kbld step outputs objects, not its configuration
	default:
		f.note(k.AddFile(file.Path, file.Data)...)
	}
	if file.Kbld == nil {
		file.Kbld = k
	}
}

// isLock reports whether a file is the bundle's ImagesLock. imgpkg rewrites no other lock.
func isLock(f *content.File) bool { return f.Path == carvel.LockFile }

// inputs returns the files that a step reads, in its order, each once.
func (f *flow) inputs(s *Step) []int {
	kind := s.kind()
	var in []int
	once := map[int]bool{}
	add := func(list ...int) {
		for _, i := range list {
			if !once[i] {
				once[i] = true
				in = append(in, i)
			}
		}
	}
	for _, p := range f.paths(s) {
		if p == "-" {
			add(f.stream...)
			continue
		}
		if kind.charts {
			f.note(f.charts.Missing(CleanPath(p))...)
		}
		add(f.below(p, s)...)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Inline)) {
		add(len(f.all))
		f.all = append(f.all, &content.File{Path: inlineMark + name, Data: []byte(s.Inline[name])})
	}
	return in
}

// paths returns the paths that a step reads. These include values files, although no output
// contains them unchanged.
func (f *flow) paths(s *Step) []string {
	paths, values := s.Paths, s.Values
	switch {
	case len(paths)+len(values) > maxPaths:
		f.noteStep(s, codeNotRead, "", fmt.Sprintf("the template step %s has more than %d paths; the others were not examined", s.Kind, maxPaths), "")
		paths, values = paths[:min(len(paths), maxPaths)], values[:min(len(values), maxPaths)]
	case paths == nil && f.piped && s.kind().piped:
		paths = []string{"-"}
	case paths == nil:
		paths = []string{"."}
	}
	return slices.Concat(paths, values)
}

// below returns the files that a path names: the file itself, or the files in the folder, sorted.
func (f *flow) below(p string, s *Step) []int {
	clean := CleanPath(p)
	in := f.from(clean, clean != "")
	if clean != "" {
		in = append(in, f.from(clean+"/", false)...)
	}
	if len(in) == 0 && clean != "" {
		f.noteStep(s, codeMissingPath, p,
			fmt.Sprintf("the template step %s reads %q, which the bundle does not have: the step fails", s.Kind, text.Clip(p, 1024)),
			"put the file into the bundle, or take the path out of the step")
	}
	return in
}

// from returns the files whose paths begin with prefix, or, with exactly, the file at prefix.
func (f *flow) from(prefix string, exactly bool) []int {
	var in []int
	start, _ := slices.BinarySearchFunc(f.all[:f.files], prefix, func(file *content.File, p string) int { return strings.Compare(file.Path, p) })
	for i := start; i < f.files && strings.HasPrefix(f.all[i].Path, prefix); i++ {
		if exactly && f.all[i].Path != prefix {
			break
		}
		in = append(in, i)
	}
	return in
}

// CleanPath returns a path of a step in the format of the paths of files; empty for the folder
// itself.
func CleanPath(p string) string { return path.Clean("/" + p)[1:] }
