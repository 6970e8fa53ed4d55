package leak

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"relocate/internal/text"
	"relocate/report"
)

// What a scan finds in repository bundles, in Packages and in registries. docs/leaks.md has them for users.
const (
	codeNoPackages report.Code = "no-packages" // a repository bundle without packages that kapp-controller would serve
	codeBadLock    report.Code = "bad-lock"    // an ImagesLock that is missing or that imgpkg refuses
	codeWithoutID  report.Code = "without-id"  // a lock entry without kbld.carvel.dev/id: kbld refuses the whole lock
	codeBadImage   report.Code = "bad-image"   // an image key in a Package that is empty or no reference: kbld fails

	codeUncovered report.Code = "uncovered" // a reference that no lock entry's id covers, or fetch.image.url: nothing rewrites it
	codeOutside   report.Code = "outside"   // a fetch that is no image: http, git, helmChart; or has a tagSelection
	codeElsewhere report.Code = "elsewhere" // a reference that the lock covers, and the lock is not localised
	codeTag       report.Code = "tag"       // a Package's reference by tag that the lock covers

	codeMissing   report.Code = "missing"   // an image, or a child of it, that is not present
	codeDamaged   report.Code = "damaged"   // content that is not what its digest or its form says
	codeLocations report.Code = "locations" // a locations image that cannot be read, or lists what is not present
	codeForeign   report.Code = "foreign"   // a layer that may not be distributed, and is not present

	codeOldKind      report.Code = "old-kind"      // a package of a time before kapp-controller v0.20, which drops it today
	codeDropped      report.Code = "dropped"       // anything else below packages/ that kapp-controller drops
	codeMisnamed     report.Code = "misnamed"      // a Package whose name is not refName.version
	codeDuplicate    report.Code = "duplicate"     // a Package that comes twice, with different content
	codeNotRead      report.Code = "not-read"      // content that could not be read in full
	codeNotCarried   report.Code = "not-carried"   // what a Package fetches, which no lock covers and which was not carried
	codeNotInstalled report.Code = "not-installed" // a PackageInstall in a bundle whose Package the repository does not have
)

// maxReference is the longest reference of a finding, in bytes.
const maxReference = 1024

// newFinding makes a finding of a bundle, with what to do about it.
func newFinding(code report.Code, level report.Level, at position, reference, format string, args ...any) report.Finding {
	return report.Finding{
		Code: code, Level: level, Bundle: at.bundle, Package: at.pkg, File: at.file, Line: at.line,
		Reference: text.Clip(reference, maxReference), Message: fmt.Sprintf(format, args...),
	}.Advised()
}

// position is where something is written.
type position struct {
	bundle string // reference
	pkg    string // name and version of the package, or of several
	file   string // in the bundle
	line   int    // from 1; 0 for the whole file
}

// in returns the line of the same file.
func (p position) in(line int) position {
	p.line = line
	return p
}

// findings is a list of findings within a limit: those that lead outside and warnings apart, so that no flood of
// warnings hides the others.
type findings struct {
	list              []report.Finding
	leading, warnings int // information counts as a warning
	hidden            int // that lead outside, beyond the limit
	left              int // beyond the limit
}

// maxFindings is how many warnings a list has, and how many other findings.
const maxFindings = 10_000

// add adds a finding; false when the list has most of its sort already.
func (l *findings) add(f report.Finding) bool {
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
	l.list = append(l.list, f)
	return true
}

// note adds findings, within the limit.
func (l *findings) note(list ...report.Finding) {
	for _, f := range list {
		l.add(f)
	}
}

// addOnce adds findings that are not among those added.
func (l *findings) addOnce(added map[report.Finding]bool, list ...report.Finding) {
	for _, f := range list {
		if !added[f] && l.add(f) {
			added[f] = true
		}
	}
}

// merge makes one of findings that say the same of several Packages, and sorts them.
func (l *findings) merge() {
	at := map[report.Finding]int{}
	merged := l.list[:0]
	for _, f := range l.list {
		pkg := f.Package
		f.Package = ""
		i, known := at[f]
		if !known {
			at[f] = len(merged)
			f.Package = pkg
			merged = append(merged, f)
		} else if first := merged[i].Package; !slices.Contains(strings.Split(first, ", "), pkg) && len(first) < 1000 {
			merged[i].Package = first + ", " + pkg
		}
	}
	slices.SortStableFunc(merged, byLine)
	l.list = merged
}

// level is how much it may hurt what was left out.
func (l *findings) level() report.Level {
	if l.hidden > 0 {
		return report.Install
	}
	return report.Warning
}

func byLine(a, b report.Finding) int {
	return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line)
}
