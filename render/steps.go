package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"relocate/render/ytt"
	"relocate/report"
)

// run is the rendering of one App.
type run struct {
	renderer *Renderer
	app      App
	steps    []step
	result   *Result

	step   int             // that runs
	stream *stream         // what the step before printed; nil: steps read the folder
	used   map[string]bool // paths of the files of the folder that a step prints, runs or could read
	reads  []bool          // whether a step's templates read values
	given  []int           // how many values a step gets
}

// stream is what a step prints.
type stream struct {
	text    []byte
	starts  []ytt.Place  // of its documents, where they are known
	strings []ytt.String // in its documents, which may hold a reference
}

// all runs the steps.
func (n *run) all(ctx context.Context) error {
	n.app.install(n.steps)
	n.reads, n.given, n.used = make([]bool, len(n.steps)), make([]int, len(n.steps)), map[string]bool{}
	for i := range n.steps {
		n.step = i
		stream, err := n.one(ctx, &n.steps[i])
		if err != nil {
			return n.failed(err)
		}
		n.lost(&n.steps[i])
		n.stream = stream
	}
	n.unread()
	return nil
}

// can says why steps cannot be rendered here.
func (r *Renderer) can(steps []step) error {
	if len(steps) == 0 {
		return &FailedError{Step: -1, Kind: "spec", Message: "Expected at least one template option"}
	}
	for i := range steps {
		switch kind := steps[i].kind(); kind {
		case "":
			return &FailedError{Step: i, Kind: "template", Message: "Unsupported way to template"}
		case "sops", "cue":
			return notRendered("step %d is %s, which relocate does not run", i+1, kind)
		case "helmTemplate":
			if r.Helm == "" {
				return &NotRenderedError{fmt.Sprintf("step %d is helmTemplate, and there is no helm program", i+1), true}
			}
		}
	}
	if r.Program.Path == "" {
		return notRendered("there is no relocate program to run templates")
	}
	return nil
}

func (n *run) one(ctx context.Context, s *step) (*stream, error) {
	switch s.kind() {
	case "ytt":
		return n.ytt(ctx, s.Ytt)
	case "kbld":
		return n.kbld(s.Kbld)
	}
	return n.helm(ctx, s.HelmTemplate)
}

// failed makes err an error of the step that runs.
func (n *run) failed(err error) error {
	kind := n.steps[n.step].kind()
	if failed := (*ytt.FailedError)(nil); errors.As(err, &failed) {
		return &FailedError{Step: n.step, Kind: kind, Message: failed.Message, Needs: needs(failed.Message)}
	}
	return failedIn(n.step, kind, err)
}

func (n *run) fault(code report.Code, text, action string) {
	n.result.Faults = append(n.result.Faults, Fault{Code: code, Step: n.step, Message: text, Action: action})
}

// stepName names a step in messages.
func (n *run) stepName(i int) string { return fmt.Sprintf("step %d (%s)", i+1, n.steps[i].kind()) }

// lost notes a step that does not read what the step before it printed.
func (n *run) lost(s *step) {
	if n.stream == nil || len(bytes.TrimSpace(n.stream.text)) == 0 {
		return
	}
	isStdin := func(from source) bool { return from.Path == stdin }
	if slices.ContainsFunc(s.valuesFrom(), isStdin) || slices.Contains(s.paths(), stdin) {
		return
	}
	if s.kind() == "helmTemplate" {
		n.fault(CodeDropped, fmt.Sprintf("%s prints the chart only: what %s printed is lost", n.stepName(n.step), n.stepName(n.step-1)),
			"make helmTemplate the first step")
	} else if len(s.paths()) > 0 {
		n.fault(CodeDropped, fmt.Sprintf("%s names paths without \"-\": what %s printed is lost", n.stepName(n.step), n.stepName(n.step-1)),
			`add "-" to the paths of the step`)
	}
}

// unread notes values that no template of their step reads. Those of the PackageInstall go to the
// first step that takes values.
func (n *run) unread() {
	first := slices.IndexFunc(n.steps, func(s step) bool { return s.Ytt != nil || s.HelmTemplate != nil })
	if n.step = 0; first < 0 && len(n.app.Values) > 0 {
		n.fault(CodeValues, "no step takes the values of the PackageInstall: there is no ytt and no helmTemplate step", "add a ytt step, or install the package without values")
	}
	for i := range n.steps {
		if n.reads[i] {
			continue
		}
		n.step = i
		if later := n.readsLater(i); i == first && later >= 0 {
			n.fault(CodeValues, fmt.Sprintf("the values of a PackageInstall go to %s, whose templates read no values; %s reads values and does not get them", n.stepName(i), n.stepName(later)),
				"read the values in the first ytt or helmTemplate step")
		} else if n.given[i] > 0 {
			n.fault(CodeValues, fmt.Sprintf("%s gets values, and none of its templates reads values", n.stepName(i)), "give the values to the step whose templates read them")
		}
	}
}

