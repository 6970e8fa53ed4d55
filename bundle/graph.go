package bundle

import (
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/carvel"
	"relocate/report"
)

// Kind is the kind of a manifest.
type Kind string

// The kinds of a manifest.
const (
	Index  Kind = "index"
	Bundle Kind = "bundle"
	Plain  Kind = "image" // an image or artifact, not a bundle

	Attached Kind = "attachment" // an image or artifact that nothing names; it or its index is attached to a manifest
)

// Graph is everything that its roots need. It holds digests, sizes and edges, but no content.
type Graph struct {
	Roots    []Root
	Nodes    []*Node // level by level, the roots first, then attachments; each digest once
	Packages []carvel.Package
	Metadata []carvel.PackageMetadata
	Pins     []Pin            // of every tag that was resolved, including roots; sorted
	Findings []report.Finding // in graph order
	Chosen   []int            // for each of WalkOptions.Platforms: how many indexes have it

	Listed *carvel.ImagesLock // the lock that listed the roots, if it has more than their references; else nil

	Attachments []Attachment // by subject in graph order; cosign's tags first
	Unseen      []Unseen     // sorted

	Inapplicable []Attachment // of WalkOptions.Replaced, in that order; not in the graph

	byDigest map[v1.Hash]*Node
	attached map[v1.Hash][]Attachment // by subject
}

// Root is a reference that the user named.
type Root struct {
	Reference name.Reference // complete, with registry, and tag or digest
	Digest    v1.Hash
}

// Tag returns the root's tag, or "" when the user named a digest.
func (r Root) Tag() string {
	if tag, ok := r.Reference.(name.Tag); ok {
		return tag.TagStr()
	}
	return ""
}

// Pin is a tag and the digest it had when it was resolved.
type Pin struct {
	Reference string  `json:"reference"`
	Digest    v1.Hash `json:"digest"`
}

// Node is a manifest.
type Node struct {
	Descriptor v1.Descriptor // media type, size in bytes, digest
	Kind       Kind
	References []string        // by which a lock, a Package or the user names it; sorted
	From       name.Repository // where it was found
	Blobs      []v1.Descriptor // of an image or bundle: config, then layers, with media type, size in bytes, digest
	Children   []v1.Hash       // manifests that it needs: of the index or lock, then of Packages, in order, each once
	Circular   []v1.Hash       // those of Children that only Packages name and that may lead back to the bundle
	Locked     []name.Digest   // of a bundle: the references in its ImagesLock, in order, each digest once
	IsChild    bool            // only an index or an attachment leads to it: untagged at a destination
	Subject    v1.Hash         // of an attachment that nothing else names: the first subject
	Tags       []string        // by which it is attached, sorted
	Without    []Child         // of an index: the children that are left out, in its order, each once

	AllPlatforms bool // an index without any of the chosen platforms, of which nothing is left out for that

	Derived *Derivation // of a bundle or index that relocate derived from another; else nil

	Manifests string // of a bundle that carries plain manifests: what its config calls them; empty for all others

	HasPackages bool // a bundle with a YAML file below packages/, readable or not
}

// Node returns the manifest d, or nil when it is not in the graph.
func (g *Graph) Node(d v1.Hash) *Node { return g.byDigest[d] }

// Fetched returns the part of the graph that has Packages, and what these fetch, with the same pins and
// findings.
func (g *Graph) Fetched() *Graph {
	wanted := map[v1.Hash]bool{}
	for _, p := range g.Packages {
		wanted[p.Repository] = true
		for _, f := range p.Fetches {
			wanted[f.Digest] = true
		}
	}
	part := &Graph{Packages: g.Packages, Metadata: g.Metadata, Pins: g.Pins, Findings: g.Findings, byDigest: map[v1.Hash]*Node{}}
	for _, n := range g.Nodes {
		if wanted[n.Descriptor.Digest] {
			part.Nodes = append(part.Nodes, n)
			part.byDigest[n.Descriptor.Digest] = n
		}
	}
	return part
}

// MayHide reports whether something could not be read that may have Packages.
func (g *Graph) MayHide() bool {
	return slices.ContainsFunc(g.Findings, func(f report.Finding) bool { return f.Code == codeNotRead && f.Level == report.Install })
}

// Hides reports whether something below packages/ of the bundle n could not be read that may have
// Packages.
func (g *Graph) Hides(n *Node) bool {
	return slices.ContainsFunc(g.Findings, func(f report.Finding) bool {
		return f.Code == codeNotRead && f.Level == report.Install && slices.Contains(n.References, f.Bundle)
	})
}

// Name returns the first of the node's References. A node without any is named by its repository and
// its first tag or its digest.
func (n *Node) Name() string {
	switch {
	case len(n.References) > 0:
		return n.References[0]
	case len(n.Tags) > 0:
		return n.From.Tag(n.Tags[0]).Name()
	}
	return n.From.Digest(n.Descriptor.Digest.String()).Name()
}

// Size returns the bytes of the manifest and of its own blobs.
func (n *Node) Size() int64 {
	sum := n.Descriptor.Size
	for _, d := range n.Blobs {
		sum += d.Size
	}
	return sum
}

// Count returns the number of nodes of the kind k.
func (g *Graph) Count(k Kind) int {
	n := 0
	for _, node := range g.Nodes {
		if node.Kind == k {
			n++
		}
	}
	return n
}

// Codes of a walk's findings. Package leak finds references that point outside.
const (
	codeNotRead    report.Code = "not-read"    // a file below packages/ could not be read in full
	codeNotCarried report.Code = "not-carried" // a Package fetches what no lock covers and the source does not have
)
