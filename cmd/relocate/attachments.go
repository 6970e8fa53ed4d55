package main

import (
	"cmp"
	"fmt"
	"io"

	"relocate/bundle"
	"relocate/copy"
	"relocate/internal/printer"
	"relocate/report"
)

// What --attachments may be.
const (
	attachmentsAuto    = "auto"
	attachmentsRequire = "require"
	attachmentsNone    = "none"
)

// attachmentsReport says what is attached to the images of a plan, and what is not.
type attachmentsReport struct {
	Found  []report.Attachment `json:"found"`
	Absent []string            `json:"absent"` // images that a lock, a Package or the command line names, without any; of what was walked here
	Unseen []report.Unseen     `json:"unseen"` // what may be attached, and was refused or could not be carried
}

// attachmentsOf reports the attachments of a graph. looked says that it was walked and searched for
// attachments: only then is it known which images have none.
func attachmentsOf(g *bundle.Graph, looked bool) *attachmentsReport {
	r := &attachmentsReport{Found: []report.Attachment{}, Absent: []string{}, Unseen: []report.Unseen{}}
	for _, u := range g.Unseen {
		r.Unseen = append(r.Unseen, report.Unseen(u))
	}
	for _, a := range g.Attachments {
		r.Found = append(r.Found, report.Attachment{Image: g.Node(a.Subject).Name(), Subject: a.Subject, Digest: a.Digest, Tag: a.Tag})
	}
	if looked {
		r.Absent = append(r.Absent, g.WithoutAttachments()...)
	}
	return r
}

// policy is what --attachments means to a destination.
func (f *sourceFlags) policy() copy.Attachments {
	if f.attachments == attachmentsAuto {
		return ""
	}
	return copy.Attachments(f.attachments)
}

// summarizeAttached writes what became of the attachments.
func summarizeAttached(w io.Writer, r *copy.Result) {
	if r == nil || r.Attached+r.AttachedPresent+r.AttachmentsLeftOut == 0 {
		return
	}
	s := fmt.Sprintf("%d uploaded, %d already present", r.Attached, r.AttachedPresent)
	if r.Merged > 0 {
		s += fmt.Sprintf("; %d of the uploaded ones merged with what the tag already had", r.Merged)
	}
	fmt.Fprintf(w, "  attachments      %s\n", s)
	if r.AttachmentsLeftOut == 0 {
		return
	}
	if r.LeftOut[0].Unwanted() { // then all are
		fmt.Fprintf(w, "left out: %s (--attachments none)\n", count(r.AttachmentsLeftOut, "attachment"))
		return
	}
	var lines []string
	for _, l := range r.LeftOut {
		what := "left out"
		if l.Conflict {
			what = "conflict"
		}
		lines = append(lines, fmt.Sprintf("  %s: %s of %s\n    %s", what, cmp.Or(l.Tag, l.Digest.String()), line(l.Image), line(l.Reason)))
	}
	s = count(r.AttachmentsLeftOut, "attachment") + " left out"
	if r.AttachmentConflicts > 0 {
		s += fmt.Sprintf(", %d of them because something else is already in place and was kept", r.AttachmentConflicts)
	}
	fmt.Fprintf(w, "warning: %s\n%s\n", s, printer.First(lines, mostLines, "; see --report"))
}

// summarize writes the report for people.
func (r *attachmentsReport) summarize(w io.Writer) {
	if r == nil {
		return
	}
	if len(r.Found) > 0 && len(r.Absent) > 0 {
		fmt.Fprintf(w, "  %s without any attachment\n", count(len(r.Absent), "listed image"))
	}
	summarizeUnseen(w, r.Unseen, "; see --report")
}

// summarizeUnseen says what may be attached and is not carried; more says where all of it is.
func summarizeUnseen(w io.Writer, unseen []report.Unseen, more string) {
	if len(unseen) == 0 {
		return
	}
	var lines []string
	for _, u := range unseen {
		lines = append(lines, "  "+line(u.String()))
	}
	fmt.Fprintf(w, "attachments not copied: %d\n%s\n", len(unseen), printer.First(lines, mostLines, more))
}
