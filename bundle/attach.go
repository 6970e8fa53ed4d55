package bundle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/oci"
)

// Limits on what is attached; what has more was made to exhaust its reader.
const (
	maxAttached      = 2_000 // to one manifest
	maxAttachedDepth = 8     // a signature of an SBOM of an image is two deep
)

// Attachment says that a manifest hangs on another one, its subject: by a tag that is made of the
// subject's digest, as cosign does, or, without one, because it names the subject itself (OCI 1.1, referrers).
type Attachment struct {
	Subject v1.Hash `json:"subject"`
	Digest  v1.Hash `json:"digest"`
	Tag     string  `json:"tag,omitempty"`
}

// fits reports whether the tag, if there is one, is of the subject.
func (a Attachment) fits() bool {
	return a.Tag == "" || slices.Contains(oci.AttachmentTags(a.Subject), a.Tag)
}

// compare puts the attachments of one subject in their order: cosign's tags, then referrers by digest.
func (a Attachment) compare(b Attachment) int {
	rank := func(a Attachment) int {
		tags := oci.AttachmentTags(a.Subject)
		if a.Tag == "" {
			return len(tags)
		}
		return slices.Index(tags, a.Tag)
	}
	return cmp.Or(rank(a)-rank(b), strings.Compare(a.Digest.String(), b.Digest.String()))
}

// Unseen is something that is or may be attached to an image of a graph, and is not carried.
type Unseen struct {
	Reference string `json:"reference"` // of a repository, or of one manifest
	What      string `json:"what"`      // of a repository what it does not show: tags, referrers; else manifest
	Reason    string `json:"reason"`    // refused, gone, unreadable, other-subject, circular, incomplete, second
}

// What an Unseen is, and why.
const (
	unseenTags      = "tags"
	unseenReferrers = "referrers"
	unseenManifest  = "manifest"

	refused      = "refused"       // the registry does not show it (401, 403)
	gone         = "gone"          // it is listed, and not there
	unreadable   = "unreadable"    // it is no manifest that can be carried
	otherSubject = "other-subject" // it is listed, and names another subject, or none
	circular     = "circular"      // it hangs on itself
	incomplete   = "incomplete"    // a part of it is missing, or not what its digest says
	second       = "second"        // another one is carried under its tag
)

// Valid reports whether u is what a walk may have written.
func (u Unseen) Valid() bool {
	_, err := name.ParseReference(u.Reference)
	return err == nil && len(u.Reference) <= oci.MaxReference+len("@sha256:")+64 &&
		slices.Contains([]string{unseenTags, unseenReferrers, unseenManifest}, u.What) &&
		slices.Contains([]string{refused, gone, unreadable, otherSubject, circular, incomplete, second}, u.Reason)
}

// Place names what was not seen: the tags or referrers of a repository, or a manifest.
func (u Unseen) Place() string {
	switch u.What {
	case unseenTags:
		return "the tags of " + u.Reference
	case unseenReferrers:
		return "the referrers in " + u.Reference
	}
	return u.Reference
}

// RefusedTags reports whether the registry refused to list the tags of repo.
func (g *Graph) RefusedTags(repo name.Repository) bool {
	return slices.Contains(g.Unseen, Unseen{repo.Name(), unseenTags, refused})
}

// WasRefused reports whether a registry refused to show something that may be attached.
func (g *Graph) WasRefused() bool {
	return slices.ContainsFunc(g.Unseen, func(u Unseen) bool { return u.Reason == refused })
}

// Compare sorts by place.
func (u Unseen) Compare(v Unseen) int {
	return cmp.Or(strings.Compare(u.Reference, v.Reference), strings.Compare(u.What, v.What), strings.Compare(u.Reason, v.Reason))
}

// Discovery is a registry that can be asked what is attached to a manifest. It is safe for concurrent use.
type Discovery interface {
	// Tags returns tags of repo, and whether they are all. It sends at most so many requests. A registry that
	// lists no tags gives none, which are not all.
	//
	// Errors: fs.ErrPermission when the registry does not show them.
	Tags(ctx context.Context, repo name.Repository, requests int) (tags []string, all bool, err error)

	// Referrers returns the digests of what refers to subject, by the registry's referrers API.
	//
	// Errors: errors.ErrUnsupported where there is none; fs.ErrPermission.
	Referrers(ctx context.Context, subject name.Digest) ([]v1.Hash, error)

	// HasBlob reports whether repo says that it has the blob d.
	//
	// Errors: fs.ErrPermission.
	HasBlob(ctx context.Context, repo name.Repository, d v1.Descriptor) (bool, error)
}

// Attached returns what hangs on the manifest d itself, in order.
func (g *Graph) Attached(d v1.Hash) []Attachment { return g.attached[d] }

// Core returns how many of the nodes, which come first, are not in the graph only because they are attached.
func (g *Graph) Core() int {
	n := slices.IndexFunc(g.Nodes, func(n *Node) bool { return n.Kind == Attached || n.Subject != (v1.Hash{}) })
	if n < 0 {
		return len(g.Nodes)
	}
	return n
}

// BareError says that images have nothing attached that must have.
type BareError struct {
	Images []string // references, in graph order; at least one
}

func (e *BareError) Error() string {
	const most = 10
	list := strings.Join(e.Images[:min(most, len(e.Images))], ", ")
	if more := len(e.Images) - most; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return "nothing is attached to " + list
}

// Bare returns the names of the roots, bundles and images that a lock or a Package names to which nothing
// is attached. Children of an index need nothing of their own.
func (g *Graph) Bare() []string {
	var bare []string
	for _, n := range g.Nodes {
		if len(n.References) > 0 && len(g.Attached(n.Descriptor.Digest)) == 0 {
			bare = append(bare, n.Name())
		}
	}
	return bare
}
