package carvel

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
)

// GlobalNamespace is kapp-controller's default namespace of packages for all namespaces.
const GlobalNamespace = "kapp-controller-packaging-global"

// Package is a version of a package in a repository bundle's packages/.
type Package struct {
	Name       string // spec.refName
	Version    string
	ReleasedAt string // as written; empty when absent
	Fetches    []Fetch
	Kubernetes string  // constraint on the version of the cluster; empty for none
	Controller string  // constraint on the version of kapp-controller; empty for none
	Repository v1.Hash // digest of the bundle
	File       string  // in that bundle
	Line       int     // of the document's first line

	// Old is what a Package of kapp-controller v0.17 and v0.18 says of itself: it has no
	// PackageMetadata, and current versions do not serve it. It is nil for others.
	Old *OldPackage
}

// OldPackage describes a Package of package.carvel.dev/v1alpha1 that has a publicName.
type OldPackage struct {
	DisplayName string
	Description string
}

// Fetch is one step of a Package's spec.template.spec.fetch.
type Fetch struct {
	Kind         string  // imgpkgBundle, image, http, git, helmChart, inline; empty for an unknown kind
	Reference    string  // image reference or URL, as written; empty for inline
	TagSelection bool    // a semver range instead of a tag
	Digest       v1.Hash // of the image: by the lock, a pin or the reference itself; zero when unknown
	Line         int     // of the reference in the file, or else of the document
}

// PackageMetadata describes all versions of a package.
type PackageMetadata struct {
	Name             string
	DisplayName      string
	ShortDescription string
	Repository       v1.Hash
}

