package diff_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/diff"
	"relocate/inventory"
	"relocate/testdata/interop"
)

// planOf returns the plan of a package repository with documents, each of which fetches a bundle of its
// own, and its source. What a document calls BUNDLE is that bundle.
func planOf(t *testing.T, documents ...string) (*bundle.Plan, bundle.Source) {
	t.Helper()
	var registry interop.Registry
	repo := registry.Repo("registry.example/corp")
	const head = "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n"
	lock, text := head, ""
	for i, doc := range documents {
		pkg := repo.PutBundle(map[string]string{".imgpkg/images.yml": head, "config/a.yml": fmt.Sprint(i)})
		lock += "- image: " + pkg.Name() + "\n"
		text += "---\n" + strings.ReplaceAll(doc, "BUNDLE", pkg.Name())
	}
	root := repo.PutBundle(map[string]string{".imgpkg/images.yml": lock, "packages/all.yml": text})
	g, err := bundle.Walk(t.Context(), repo, []name.Reference{root}, bundle.WalkOptions{Closed: true})
	require.NoError(t, err)
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	return plan, repo
}

// sideOf is a side of one part.
func sideOf(t *testing.T, documents ...string) diff.Side {
	t.Helper()
	plan, src := planOf(t, documents...)
	part := diff.PartOf(plan)
	part.Source = src
	return diff.Side{Name: "side", Kind: diff.Registry, Parts: []diff.Part{part}}
}

// pkg is a Package; more is added to its spec.
func pkg(name, version string, more ...string) string {
	return fmt.Sprintf("apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: %[1]s.%[2]s}\n"+
		"spec:\n  refName: %[1]s\n  version: %[2]s\n  template: {spec: {fetch: [{imgpkgBundle: {image: BUNDLE}}]}}\n%[3]s", name, version, strings.Join(more, ""))
}

// schema is the valuesSchema of a Package, as a part of its spec.
func schema(properties string) string {
	return "  valuesSchema: {openAPIv3: {properties: " + properties + "}}\n"
}

// versions is one package in versions, each with its own value.
func versions(list ...string) (documents []string) {
	for _, v := range list {
		documents = append(documents, pkg("a.corp.com", v, schema("{"+v+": {default: 1}}")))
	}
	return documents
}

func compare(t *testing.T, a, b diff.Side) *diff.Report {
	t.Helper()
	r, err := diff.Compare(t.Context(), a, b)
	require.NoError(t, err)
	return r
}

// TestUpgrades: a version that is added is compared with the newest older one, as kapp-controller orders them.
func TestUpgrades(t *testing.T) {
	t.Parallel()
	had := versions("0.9.0", "1.0.0", "1.5.0", "1.5.0+build.2", "2.0.0", "10.0.0-rc.1")
	for added, from := range map[string]string{
		"0.1.0": "", "0.9.0-beta": "", "1.6.0": "1.5.0+build.2", "1.4.9": "1.0.0", "1.5.0-rc.1": "1.0.0", "1.5.0+build.10": "1.5.0+build.2",
		"3.0.0": "2.0.0", "9.9.9": "2.0.0", "10.0.0": "10.0.0-rc.1", "v2.1": "2.0.0",
	} {
		r := compare(t, sideOf(t, had...), sideOf(t, append(versions(added), had...)...))
		require.Len(t, r.Packages, 1, added)
		p := r.Packages[0]
		assert.Equal(t, []string{added}, p.Added)
		assert.Equal(t, diff.Differs, p.State)
		if from == "" {
			assert.Empty(t, p.Values, added)
			continue
		}
		require.Len(t, p.Values, 1, added)
		assert.Equal(t, [2]string{from, added}, [2]string{p.Values[0].From, p.Values[0].To})
		assert.Equal(t, from, p.Values[0].Removed[0].Key)
		assert.Equal(t, added, p.Values[0].Added[0].Key)
	}
}

