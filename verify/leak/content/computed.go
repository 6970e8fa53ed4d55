package content

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"relocate/render/kbld"
	"relocate/report"
)

// possibility is a finding about an image that a template may compose. It is dropped when a template
// composes that image for certain.
type possibility struct {
	ref  string
	note func()
}

// possibly keeps a finding until all templates were examined.
func (s *scan) possible(ref string, note func()) {
	if len(s.possibly) == maxDefaults {
		note()
		return
	}
	s.possibly = append(s.possibly, possibility{ref, note})
}

// possibilities reports the possibilities that are left.
func (s *scan) possibilities() {
	known := map[string]bool{}
	for ref := range s.computed {
		for known[ref] = true; strings.Contains(ref, "/"); known[ref] = true { // without the registry as well
			_, ref, _ = strings.Cut(ref, "/")
		}
	}
	for _, p := range s.possibly {
		if !known[p.ref] {
			p.note()
		}
	}
}

// computedImage checks the value that a template computes for an image key: with the default values, what
// kbld gets. It returns false when not all of it is known.
func (w *walker) computedImage(line int, v value, shown string) bool {
	if !v.isKnown() {
		w.composedHead(line, v.text, shown)
		return v.text != hole
	}
	if !isReference(v.text) && !isReference("library/"+v.text) {
		return true // empty, or what a user has to set
	}
	at := w.place(line, v.text)
	if w.templateRewrites(at, v.text) {
		w.scan.computed[v.text] = true
		return true
	}
	w.scan.add(at, v.text)
	level, known := report.Install, "the lock does not have it: kbld asks its registry for the digest, and the template step fails"
	switch {
	case w.file.Kbld == nil:
		level, known = report.Pull, "no kbld step rewrites it, and pods pull it from there"
	case w.file.Kbld.Resolve(v.text).Outcome == kbld.Kept:
		level, known = report.Pull, "the lock does not have it: kbld does not change it, and pods pull it from there"
	}
	w.noteComputed(at, level, v.text, "the template makes this image from default values; "+known)
	return true
}

// noteComputed reports what a template computes. It is a warning when a condition or the class of
// the text leaves open whether it comes out.
func (w *walker) noteComputed(at place, level report.Level, ref, message string) {
	const action = "add the image to the lock, or set the values at the cluster"
	if w.file.isMaybe(at.line) {
		w.scan.possible(ref, func() {
			w.note(at, codeComposed, report.Warning, ref, message+", if a condition holds", action)
		})
		return
	}
	w.scan.computed[ref] = true
	w.note(at, codeComposed, level, ref, message, action)
}

// composedHead checks the repository of a reference of which a template completes the rest. It is
// checked only when the text has it whole. shown is the template.
func (w *walker) composedHead(line int, text, shown string) {
	head, _, _ := strings.Cut(text, hole)
	start := len(head)
	for start > 0 && inToken[head[start-1]] {
		start--
	}
	head = head[start:]
	i := strings.LastIndexByte(head, ':')
	if i <= strings.LastIndexByte(head, '/') {
		if i = strings.IndexByte(head, '@'); i < 0 {
			return
		}
	}
	repo := head[:i]
	if !isRepository(repo) || w.scan.lock.Similar(repo) != "" && w.file.Kbld.HasLock() {
		return
	}
	at := w.place(line, repo)
	w.note(at, codeComposed, report.Warning, shown, "a template names an image of a repository that the lock does not have",
		"look at what the template makes of it, and add that to the lock")
}

// computedText checks a text that a template computes for another place than an image key.
func (w *walker) computedText(line int, v value, shown string) {
	if !v.isKnown() {
		w.composedHead(line, v.text, shown)
		return
	}
	for _, ref := range tokens(v.text) {
		w.computedReference(line, ref)
	}
}

// computedReference checks an image that a template composes in another place than an image key.
func (w *walker) computedReference(line int, ref string) {
	at := w.place(line, ref)
	entry, _ := w.scan.lock.Entry(ref)
	w.scan.to.Reference(Reference{File: at.file, Line: at.line, Value: shorten(ref), Entry: entry})
	level := report.Pull
	if len(w.file.Kbld.Rules()) > 1 || w.class != object && w.class != embedded { // kbld may see it after all
		level = report.Warning
	}
	w.noteComputed(at, level, ref, "the template makes this image from default values, outside the keys that kbld searches: pods pull it from there")
}

var (
	keyForm    = regexp.MustCompile(`^[\s-]*["']?([^\s"'#:]+)["']?\s*:\s*$`)
	itemForm   = regexp.MustCompile(`^[\s-]*-\s*$`)
	returnForm = regexp.MustCompile(`^return\s+(.*)$`)
)

