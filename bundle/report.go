package bundle

import (
	"encoding/json"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/report"
)

// Contents returns the counts of what the plan holds.
func (p *Plan) Contents() report.Contents {
	g := p.Graph
	names, first, versions := map[string]bool{}, map[[2]string]v1.Hash{}, 0
	for _, pkg := range g.Packages {
		names[pkg.Name] = true
		key := [2]string{pkg.Name, pkg.Version}
		if in, seen := first[key]; !seen {
			first[key] = pkg.Repository
		} else if in != pkg.Repository {
			continue // versions of one package repository have many in common
		}
		versions++
	}
	return report.Contents{
		Packages: len(names), PackageVersions: versions, Bundles: g.Count(Bundle), Images: g.Count(Plain),
		Indexes: g.Count(Index), Attachments: g.Count(Attached), Manifests: len(g.Nodes), Blobs: len(p.Blobs), Bytes: p.Size(),
	}
}

// Describe sets the fields of v about what the plan holds and omits: contents, findings, attachments.
// searched says that the walk searched for attachments, so that images without any can be reported.
func (p *Plan) Describe(v *report.Verdict, searched bool) {
	g := p.Graph
	c := p.Contents()
	v.Contents, v.Omitted, v.Bases, v.Findings = &c, p.Omitted, p.Given(), g.Findings
	v.Unread = 0
	for _, root := range g.Roots {
		if n := g.Node(root.Digest); n != nil && n.Kind != Bundle {
			v.Unread++
		}
	}
	for _, u := range g.Unseen {
		v.Unseen = append(v.Unseen, report.Unseen(u))
	}
	for _, a := range g.Attachments {
		v.Attached = append(v.Attached, report.Attachment{Image: g.Node(a.Subject).Name(), Subject: a.Subject, Digest: a.Digest, Tag: a.Tag})
	}
	if searched {
		v.Bare = g.WithoutAttachments()
	}
}

// Given returns the bases, and how much is assumed of each.
func (p *Plan) Given() []report.Base {
	var list []report.Base
	for _, b := range p.Bases {
		base := report.Base{Kind: b.Kind, Digest: b.Digest}
		for _, root := range b.Roots {
			base.Roots = append(base.Roots, report.Root{Reference: root.Reference, Digest: root.Digest})
		}
		list = append(list, base)
	}
	for _, a := range p.Assumed {
		list[a.Base].Layers++
		list[a.Base].Bytes += a.Size
	}
	return list
}

// NamedRoots returns the roots for a report.
func (g *Graph) NamedRoots() []report.Root {
	var roots []report.Root
	for _, root := range g.Roots {
		named := report.Root{Reference: root.Reference.Name(), Digest: root.Digest}
		n := g.Node(root.Digest)
		if n != nil {
			named.Manifests = n.Manifests
		}
		if n != nil && n.Derived != nil {
			named.Derived = &report.Derived{From: n.Derived.From, Choice: json.RawMessage(n.Derived.Choice), Platforms: n.Derived.Platforms}
		}
		roots = append(roots, named)
	}
	return roots
}
