package carvel

import (
	"cmp"
	"encoding/json"
	"fmt"

	"relocate/internal/text"
	"relocate/internal/yamlnode"
)

// Details is what a repository bundle says of a package for people: of all versions, and of one. It is
// foreign text, as written.
type Details struct {
	Metadata *MetadataDetails // nil when there is no PackageMetadata
	Package  *PackageDetails  // nil when no version was asked for, or there is none like it
}

// MetadataDetails is what a PackageMetadata says.
type MetadataDetails struct {
	DisplayName        string   `json:"displayName"`
	Categories         []string `json:"categories,omitempty"`
	ShortDescription   string   `json:"shortDescription"`
	LongDescription    string   `json:"longDescription"`
	ProviderName       string   `json:"providerName"`
	Maintainers        []string `json:"maintainers,omitempty"`
	SupportDescription string   `json:"supportDescription"`
}

// PackageDetails is what a Package says.
type PackageDetails struct {
	Version              string   `json:"version"`
	ReleasedAt           string   `json:"releasedAt"` // empty when absent
	CapacityRequirements string   `json:"capacityRequirementsDescription"`
	ReleaseNotes         string   `json:"releaseNotes"`
	Licenses             []string `json:"licenses,omitempty"`
	ValuesSchema         Schema   `json:"-"` // nil when absent
}

// detailsYAML has what packageYAML leaves out.
type detailsYAML struct {
	Spec struct {
		MetadataDetails
		Maintainers []struct {
			Name string `json:"name"`
		} `json:"maintainers"`
		Description          string   `json:"description"` // until v0.18
		CapacityRequirements string   `json:"capacityRequirementsDescription"`
		ReleaseNotes         string   `json:"releaseNotes"`
		Licenses             []string `json:"licenses"`
		ValuesSchema         struct {
			OpenAPIv3 json.RawMessage `json:"openAPIv3"`
		} `json:"valuesSchema"`
	} `json:"spec"`
}

// AddFile takes over what a file below packages/ says of a package and, when version is not empty, of that version. Of
// several documents alike, the first Package and the last PackageMetadata count. What is no YAML was reported by whoever read the
// bundle's packages.
func (d *Details) AddFile(data []byte, pkg, version string) error {
	if yamlnode.Check(data) != nil {
		return nil
	}
	n := 0
	for doc := range yamlnode.Documents(data) {
		if n++; n > yamlnode.MaxDocuments {
			break
		}
		if err := d.addDocument(doc, pkg, version); err != nil {
			return err
		}
	}
	return nil
}

// addDocument takes over what one document says.
func (d *Details) addDocument(doc yamlnode.Document, pkg, version string) error {
	var y packageYAML
	if yamlnode.Decode(doc.Text, &y, false) != nil || !y.isPackaging() {
		return nil
	}
	p, metadata := y.split()
	isVersion := p != nil && d.Package == nil && version != "" && p.Name == pkg && p.Version == version
	if !isVersion && (metadata == nil || metadata.Name != pkg) {
		return nil
	}
	var more detailsYAML
	if err := yamlnode.Decode(doc.Text, &more, false); err != nil {
		return fmt.Errorf("line %d: %s %s: %w", doc.Line, y.Kind, text.Quote(y.Metadata.Name), err)
	}
	if isVersion {
		d.Package = more.version(p)
	} else {
		d.Metadata = more.metadata()
	}
	return nil
}

func (y *detailsYAML) version(p *Package) *PackageDetails {
	s := &y.Spec
	d := &PackageDetails{
		Version: p.Version, ReleasedAt: p.ReleasedAt,
		CapacityRequirements: s.CapacityRequirements, ReleaseNotes: s.ReleaseNotes, Licenses: s.Licenses,
	}
	if schema := s.ValuesSchema.OpenAPIv3; string(schema) != "null" {
		d.ValuesSchema = Schema(schema)
	}
	return d
}

func (y *detailsYAML) metadata() *MetadataDetails {
	d := y.Spec.MetadataDetails
	d.ShortDescription = cmp.Or(d.ShortDescription, y.Spec.Description)
	d.Maintainers = nil
	for _, m := range y.Spec.Maintainers {
		d.Maintainers = append(d.Maintainers, m.Name)
	}
	return &d
}
