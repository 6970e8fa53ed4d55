package leak

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"relocate/internal/text"
	"relocate/render"
	"relocate/render/kbld"
	"relocate/render/ytt"
	"relocate/report"
	"relocate/verify/leak/content"
	"relocate/verify/leak/kappctrl"
)

// deployed is what a Package deploys with the values given, and what is wrong with it.
type deployed struct {
	of       *appFolder
	use      use
	err      error         // why it is not known
	text     []textFinding // what the text of files says
	faults   []render.Fault
	found    []deployedFinding
	objects  nestedObjects
	installs []Install

	unused  map[string]bool            // files that no step prints or reads
	strings []ytt.String               // of the documents, with what kbld made of them
	docs    [][]byte                   // texts of the documents
	outside map[string][]int           // by reference: indexes in found
	matched map[string]bool            // references that the text has where the rendering finds them
	read    map[string]map[string]bool // paths at which kbld read references that end outside, by reference
	fates   []fate                     // of the findings in the text
	inside  []render.Image             // references that end inside
	lock    *kbld.Step                 // has the folder's locks
}

// kbldAnnotation is the path of the annotation in which kbld lists what it read.
const kbldAnnotation = "/metadata/annotations/kbld.k14s.io~1images"

// deployedFinding is a finding about a string of a document.
type deployedFinding struct {
	report.Finding
	place ytt.Place
	lines int // of the string
}

// deployed examines the result of a rendering. text is what the text of the files says.
func (a *appFolder) deployed(u use, text []textFinding, result *render.Result, err error) *deployed {
	d := &deployed{
		of: a, use: u, text: text, err: err, faults: result.Faults, unused: result.Unused,
		outside: map[string][]int{}, matched: map[string]bool{}, read: map[string]map[string]bool{}, lock: &kbld.Step{},
	}
	(&kappctrl.Folder{Locks: a.placedLocks()}).AddTo(d.lock)
	for _, doc := range result.Documents {
		d.docs = append(d.docs, doc.Text)
		for _, s := range doc.Strings {
			if s.Path != kbldAnnotation {
				d.strings = append(d.strings, s)
			}
		}
	}
	for _, image := range result.Images {
		d.image(image)
	}
	for _, doc := range result.Documents {
		d.document(doc)
	}
	return d
}

// add adds a finding about a string with a place, which may be unknown. A finding in the text about the
// same reference in that string has the exact line, and says what its rule is.
func (d *deployed) add(f report.Finding, place ytt.Place, value string) {
	found := deployedFinding{f, place, 1 + strings.Count(value, "\n")}
	for _, said := range d.text {
		if said.ofSchema || said.Reference != f.Reference || !found.mayBe(said) {
			continue
		}
		found.place.File, found.place.Line = said.File, said.Line
		if aboutKbld[f.Code] && aboutKbld[said.Code] {
			found.Code, found.Message, found.Action = said.Code, said.Message, said.Action
		}
		break
	}
	if found.place.Line == 0 || found.place == place {
		found.place = d.find(f.Reference, found.place, found.lines)
	}
	d.outside[f.Reference] = append(d.outside[f.Reference], len(d.found))
	d.found = append(d.found, found)
}

// The codes of findings about a reference that kbld leaves as it is, by the rules of a step.
var aboutKbld = map[report.Code]bool{"not-locked": true, "not-rewritten": true}

// mayBe reports whether a finding in the text about the same reference is about the same string.
func (f deployedFinding) mayBe(said textFinding) bool {
	switch {
	case f.place.File == "":
		return true
	case f.place.Line == 0: // helm names only the file
		file := filePath(f.place.File)
		return file == said.File || strings.HasPrefix(said.File, file+"/") // packed
	}
	if f.Reference == "" { // the place is that of the document
		return spans(f.place, f.lines+1, said)
	}
	return spans(f.place, f.lines, said)
}

// find returns the line that has a reference: among those of a string at a place, or else the first
// one in the files of the folder. Without one it returns the place.
func (d *deployed) find(reference string, at ytt.Place, lines int) ytt.Place {
	if at.Line > 0 {
		if i := findInString(d.of.textOf(d.use, filePath(at.File)), at.Line, lines, reference); i > 0 {
			at.Line = i
		}
		return at
	}
	for _, f := range d.of.files {
		if at.File != "" && f.Path != at.File || d.of.isLock(f.Path) || !bytes.Contains(f.Data, []byte(reference)) {
			continue
		}
		i := 0
		for l := range bytes.Lines(f.Data) {
			if i++; content.Has(string(l), reference) {
				return ytt.Place{File: f.Path, Line: i}
			}
		}
	}
	return at
}

