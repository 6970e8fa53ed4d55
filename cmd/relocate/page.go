package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/report"
	"relocate/verify"
)

// htmlPage is what a board reads before it lets a disk, or a cluster, pass: one HTML file without anything from
// elsewhere. The same page gives the same bytes. All of its text may be foreign.
type htmlPage struct {
	Act     string // Verification, Export, Import, Copy
	Subject string // the archive or the repository
	OK      bool
	Verdict string // one sentence
	Hint    string // what to do when it is not OK

	Archive    *archiveReport // whose seal is shown; may be nil
	Repository string         // which was filled
	Tags       []string       // of the roots, there
	Roots      []rootReport
	Contents   *contents
	Notes      []string // beside the verdict

	Proved, NotProved []string
	Rows              []verify.Row // of a registry: what was looked at

	Problems excerpt[pageProblem]
	Findings pageFindings
	Packages excerpt[packageRow]
	Sizes    bool // the sizes of packages are known
	Images   excerpt[imageRow]
	Map      []mapGroup
	Attached pageAttached
	Omitted  excerpt[bundle.Omitted]
}

// State is the colour of the verdict. What is complete may still be no good to a cluster.
func (p *htmlPage) State() string {
	switch {
	case !p.OK:
		return "bad"
	case p.Findings.Bad():
		return "warn"
	}
	return "good"
}

// pageProblem is something that is not as it should be.
type pageProblem struct {
	Kind   string
	What   string
	Reason string
	Images excerpt[string]
}

// pageFindings are findings by package, the worst first.
type pageFindings struct {
	Groups []findingGroup
	Counts []levelCount // of the levels that there are
	All    int
	More   int // that are not shown
}

// Bad reports whether something cannot be installed, or not be pulled.
func (f pageFindings) Bad() bool {
	return slices.ContainsFunc(f.Counts, func(c levelCount) bool { return c.Level != report.Warning })
}

// levelCount says how many findings have a level.
type levelCount struct {
	Level report.Level
	Count int
}

// findingGroup is the findings of a package's version or, without one, of a bundle.
type findingGroup struct {
	Name string
	List []report.Finding
}

// packageRow is a version of a package.
type packageRow struct {
	Title, Name, Version, ReleasedAt string
	About                            string // its short description, with the newest version
	Again                            bool   // the row before is of the same package
	Size, Only                       int64  // -1: not known
}

// imageRow is an index, a bundle or an image.
type imageRow struct {
	Names     excerpt[string] // references, without the digest
	Parent    string          // of a child of an index: a name of the index
	Digest    v1.Hash
	Kind      bundle.Kind
	Platforms []string
	Size      int64 // -1: not known
}

// pageAttached says what is attached to images, and what is not.
type pageAttached struct {
	Note   string
	Found  excerpt[attachmentReport]
	Absent excerpt[string]
	Unseen excerpt[bundle.Unseen]
}

// excerpt is the beginning of a list that is too long for a page, which says so.
type excerpt[T any] struct {
	List []T
	More int
}

// All returns how many there are.
func (c excerpt[T]) All() int { return len(c.List) + c.More }

// mostText is how many bytes of foreign text a list shows, in HTML: names can be long.
const mostText = 1 << 20

// shorten cuts a list to so many entries, and to mostText. Text is what is foreign in an entry.
func shorten[T any](list []T, most int, text func(T) []string) excerpt[T] {
	room := mostText
	for i, entry := range list {
		for _, s := range text(entry) {
			room -= len(template.HTMLEscapeString(clip(s)))
		}
		if i == most || (room < 0 && i > 0) {
			return excerpt[T]{list[:i:i], len(list) - i}
		}
	}
	return excerpt[T]{List: list}
}

// mostClip is how many characters of one foreign text are shown.
const mostClip = 600

// clip makes one line of foreign text that is not too long, and says when it was.
func clip(s string) string {
	if len(s) <= mostClip {
		return line(s)
	}
	runes, at := 0, 0
	for at = range s {
		if runes++; runes > mostClip {
			return line(s[:at]) + fmt.Sprintf(" … and %d more characters", utf8.RuneCountInString(s[at:]))
		}
	}
	return line(s)
}

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageScript string

// pageTemplate is parsed once. CSP lets the page's own style and script run, by their hashes, and nothing else.
var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"clip": clip, "size": size, "count": count, "number": number, "levelWord": levelWord, "levelClass": levelClass,
	"unseen": unseenText, "attachment": attachmentWord, "sizeOrNot": sizeOrNot, "released": dayOf, "seal": (*archiveReport).textSeal, "place": placeOf,
	"style":  func() template.CSS { return template.CSS(pageCSS) },  //nolint:gosec // it is our own file
	"script": func() template.JS { return template.JS(pageScript) }, //nolint:gosec // it is our own file
	"csp":    func() string { return contentPolicy(pageCSS, pageScript) },
}).Parse(pageHTML))

// contentPolicy is the page's Content-Security-Policy.
func contentPolicy(style, script string) string {
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return fmt.Sprintf("default-src 'none'; style-src %s; script-src %s; img-src data:; base-uri 'none'; form-action 'none'", hash(style), hash(script))
}

// encode returns the page's HTML. What a terminal would obey, a reader of the page does not see, either: all
// of it goes through printable.
func (p *htmlPage) encode() ([]byte, error) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return nil, err
	}
	return []byte(printable(b.String())), nil
}

// writePage writes the page to a file, which is replaced as a whole.
func writePage(path string, p *htmlPage) error {
	text, err := p.encode()
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return writeFile(path, text)
}

// levelWord says what a level means.
func levelWord(l report.Level) string {
	return cmp.Or(map[report.Level]string{report.Install: "cannot be installed", report.Pull: "cannot be pulled"}[l], "to look at")
}

// levelClass is the colour of a level.
func levelClass(l report.Level) string {
	return cmp.Or(map[report.Level]string{report.Install: "bad", report.Pull: "bad"}[l], "warn")
}

// number writes thousands apart: "12,345".
func number(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func sizeOrNot(n int64) string {
	if n < 0 {
		return "–"
	}
	return size(n)
}

// placeOf is a reference without its digest, which is told beside it.
func placeOf(ref string) string {
	place, _, _ := strings.Cut(ref, "@")
	return place
}
