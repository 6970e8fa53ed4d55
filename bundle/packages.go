package bundle

import (
	"cmp"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Package is a version of a package, as a repository bundle's packages/ has it.
type Package struct {
	Name       string // spec.refName
	Version    string
	ReleasedAt string // as written; empty when absent
	Fetches    []Fetch
	Repository v1.Hash // the bundle that has it
	File       string  // in that bundle
	Line       int     // of the document's first line
}

// Fetch is one step of a Package's spec.template.spec.fetch.
type Fetch struct {
	Kind         string  // imgpkgBundle, image, http, git, helmChart, inline; empty for a step that has none of them
	Reference    string  // image reference or URL, as written; empty for inline
	TagSelection bool    // a semver range instead of a tag
	Digest       v1.Hash // of the image: by the lock, a pin or the reference itself; zero when unknown
	Line         int     // of the reference in the file, or else of the document
}

// PackageMetadata describes a package of any version.
type PackageMetadata struct {
	Name             string
	DisplayName      string
	ShortDescription string
	Repository       v1.Hash
}

// packageFiles is what files below packages/ hold.
type packageFiles struct {
	packages []Package
	metadata []PackageMetadata
	findings []Finding
	size     int // documents and fetches that were read, and their text, for walk.count
}

func (p *packageFiles) add(other packageFiles) {
	p.size += other.size
	p.packages = append(p.packages, other.packages...)
	p.metadata = append(p.metadata, other.metadata...)
	p.findings = append(p.findings, other.findings...)
}

// packageYAML has the fields of all generations of Package, PackageMetadata and PackageVersion
// (kapp-controller spec §1).
type packageYAML struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		RefName          string  `json:"refName"`
		PublicName       string  `json:"publicName"`  // until v0.18
		PackageName      string  `json:"packageName"` // v0.19 alphas
		Version          string  `json:"version"`
		ReleasedAt       *string `json:"releasedAt"`
		DisplayName      string  `json:"displayName"`
		ShortDescription string  `json:"shortDescription"`
		Description      string  `json:"description"` // until v0.18
		Template         struct {
			Spec struct {
				Fetch []fetchYAML `json:"fetch"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

type fetchYAML struct {
	Inline *struct{} `json:"inline"`
	Image  *struct {
		URL          string    `json:"url"`
		TagSelection *struct{} `json:"tagSelection"`
	} `json:"image"`
	HTTP *struct {
		URL string `json:"url"`
	} `json:"http"`
	Git *struct {
		URL string `json:"url"`
	} `json:"git"`
	HelmChart *struct {
		Name       string `json:"name"`
		Repository struct {
			URL string `json:"url"`
		} `json:"repository"`
	} `json:"helmChart"`
	ImgpkgBundle *struct {
		Image        string    `json:"image"`
		TagSelection *struct{} `json:"tagSelection"`
	} `json:"imgpkgBundle"`
}

// API groups of packages. A kapp-controller of today serves the first one only.
const (
	dataPackaging = "data.packaging.carvel.dev/v1alpha1"
	oldPackaging  = "package.carvel.dev/v1alpha1"
)

// parsePackageFile reads the documents of a file below packages/. What it cannot read becomes a
// finding: kapp-controller runs ytt over these files, so one that is no plain YAML may still be
// right.
func parsePackageFile(f file) packageFiles {
	var out packageFiles
	note := func(line int, code Code, format string, args ...any) {
		out.findings = append(out.findings, Finding{Code: code, File: f.path, Line: line, Message: fmt.Sprintf(format, args...)})
	}
	if err := checkYAML(f.data); err != nil {
		note(1, NotRead, "%v", err)
		return out
	}
	if line := lineOf(f.data, "#@"); line > 0 {
		note(line, NotRead, "has ytt directives; what they compute was not seen")
	}
	if line := oddBreak(string(f.data)); line > 0 {
		note(line, NotRead, "has a line break that is none to other readers; what may be hidden behind it was not seen")
	}
	documentCount, unread, firstUnread := 0, 0, 0
	for doc := range documents(f.data) {
		if out.size > maxDescriptors { // the walk will not hold it
			break
		}
		if documentCount++; documentCount > maxDocuments {
			note(doc.line, NotRead, "has more than %d documents; the others were not read", maxDocuments)
			break
		}
		var y packageYAML
		if err := decodeYAML(doc.text, &y, false); err != nil {
			if unread++; unread == 1 {
				firstUnread = len(out.findings)
				note(doc.line, NotRead, "is not YAML without ytt: %v", err)
			}
			continue
		}
		out.addDocument(&y, f.path, doc, note)
	}
	if unread > 1 {
		out.findings[firstUnread].Message += fmt.Sprintf("; and %d more documents", unread-1)
	}
	out.size += documentCount
	return out
}

// addDocument takes over a document that is of a package.
func (p *packageFiles) addDocument(y *packageYAML, path string, doc document, note func(int, Code, string, ...any)) {
	current := y.APIVersion == dataPackaging
	if !current && y.APIVersion != oldPackaging {
		return // kapp-controller drops it, too
	}
	version, metadata := y.split()
	switch {
	case version != nil:
		version.File = path
		version.locate(doc)
		p.size += version.size()
		p.packages = append(p.packages, *version)
	case metadata != nil:
		p.size += len(metadata.Name+metadata.DisplayName+metadata.ShortDescription) / heldText
		p.metadata = append(p.metadata, *metadata)
	default:
		return
	}
	if !current || (y.Kind != "Package" && y.Kind != "PackageMetadata") || (y.Kind == "Package" && version == nil) {
		note(doc.line, OldKind, "%s %s %s is of a time before kapp-controller v0.20: a controller of today drops it",
			y.APIVersion, y.Kind, quote(y.Metadata.Name))
	}
}

// heldText is how many bytes of text count as much as a descriptor.
const heldText = 256

// size returns what p counts for in walk.count: its fetches and all text.
func (p *Package) size() int {
	n := len(p.Name) + len(p.Version) + len(p.ReleasedAt)
	for _, f := range p.Fetches {
		n += len(f.Reference)
	}
	return edgeWeight*len(p.Fetches) + n/heldText
}

// locate sets the lines of a Package that doc has.
func (p *Package) locate(doc document) {
	word := func(f Fetch) string {
		if f.Kind == "helmChart" {
			url, _, _ := strings.Cut(f.Reference, " ")
			return url
		}
		return f.Reference
	}
	p.Line = doc.line
	lines := map[string]int{}
	for _, f := range p.Fetches {
		lines[word(f)] = 0
	}
	linesOf(doc, lines)
	for i, f := range p.Fetches {
		p.Fetches[i].Line = cmp.Or(lines[word(f)], doc.line)
	}
}

// split tells a package version from metadata. Both are nil when the document is neither.
func (y *packageYAML) split() (*Package, *PackageMetadata) {
	switch y.Kind {
	case "Package", "PackageVersion", "PackageMetadata":
	default:
		return nil, nil
	}
	s := y.Spec
	if s.Version == "" || y.Kind == "PackageMetadata" {
		return nil, &PackageMetadata{
			Name: y.Metadata.Name, DisplayName: s.DisplayName, ShortDescription: cmp.Or(s.ShortDescription, s.Description),
		}
	}
	p := &Package{Name: cmp.Or(s.RefName, s.PublicName, s.PackageName), Version: s.Version}
	if s.ReleasedAt != nil {
		p.ReleasedAt = *s.ReleasedAt
	}
	for _, f := range s.Template.Spec.Fetch {
		p.Fetches = append(p.Fetches, f.fetch())
	}
	return p, nil
}

// fetch chooses as kapp-controller does when several kinds are set.
func (f *fetchYAML) fetch() Fetch {
	switch {
	case f.Inline != nil:
		return Fetch{Kind: "inline"}
	case f.Image != nil:
		return Fetch{Kind: "image", Reference: f.Image.URL, TagSelection: f.Image.TagSelection != nil}
	case f.HTTP != nil:
		return Fetch{Kind: "http", Reference: f.HTTP.URL}
	case f.Git != nil:
		return Fetch{Kind: "git", Reference: f.Git.URL}
	case f.HelmChart != nil:
		return Fetch{Kind: "helmChart", Reference: strings.TrimSpace(f.HelmChart.Repository.URL + " " + f.HelmChart.Name)}
	case f.ImgpkgBundle != nil:
		return Fetch{Kind: "imgpkgBundle", Reference: f.ImgpkgBundle.Image, TagSelection: f.ImgpkgBundle.TagSelection != nil}
	}
	return Fetch{}
}
