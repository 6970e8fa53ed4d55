package copy

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnaccounted says that nothing failed, and yet not everything that was planned was uploaded, was already
// present or was left out by an option. It is a fault of this program.
var ErrUnaccounted = errors.New("not everything that was planned was copied")

// account is what was planned of one kind of thing, and what became of it.
type account struct {
	what              string // plural
	planned           int
	uploaded, present int
	leftOut           int      // attachments that were refused, or not asked for, and what only they need
	open              []string // what was planned and is in none of the other numbers
}

// mostOpen is how many things of an account an error names.
const mostOpen = 10

// String names what is open.
func (a account) String() string {
	s := fmt.Sprintf("%s: %d planned, %d uploaded, %d already present", a.what, a.planned, a.uploaded, a.present)
	if a.leftOut > 0 {
		s += fmt.Sprintf(", %d left out", a.leftOut)
	}
	if len(a.open) > 0 {
		s += "; unaccounted for: " + strings.Join(a.open[:min(len(a.open), mostOpen)], ", ")
	}
	if more := len(a.open) - mostOpen; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// settle compares what was planned with what became of it. What an option leaves out is not in the plan. Who
// has failures to report has said already that not everything was copied.
//
// Errors: ErrUnaccounted.
func (c *filling) settle() error {
	if len(c.failures) > 0 {
		return nil
	}
	var wrong []string
	for _, a := range c.accounts() {
		if a.planned != a.uploaded+a.present+a.leftOut || len(a.open) > 0 {
			wrong = append(wrong, a.String())
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrUnaccounted, strings.Join(wrong, "; "))
}

// accounts counts all that the plan has.
func (c *filling) accounts() []account {
	g, r := c.plan.Graph, c.result
	manifests := account{what: "manifests", planned: len(g.Nodes), uploaded: r.Manifests, present: r.ManifestsPresent}
	locations := account{what: "locations images", uploaded: r.Locations, present: r.LocationsPresent}
	for _, n := range g.Nodes {
		s := c.nodes[n.Descriptor.Digest]
		of := n.Descriptor.Digest.String() + " of " + n.Name()
		switch {
		case s.leftOut != nil && !s.complete:
			manifests.leftOut++
		case !s.complete:
			manifests.open = append(manifests.open, of)
		}
		if s.wantsLocations() {
			locations.planned++
			if !s.located {
				locations.open = append(locations.open, of)
			}
		}
	}
	blobs := account{what: "layers and configs", uploaded: r.Blobs - c.again, present: r.BlobsPresent}
	for i, b := range c.plan.Blobs {
		if b.IsManifest {
			continue
		}
		blobs.planned++
		switch d := b.Descriptor.Digest; {
		case c.counted[i] || c.sent[d]:
		case c.skips(d) || c.refused[d]:
			blobs.leftOut++
		default:
			blobs.open = append(blobs.open, b.Descriptor.Digest.String()+" of "+b.Node.Name())
		}
	}
	tags := account{what: "tags", planned: len(c.opt.Tags), uploaded: r.Tags, present: r.TagsPresent}
	attachments := account{what: "attachments", planned: len(g.Attachments), uploaded: r.Attached, present: r.AttachedPresent, leftOut: r.AttachmentsLeftOut}
	for _, a := range g.Attachments {
		if !c.attached[a] && !c.isLeftOut(a) {
			attachments.open = append(attachments.open, a.Digest.String()+" of "+a.Subject.String())
		}
	}
	return []account{blobs, manifests, locations, attachments, tags}
}
