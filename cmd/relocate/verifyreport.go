package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/pflag"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/report"
	"relocate/verify"
	"relocate/verify/leak"
)

// verifyReport is what verify prints.
type verifyReport struct {
	Version  int              `json:"version"`
	Subject  string           `json:"subject"` // the archive or the repository
	OK       bool             `json:"ok"`
	Archive  *archiveReport   `json:"archive,omitempty"` // not of a repository
	Roots    []rootReport     `json:"roots,omitempty"`
	Contents *contents        `json:"contents,omitempty"`
	Proved   []string         `json:"proved,omitempty"` // nothing when there are problems
	Problems []verify.Problem `json:"problems"`
	Rows     []verify.Row     `json:"rows,omitempty"` // of a repository: what was looked at
	Omitted  []bundle.Omitted `json:"omitted,omitempty"`
	Unseen   []bundle.Unseen  `json:"unseen,omitempty"` // what may be attached and was not carried, by the archive

	AcceptedLeftOut []bundle.Attachment `json:"acceptedLeftOut,omitempty"` // attachments that --accept says were left out; not looked for

	leaks

	act       string       // of a page, when it is no Verification
	told      string       // the verdict, when it is not that of complete and closed
	repo      string       // that objects, or an archive, were compared with; for a page
	mend      string       // what to do about damage, and about what is missing
	hint      string       // what to do
	level     verify.Level // at which a repository was looked at; empty for an archive
	pinned    bool         // a seal or a root was given
	strict    bool         // findings that lead outside are no OK
	unread    int          // roots that are no bundle: what is in them was not read
	plan      *bundle.Plan // nil when there is none
	platforms map[v1.Hash][]string
}

// reportFlags are the flags of what verify and rehearse print and write.
type reportFlags struct {
	format verifyFormat
	file   string
}

func (f *reportFlags) add(flags *pflag.FlagSet) {
	f.format.format = "text"
	flags.VarP(&f.format, "output", "o", "print the result as `FORMAT`: text, json, yaml or junit")
	flags.StringVar(&f.file, "report", "", "also write the report to `FILE`: a page if its name ends in .html, else JSON")
}

// verifyFormat is a format, or junit.
type verifyFormat struct{ format }

// Set implements pflag.Value.
func (f *verifyFormat) Set(s string) error {
	if s == "junit" {
		f.format = "junit"
		return nil
	}
	if err := f.format.Set(s); err != nil {
		return fmt.Errorf("must be text, json, yaml or junit")
	}
	return nil
}

func (f *reportFlags) check() error {
	if f.file == "" {
		return nil
	}
	_, err := checkOutput("--report", f.file)
	return err
}

// isPage reports whether a report's file is to be a page.
func isPage(file string) bool { return strings.EqualFold(filepath.Ext(file), ".html") }

// wantsPlan reports whether the packages, or images, of a plan are to be told.
func (f *reportFlags) wantsPlan() bool { return isPage(f.file) || f.format.format == "junit" }

// platforms reads what a page tells of the images, while their source is open.
func (f *reportFlags) platforms(ctx context.Context, r *verifyReport, src bundle.Source, jobs int) (err error) {
	if isPage(f.file) && r.plan != nil {
		r.platforms, err = platformsOf(ctx, src, r.plan, jobs)
	}
	return err
}

// print prints v, which r is the verdict of, and writes the report's file: after the verdict, which is not lost
// when that fails. The error says what was found.
func (f *reportFlags) print(w io.Writer, v interface{ text(io.Writer) }, r *verifyReport) error {
	if f.format.format == "junit" {
		b, err := encodeJUnit(r, r.packages())
		if err == nil {
			_, err = w.Write(b)
		}
		if err != nil {
			return err
		}
	} else if err := f.format.print(w, v, v.text); err != nil {
		return err
	}
	if f.file != "" {
		if err := f.write(v, r); err != nil {
			return err
		}
	}
	if r.OK {
		return nil
	}
	return problemsError{r.status(), r.verdict(), r.hint}
}

func (f *reportFlags) write(v any, r *verifyReport) error {
	if isPage(f.file) {
		return writePage(f.file, pageOfVerify(r, r.plan, r.platforms))
	}
	b, err := encodeJSON(v)
	if err != nil {
		return err
	}
	return writeFile(f.file, b)
}

func (r *verifyReport) packages() []carvel.Package {
	if r.plan == nil {
		return nil
	}
	return r.plan.Graph.Packages
}

