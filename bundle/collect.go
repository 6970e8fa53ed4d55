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

func (p *packageFiles) add(other packageFiles) {
	p.size += other.size
	p.packages = append(p.packages, other.packages...)
	p.metadata = append(p.metadata, other.metadata...)
	p.findings = append(p.findings, other.findings...)
}

// parsePackageFile reads the packages of a file below packages/.
func parsePackageFile(file string, data []byte) packageFiles {
	var out packageFiles
	gaps := carvel.ReadPackageFile(file, data, func(d carvel.PackageDocument) bool {
		out.size++
		switch {
		case d.Package != nil:
			out.size += sizeOf(d.Package)
			out.packages = append(out.packages, *d.Package)
		case d.Metadata != nil:
			out.size += len(d.Metadata.Name+d.Metadata.DisplayName+d.Metadata.ShortDescription) / heldText
			out.metadata = append(out.metadata, *d.Metadata)
		}
		return out.size <= maxDescriptors // more is an error of the walk
	})
	for _, gap := range gaps {
		f := report.Finding{Code: codeNotRead, Level: report.Warning, File: file, Line: gap.Line, Message: gap.Message}
		if gap.Hides {
			f.Level = report.Install
		}
		out.findings = append(out.findings, f)
	}
	return out
}

// heldText is the number of bytes of text that count as one descriptor.
const heldText = 256

// sizeOf returns the size of p, its fetches and text, in the unit of walk.count.
func sizeOf(p *carvel.Package) int {
	n := len(p.Name) + len(p.Version) + len(p.ReleasedAt)
	for _, f := range p.Fetches {
		n += len(f.Reference)
	}
	return edgeWeight*len(p.Fetches) + n/heldText
}