// TestFields: which parts of a Package and of its metadata differ, where its version is the same.
func TestFields(t *testing.T) {
	t.Parallel()
	meta := "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: PackageMetadata\nmetadata: {name: a.corp.com}\nspec: {displayName: A, longDescription: long}\n"
	was := pkg("a.corp.com", "1.0.0", "  releaseNotes: notes\n", "  licenses: [MIT]\n", schema("{a: {type: string, default: x}, b: {}}"))
	for name, c := range map[string]struct {
		is, meta string
		want     diff.Package
	}{
		"nothing":  {is: was + "# a comment\n", meta: meta},
		"order":    {is: strings.Replace(was, "type: string, default: x", "default: x, type: string", 1), meta: meta},
		"notes":    {is: strings.Replace(was, "notes\n", "other\n", 1), meta: meta, want: diff.Package{Changed: []diff.Changed{{"1.0.0", []string{"releaseNotes"}}}}},
		"licenses": {is: strings.Replace(was, "  licenses: [MIT]\n", "", 1), meta: meta, want: diff.Package{Changed: []diff.Changed{{"1.0.0", []string{"licenses"}}}}},
		"unknown":  {is: was + "  includedSoftware: [{displayName: x}]\n", meta: meta, want: diff.Package{Changed: []diff.Changed{{"1.0.0", []string{"includedSoftware"}}}}},
		"default": {is: strings.Replace(was, "default: x", "default: z", 1), meta: meta, want: diff.Package{
			Changed: []diff.Changed{{"1.0.0", []string{"valuesSchema"}}},
			Values: []diff.Values{{From: "1.0.0", To: "1.0.0", Changed: []diff.ChangedValue{{
				Key: "a", Was: carvel.Value{Key: "a", Type: "string", Default: "x"}, Is: carvel.Value{Key: "a", Type: "string", Default: "z"}}}}},
		}},
		"type": {is: strings.Replace(was, "b: {}", "b: {type: integer}", 1), meta: meta, want: diff.Package{
			Changed: []diff.Changed{{"1.0.0", []string{"valuesSchema"}}},
			Values:  []diff.Values{{From: "1.0.0", To: "1.0.0", Changed: []diff.ChangedValue{{Key: "b", Was: carvel.Value{Key: "b"}, Is: carvel.Value{Key: "b", Type: "integer"}}}}},
		}},
		"description": {is: strings.Replace(was, "default: x", "default: x, description: d", 1), meta: meta, want: diff.Package{Changed: []diff.Changed{{"1.0.0", []string{"valuesSchema"}}}}},
		"metadata":    {is: was, meta: strings.Replace(meta, "longDescription: long", "providerName: P", 1), want: diff.Package{Metadata: []string{"longDescription", "providerName"}}},
	} {
		r := compare(t, sideOf(t, was, meta), sideOf(t, c.is, c.meta))
		if len(c.want.Changed)+len(c.want.Metadata) == 0 {
			assert.Empty(t, r.Packages, name)
			continue
		}
		c.want.Name, c.want.State = "a.corp.com", diff.Differs
		assert.Equal(t, []diff.Package{c.want}, r.Packages, name)
	}
}

// TestUnknownValues: where values are not known, a report says why; where they cannot differ, nobody is asked.
func TestUnknownValues(t *testing.T) {
	t.Parallel()
	a, b := sideOf(t, pkg("a.corp.com", "1.0.0")), sideOf(t, pkg("other.corp.com", "1.0.0"), pkg("a.corp.com", "1.1.0"))
	assert.Empty(t, compare(t, a, b).Packages[0].Values)
	asked := 0
	values := func(_ context.Context, p *carvel.Package) (carvel.Schema, error) {
		asked++
		if p.Version == "1.1.0" {
			return nil, errors.New("it is a chart")
		}
		return carvel.Schema(`{"properties": {"x": {}}}`), nil
	}
	a.Parts[0].Values, b.Parts[0].Values = values, values
	assert.Equal(t, []diff.Values{{From: "1.0.0", To: "1.1.0", Unknown: "1.1.0: it is a chart"}}, compare(t, a, b).Packages[0].Values)
	assert.Equal(t, 2, asked)

	noted := sideOf(t, pkg("a.corp.com", "1.0.0", "  releaseNotes: notes\n"))
	noted.Parts[0].Values = values
	r := compare(t, a, noted)
	assert.Equal(t, []diff.Changed{{"1.0.0", []string{"releaseNotes"}}}, r.Packages[0].Changed)
	assert.Equal(t, 2, asked, "both fetch the same")
}

// TestMetadata: it is compared also where no versions are.
func TestMetadata(t *testing.T) {
	t.Parallel()
	meta := "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: PackageMetadata\nmetadata: {name: a.corp.com}\nspec: {displayName: %s}\n"
	r := compare(t, sideOf(t, pkg("a.corp.com", "2.0.0"), fmt.Sprintf(meta, "A")), sideOf(t, pkg("a.corp.com", "1.0.0"), fmt.Sprintf(meta, "B")))
	assert.Equal(t, []diff.Package{{Name: "a.corp.com", State: diff.Differs, Added: []string{"1.0.0"}, Removed: []string{"2.0.0"}, Metadata: []string{"displayName"}}}, r.Packages)
}