// found takes over what was found to lead outside.
func (r *verifyReport) found(found *leak.Report, known *tolerance) error {
	if err := r.take(found, known); err != nil {
		return err
	}
	switch {
	case leading(found.Findings) > 0 || found.Packages == 0 && found.References == 0:
	case r.level == "":
		r.Proved = append(r.Proved, fmt.Sprintf("none of the %s in %s and their files leads outside", count(found.References, "reference"), count(found.Packages, "package version")))
	default:
		r.Proved = append(r.Proved, fmt.Sprintf("the %s in %s and their files end inside, by the rules of kapp-controller, imgpkg and kbld", count(found.References, "reference"), count(found.Packages, "package version")))
	}
	return nil
}

// holds takes over what a plan says.
func (r *verifyReport) holds(plan *bundle.Plan) {
	c := contentsOf(plan)
	r.plan, r.Contents, r.Omitted, r.Findings = plan, &c, plan.Omitted, plan.Graph.Findings
	r.unread = 0
	for _, root := range plan.Graph.Roots {
		if n := plan.Graph.Node(root.Digest); n != nil && n.Kind != bundle.Bundle {
			r.unread++
		}
	}
	r.Unseen = append(r.Unseen, plan.Graph.Unseen...) // a repository's plan has none: those of its archive count
}

// judge sets the verdict.
func (r *verifyReport) judge() *verifyReport {
	if r.OK = len(r.Problems) == 0 && (!r.strict || leading(r.Findings) == 0); len(r.Problems) > 0 {
		r.Proved = nil
	}
	r.hint = r.remedy()
	return r
}

// hintFindings is what to do about findings.
const hintFindings = "mend what is named; or say with --allow or --accept what is known, and may stay"

// remedy is what helps against what was found: nothing that is sent again mends content, nor another file.
func (r *verifyReport) remedy() string {
	isDamage := func(p verify.Problem) bool { return p.Kind == verify.Damaged }
	isOther := func(p verify.Problem) bool {
		return p.Kind == verify.Different && (p.What == "seal" || strings.HasPrefix(p.What, "root "))
	}
	isThere := func(f report.Finding) bool {
		leftOut := f.Code == "foreign" && len(r.Omitted) > 0
		return leads(f) && (r.level == "" || leftOut || !slices.Contains(mendable, f.Code))
	}
	switch {
	case len(r.Problems) == 0 && slices.ContainsFunc(r.Findings, isThere):
		return hintFindings
	case r.unadorned() != "":
		return "import the archive: that adds them, and uploads no layer that is already there"
	case slices.ContainsFunc(r.Problems, isOther) && !slices.ContainsFunc(r.Problems, isDamage):
		return "it is another file, or was made anew: compare with what the export printed, and find the right one"
	}
	return r.mend
}

// unadorned counts the tags and locations images that are missing, where nothing else is wrong: what another tool pushes has
// all content, and neither. It is empty otherwise.
func (r *verifyReport) unadorned() string {
	n := map[string]int{}
	for _, p := range r.Problems {
		for _, noun := range []string{"tag", "locations image"} {
			if p.Kind == verify.Missing && strings.HasPrefix(p.What, noun+" ") {
				n[noun]++
			}
		}
	}
	switch tags, images := n["tag"], n["locations image"]; {
	case tags+images != len(r.Problems) || len(r.Problems) == 0:
		return ""
	case images == 0:
		return count(tags, "tag")
	case tags == 0:
		return count(images, "locations image")
	default:
		return count(tags, "tag") + " and " + count(images, "locations image")
	}
}

// mendable are the findings that another import mends.
var mendable = []report.Code{"missing", "locations", "elsewhere", "foreign", "damaged"}

func (r *verifyReport) status() int {
	if slices.ContainsFunc(r.Problems, func(p verify.Problem) bool { return p.Kind == verify.Damaged }) {
		return statusDamage
	}
	return statusMissing
}