// findInString returns the line that has a reference, of a string that begins at a line, and has some
// lines or continues below its key. It returns 0 when no line has it.
func findInString(text []byte, at, lines int, reference string) int {
	i, column := 0, 0
	for l := range bytes.Lines(text) {
		own := len(l) - len(bytes.TrimLeft(l, " "))
		switch i++; {
		case i < at:
			continue
		case i == at:
			column = len(l) - len(bytes.TrimLeft(l, " -"))
		case i >= at+lines && own <= column && len(bytes.TrimSpace(l)) > 0:
			return 0
		}
		if content.Has(string(l), reference) {
			return i
		}
	}
	return 0
}

// isLock reports whether a file of the folder is the lock of a bundle.
func (a *appFolder) isLock(file string) bool {
	return slices.ContainsFunc(a.work.parts, func(p part) bool { return p.node != nil && p.lockFile() == file })
}

// image judges a reference that a kbld step read.
func (d *deployed) image(image render.Image) {
	value, to := image.Value, image.Result
	if strings.HasPrefix(value, inside) { // a step before rewrote it
		return
	}
	note := func(code report.Code, level report.Level, reference, format string, args ...any) {
		for _, ref := range []string{value, to.Image} {
			if d.read[ref] == nil {
				d.read[ref] = map[string]bool{}
			}
			d.read[ref][image.Path] = true
		}
		d.add(report.Finding{Code: code, Level: level, Reference: reference, Message: fmt.Sprintf(format, args...)}, image.Place, value)
	}
	if stays := to.Outcome == kbld.Kept || to.Outcome == kbld.Rewritten; stays && d.err == nil && !d.prints(to.Image) {
		return // a step after it replaced it
	}
	_, inLock := d.lock.Entry(value)
	switch code, lock := d.missing(image); to.Outcome {
	case kbld.Rewritten:
		wrong, isEntry := d.of.endOf(to.Image)
		switch {
		case strings.HasPrefix(to.Image, inside):
			d.inside = append(d.inside, image)
		case isEntry && inLock:
			note(wrong.code, report.Pull, value, "names %s, which %s", text.Quote(value), wrong.why)
		case to.Lock:
			note("not-locked", report.Pull, value, "%q, which is not the bundle's lock, makes %q of it, and imgpkg does not change that: pods pull it from there", to.File, to.Image)
		default:
			note("kbld-config", report.Pull, to.Image, "an override names this image, and the lock is not applied to it: pods pull it from there")
		}
	case kbld.Kept:
		note(code, report.Pull, value, "%s: kbld does not change it, and pods pull it from there", lock)
	case kbld.Asked:
		if to.File != "" {
			note("kbld-config", report.Install, to.Image, "%q makes this of %s: kbld asks its registry for the digest, and the template step fails", to.File, text.Quote(value))
			return
		}
		note(code, report.Install, value, "%s: kbld asks its registry for the digest, and the template step fails", lock)
	}
}

// missing returns the code of a reference that kbld reads and no lock rewrites, and why.
func (d *deployed) missing(image render.Image) (code report.Code, why string) {
	if !d.givesLock(image.Step) {
		return "not-rewritten", "the kbld step is not given the lock"
	}
	if other := d.lock.Similar(image.Value); other != "" {
		return "not-locked", fmt.Sprintf("the lock does not have it, which has %q of that repository", other)
	}
	return "not-locked", "the lock does not have it"
}

// givesLock reports whether a step, or one before it, reads the lock of a bundle.
func (d *deployed) givesLock(step int) bool {
	steps := d.use.of.Steps
	if step < len(d.use.of.Lines) {
		i := min(step, len(steps)-1) // or before, when steps before it have no known kind
		for i >= 0 && steps[i].Line != d.use.of.Lines[step] {
			i--
		}
		steps = steps[:i+1]
	}
	return len(steps) > 0 && slices.ContainsFunc(d.of.work.parts, func(p part) bool { return p.node != nil && steps.Read(p.lockFile()) })
}

