package bundle

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
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
	Version              string          `json:"version"`
	ReleasedAt           string          `json:"releasedAt"` // empty when absent
	CapacityRequirements string          `json:"capacityRequirementsDescription"`
	ReleaseNotes         string          `json:"releaseNotes"`
	Licenses             []string        `json:"licenses,omitempty"`
	ValuesSchema         json.RawMessage `json:"-"` // OpenAPI v3, as JSON; nil when absent
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

// ReadDetails reads what the repository bundle ref says of a package and, when version is not empty, of that
// version of it. It reads manifest, config and bundle layer; of several documents alike, the first
// Package and the last PackageMetadata count.
func ReadDetails(ctx context.Context, src Source, ref name.Digest, pkg, version string) (*Details, error) {
	m, err := readBundleManifest(ctx, src, ref)
	if err != nil {
		return nil, fmt.Errorf("read bundle %s: %w", ref.Name(), err)
	}
	d := &Details{}
	var unread error // which does not make the bundle malformed
	err = readBundleLayer(ctx, src, ref.Context(), m, IsPackageFile, func(f file) error {
		if err := d.addFile(f, pkg, version); err != nil && unread == nil {
			unread = fmt.Errorf("%s: %w", quote(f.path), err)
		}
		return nil
	})
	if err = cmp.Or(err, unread); err != nil {
		return nil, fmt.Errorf("read bundle %s: %w", ref.Name(), err)
	}
	return d, nil
}

// ErrNotBundle says that an image or an index is where a bundle is wanted.
var ErrNotBundle = errors.New("is not a bundle")

// readBundleManifest reads the manifest of a bundle.
//
// Errors: ErrNotBundle.
func readBundleManifest(ctx context.Context, src Source, ref name.Digest) (*manifest, error) {
	desc, raw, err := src.Manifest(ctx, ref)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(desc, raw)
	if err != nil {
		return nil, err
	}
	if !m.isIndex {
		if is, err := isBundle(ctx, src, ref.Context(), m); is || err != nil {
			return m, err
		}
	}
	return nil, fmt.Errorf("it %w", ErrNotBundle)
}

// addFile takes over what a file below packages/ says. What is no YAML was reported by whoever read the
// bundle's packages.
func (d *Details) addFile(f file, pkg, version string) error {
	if checkYAML(f.data) != nil {
		return nil
	}
	n := 0
	for doc := range Documents(f.data) {
		if n++; n > maxDocuments {
			break
		}
		var y packageYAML
		if decodeYAML(doc.Text, &y, false) != nil || (y.APIVersion != dataPackaging && y.APIVersion != oldPackaging) {
			continue
		}
		p, metadata := y.split()
		switch {
		case p != nil && d.Package == nil && version != "" && p.Name == pkg && p.Version == version:
		case metadata != nil && metadata.Name == pkg:
		default:
			continue
		}
		var more detailsYAML
		if err := decodeYAML(doc.Text, &more, false); err != nil {
			return fmt.Errorf("line %d: %s %s: %w", doc.Line, y.Kind, quote(y.Metadata.Name), err)
		}
		if p != nil {
			d.Package = more.version(p)
		} else {
			d.Metadata = more.metadata()
		}
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
		d.ValuesSchema = schema
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

// ReadBundle reads the bundle ref alone: its manifest, config and layer, and nothing that it names. The graph
// has one node, without children, and the bundle's packages.
//
// Errors: as Walk.
func ReadBundle(ctx context.Context, src Source, ref name.Reference) (*Graph, error) {
	w := &walk{src: src, graph: &Graph{byDigest: map[v1.Hash]*Node{}}, pinned: map[string]v1.Hash{}, seen: map[string]*want{}}
	x := w.add(&want{ref: ref, name: ref.Name(), tries: []name.Reference{ref}})
	desc, raw, err := w.manifest(ctx, ref)
	if isAbsent(err) {
		return nil, &MissingError{Reference: x.name, Tried: []string{ref.Name()}, err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", x.name, err)
	}
	w.opt.Closed = true // what the bundle names is not looked for, so neither is where it may be
	if err := w.open(ctx, x, ref.Context(), desc, raw); err != nil {
		return nil, err
	}
	if x.found.Kind != Bundle {
		return nil, fmt.Errorf("%s %w: its %s has no label %s", x.name, ErrNotBundle, x.found.Kind, Label)
	}
	if _, err := w.register([]*want{x}, nil); err != nil {
		return nil, err
	}
	x.next = nil
	return w.graph, w.finish([]name.Reference{ref})
}

// Versions returns the versions of a package, the newest first, each once.
func (g *Graph) Versions(pkg string) []Package {
	var list []Package
	for _, p := range g.Packages {
		if p.Name == pkg {
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b Package) int { return CompareVersions(b.Version, a.Version) })
	return slices.CompactFunc(list, func(a, b Package) bool { return a.Version == b.Version })
}
