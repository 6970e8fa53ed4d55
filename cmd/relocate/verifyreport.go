package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/bundle"
	"relocate/internal/outfile"
	"relocate/internal/printer"
	"relocate/report"
	"relocate/report/page"
	"relocate/tarball"
)

// verified is a verdict, and what pages and JUnit have beside it.
type verified struct {
	*report.Verdict
	plan      *bundle.Plan // nil for none
	platforms map[v1.Hash][]string
	unwritten error // why there is no receipt
}

// receipt appends the receipt of the verdict, unless err is that there is none. Where that fails, the verdict
// is printed all the same. archive is nil for a stream.
func (r *verified) receipt(receipts *receipting, archive *tarball.Archive, err error) error {
	if err == nil {
		r.unwritten = receipts.write("this is the verdict", func(w *relocate.Receipts) error { return w.Judged(receipts.archive, archive, r.Verdict) })
	}
	return err
}

// reportFlags are the flags of what verify and rehearse print and write.
type reportFlags struct {
	format  verifyFormat
	file    string
	command string // as it was run
	ended   *termination
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

func (f *reportFlags) check() error { return checkReport(f.file) }

// checkReport refuses a file for --report that cannot be written. Without a name there is none.
func checkReport(file string) error {
	if file == "" {
		return nil
	}
	_, err := checkOutput("--report", file)
	return err
}

// isPage reports whether a report's file is to be a page.
func isPage(file string) bool { return strings.EqualFold(filepath.Ext(file), ".html") }

// wantsPlan reports whether the packages, or images, of a plan are part of the report.
func (f *reportFlags) wantsPlan() bool { return isPage(f.file) || f.format.format == "junit" }

// options say how a verification runs. It keeps in r what a page and JUnit have beside the verdict.
func (f *reportFlags) options(r *verified, jobs concurrency, show *display) relocate.Options {
	opt := relocate.Options{Jobs: jobs.least, MostJobs: jobs.most, Progress: show.see}
	if f.wantsPlan() {
		opt.Content = func(ctx context.Context, src bundle.Source, plan *bundle.Plan) (err error) {
			if r.plan = plan; isPage(f.file) {
				r.platforms, err = page.Platforms(ctx, src, plan, jobs.least)
			}
			return err
		}
	}
	return opt
}

// print prints the verdict and then writes the report's file: the verdict is not lost when that
// fails. The error says what was found.
func (f *reportFlags) print(w io.Writer, r *verified) error {
	f.ended.judge(r.Verdict)
	if f.format.format == "junit" {
		b, err := r.JUnit(r.packages())
		if err == nil {
			_, err = w.Write(b)
		}
		if err != nil {
			return err
		}
	} else if err := f.format.print(w, r.Verdict, r.text); err != nil {
		return err
	}
	if f.file != "" {
		if err := f.write(r); err != nil {
			return err
		}
	}
	if r.OK {
		return r.unwritten
	}
	return errors.Join(problemsError{r.status(), r.Sentence, r.Hint}, r.unwritten)
}

func (f *reportFlags) write(r *verified) error {
	if isPage(f.file) {
		return writePage(f.file, r.Verdict, pageOptions(f.command, r.plan, r.platforms))
	}
	b, err := printer.JSON(r.Verdict)
	if err != nil {
		return err
	}
	return outfile.Write(f.file, b)
}

// packages names the versions of packages of the plan.
func (r *verified) packages() (names []string) {
	if r.plan != nil {
		for _, p := range r.plan.Graph.Packages {
			names = append(names, p.Name+" "+p.Version)
		}
	}
	return names
}

func (r *verified) status() int {
	if r.Damaged() {
		return statusDamage
	}
	return statusMissing
}

// mostProblems is how many problems, and how many findings, the text lists.
const mostProblems = 50

// verdictLine is the verdict, for a terminal.
func verdictLine(v *report.Verdict) string { return line(v.Word() + ": " + v.Sentence) }

// text writes the verdict for a terminal.
func (r *verified) text(w io.Writer) {
	writeVerdict(w, r.Verdict)
	if len(r.Findings) > mostLines { // it has left the screen
		fmt.Fprintf(w, "\n%s\n", verdictLine(r.Verdict))
	}
}

// writeVerdict writes a verdict for people.
func writeVerdict(w io.Writer, v *report.Verdict) {
	writeSubject(w, v)
	for _, s := range v.Proved {
		fmt.Fprintf(w, "  %s\n", line(s))
	}
	writeProblems(w, v)
	writeNotProved(w, v.NotProved)
	writeFindings(w, v.Findings, mostProblems, "; -o json lists them all")
	summarizeAccepted(w, v.Accepted)
	if v.OK && v.Verify == nil {
		summarizeOmitted(w, v.Omitted)
		summarizeUnseen(w, v.Unseen, "; -o json lists them all")
	}
}

// writeSubject writes the verdict and what it is about.
func writeSubject(w io.Writer, v *report.Verdict) {
	fmt.Fprintln(w, verdictLine(v))
	if v.Contents != nil && (v.OK || v.Verify != nil) {
		fmt.Fprintf(w, "  %s: %s, %s\n", v.Contents, count(v.Contents.Blobs, "blob"), size(v.Contents.Bytes))
	}
	if v.Scan != nil && v.Scan.Rendering() != "" && (v.OK || v.Verify != nil || len(v.Problems) == 0) {
		fmt.Fprintf(w, "  %s\n", v.Scan.Rendering())
	}
	if v.OK && v.Verify == nil {
		for _, root := range v.Roots {
			fmt.Fprintf(w, "  root %s\n", root)
		}
	}
	if v.Objects != nil && !v.OK {
		fmt.Fprintf(w, "  %s\n", v.Objects)
	}
}

func writeNotProved(w io.Writer, list []string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(w, "not proved:")
	for _, s := range list {
		fmt.Fprintf(w, "  %s\n", line(s))
	}
}

// writeProblems writes problems, and what was checked.
func writeProblems(w io.Writer, v *report.Verdict) {
	for i, p := range v.Problems {
		if i == mostProblems {
			fmt.Fprintf(w, "  … and %d more; -o json lists them all\n", len(v.Problems)-i)
			break
		}
		fmt.Fprintf(w, "  %s: %s: %s\n", p.Kind, line(p.What), line(p.Reason))
		for _, image := range p.Images {
			fmt.Fprintf(w, "    needed by %s\n", line(image))
		}
	}
	for _, row := range v.Rows {
		fmt.Fprintf(w, "  %-16s  %d of %d correct\n", row.Of, row.Checked-row.Wrong, row.Checked)
	}
}
