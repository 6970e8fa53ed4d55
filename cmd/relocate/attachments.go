package main

import (
	"cmp"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/copy"
)

// What --attachments may be.
const (
	attachmentsAuto    = "auto"
	attachmentsRequire = "require"
	attachmentsNone    = "none"
)

// attachmentsReport says what is attached to the images of a plan, and what is not.
type attachmentsReport struct {
	Found  []attachmentReport `json:"found"`
	Absent []string           `json:"absent"` // images that a lock, a Package or the command line names, without any; of what was walked here
	Unseen []bundle.Unseen    `json:"unseen"` // what may be attached, and was refused or could not be carried
}

// attachmentReport is something that is attached.
type attachmentReport struct {
	Image   string  `json:"image"` // reference of the subject
	Subject v1.Hash `json:"subject"`
	Digest  v1.Hash `json:"digest"`
	Tag     string  `json:"tag,omitempty"` // none: it names its subject itself
}

// attachmentsOf reports the attachments of a graph. Whether an image has none is known where it was walked,
// and attachments were looked for: elsewhere nobody may have looked.
func attachmentsOf(g *bundle.Graph, looked bool) *attachmentsReport {
	r := &attachmentsReport{Found: []attachmentReport{}, Absent: []string{}, Unseen: append([]bundle.Unseen{}, g.Unseen...)}
	for _, a := range g.Attachments {
		r.Found = append(r.Found, attachmentReport{g.Node(a.Subject).Name(), a.Subject, a.Digest, a.Tag})
	}
	if looked {
		r.Absent = append(r.Absent, g.Bare()...)
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
	if r == nil || r.Attached+r.AttachedHad+r.AttachmentsLeftOut == 0 {
		return
	}
	s := fmt.Sprintf("%d uploaded, %d already present", r.Attached, r.AttachedHad)
	if r.Merged > 0 {
		s += fmt.Sprintf("; %d of the uploaded merged with what was already under the tag", r.Merged)
	}
	fmt.Fprintf(w, "  attachments  %s\n", s)
	if r.AttachmentsLeftOut == 0 {
		return
	}
	if r.LeftOut[0].Reason == copy.NotWanted { // then all are
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
		s += fmt.Sprintf(", %d of them because something else is already in place, which stays", r.AttachmentConflicts)
	}
	fmt.Fprintf(w, "warning: %s\n%s\n", s, shortList(lines, mostLines, "; see --report"))
}

// summarize writes the report for people.
func (r *attachmentsReport) summarize(w io.Writer) {
	if r == nil {
		return
	}
	if len(r.Found) > 0 && len(r.Absent) > 0 {
		fmt.Fprintf(w, "  bare   %s without any attachment\n", count(len(r.Absent), "listed image"))
	}
	summarizeUnseen(w, r.Unseen, "; see --report")
}

// summarizeUnseen tells what may be attached and is not carried; more says where all of it is.
func summarizeUnseen(w io.Writer, unseen []bundle.Unseen, more string) {
	if len(unseen) == 0 {
		return
	}
	var lines []string
	for _, u := range unseen {
		lines = append(lines, "  "+line(unseenText(u)))
	}
	fmt.Fprintf(w, "attachments not seen: %d\n%s\n", len(unseen), shortList(lines, mostLines, more))
}

// unseenText says what was not seen.
func unseenText(u bundle.Unseen) string {
	switch {
	case u.What == "tags":
		return u.Reference + " refused to show its tags: signatures may be there"
	case u.What == "referrers":
		return u.Reference + " refused to show what refers to its images: signatures may be there"
	case u.Reason == "refused":
		return u.Reference + " was refused"
	}
	return u.Reference + map[string]string{
		"gone":          " is listed and not there",
		"unreadable":    " is no manifest that can be carried",
		"other-subject": " is listed and names another subject",
		"circular":      " is attached to itself",
		"incomplete":    " is left out: a part of it is missing or damaged",
		"second":        " is left out: another one is carried under its tag",
	}[u.Reason]
}