// verdict is one line: complete says that nothing is missing, closed that nothing needs the world outside.
func (r *verifyReport) verdict() string {
	if r.told != "" {
		return r.told
	}
	leads := leading(r.Findings)
	open := fmt.Sprintf("not closed: %s an install or a pull", count(leads, "finding")+map[bool]string{true: " breaks", false: " break"}[leads == 1])
	switch {
	case r.OK && leads > 0:
		return fmt.Sprintf("NOT CLOSED: %s %s %s (--strict fails on that)", r.Subject, r.complete(), open)
	case r.OK:
		s := fmt.Sprintf("OK: %s is complete", r.Subject)
		if r.level == verify.Manifests {
			s += " at level manifests"
		}
		if r.Scan != nil && r.Scan.Packages > 0 {
			s += " and closed"
		}
		if but := r.excepted(map[bool]string{true: "finding that is accepted", false: "findings that are accepted"}[len(r.Accepted) == 1]); but != "" {
			s += ", but for " + but
		}
		return s
	case len(r.Problems) == 0:
		return fmt.Sprintf("%s %s %s", r.Subject, r.complete(), open)
	case r.unadorned() != "" && leads == 0:
		content := "every manifest"
		if r.level != verify.Manifests {
			content += " and layer"
		}
		return fmt.Sprintf("%s has %s, but lacks what an import adds: %s", r.Subject, content, r.unadorned())
	case leads > 0:
		return fmt.Sprintf("%s is not as it should be: %s; and %s", r.Subject, count(len(r.Problems), "problem"), open)
	}
	return fmt.Sprintf("%s is not as it should be: %s", r.Subject, count(len(r.Problems), "problem"))
}

// complete says, before what is not closed, that nothing is missing, or what is by choice.
func (r *verifyReport) complete() string {
	if n := len(r.Omitted); n > 0 {
		return fmt.Sprintf("is complete but for %s left out, and", count(n, "layer"))
	}
	return "is complete, but"
}

// excepted says what a good verdict does not cover; accepted is the word for accepted findings.
func (r *verifyReport) excepted(accepted string) string {
	var list []string
	if n := len(r.Omitted); n > 0 {
		list = append(list, count(n, "layer")+" left out")
	}
	if len(r.Unseen) > 0 {
		list = append(list, "attachments that were not seen")
	}
	if r.unread > 0 {
		list = append(list, count(r.unread, "root")+map[bool]string{true: " that is no bundle and was not read", false: " that are no bundles and were not read"}[r.unread == 1])
	}
	if n := len(r.Findings); n > 0 {
		list = append(list, count(n, "warning"))
	}
	if n := len(r.Accepted); n > 0 {
		list = append(list, fmt.Sprintf("%d %s", n, accepted))
	}
	if n := len(list); n > 1 {
		return strings.Join(list[:n-1], ", ") + " and " + list[n-1]
	}
	return strings.Join(list, "")
}

// mostProblems is how many problems, and how many findings, the text lists.
const mostProblems = 50

func (r *verifyReport) text(w io.Writer) {
	if r.OK {
		r.textOK(w)
	} else {
		fmt.Fprintf(w, "NOT OK: %s\n", line(r.verdict()))
	}
	r.textWrong(w)
	if len(r.Findings) > mostLines { // the verdict has gone off the screen
		fmt.Fprintf(w, "\n%s\n", line(r.verdict()))
	}
}

// textWrong writes problems, what was looked at, and findings.
func (r *verifyReport) textWrong(w io.Writer) {
	for i, p := range r.Problems {
		if i == mostProblems {
			fmt.Fprintf(w, "  … and %d more; -o json has them all\n", len(r.Problems)-i)
			break
		}
		fmt.Fprintf(w, "  %s: %s: %s\n", p.Kind, line(p.What), line(p.Reason))
		for _, image := range p.Images {
			fmt.Fprintf(w, "    needed by %s\n", line(image))
		}
	}
	for _, row := range r.Rows {
		fmt.Fprintf(w, "  %-16s  %d of %d right\n", row.Of, row.Checked-row.Wrong, row.Checked)
	}
	if len(r.Findings) > 0 {
		fmt.Fprintf(w, "findings: %s\n", findingsCount(r.Findings))
		writeFindings(w, r.Findings, mostProblems, "; -o json has them all")
	}
	summarizeAccepted(w, r.Accepted)
}

// textOK writes what an OK says.
func (r *verifyReport) textOK(w io.Writer) {
	fmt.Fprintln(w, line(r.verdict()))
	if r.Contents != nil {
		fmt.Fprintf(w, "  %s: %s, %s\n", r.Contents, count(r.Contents.Blobs, "blob"), size(r.Contents.Bytes))
	}
	for _, root := range r.Roots {
		fmt.Fprintf(w, "  root %s\n", root)
	}
	for _, s := range r.Proved {
		fmt.Fprintf(w, "  %s\n", s)
	}
	summarizeOmitted(w, r.Omitted)
	summarizeUnseen(w, r.Unseen, "; -o json has them all")
}
