package leak

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/text"
	"relocate/report"
)

// The findings of a scan about repository bundles, Packages and registries. docs/leaks.md explains
// them to users.
const (
	codeNoPackages report.Code = "no-packages" // a repository bundle without packages that kapp-controller would serve
	codeBadLock    report.Code = "bad-lock"    // an ImagesLock that is missing or that imgpkg refuses
	codeWithoutID  report.Code = "without-id"  // a lock entry without kbld.carvel.dev/id: kbld refuses the whole lock
	codeBadImage   report.Code = "bad-image"   // an image key in a Package that is empty or not a reference: kbld fails

	codeRefused report.Code = "refused" // a file below packages/ for which kapp-controller refuses the whole repository

	codeUncovered report.Code = "uncovered" // a reference that no lock entry's id covers, or fetch.image.url: nothing rewrites it
	codeOutside   report.Code = "outside"   // a fetch that is not an image (http, git, helmChart) or that has a tagSelection
	codeElsewhere report.Code = "elsewhere" // a reference covered by a lock that imgpkg does not localise
	codeTag       report.Code = "tag"       // a Package's reference by tag that the lock covers

	codeMissing   report.Code = "missing"   // an image, or a child of it, that is missing
	codeDamaged   report.Code = "damaged"   // content that does not match its digest or its format
	codeLocations report.Code = "locations" // a locations image that cannot be read, or that lists missing images
	codeForeign   report.Code = "foreign"   // a layer that may not be distributed, and is missing

	codeOldKind      report.Code = "old-kind"      // a package of a kind older than kapp-controller v0.20; current versions drop it
	codeDropped      report.Code = "dropped"       // anything else below packages/ that kapp-controller drops
	codeMisnamed     report.Code = "misnamed"      // a Package whose name is not refName.version
	codeDuplicate    report.Code = "duplicate"     // a Package that occurs twice, with different content
	codeNotRead      report.Code = "not-read"      // content that could not be read in full
	codeNotCarried   report.Code = "not-carried"   // a fetch of a Package that no lock covers and that was not carried
	codeNotInstalled report.Code = "not-installed" // a PackageInstall in a bundle whose Package is missing from the repository
)

// maxReference is the longest reference of a finding, in bytes.
const maxReference = 1024

// newFinding makes a finding about a bundle, with its action.
func newFinding(code report.Code, level report.Level, at position, reference, format string, args ...any) report.Finding {
	return report.Finding{
		Code: code, Level: level, Bundle: at.bundle, Package: at.pkg, File: at.file, Line: at.line,
		Reference: text.Clip(reference, maxReference), Message: fmt.Sprintf(format, args...),
	}.Advised()
}

// position is a place in a bundle.
type position struct {
	bundle string // reference
	pkg    string // name and version of the package, or of several
	file   string // in the bundle
	line   int    // from 1; 0 for the whole file
}

// in returns the position of a line in the same file.
func (p position) in(line int) position {
	p.line = line
	return p
}

// findings is a list of findings with a limit. Findings that say the same about several Packages are
// one. It counts warnings apart from findings that point outside, so that no flood of warnings hides
// the others.
type findings struct {
	list              []report.Finding
	known             map[report.Finding]int // index in list, by the finding without its Package
	leading, warnings int                    // information counts as a warning
	hidden            int                    // findings that point outside, beyond the limit
	left              int                    // beyond the limit
}

// maxFindings is the limit on warnings in a list, and the limit on other findings.
const maxFindings = 10_000

// add adds a finding. It returns false when the list has too many findings of that sort already.
func (l *findings) add(f report.Finding) bool {
	same := f
	same.Package = ""
	if i, known := l.known[same]; known {
		l.list[i].Package = joinPackages(l.list[i].Package, f.Package)
		return true
	}
	n := &l.leading
	if !f.Level.Breaks() {
		n = &l.warnings
	}
	if *n == maxFindings {
		if l.left++; f.Level.Breaks() {
			l.hidden++
		}
		return false
	}
	*n++
	if l.known == nil {
		l.known = map[report.Finding]int{}
	}
	l.known[same] = len(l.list)
	l.list = append(l.list, f)
	return true
}

// joinPackages adds the names of Packages to others, each once.
func joinPackages(names, more string) string {
	known := strings.Split(names, ", ")
	for name := range strings.SplitSeq(more, ", ") {
		switch {
		case slices.Contains(known, name) || len(names) >= 1000:
		case names == "":
			names = name
		default:
			names += ", " + name
		}
	}
	return names
}

// note adds findings, within the limit.
func (l *findings) note(list ...report.Finding) {
	for _, f := range list {
		l.add(f)
	}
}

// sort sorts the list by rank, file and line. Nothing can be added after that.
func (l *findings) sort(rank func(report.Finding) int) {
	slices.SortStableFunc(l.list, func(a, b report.Finding) int { return cmp.Or(rank(a)-rank(b), byLine(a, b)) })
	l.known = nil
}

// level returns the level of the findings that were left out.
func (l *findings) level() report.Level {
	if l.hidden > 0 {
		return report.Install
	}
	return report.Warning
}

func byLine(a, b report.Finding) int {
	return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line)
}

// nameRoots sets the root of each finding where a graph has several: the first root that needs the bundle.
func nameRoots(list []report.Finding, g *bundle.Graph) {
	if len(g.Roots) < 2 {
		return
	}
	roots := map[string]string{} // by the name of a bundle
	seen := map[v1.Hash]bool{}
	for _, root := range g.Roots {
		for next := []v1.Hash{root.Digest}; len(next) > 0; {
			d := next[len(next)-1]
			next = next[:len(next)-1]
			n := g.Node(d)
			if n == nil || seen[d] {
				continue
			}
			seen[d] = true
			roots[n.Name()] = root.Reference.Name()
			next = append(next, n.Children...)
		}
	}
	for i := range list {
		list[i].Root = roots[list[i].Bundle]
	}
}
