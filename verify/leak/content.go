package leak

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"relocate/carvel"
	"relocate/report"
)

// textFile is a regular file of a bundle, or of an inline fetch.
type textFile struct {
	path string
	data []byte
}

// step is one of a Package's spec.template.spec.template: which files it reads.
type step struct {
	kind   string            // ytt, kbld, helmTemplate, sops, cue
	paths  []string          // as written, relative to the fetched folder; "-" is what the step before gave; nil for none
	values []string          // paths of valuesFrom, as paths
	inline map[string]string // ytt.inline.paths
	line   int               // in the Package's file
}

// content is what the template steps of one package read.
type content struct {
	files []textFile
	lock  *carvel.ImagesLock // of the bundle
	steps []step             // nil for a bundle that no Package fetches: all its files are looked at

	seen []bool // by lock entry, set by references: the files name its id, or values that make it
}

// reference is an image that the text of a bundle names.
type reference struct {
	file  string
	line  int
	value string // what the cluster gets before the lock is applied: the newImage of an override of kbld's
	entry int    // index in the lock of the entry that rewrites it; -1 for none
}

// Codes of the findings about content (docs/leaks.md, "Content of packages").
const (
	codeNotRewritten   report.Code = "not-rewritten"   // 11: no kbld step with the lock sees the reference
	codeNotLocked      report.Code = "not-locked"      // 12: an image that kbld sees and the lock does not have
	codeComposed       report.Code = "composed"        // 13: values that make a reference which the lock does not have
	codeOutsideKey     report.Code = "outside-key"     // 14: a reference where kbld does not look
	codeDefault        report.Code = "default"         // 15: a value that can be set, with such a reference
	codeKbldConfig     report.Code = "kbld-config"     // 16: sources and overrides that lead outside
	codeHelmDependency report.Code = "helm-dependency" // 17: a chart that is not there
	codeCueModule      report.Code = "cue-module"      // 18: a module that may have to be downloaded
	codeURL            report.Code = "url"             // 19: an address outside
	codeFetcher        report.Code = "fetcher"         // 20: an object whose controller fetches by itself
	codeMissingPath    report.Code = "missing-path"    // a path of a template step that is not in the bundle
)

// Limits on what is said of one package.
const (
	maxFindings   = 10_000 // of warnings, and of others
	maxReferences = 100_000
)

// references returns each reference in c's files that kbld sees or that looks like one, and what is wrong
// that needs no registry to be seen (docs/leaks.md, "Content of packages"), both by
// file and line. Bundle and Package of the findings are left to the caller. A finding without File is about
// a template step: its line is in the Package's file.
func (c *content) references() ([]reference, []report.Finding) {
	s := newScan(c)
	for _, in := range s.inputs() {
		s.file(in)
	}
	s.libraryDefaults()
	if s.left > 0 {
		s.findings = append(s.findings, report.Finding{Code: codeNotRead, Level: s.level(),
			Message: fmt.Sprintf("has %d more findings and references than are listed", s.left)})
	}
	byPlace := func(a, b report.Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	}
	slices.SortStableFunc(s.findings, byPlace)
	return s.refs, s.findings
}

// scan is one run over a content.
type scan struct {
	*content
	ids   map[string]int    // first lock entry of each kbld id
	repos map[string]string // an id of each repository that the ids name

	refs     []reference
	findings []report.Finding
	reported map[finding]bool
	tally    // of findings; left counts references, too

	byDir map[string]*chart // the Helm charts of the bundle
	paths map[string]bool   // its files and folders

	composedOf map[string]bool  // the keys of values that make an image of the lock, outside of ytt libraries
	defaults   []libraryDefault // of those libraries
}

// newScan returns a scan that knows the lock.
func newScan(c *content) *scan {
	s := &scan{content: c, ids: map[string]int{}, repos: map[string]string{}, reported: map[finding]bool{}, composedOf: map[string]bool{}}
	if c.lock == nil {
		return s
	}
	if c.seen == nil {
		c.seen = make([]bool, len(c.lock.Images))
	}
	for i, e := range c.lock.Images {
		id := e.Annotations[carvel.KbldID]
		if _, known := s.ids[id]; id == "" || known {
			continue
		}
		s.ids[id] = i
		s.repos[repository(id)] = id
	}
	return s
}

// finding is what two findings have in common that say the same.
type finding struct {
	code      report.Code
	file      string
	line      int
	reference string
}

// place is where something was found.
type place struct {
	file string
	line int
}

// add takes a reference over.
func (s *scan) add(at place, value string, entry int) {
	if entry >= 0 {
		s.seen[entry] = true
	}
	if len(s.refs) == maxReferences {
		s.left++
		return
	}
	s.refs = append(s.refs, reference{file: at.file, line: at.line, value: shorten(value), entry: entry})
}

// note takes a finding over, once for each place and reference.
func (s *scan) note(at place, code report.Code, level report.Level, ref, message, action string) {
	key := finding{code, at.file, at.line, shorten(ref)}
	if s.reported[key] {
		return
	}
	if !s.takes(level, maxFindings) {
		return
	}
	s.reported[key] = true
	s.findings = append(s.findings, report.Finding{Code: code, Level: level, File: at.file, Line: at.line,
		Reference: key.reference, Message: message, Action: action})
}

// maxReference is the longest reference that is looked at, in bytes, as in a lock.
const maxReference = 1024

// shorten copies foreign text, so that it does not keep the file it stands in, and cuts it to the length of
// a reference.
func shorten(s string) string {
	if len(s) > maxReference {
		s = strings.ToValidUTF8(s[:maxReference], "") + "…"
	}
	return strings.Clone(s)
}