// endOf returns what is wrong with the image of a lock entry.
func (a *appFolder) endOf(image string) (problem, bool) {
	for _, l := range a.locks {
		if l == nil {
			continue
		}
		for i, e := range l.images.Images {
			if i < len(l.ends) && e.Image.Name() == image && l.ends[i].code != "" {
				return l.ends[i], true
			}
		}
	}
	return problem{}, false
}

// document judges what a document names beside the references that kbld read: nothing rewrites it
// any more.
func (d *deployed) document(doc render.Document) {
	fetched := map[string]bool{} // by objects
	d.objects.in, d.objects.rendered = d.of.in, true
	d.objects.selects = func(i Install) {
		i.File, i.Line = filePath(doc.Place.File), doc.Place.Line
		d.installs = append(d.installs, i)
	}
	d.objects.note = func(_ int, f report.Finding) {
		fetched[f.Reference] = true
		d.addEach(f, doc)
	}
	d.objects.search("", doc.Text)
	content.Rendered(doc.Text, d.lock, sink(func(f report.Finding) {
		switch {
		case strings.Contains(f.Reference, inside):
		case f.Code == "url", f.Code == "fetcher":
			d.addEach(f, doc)
		case fetched[f.Reference]:
		case d.read[f.Reference] != nil && (f.Code == "not-rewritten" || !slices.ContainsFunc(doc.Strings, d.hasUnread(f.Reference))):
		case f.Code == "not-rewritten" && !d.isImage(f.Reference):
		case f.Code == "not-rewritten" && d.endsWithKbld():
			f.Message = "a searchRule of kbld exempts the image: pods pull it from there"
			f.Action = "the author takes its searchRule with updateStrategy none out, and adds the image to the lock"
			d.addEach(f, doc)
		default:
			d.addEach(f, doc)
		}
	}))
}

// hasUnread returns a function that reports whether a string has a reference, and kbld did not read it
// there.
func (d *deployed) hasUnread(reference string) func(ytt.String) bool {
	return func(s ytt.String) bool {
		return content.Has(s.Value, reference) && !d.read[reference][s.Path]
	}
}

// isImage reports whether the value of a key image that no kbld step read is a reference. After a kbld
// step, its configuration exempts the key, which may be of anything then.
func (d *deployed) isImage(value string) bool {
	if d.endsWithKbld() {
		for ref := range content.References(value) {
			return ref == value
		}
		return false
	}
	return new(kbld.Step).Resolve(value).Outcome != kbld.Refused
}

// endsWithKbld reports whether the last step is kbld.
func (d *deployed) endsWithKbld() bool {
	steps := d.use.of.Steps
	return len(steps) > 0 && steps[len(steps)-1].Kind == "kbld"
}

// addEach adds a finding for each string of a document that has the reference, or else for the
// document.
func (d *deployed) addEach(f report.Finding, doc render.Document) {
	f.File, f.Line = "", 0
	has := func(s ytt.String) bool { return content.Has(s.Value, f.Reference) }
	switch f.Code {
	case "outside-key":
		has = d.hasUnread(f.Reference)
	case codeNotInstalled: // by name and version
		has = func(s ytt.String) bool {
			return strings.HasSuffix(s.Path, "/packageRef/refName") && strings.HasPrefix(f.Reference+" ", s.Value+" ")
		}
	}
	if !slices.ContainsFunc(doc.Strings, has) { // joined of several, of which one is the repository
		repo, _, _ := strings.Cut(f.Reference, "@")
		if i := strings.LastIndexByte(repo, ':'); i > strings.LastIndexByte(repo, '/') {
			repo = repo[:i]
		}
		has = func(s ytt.String) bool { return repo != "" && s.Value == repo }
	}
	added := map[ytt.Place]bool{}
	for _, s := range doc.Strings {
		if has(s) && !added[s.Place] {
			added[s.Place] = true
			d.add(f, s.Place, s.Value)
		}
	}
	if len(added) == 0 {
		place := doc.Place
		if f.Reference != "" && slices.ContainsFunc(d.text, func(said textFinding) bool { return said.Reference == f.Reference && !said.ofSchema }) {
			place = ytt.Place{} // the text knows it better
		}
		d.add(f, place, "")
	}
}

// sink receives findings only.
type sink func(report.Finding)

func (s sink) Reference(content.Reference) {}

func (s sink) Note(f report.Finding) { s(f) }