// TestRoots: the same manifests with another root are a difference.
func TestRoots(t *testing.T) {
	t.Parallel()
	plan, src := planOf(t, versions("1.0.0")...)
	side := func(roots ...bundle.Root) diff.Side {
		g, err := bundle.Walk(t.Context(), src, references(roots), bundle.WalkOptions{Closed: true})
		require.NoError(t, err)
		plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
		require.NoError(t, err)
		part := diff.PartOf(plan)
		part.Source = src
		return diff.Side{Parts: []diff.Part{part}}
	}
	root, fetched := plan.Graph.Roots[0], plan.Graph.Nodes[1]
	another := bundle.Root{Reference: fetched.From.Digest(fetched.Descriptor.Digest.String()), Digest: fetched.Descriptor.Digest}
	r := compare(t, side(root), side(root, another))
	assert.False(t, r.Equal)
	assert.Empty(t, r.Images.Added)
	assert.False(t, compare(t, side(root, another), side(root)).Equal)
	assert.True(t, compare(t, side(root, another), side(another, root)).Equal)
}

func references(roots []bundle.Root) (list []name.Reference) {
	for _, root := range roots {
		list = append(list, root.Reference)
	}
	return list
}

// TestParts: parts count together, each digest once.
func TestParts(t *testing.T) {
	t.Parallel()
	one, two := versions("1.0.0"), versions("1.0.0", "2.0.0")
	a, b := sideOf(t, one...), sideOf(t, two...)
	both := diff.Side{Name: "both", Parts: append(a.Parts, b.Parts...)}
	r := compare(t, b, both)
	assert.False(t, r.Equal, "a root more")
	assert.Empty(t, r.Packages)
	require.Len(t, r.Images.Added, 1)
	assert.Equal(t, bundle.Bundle, r.Images.Added[0].Kind)
	assert.Equal(t, r.B.Blobs.Blobs, r.A.Blobs.Blobs+r.Blobs.Added.Blobs)
	assert.Len(t, r.B.Roots, 2)
	assert.True(t, compare(t, both, diff.Side{Parts: append(b.Parts, a.Parts...)}).Equal, "their order does not matter")
}

// TestInventoryIsPart: an inventory has digests and sizes of what it lists, and says no more.
func TestInventoryIsPart(t *testing.T) {
	t.Parallel()
	plan, _ := planOf(t, versions("1.0.0", "2.0.0")...)
	list, err := inventory.Of(plan)
	require.NoError(t, err)
	listed := diff.Side{Parts: []diff.Part{diff.OfInventory(list)}}
	r := compare(t, diff.Side{Parts: []diff.Part{diff.PartOf(plan)}}, listed)
	assert.True(t, r.Equal)
	assert.True(t, r.DigestsOnly)
	assert.Equal(t, len(plan.Blobs), r.Blobs.Same.Blobs)

	r = compare(t, sideOf(t, versions("1.0.0")...), listed)
	assert.Equal(t, []diff.KindCount{{Of: "bundles", Removed: 1}, {Of: "manifests", Added: 2}}, r.Kinds())
	assert.Empty(t, r.Packages)
}

// TestDelta: layers that a part assumes are there, and are not carried.
func TestDelta(t *testing.T) {
	t.Parallel()
	plan, src := planOf(t, versions("1.0.0")...)
	last := plan.Blobs[len(plan.Blobs)-1].Descriptor
	delta := *plan
	delta.Blobs, delta.Small = plan.Blobs[:len(plan.Blobs)-1], plan.Small-1
	delta.Assumed = []bundle.Assumed{{Digest: last.Digest, Size: last.Size}}
	part := diff.PartOf(&delta)
	part.Source = src
	whole := sideOf(t, versions("1.0.0")...)
	r := compare(t, whole, diff.Side{Parts: []diff.Part{part}})
	assert.True(t, r.Equal)
	assert.Equal(t, len(plan.Blobs)-1, r.Carry.Blobs)
	r = compare(t, sideOf(t), diff.Side{Parts: []diff.Part{part}})
	assert.False(t, r.Equal)
	assert.Less(t, r.Carry.Blobs, len(plan.Blobs), "what it assumes is not carried")
}

// TestCounts: packages and versions by what becomes of them.
func TestCounts(t *testing.T) {
	t.Parallel()
	a := sideOf(t, pkg("gone.corp.com", "1.0.0"), pkg("a.corp.com", "1.0.0"), pkg("a.corp.com", "2.0.0"))
	b := sideOf(t, pkg("new.corp.com", "1.0.0"), pkg("new.corp.com", "1.1.0"), pkg("a.corp.com", "2.0.0", "  licenses: [MIT]\n"))
	packages, of := compare(t, a, b).Counts()
	assert.Equal(t, "1 added, 1 removed, 1 changed", packages.String())
	assert.Equal(t, diff.Count{Added: 2, Removed: 2, Changed: 1}, of)
}
