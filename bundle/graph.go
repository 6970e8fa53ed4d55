package bundle

import (
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
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
	Packages []Package
	Metadata []PackageMetadata
	Pins     []Pin     // tags that were followed, roots' included, sorted
	Findings []Finding // in the order met

	Listed *ImagesLock // whose images the roots are, where it says more than the roots do; nil otherwise

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

// Code names a kind of Finding.
type Code string

// What a walk reports beside the graph. What reaches outside is package leak's to say.
const (
	NotRead    Code = "not-read"    // a file below packages/ that could not be read in full
	NotCarried Code = "not-carried" // what a Package fetches, which no lock covers and the source does not have
)

// Level says how much a finding hurts at a cluster that reaches nothing but its private registry
// (kapp-controller spec §3).
type Level string

// The levels, the worst first.
const (
	Install Level = "install" // a package repository or a package cannot be installed, or only from outside
	Pull    Level = "pull"    // pods cannot pull an image
	Warning Level = "warning" // something may reach outside at run time, or could not be looked at
)

// Finding is something in a bundle that was carried as it is, and that the operator should know.
type Finding struct {
	Code      Code   `json:"code"`
	Level     Level  `json:"level"`
	Bundle    string `json:"bundle"`              // reference
	Package   string `json:"package,omitempty"`   // name and version, with a space between
	File      string `json:"file,omitempty"`      // in the bundle
	Line      int    `json:"line,omitempty"`      // from 1; 0 when it is of the whole file
	Reference string `json:"reference,omitempty"` // as written
	Message   string `json:"message"`             // what is wrong
	Action    string `json:"action,omitempty"`    // what to do about it
}
