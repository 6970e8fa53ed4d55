package page

import (
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/diff"
	"relocate/report"
)

// differences has one of each kind of difference. All that is foreign ends in text.
func differences(text string) *diff.Report {
	digest := v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", 1)}
	value := carvel.Value{Key: "port" + text, Default: "local" + text, Type: "string" + text}
	root := []report.Root{{Reference: "registry.example/corp:1" + text, Digest: digest}}
	return &diff.Report{
		A:      diff.Subject{Name: "old.tar" + text, Kind: diff.Archive, Roots: root, Blobs: diff.Amount{Blobs: 1234, Bytes: 5_000_000}},
		B:      diff.Subject{Name: "new.tar" + text, Kind: diff.Registry, Roots: root},
		Carry:  diff.Amount{Blobs: 3, Bytes: 1_500_000},
		Images: diff.Images{Added: []diff.Image{{Digest: digest, Kind: bundle.Plain, Name: "registry.example/web@" + digest.String() + text, Package: "shop 1.1.0" + text, Size: 1000}}},
		Packages: []diff.Package{{
			Name: "shop.example" + text, State: diff.Differs, Added: []string{"1.1.0" + text}, Removed: []string{"0.9.0" + text},
			Changed: []diff.Changed{{Version: "1.0.0" + text, Fields: []string{"template" + text}}}, Metadata: []string{"displayName" + text},
			Values: []diff.Values{
				{From: "1.0.0", To: "1.1.0", Added: []carvel.Value{value}, Removed: []carvel.Value{value}, Changed: []diff.ChangedValue{{Key: "host" + text, Was: value, Is: value}}},
				{From: "1.0.0" + text, To: "1.0.0" + text, Unknown: "a chart" + text},
			},
		}},
	}
}

// TestPageOfDifferences: the page of a comparison, and the page of a plan with one.
func TestPageOfDifferences(t *testing.T) {
	t.Parallel()
	page, err := RenderDiff(differences(""), Options{Command: "relocate diff old.tar new.tar"})
	require.NoError(t, err)
	assertAll(t, assertContainedIn(t, page, 0).text, "Comparison report", "DIFFERENT", "Compared with old.tar: packages 0 added, 0 removed, 1 changed; 3 blobs (1.5 MB) to carry.",
		"Aold.tararchive, 1,234 blobs, 5.0 MBregistry.example/corp:1sha256:", "Versions of packages111", "Images10–", "shop.examplechanged1.1.00.9.01.0.0templatemetadatadisplayName",
		"shop.example from 1.0.0 to 1.1.0", "addedportstring, default local", "changedhoststring, default localwas string, default local", "shop.example 1.0.0 not known–a chart", "addedimageshop 1.1.01.0 kB",
		"the content of layers: none was read")
	assert.NotContains(t, string(page), "No problems")

	r := differences("")
	r.Equal, r.Packages, r.Images = true, nil, diff.Images{}
	page, err = RenderDiff(r, Options{})
	require.NoError(t, err)
	assertAll(t, assertContainedIn(t, page, 0).text, "EQUAL", "It holds what old.tar holds.")

	r.Equal, r.DigestsOnly = false, true
	page, err = RenderDiff(r, Options{})
	require.NoError(t, err)
	assert.NotContains(t, assertContainedIn(t, page, 0).text, "Versions of packages")

	s := newShop(t)
	p := newPage(s.report().Judge(), Options{Plan: s.plan, Changes: differences("")})
	page, err = p.encode()
	require.NoError(t, err)
	assertAll(t, assertContained(t, page).text, "OK", "What changes", "Values that change", "Where bytes go")
}

// TestHostileDifferences: whatever names are, a page has the elements and attributes of its template.
func TestHostileDifferences(t *testing.T) {
	t.Parallel()
	clean, err := RenderDiff(differences(""), Options{})
	require.NoError(t, err)
	want := parsePage(t, clean)
	for _, hostile := range pageHostile {
		page, err := RenderDiff(differences(hostile), Options{})
		require.NoError(t, err)
		assert.Equal(t, want.count, assertContainedIn(t, page, 0).count, hostile)
	}
}

// TestPageOfManyDifferences: a large page still opens, and says what it leaves out.
func TestPageOfManyDifferences(t *testing.T) {
	t.Parallel()
	r := differences(strings.Repeat("long ", 100))
	for range 13 {
		r.Packages, r.Images.Added = append(r.Packages, r.Packages...), append(r.Images.Added, r.Images.Added...)
	}
	page, err := RenderDiff(r, Options{})
	require.NoError(t, err)
	assert.Less(t, len(page), 10_000_000)
	assertAll(t, assertContainedIn(t, page, 0).text, "Packages that change 8,192", "Values that change 32,768", "Images that change 8,192", "more that are not shown here; the JSON report has all")
}
