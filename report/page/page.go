// Package page shows a verdict as an HTML page, for people who approve. Render makes it: one file
// that loads nothing and sends nothing, the same bytes for the same verdict and options, with all
// foreign text escaped.
package page

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
	"time"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/diff"
	"relocate/internal/text"
	"relocate/report"
)

// Options are what a page has beside the verdict.
type Options struct {
	Plan      *bundle.Plan         // nil for none
	Platforms map[v1.Hash][]string // of Platforms; nil when they are not known
	Changes   *diff.Report         // what is new against something else; nil for none
	Program   string               // its name and version
	Command   string               // how it was run, without secrets
	Time      time.Time            // of the verdict
}

// Render returns the page of a verdict. The same verdict and options give the same bytes.
func Render(v *report.Verdict, opt Options) ([]byte, error) { return newPage(v, opt).encode() }

// htmlPage is what people read before they approve a disk or a cluster: one HTML file without
// anything from elsewhere. All of its text may be foreign.
type htmlPage struct {
	Verdict *report.Verdict
	Options
	word, state string // in place of the verdict's; empty: the verdict's

	Changes  *pageChanges
	Notes    []string // beside the verdict
	Unproved []string // what is not proved
	Problems excerpt[pageProblem]
	Findings pageFindings
	Chosen   pageChosen
	Replaced excerpt[report.Replaced]
	Packages excerpt[packageRow]
	Sizes    bool // the sizes of packages are known
	Images   excerpt[imageRow]
	Map      []mapGroup
	Attached pageAttached
	Omitted  excerpt[report.Omitted]
}

// Word is the verdict in a word.
func (p *htmlPage) Word() string { return cmp.Or(p.word, p.Verdict.Word()) }

// State is the colour of the verdict. Complete content may still not work in a cluster.
func (p *htmlPage) State() string {
	return cmp.Or(p.state, map[string]string{"OK": "good", "NOT CLOSED": "warn", "NOT OK": "bad"}[p.Verdict.Word()])
}

// pageProblem is something that is not as it should be.
type pageProblem struct {
	Kind   string
	What   string
	Reason string
	Images excerpt[string]
}

// pageFindings are findings by what they are about, the group with the worst finding first.
type pageFindings struct {
	Groups   []findingGroup
	HasBasis bool // one of them says what it was seen in
	Counts   string
	All      int
	More     int // that are not shown
}

// findingGroup is the findings of a package's version, of a bundle or of an object.
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
	Found  excerpt[report.Attachment]
	Absent excerpt[string]
	Unseen excerpt[report.Unseen]
}

// excerpt is the beginning of a list that is too long for a page, which says so.
type excerpt[T any] struct {
	List []T
	More int
}

// All returns the length of the whole list.
func (c excerpt[T]) All() int { return len(c.List) + c.More }

// mostText is how many bytes of foreign text a list shows, in HTML: names can be long.
const mostText = 1 << 20

// shorten cuts a list to at most most entries, and to mostText. foreign returns the foreign text of
// an entry.
func shorten[T any](list []T, most int, foreign func(T) []string) excerpt[T] {
	room := mostText
	for i, entry := range list {
		for _, s := range foreign(entry) {
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

// clip puts foreign text on one line, and cuts it if it is too long: then it says how much is
// missing.
func clip(s string) string {
	if len(s) <= mostClip {
		return text.Line(s)
	}
	runes, at := 0, 0
	for at = range s {
		if runes++; runes > mostClip {
			return text.Line(s[:at]) + fmt.Sprintf(" … and %d more characters", utf8.RuneCountInString(s[at:]))
		}
	}
	return text.Line(s)
}

//go:embed page.html
var pageHTML string

//go:embed changes.html
var changesHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageScript string

// pageTemplate is parsed once. CSP lets the page's own style and script run, by their hashes, and
// nothing else.
var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"clip": clip, "size": text.Size, "number": number, "levelClass": levelClass, "stateClass": stateClass, "carry": carryText, "attachment": attachmentWord,
	"sizeOrNot": sizeOrNot, "released": dayOf, "place": placeOf, "utc": utc,
	"style":  func() template.CSS { return template.CSS(pageCSS) },  //nolint:gosec // it is our own file
	"script": func() template.JS { return template.JS(pageScript) }, //nolint:gosec // it is our own file
	"csp":    func() string { return contentPolicy(pageCSS, pageScript) },
}).Parse(pageHTML + changesHTML))

// contentPolicy is the page's Content-Security-Policy.
func contentPolicy(style, script string) string {
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return fmt.Sprintf("default-src 'none'; style-src %s; script-src %s; img-src data:; base-uri 'none'; form-action 'none'", hash(style), hash(script))
}

// encode returns the page's HTML. All text goes through printable: a reader of the page cannot see
// what a terminal would obey, either.
func (p *htmlPage) encode() ([]byte, error) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return nil, err
	}
	return []byte(text.Printable(b.String())), nil
}

// levelClass is the colour of a level.
func levelClass(l report.Level) string {
	return map[report.Level]string{report.Install: "bad", report.Pull: "bad", report.Warning: "warn"}[l]
}

// utc formats a time for the page.
func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// number separates thousands: "12,345".
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
	return text.Size(n)
}

// placeOf is a reference without its digest, which is shown beside it.
func placeOf(ref string) string {
	place, _, _ := strings.Cut(ref, "@")
	return place
}
