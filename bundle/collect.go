package bundle

import (
	"relocate/carvel"
	"relocate/report"
)

// packageFiles is the content of the files below packages/.
type packageFiles struct {
	packages []carvel.Package
	metadata []carvel.PackageMetadata
	findings []report.Finding
	size     int // of documents, fetches and their text, in the unit of walk.count
}

// add adds a document. It returns false when there are more than a walk may hold, which is an error of
// the walk.
func (p *packageFiles) add(d carvel.PackageDocument) bool {
	p.size++
	switch {
	case d.Package != nil:
		p.size += sizeOf(d.Package)
		p.packages = append(p.packages, *d.Package)
	case d.Metadata != nil:
		p.size += len(d.Metadata.Name+d.Metadata.DisplayName+d.Metadata.ShortDescription) / heldText
		p.metadata = append(p.metadata, *d.Metadata)
	}
	return p.size <= maxDescriptors
}

// heldText is the number of bytes of text that count as one descriptor.
const heldText = 256

// sizeOf returns the size of p, its fetches and text, in the unit of walk.count.
func sizeOf(p *carvel.Package) int {
	n := len(p.Name) + len(p.Version) + len(p.ReleasedAt) + len(p.Kubernetes) + len(p.Controller)
	if p.Old != nil {
		n += len(p.Old.DisplayName) + len(p.Old.Description)
	}
	for _, f := range p.Fetches {
		n += len(f.Reference)
	}
	return edgeWeight*len(p.Fetches) + n/heldText
}
