package bundle

import (
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/carvel"
	"relocate/report"
)

// Kind says what a manifest is.
type Kind string

// The kinds of a manifest.
const (
	Index  Kind = "index"
	Bundle Kind = "bundle"
	Plain  Kind = "image" // an image or artifact that is no bundle

	Attached Kind = "attachment" // an image or artifact that is there only because it, or its index, hangs on another manifest
)

// Graph is everything that its roots need. It holds digests, sizes and edges, no documents.
type Graph struct {
	Roots    []Root
	Nodes    []*Node // level by level, the roots first, then attachments; each digest once
	Packages []carvel.Package
	Metadata []carvel.PackageMetadata
	Pins     []Pin            // tags that were followed, roots' included, sorted
	Findings []report.Finding // in the order met

	Listed *carvel.ImagesLock // whose images the roots are, where it says more than the roots do; nil otherwise

	Attachments []Attachment // by subject in graph order, of one subject cosign's tags first
	Unseen      []Unseen     // sorted

	byDigest map[v1.Hash]*Node
	attached map[v1.Hash][]Attachment // by subject
}

// Root is a reference that the operator named.
type Root struct {
	Reference name.Reference // as named, with registry, and tag or digest, filled in
	Digest    v1.Hash
}

// Tag returns the root's tag, or "" when it was named by digest.
func (r Root) Tag() string {
	if tag, ok := r.Reference.(name.Tag); ok {
		return tag.TagStr()
	}
	return ""
}

// Pin is a tag and the digest it stood for. Tags move; what was exported does not.
type Pin struct {
	Reference string  `json:"reference"`
	Digest    v1.Hash `json:"digest"`
}

// Node is a manifest.
type Node struct {
	Descriptor v1.Descriptor // media type, size in bytes, digest
	Kind       Kind
	References []string        // every reference that named it in a lock, a Package or as root; sorted
	From       name.Repository // where it was found
	Blobs      []v1.Descriptor // of an image or bundle: the config, then the layers: media type, size, digest
	Children   []v1.Hash       // manifests that it needs: of an index or a lock, then of Packages, in that order, each once
	Circular   []v1.Hash       // those of Children that only Packages name and that may lead back to the bundle; in their order
	Locked     []name.Digest   // of a bundle: its ImagesLock's references, in that order, each digest once
	IsChild    bool            // reached only as the child of an index, or as what refers to a manifest: untagged at a destination
	Subject    v1.Hash         // of an attachment that nothing else names: what it was found to hang on first
	Tags       []string        // by which it is attached, sorted

	HasPackages bool // a bundle with a YAML file below packages/, whatever could be read of it
}

// Node returns the manifest d, or nil when the graph has none.
func (g *Graph) Node(d v1.Hash) *Node { return g.byDigest[d] }

// Name returns the smallest of the references that name the node; an attachment, or a child of an index,
// which has none, is named by where it was found.
func (n *Node) Name() string {
	switch {
	case len(n.References) > 0:
		return n.References[0]
	case len(n.Tags) > 0:
		return n.From.Tag(n.Tags[0]).Name()
	}
	return n.From.Digest(n.Descriptor.Digest.String()).Name()
}

// Count returns how many nodes are of the kind k.
func (g *Graph) Count(k Kind) int {
	n := 0
	for _, node := range g.Nodes {
		if node.Kind == k {
			n++
		}
	}
	return n
}

// What a walk reports beside the graph. What reaches outside is package leak's to say.
const (
	codeNotRead    report.Code = "not-read"    // a file below packages/ that could not be read in full
	codeNotCarried report.Code = "not-carried" // what a Package fetches, which no lock covers and the source does not have
)