// templateCode finds what is in ytt's code, which is in comments of documents of a class. It skips
// annotations except schema defaults, because no others have an effect.
func (s *scan) templateCode(f *File, classes func(line int) class) {
	line := 0
	for l := range bytes.Lines(f.Data) {
		line++
		before, expr, found := bytes.Cut(l, []byte("#@"))
		if !found || isAnnotation.Match(expr) {
			continue
		}
		w := &walker{scan: s, file: f, class: classes(line), values: true}
		if rest, isDefault := strings.CutPrefix(string(expr), "schema/default"); isDefault {
			w.class = values
			w.codeStrings(line, rest)
			continue
		}
		w.statement(line, string(before), strings.TrimSpace(string(expr)))
	}
}

// code checks an expression or a statement, which is the value of the key before it if there is one.
func (w *walker) statement(line int, before, expr string) {
	key := keyForm.FindStringSubmatch(before)
	isOutput := key != nil || itemForm.MatchString(before)
	if isOutput {
		switch v := w.file.evaluate(expr); {
		case key != nil && key[1] == "image" && w.class != values:
			if w.computedImage(line, v, expr) {
				return
			}
		case v.text != hole && !isLiteral(expr):
			w.computedText(line, v, expr)
			return
		}
	}
	w.class = code
	w.codeStrings(line, expr)
	if isOutput {
		return
	}
	if m := assignment.FindStringSubmatch(expr); m != nil {
		expr = m[2]
	} else if m := returnForm.FindStringSubmatch(expr); m != nil {
		expr = m[1]
	}
	if v := w.file.evaluate(expr); !isLiteral(expr) {
		w.composedCode(line, v, expr)
	}
}

// composedCode checks a text that code composes, and that another place may put out.
func (w *walker) composedCode(line int, v value, shown string) {
	if !v.isKnown() {
		w.composedHead(line, v.text, shown)
		return
	}
	for _, ref := range tokens(v.text) {
		if at := w.place(line, ref); !w.templateRewrites(at, ref) {
			w.scan.add(at, ref)
			w.scan.possible(ref, func() {
				w.note(at, codeComposed, report.Warning, ref, "a template composes this image, which the lock does not have",
					"look at what the template makes of it, and add that to the lock")
			})
		}
	}
}

// evaluate returns what an expression of a ytt template gives with the default values.
func (f *File) evaluate(expr string) value {
	if f.env == nil {
		return unknownValue
	}
	return f.env.starlark(expr)
}

var codeString = regexp.MustCompile(`"[^"]*"|'[^']*'`)

// isLiteral reports whether an expression is one string.
func isLiteral(expr string) bool { return codeString.FindString(expr) == strings.TrimSpace(expr) }

var besideFragment = []string{"+", "%", "==", "!=", ".format(", ".join("}

// isFragment reports whether code composes the string between before and after with others, or
// compares it.
func isFragment(before, after string) bool {
	before, after = strings.TrimRight(before, " \t"), strings.TrimLeft(after, " \t")
	return slices.ContainsFunc(besideFragment, func(s string) bool { return strings.HasSuffix(before, s) || strings.HasPrefix(after, s) })
}

// codeStrings finds the references in the strings of code. It skips strings that code composes or
// compares.
func (w *walker) codeStrings(line int, expr string) {
	for _, at := range codeString.FindAllStringIndex(expr, -1) {
		if isFragment(expr[:at[0]], expr[at[1]:]) {
			continue
		}
		for _, ref := range tokens(expr[at[0]:at[1]]) {
			w.outside(line, ref)
		}
	}
}

// starlarkFile finds what is in the code of a Starlark file.
func (s *scan) starlarkFile(f *File) {
	line := 0
	for l := range strings.Lines(string(f.Data)) {
		if line++; !isComment(l) {
			w := &walker{scan: s, file: f, class: code, values: true}
			w.statement(line, "", strings.TrimSpace(l))
		}
	}
}

var action = regexp.MustCompile(`(?s)\{\{-?\s*(.*?)\s*-?\}\}|\(@-?=?\s*(.*?)\s*-?@\)`)

// templated checks an image that a template completes, by the templates in its value.
func (w *walker) templated(line int, text string) {
	v := w.filled(text)
	if w.class != values && w.computedImage(line, v, text) && v.isKnown() {
		return
	}
	in := *w
	in.class, in.values = code, true
	in.codeStrings(line, text)
}

// filled returns a text with what its templates give. Unknown parts are holes.
func (w *walker) filled(text string) value {
	return value{text: action.ReplaceAllStringFunc(text, func(a string) string {
		result := unknownValue
		switch m := action.FindStringSubmatch(a); {
		case w.file.env == nil:
		case strings.HasPrefix(a, "{{") && w.file.env.chart != nil:
			result = w.file.env.helm(m[1])
		case strings.HasPrefix(a, "(@") && bytes.Contains(w.file.Data, []byte("text-templated-strings")):
			result = w.file.env.starlark(m[2])
		}
		if result.kind == listKind {
			result = unknownValue
		}
		return result.text
	})}
}
