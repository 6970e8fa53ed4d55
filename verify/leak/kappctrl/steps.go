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
	Paths  []string          // as written, relative to the App's folder; "-" is the output of the previous step; nil for none
	Values []string          // paths of valuesFrom, like Paths
	Inline map[string]string // path → content
	Marks  []string          // fileMarks of a ytt step
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
		return a.Kind == b.Kind && slices.Equal(a.Paths, b.Paths) && slices.Equal(a.Values, b.Values) && maps.Equal(a.Inline, b.Inline) &&
			slices.Equal(a.Marks, b.Marks)
	})
}

// Read reports whether one of the steps reads a file. A first step without paths reads all files.
func (s Steps) Read(file string) bool {
	if len(s) == 0 { // kapp-controller refuses this
		return true
	}
	reads := func(p string) bool { return p != "-" && LeadsTo(p, file) }
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

// LeadsTo reports whether file is the path p of a step, or in the folder p.
func LeadsTo(p, file string) bool {
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

// Folder is the folder of an App, with what its fetches put there.
type Folder struct {
	Files   []*content.File
	Locks   []Lock   // of the bundles
	Unknown []string // folders of fetches whose files are not known, cleaned
}

// Lock is the lock of a bundle in a Folder. imgpkg rewrites no other lock.
type Lock struct {
	File   string             // in the folder
	Images *carvel.ImagesLock // nil when it could not be read
	First  int                // number of its first entry among those of all locks
}

// CountEntries counts the entries of locks.
func CountEntries(locks []Lock) int {
	n := 0
	for _, l := range locks {
		if l.Images != nil {
			n = max(n, l.First+len(l.Images.Images))
		}
	}
	return n
}

// AddTo adds the locks to a kbld step, in their order.
func (f *Folder) AddTo(k *kbld.Step) {
	for _, l := range f.Locks {
		k.AddLock(l.File, l.Images, l.First)
	}
}

// lock returns the lock at a path; nil for none.
func (f *Folder) lock(path string) *Lock {
	i := slices.IndexFunc(f.Locks, func(l Lock) bool { return l.File == path })
	if i < 0 {
		return nil
	}
	return &f.Locks[i]
}

// mayHave reports whether a fetch whose files are not known may give the path p.
func (f *Folder) mayHave(p string) bool {
	return slices.ContainsFunc(f.Unknown, func(folder string) bool { return LeadsTo(folder, p) || LeadsTo(p, folder) })
}

// Files returns the files that the steps read, sorted by path, with inline files last. Each has the
// kbld step that processes its documents. Without steps it returns all files, and assumes a kbld
// step with the locks. Findings without a file are about a step, and their line is in the Package's
// file.
func (s Steps) Files(in *Folder, note func(...report.Finding)) []*content.File {
	f := flow{in: in, note: note, all: slices.Clone(in.Files), read: map[int]bool{}}
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
// folder or the output of the previous step.
type flow struct {
	in     *Folder
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
	f.in.AddTo(k)
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
	in = f.selected(s, in)
	for _, i := range f.stream { // what a step does not read of the output before it is lost
		delete(f.read, i)
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
		if k == nil || f.in.lock(f.all[i].Path) == nil {
			f.stream = append(f.stream, i)
		}
	}
}

// selected returns those of a step's inputs that can reach its output.
func (f *flow) selected(s *Step, in []int) []int {
	var inputs []content.Input
	chosen, stream := map[*content.File]bool{}, map[int]bool{}
	for _, i := range f.stream {
		stream[i] = true
	}
	for _, i := range in {
		if file := f.all[i]; stream[i] || slices.ContainsFunc(s.Values, func(p string) bool { return LeadsTo(p, file.Path) }) {
			chosen[file] = true
			file.Values = file.Values || !stream[i] && (s.kind().charts || !slices.ContainsFunc(s.Paths, func(p string) bool { return p != "-" && LeadsTo(p, file.Path) }))
		} else {
			inputs = append(inputs, s.input(file))
		}
	}
	switch {
	case s.Kind == "ytt":
		inputs = content.SelectYtt(inputs, s.Marks)
	case s.kind().charts:
		inputs = f.charts.SelectHelm(inputs)
	case s.kind().rewrites:
		inputs = content.SelectKbld(inputs)
	}
	for _, input := range inputs {
		chosen[input.File] = true
	}
	return slices.DeleteFunc(slices.Clone(in), func(i int) bool { return !chosen[f.all[i]] })
}

// input returns a file as a path of the step gives it.
func (s *Step) input(file *content.File) content.Input {
	if rest, isInline := strings.CutPrefix(file.Path, inlineMark); isInline {
		if _, rel, ok := strings.Cut(rest, ")/"); ok {
			rest = rel
		}
		return content.Input{File: file, Rel: rest, InFolder: true}
	}
	for _, p := range s.Paths {
		if clean := CleanPath(p); clean == file.Path && p != "-" {
			return content.Input{File: file, Rel: path.Base(clean)}
		} else if p != "-" && LeadsTo(p, file.Path) {
			return content.Input{File: file, Rel: strings.TrimPrefix(strings.TrimPrefix(file.Path, clean), "/"), InFolder: true}
		}
	}
	return content.Input{File: file, Rel: file.Path, InFolder: true}
}

// rewrite adds a file to a kbld step.
func (f *flow) rewrite(file *content.File, k *kbld.Step) {
	lock := f.in.lock(file.Path)
	switch {
	case lock != nil:
		f.note(k.AddLock(lock.File, lock.Images, lock.First)...)
	case file.Kbld != nil: // an earlier kbld step outputs objects, not its configuration
	default:
		f.note(k.AddFile(file.Path, file.Data)...)
	}
	if file.Kbld == nil {
		file.Kbld = k
	}
}

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
	paths, values := s.Paths, slices.DeleteFunc(slices.Clone(s.Values), isSkipped)
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

// isSkipped reports whether kapp-controller skips a path of valuesFrom: it leads out of the App's
// folder.
func isSkipped(p string) bool {
	first, _, _ := strings.Cut(path.Join(".", p), "/")
	return first == ".."
}

// below returns the files that a path names: the file itself, or the files in the folder, sorted.
func (f *flow) below(p string, s *Step) []int {
	clean := CleanPath(p)
	in := f.from(clean, clean != "")
	if clean != "" {
		in = append(in, f.from(clean+"/", false)...)
	}
	if len(in) == 0 && clean != "" && !f.in.mayHave(clean) {
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