// readsLater returns the first step after i that reads values and gets none, or -1.
func (n *run) readsLater(i int) int {
	for j := i + 1; j < len(n.steps); j++ {
		if n.reads[j] && n.given[j] == 0 {
			return j
		}
	}
	return -1
}

// paths returns the files that a step gets, in the order of its paths: of a folder those that the
// step's program reads. Without paths it gets what the step before it printed, or else the whole
// folder.
func (n *run) paths(paths []string, inFolder func(file) bool) (files []file, err error) {
	switch {
	case len(paths) == 0 && n.stream != nil:
		paths = []string{stdin}
	case len(paths) == 0:
		paths = []string{"."}
	}
	for i, p := range paths {
		if p == stdin {
			if n.stream == nil {
				return nil, message("Expected stdin to be available when using it as path, but was not")
			}
			if slices.Contains(paths[:i], stdin) {
				return nil, message("Standard input has already been read, has the '-' argument been used in more than one flag?")
			}
			files = append(files, n.standardInput())
			continue
		}
		at, err := scoped("", p)
		if err != nil {
			return nil, message("Checking path: " + err.Error())
		}
		found, isFile, ok := n.inFolder(at)
		if !ok {
			return nil, message(fmt.Sprintf("Checking file '%s': lstat %s: no such file or directory", p, p))
		}
		for _, f := range found {
			if isFile || inFolder(f) {
				files = append(files, f)
			}
		}
	}
	return files, nil
}

// standardInput is what the step before printed, as a file.
func (n *run) standardInput() file {
	f := file{Path: "stdin.yml", Origin: stdin}
	if n.stream != nil {
		f.Data = n.stream.text
	}
	return f
}

// use notes that a step prints, runs or could read a file.
func (n *run) use(f file) { n.used[f.Origin] = true }

// inlineOrigin begins the Place of what is in the spec.
func (n *run) inlineOrigin(name string) string {
	return fmt.Sprintf("spec.template[%d].ytt.inline/%s", n.step, name)
}

// yttInput returns what a ytt step reads.
func (n *run) yttInput(s *yttStep) (in ytt.Input, err error) {
	for _, p := range s.Paths {
		if _, after, found := strings.Cut(p, "="); found { // ytt takes what is before it for another name
			return in, message(fmt.Sprintf("Checking file '%s': lstat %s: no such file or directory", after, after))
		}
	}
	files, err := n.paths(s.Paths, func(file) bool { return true })
	if err != nil {
		return in, err
	}
	if s.Inline != nil {
		inline, err := n.app.inlineFiles(s.Inline)
		if err != nil {
			return in, err
		}
		for _, f := range inline {
			f.Origin = n.inlineOrigin(f.Path)
			files = append(files, f)
		}
	}
	in = ytt.Input{Files: files, FileMarks: s.FileMarks, IgnoreUnknownComments: s.IgnoreUnknownComments}
	in.Values, err = n.yttValues(s, files)
	return in, err
}

// ytt runs a ytt step.
func (n *run) ytt(ctx context.Context, s *yttStep) (*stream, error) {
	in, err := n.yttInput(s)
	if err != nil {
		return nil, err
	}
	n.given[n.step] = len(in.Values)
	n.reads[n.step] = slices.ContainsFunc(in.Files, func(f file) bool { return bytes.Contains(f.Data, []byte("@ytt:data")) })
	out, err := n.renderer.ytt(ctx, in)
	if err != nil {
		return nil, err
	}
	n.usedByYtt(in.Files, out.Uses)
	origin := n.origins()
	for i := range out.Strings {
		out.Strings[i].Place = origin(out.Strings[i].Place)
	}
	for i := range out.Starts {
		out.Starts[i] = origin(out.Starts[i])
	}
	return &stream{text: out.Text, starts: out.Starts, strings: out.Strings}, nil
}

// yttValues returns the files of values of a ytt step. In a folder that valuesFrom names, ytt skips
// what is not YAML in its subfolders only.
func (n *run) yttValues(s *yttStep, files []file) (list []file, err error) {
	all, err := n.values(s.ValuesFrom)
	if err != nil {
		return nil, err
	}
	read := slices.ContainsFunc(files, func(f file) bool { return f.Origin == stdin })
	for _, v := range all {
		switch v.path {
		case "":
			list = append(list, v.file)
			continue
		case stdin:
			if read {
				return nil, message("Extracting data value from file: Standard input has already been read, has the '-' argument been used in more than one flag?")
			}
			read = true
			list = append(list, n.standardInput())
			continue
		}
		found, _, ok := n.inFolder(v.path)
		if !ok {
			return nil, message(fmt.Sprintf("Extracting data value from file: Checking file '%s': lstat %s: no such file or directory", v.path, v.path))
		}
		for _, f := range found {
			n.use(f)
			if !strings.Contains(f.Path, "/") || strings.HasSuffix(f.Path, ".yml") || strings.HasSuffix(f.Path, ".yaml") {
				list = append(list, f)
			}
		}
	}
	return list, nil
}
