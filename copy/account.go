package copy

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnaccounted says that nothing failed, and yet not everything planned was uploaded, already
// present or left out by an option. It is a bug of this program.
var ErrUnaccounted = errors.New("not everything that was planned was copied")

// account is what was planned of one kind of thing, and what became of it.
type account struct {
	what              string // plural
	planned           int
	uploaded, present int
	leftOut           int      // attachments that were refused or not wanted, and what only they need
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

// settle compares what was planned with what became of it. What an option leaves out is not in the
// plan. After failures it does nothing: they say already that not everything was copied.
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

// accounts counts everything in the plan.
func (c *filling) accounts() []account {
	tags := account{what: "tags", planned: len(c.opt.Tags), uploaded: c.result.Tags, present: c.result.TagsPresent}
	return []account{c.blobAccount(), c.manifestAccount(), c.locationsAccount(), c.attachmentAccount(), tags}
}

func (c *filling) blobAccount() account {
	a := account{what: "layers and configs", uploaded: c.result.Blobs - c.again, present: c.result.BlobsPresent}
	for i, b := range c.plan.Blobs {
		if b.IsManifest {
			continue
		}
		a.planned++
		switch d := b.Descriptor.Digest; {
		case c.counted[i] || c.sent[d]:
		case c.skips(d) || c.refused[d]:
			a.leftOut++
		default:
			a.open = append(a.open, d.String()+" of "+b.Node.Name())
		}
	}
	return a
}

func (c *filling) manifestAccount() account {
	nodes := c.plan.Graph.Nodes
	a := account{what: "manifests", planned: len(nodes), uploaded: c.result.Manifests, present: c.result.ManifestsPresent}
	for _, n := range nodes {
		switch s := c.nodes[n.Descriptor.Digest]; {
		case s.complete:
		case s.leftOut != nil:
			a.leftOut++
		default:
			a.open = append(a.open, n.Descriptor.Digest.String()+" of "+n.Name())
		}
	}
	return a
}

func (c *filling) locationsAccount() account {
	a := account{what: "locations images", uploaded: c.result.Locations, present: c.result.LocationsPresent}
	for _, n := range c.plan.Graph.Nodes {
		s := c.nodes[n.Descriptor.Digest]
		if !s.wantsLocations() {
			continue
		}
		a.planned++
		if !s.located {
			a.open = append(a.open, n.Descriptor.Digest.String()+" of "+n.Name())
		}
	}
	return a
}

func (c *filling) attachmentAccount() account {
	list := c.plan.Graph.Attachments
	a := account{what: "attachments", planned: len(list), uploaded: c.result.Attached, present: c.result.AttachedPresent, leftOut: c.result.AttachmentsLeftOut}
	for _, attachment := range list {
		if !c.attached[attachment] && !c.isLeftOut(attachment) {
			a.open = append(a.open, attachment.Digest.String()+" of "+attachment.Subject.String())
		}
	}
	return a
}
