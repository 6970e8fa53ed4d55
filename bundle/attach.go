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

// Limits on attachments. More than this is an attempt to exhaust memory.
const (
	maxAttached      = 2_000 // to one manifest
	maxAttachedDepth = 8     // a signature of an SBOM of an image is two deep
)

// Attachment says that one manifest is attached to another, its subject. Tag is made of the subject's
// digest, as cosign does. Without a tag, the manifest has the subject in its subject field (OCI
// distribution specification 1.1, "Listing Referrers").
type Attachment struct {
	Subject v1.Hash `json:"subject"`
	Digest  v1.Hash `json:"digest"`
	Tag     string  `json:"tag,omitempty"`
}

// fits reports whether the tag, if any, is made of the subject's digest.
func (a Attachment) fits() bool {
	return a.Tag == "" || slices.Contains(oci.AttachmentTags(a.Subject), a.Tag)
}

// compare orders the attachments of one subject: cosign's tags first, then referrers by digest.
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

// Unseen is something that is or may be attached to an image of a graph, and is left out.
type Unseen struct {
	Reference string `json:"reference"` // of a repository, or of one manifest
	What      string `json:"what"`      // tags or referrers of a repository; manifest
	Reason    string `json:"reason"`    // refused, gone, unreadable, other-subject, circular, incomplete, second
}

// Values of Unseen.What and Unseen.Reason.
const (
	unseenTags      = "tags"
	unseenReferrers = "referrers"
	unseenManifest  = "manifest"

	refused      = "refused"       // the registry denies access (401, 403)
	gone         = "gone"          // it is listed, but not found
	unreadable   = "unreadable"    // it is not a manifest that can be copied
	otherSubject = "other-subject" // it is listed, but names another subject or none
	circular     = "circular"      // it is attached to itself, directly or through others
	incomplete   = "incomplete"    // a part of it is missing or does not match its digest
	second       = "second"        // another attachment has its tag
)

// Valid reports whether u has the values that a walk writes.
func (u Unseen) Valid() bool {
	_, err := name.ParseReference(u.Reference)
	return err == nil && len(u.Reference) <= oci.MaxReference+len("@sha256:")+64 &&
		slices.Contains([]string{unseenTags, unseenReferrers, unseenManifest}, u.What) &&
		slices.Contains([]string{refused, gone, unreadable, otherSubject, circular, incomplete, second}, u.Reason)
}

// Place names what is left out: the tags or referrers of a repository, or a manifest.
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

// WasRefused reports whether a registry denied access to something that may be attached.
func (g *Graph) WasRefused() bool {
	return slices.ContainsFunc(g.Unseen, func(u Unseen) bool { return u.Reason == refused })
}

// Compare sorts by place.
func (u Unseen) Compare(v Unseen) int {
	return cmp.Or(strings.Compare(u.Reference, v.Reference), strings.Compare(u.What, v.What), strings.Compare(u.Reason, v.Reason))
}

// Discovery finds what is attached to manifests in a registry. It is safe for concurrent use.
type Discovery interface {
	// Tags lists the tags of repo with at most the given number of requests. all reports whether the
	// list is complete; of a registry that does not list tags it is empty and incomplete.
	//
	// Errors: fs.ErrNotExist when the registry says that it does not know repo, of which some know one by
	// its tags; fs.ErrPermission when it denies access.
	Tags(ctx context.Context, repo name.Repository, requests int) (tags []string, all bool, err error)

	// Referrers returns the digests of the manifests whose subject is subject, from the registry's
	// referrers API (OCI distribution specification 1.1, "Listing Referrers").
	//
	// Errors: errors.ErrUnsupported when the registry does not have the API; fs.ErrPermission.
	Referrers(ctx context.Context, subject name.Digest) ([]v1.Hash, error)

	// HasBlob reports whether repo has the blob d. It does not read it.
	//
	// Errors: fs.ErrPermission.
	HasBlob(ctx context.Context, repo name.Repository, d v1.Descriptor) (bool, error)
}

// Attached returns what is attached directly to the manifest d, in order.
func (g *Graph) Attached(d v1.Hash) []Attachment { return g.attached[d] }

// Core returns the number of nodes without attachments. These nodes come first in Nodes.
func (g *Graph) Core() int {
	n := slices.IndexFunc(g.Nodes, func(n *Node) bool { return n.Kind == Attached || n.Subject != (v1.Hash{}) })
	if n < 0 {
		return len(g.Nodes)
	}
	return n
}

// NoAttachmentsError says that nothing is attached to images that need an attachment.
type NoAttachmentsError struct {
	Images []string // references, in graph order; at least one
}

func (e *NoAttachmentsError) Error() string {
	const most = 10
	list := strings.Join(e.Images[:min(most, len(e.Images))], ", ")
	if more := len(e.Images) - most; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return "nothing is attached to " + list
}

// WithoutAttachments returns the names of the manifests to which nothing is attached: roots, and what
// a lock or a Package names. Children of an index do not count, nor do derived bundles, which nobody
// else has signed.
func (g *Graph) WithoutAttachments() []string {
	var names []string
	for _, n := range g.Nodes {
		if n.Derived == nil && len(n.References) > 0 && len(g.Attached(n.Descriptor.Digest)) == 0 {
			names = append(names, n.Name())
		}
	}
	return names
}