// packageYAML has the fields of all generations of Package, PackageMetadata and PackageVersion
// (docs/carvel.md, "API kinds").
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
		Kubernetes       struct {
			Constraints string `json:"constraints"`
		} `json:"kubernetesVersionSelection"`
		Controller struct {
			Constraints string `json:"constraints"`
		} `json:"kappControllerVersionSelection"`
		Template struct {
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

// API groups of packages. Current versions of kapp-controller serve the first one only.
const (
	dataPackaging = "data.packaging.carvel.dev/v1alpha1"
	oldPackaging  = "package.carvel.dev/v1alpha1"
)

// IsPackageFile accepts what kapp-controller's ytt reads of packages/: .yml and .yaml at any depth.
func IsPackageFile(p string) bool {
	return strings.HasPrefix(p, "packages/") && (strings.HasSuffix(p, ".yml") || strings.HasSuffix(p, ".yaml"))
}

// isPackaging reports whether y is of an API group of packages.
func (y *packageYAML) isPackaging() bool {
	return y.APIVersion == dataPackaging || y.APIVersion == oldPackaging
}

// PackageDocument is a YAML document of a file below packages/, or one that ytt makes of such files.
type PackageDocument struct {
	yamlnode.Document
	File       string
	APIVersion string
	Kind       string
	Name       string           // metadata.name
	Package    *Package         // of any generation (docs/carvel.md, "API kinds"); nil for anything else
	Metadata   *PackageMetadata // as Package
	Served     bool             // by current versions of kapp-controller, which drop every other document
}

// Clone returns a document whose Package and Metadata are its own.
func (d PackageDocument) Clone() PackageDocument {
	if d.Package != nil {
		p := *d.Package
		p.Fetches = slices.Clone(p.Fetches)
		d.Package = &p
	}
	if d.Metadata != nil {
		m := *d.Metadata
		d.Metadata = &m
	}
	return d
}

// Gap is a part of a file below packages/ that could not be read.
type Gap struct {
	Line    int    // from 1
	Message string // what is wrong with it
	Hides   bool   // kapp-controller may read a Package there
}

// ReadPackageFile calls visit for the documents of a file below packages/ until visit returns
// false. Parts that cannot be read become Gaps, not errors: kapp-controller runs ytt on these
// files, so one that is not plain YAML may still be valid. Package render runs it, too.
func ReadPackageFile(path string, data []byte, visit func(PackageDocument) bool) []Gap {
	if err := yamlnode.Check(data); err != nil {
		return []Gap{{1, err.Error(), yamlnode.IsUTF16(data)}}
	}
	r := &packageReader{path: path, visit: visit, hidden: yamlnode.HiddenBreak(string(data))}
	r.directives = bytes.Count(data, []byte("#@"))
	if r.hidden > 0 {
		r.note(r.hidden, false, "has a line break that some YAML readers do not see; a document hidden after it was not read")
	}
	n := 0
	for doc := range yamlnode.Documents(data) {
		if n++; n > yamlnode.MaxDocuments {
			r.note(doc.Line, true, "has more than %d documents; the others were not read", yamlnode.MaxDocuments)
			break
		}
		if !r.read(doc) {
			break
		}
	}
	if r.unread > 1 {
		r.gaps[r.firstUnread].Message += fmt.Sprintf("; and %d more documents", r.unread-1)
	}
	if r.directives > 0 {
		r.note(lineOf(data, "#@"), true, "has ytt directives that were not run; Packages that they compute were not seen")
	}
	return r.gaps
}

// ReadPackageDocument reads a document of a file below packages/, or one that ytt made of it.
func ReadPackageDocument(path string, doc yamlnode.Document) (PackageDocument, error) {
	var y packageYAML
	if err := yamlnode.Decode(doc.Text, &y, false); err != nil {
		return PackageDocument{}, err
	}
	return y.document(path, doc), nil
}

// packageReader is a run of ReadPackageFile.
type packageReader struct {
	path        string
	visit       func(PackageDocument) bool
	hidden      int // line of a break that may hide a document; 0 for none
	gaps        []Gap
	unread      int // documents that are not YAML
	firstUnread int // the gap that says so
	directives  int // of ytt, and strings that look like one
}

func (r *packageReader) note(line int, hides bool, format string, args ...any) {
	r.gaps = append(r.gaps, Gap{line, fmt.Sprintf(format, args...), hides})
}

// read reads a document. It returns false when reading must stop.
func (r *packageReader) read(doc yamlnode.Document) bool {
	d, err := ReadPackageDocument(r.path, doc)
	if err != nil {
		if r.unread++; r.unread == 1 {
			r.firstUnread = len(r.gaps)
			r.note(doc.Line, false, "is not YAML without ytt: %v", err)
		}
		if errors.Is(err, yamlnode.ErrLimit) { // kapp-controller may accept it
			r.gaps[r.firstUnread].Hides = true
		}
		return true
	}
	r.directives -= quotedDirectives(doc)
	if !r.visit(d) {
		return false
	}
	if r.hidden > 0 && doc.HidesMore() {
		r.note(doc.Line, true, "has a document after a line break that other readers do not see; it was not read")
	}
	return true
}

// HasDirectives reports whether a file below packages/ has directives of ytt.
func HasDirectives(data []byte) bool {
	n := bytes.Count(data, []byte("#@"))
	for doc := range yamlnode.Documents(data) {
		if n <= 0 {
			break
		}
		n -= quotedDirectives(doc)
	}
	return n > 0
}

// quotedDirectives counts what looks like a directive of ytt and is text of a string: an overlay in a
// Package, for example.
func quotedDirectives(doc yamlnode.Document) int {
	if !bytes.Contains(doc.Text, []byte("#@")) {
		return 0
	}
	n, err := doc.Node()
	if err != nil {
		return 0
	}
	return countIn(n, "#@")
}

// countIn counts s in the strings below n that have no escapes.
func countIn(n *yaml.Node, s string) int {
	if n == nil || n.Style&yaml.DoubleQuotedStyle != 0 {
		return 0
	}
	sum := strings.Count(n.Value, s)
	for _, child := range n.Content {
		sum += countIn(child, s)
	}
	return sum
}

// document returns the PackageDocument of doc, which was decoded into y.
func (y *packageYAML) document(path string, doc yamlnode.Document) PackageDocument {
	d := PackageDocument{Document: doc, File: path, APIVersion: y.APIVersion, Kind: y.Kind, Name: y.Metadata.Name}
	if !y.isPackaging() {
		return d
	}
	if d.Package, d.Metadata = y.split(); d.Package != nil {
		d.Package.File = path
		d.Package.locate(doc)
	}
	d.Served = y.APIVersion == dataPackaging && (y.Kind == "PackageMetadata" || y.Kind == "Package" && d.Package != nil)
	return d
}

// locate sets the lines of a Package that doc has.
func (p *Package) locate(doc yamlnode.Document) {
	word := func(f Fetch) string {
		if f.Kind == "helmChart" {
			url, _, _ := strings.Cut(f.Reference, " ")
			return url
		}
		return f.Reference
	}
	p.Line = doc.Line
	lines := map[string]int{}
	for _, f := range p.Fetches {
		lines[word(f)] = 0
	}
	linesOf(doc, lines)
	for i, f := range p.Fetches {
		p.Fetches[i].Line = cmp.Or(lines[word(f)], doc.Line)
	}
}

// split distinguishes a package version from metadata. Both are nil when the document is neither.
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
	p := &Package{Name: cmp.Or(s.RefName, s.PublicName, s.PackageName), Version: s.Version, Kubernetes: s.Kubernetes.Constraints, Controller: s.Controller.Constraints}
	if s.ReleasedAt != nil {
		p.ReleasedAt = *s.ReleasedAt
	}
	if y.Kind == "Package" && y.APIVersion == oldPackaging {
		p.Old = &OldPackage{s.DisplayName, s.Description}
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
