package carvel

import (
	"cmp"
	"encoding/json"
	"fmt"

	"relocate/internal/text"
	"relocate/internal/yamlnode"
)

// Details is the description of a package in a repository bundle, for all versions and for one. Its
// text is foreign and unchanged.
type Details struct {
	Metadata *MetadataDetails // nil without a PackageMetadata
	Package  *PackageDetails  // nil when no version was requested or it was not found

	old string // version of the OldPackage that Metadata is from; empty for none
}

// MetadataDetails is the content of a PackageMetadata.
type MetadataDetails struct {
	DisplayName        string   `json:"displayName"`
	Categories         []string `json:"categories,omitempty"`
	ShortDescription   string   `json:"shortDescription"`
	LongDescription    string   `json:"longDescription"`
	ProviderName       string   `json:"providerName"`
	Maintainers        []string `json:"maintainers,omitempty"`
	SupportDescription string   `json:"supportDescription"`
}

// PackageDetails is the content of a Package.
type PackageDetails struct {
	Version              string   `json:"version"`
	ReleasedAt           string   `json:"releasedAt"` // empty when absent
	CapacityRequirements string   `json:"capacityRequirementsDescription"`
	ReleaseNotes         string   `json:"releaseNotes"`
	Licenses             []string `json:"licenses,omitempty"`
	ValuesSchema         Schema   `json:"-"` // nil when absent
	Template             []byte   `json:"-"` // spec.template.spec, as JSON; nil when absent
}

// detailsYAML has the fields that packageYAML does not have.
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
		Template struct {
			Spec json.RawMessage `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

// Add adds the description of a package in a document below packages/ and, unless version is empty,
// of that version. If several documents describe it, the first Package and the last PackageMetadata
// count; without a PackageMetadata, what the version, or the newest one, says of itself (OldPackage).
//
// Errors: a document that describes the package and cannot be decoded, with its file and line.
func (d *Details) Add(doc PackageDocument, pkg, version string) error {
	p := doc.Package
	if p != nil && p.Name == pkg {
		d.addOld(p, version)
	}
	isVersion := p != nil && d.Package == nil && version != "" && p.Name == pkg && p.Version == version
	if !isVersion && (doc.Metadata == nil || doc.Metadata.Name != pkg) {
		return nil
	}
	var more detailsYAML
	if err := yamlnode.Decode(doc.Text, &more, false); err != nil {
		return fmt.Errorf("%s: line %d: %s %s: %w", text.Quote(doc.File), doc.Line, doc.Kind, text.Quote(doc.Name), err)
	}
	if isVersion {
		d.Package = more.version(p)
	} else {
		d.Metadata, d.old = more.metadata(), ""
	}
	return nil
}

// addOld takes the description of an OldPackage of that version, or any, unless there is a PackageMetadata
// or a newer one.
func (d *Details) addOld(p *Package, version string) {
	if p.Old == nil || version != "" && p.Version != version || d.Metadata != nil && (d.old == "" || CompareVersions(p.Version, d.old) <= 0) {
		return
	}
	d.Metadata, d.old = &MetadataDetails{DisplayName: p.Old.DisplayName, ShortDescription: p.Old.Description}, p.Version
}

func (y *detailsYAML) version(p *Package) *PackageDetails {
	s := &y.Spec
	d := &PackageDetails{
		Version: p.Version, ReleasedAt: p.ReleasedAt,
		CapacityRequirements: s.CapacityRequirements, ReleaseNotes: s.ReleaseNotes, Licenses: s.Licenses, Template: s.Template.Spec,
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
