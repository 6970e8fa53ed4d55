package page

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/oci"
	"relocate/report"
	memory "relocate/testdata/interop"
)

// shopSource is a package repository in memory: Shop in two versions and Blog in one, whose images share a
// base. A layer is so many bytes that sums tell which were counted.
type shopSource struct {
	repo *memory.Repo
	plan *bundle.Plan
	web  name.Digest // an index, of Shop 1.1.0
	db   name.Digest // an image of Shop and Blog
}

// Sizes of layers.
const (
	baseBytes  = 400_000 // in web and db
	webBytes   = 300_000 // for amd64; of arm64 a third
	oldBytes   = 90_000  // of the web of Shop 1.0.0
	dbBytes    = 200_000
	blogBytes  = 70_000
	leftBehind = 5_000_000
)

func newShop(t testing.TB) *shopSource {
	var registry memory.Registry
	repo := registry.Repo("registry.example/acme")
	layer := func(n int) v1.Descriptor { return repo.PutBlob(bytes.Repeat([]byte{byte(n >> 12)}, n)) }
	config := func(arch, variant string) string {
		return fmt.Sprintf(`{"os":"linux","architecture":%q,"variant":%q,"config":{}}`, arch, variant)
	}
	s := &shopSource{repo: repo}
	base := layer(baseBytes)
	foreign := v1.Descriptor{MediaType: types.DockerForeignLayer, Size: leftBehind, Digest: v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", 7)}}
	amd64, arm64 := repo.PutPlain(config("amd64", ""), base, layer(webBytes)), repo.PutPlain(config("arm64", "v8"), layer(webBytes/3))
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	for i, child := range []name.Digest{amd64, arm64} {
		d := repo.Describe(child)
		d.Platform = &v1.Platform{OS: "linux", Architecture: []string{"amd64", "arm64"}[i], Variant: []string{"", "v8"}[i]}
		index.Manifests = append(index.Manifests, d)
	}
	s.web = repo.PutJSON(types.OCIImageIndex, index)
	s.db = repo.PutPlain(config("amd64", ""), base, layer(dbBytes), foreign)
	old := repo.PutPlain(config("amd64", ""), base, layer(oldBytes))
	blog := repo.PutPlain(`{"os":"unknown","architecture":"unknown"}`, layer(blogBytes))
	shop11, shop10, blog2 := shopBundle(repo, "a", s.web, s.db), shopBundle(repo, "b", old, s.db), shopBundle(repo, "c", blog, s.db)
	root := repo.PutBundle(map[string]string{
		".imgpkg/images.yml": lockOf(refTexts(shop10, shop11, blog2)...),
		"packages/shop.yml": packageOf("shop.acme.example", "1.0.0", shop10.Name()) + "---\n" + packageOf("shop.acme.example", "1.1.0", shop11.Name()) +
			"---\napiVersion: data.packaging.carvel.dev/v1alpha1\nkind: PackageMetadata\nmetadata: {name: shop.acme.example}\nspec: {displayName: Shop, shortDescription: Sells things}\n",
		"packages/blog.yml": packageOf("blog.acme.example", "2.0.0", blog2.Name()),
	}, "1.0")
	signature := repo.PutPlain(`{}`)
	tag := oci.ReferrersTag(memory.Hash(s.db)) + ".sig"
	repo.Tags[tag] = memory.Hash(signature)
	ref, err := name.NewTag(repo.Name + ":1.0")
	require.NoError(t, err)
	g, err := bundle.Walk(context.Background(), repo, []name.Reference{ref}, bundle.WalkOptions{
		Closed: true, Pins: []bundle.Pin{{Reference: ref.Name(), Digest: memory.Hash(root)}},
		Attachments: []bundle.Attachment{{Subject: memory.Hash(s.db), Digest: memory.Hash(signature), Tag: tag}},
	})
	require.NoError(t, err)
	s.plan, err = bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	return s
}

// shopBundle keeps a bundle that names images.
func shopBundle(repo *memory.Repo, file string, refs ...name.Digest) name.Digest {
	return repo.PutBundle(map[string]string{".imgpkg/images.yml": lockOf(refTexts(refs...)...), file: file})
}

func refTexts(refs ...name.Digest) []string {
	var list []string
	for _, ref := range refs {
		list = append(list, ref.Name())
	}
	return list
}

// report is what verify might say of the shop.
func (s *shopSource) report() *report.Verdict {
	v := &report.Verdict{
		Act: "Verification", Subject: "shop.tar", Archive: &report.Archive{File: "shop.tar", Size: 1, Form: "relocate", Seal: digest.Of(nil)}, Roots: s.plan.Graph.NamedRoots(),
		Proved: []string{"every byte is accounted for, every blob hashed", "the roots need all of it and nothing else"},
		Fix:    "transfer the file again; if the original is damaged, too, export again", AttachedNote: "Every repository that an image comes from was asked.",
	}
	s.plan.Describe(v, true)
	v.Scan = &report.Scan{Packages: 3, PackagesRendered: 2, PackagesAsText: 1}
	v.Unseen = []report.Unseen{{Reference: "registry.example/acme", What: "tags", Reason: "refused"}}
	v.Roots[0].Derived = &report.Derived{From: digest.Of([]byte("whole")), Choice: []byte(`{"latest":1}`)}
	v.Selected = []report.Selected{{
		From: report.Root{Reference: "registry.example/acme/whole:1.0"},
		Versions: []report.SelectedVersion{{Name: "shop.acme.example", Version: "1.1.0", Reason: "chosen"},
			{Name: "blog.acme.example", Version: "2.0.0", Reason: "dependency", NeededBy: []string{"shop.acme.example 1.1.0"}}},
		Left: []report.LeftPackage{{Name: "shop.acme.example", Versions: []string{"0.9.0", "0.8.0"}}},
	}}
	v.Replaced = []report.Replaced{{Kind: "index", Reference: "registry.example/acme/web:1.0", From: digest.Of([]byte("was")), To: digest.Of([]byte("is")), Attachments: make([]report.Attachment, 3)}}
	return v
}

// findings are of every level, for two packages and a bundle.
func (s *shopSource) findings() report.Findings {
	root := s.plan.Graph.Roots[0].Reference.Name()
	return report.Findings{
		{Code: "not-read", Level: report.Warning, Bundle: root, File: "packages/extra.yml", Line: 1, Message: "has ytt directives; what they compute was not seen"},
		{Code: "composed", Level: report.Warning, Bundle: root, Package: "shop.acme.example 1.1.0", File: "config/job.yml", Line: 7, Reference: "docker.io/library/busybox", Message: "names an image in a string", Basis: report.AsText},
		{Code: "not-locked", Level: report.Pull, Bundle: root, Package: "shop.acme.example 1.1.0", File: "config/deploy.yml", Line: 31, Reference: "docker.io/library/nginx:1.25", Message: "names an image by tag, and no lock entry covers it", Action: "add the image to the bundle's ImagesLock with kbld", Basis: report.Rendered},
		{Code: "outside", Level: report.Install, Bundle: root, Package: "blog.acme.example 2.0.0", File: "packages/blog.yml", Line: 9, Reference: "https://charts.example/blog", Message: "fetches by helmChart, which is not an image: it stays outside", Action: "put the chart into an imgpkg bundle"},
		{Code: "tag", Level: report.Information, Bundle: root, Package: "shop.acme.example 1.0.0", File: "packages/shop.yml", Line: 12, Reference: root, Message: "fetches a tag; the lock covers it", Action: "nothing, unless the lock changes"},
	}
}

// problems are what a damaged archive might have.
func (s *shopSource) problems() []report.Problem {
	return []report.Problem{
		{Kind: report.Damaged, What: "blob sha256:" + fmt.Sprintf("%064x", 9), Images: []string{s.web.Name(), s.db.Name()}, Reason: "at byte 1,234: its content has another digest"},
		{Kind: report.Missing, What: "root sha256:" + fmt.Sprintf("%064x", 10), Reason: "the archive does not have it as a root"},
	}
}

// page is the page of a report.
func (s *shopSource) page(t testing.TB, v *report.Verdict) *htmlPage {
	platforms, err := Platforms(context.Background(), s.repo, s.plan, 4)
	require.NoError(t, err)
	return newPage(v, Options{Plan: s.plan, Platforms: platforms, Program: "relocate 1.2.3", Command: "relocate verify shop.tar", Time: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)})
}

func lockOf(locked ...string) string {
	text := "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n"
	for _, ref := range locked {
		text += fmt.Sprintf("- image: %s\n  annotations:\n    kbld.carvel.dev/id: %s\n", ref, ref)
	}
	return text
}

func packageOf(name, version, fetch string) string {
	return fmt.Sprintf(`apiVersion: data.packaging.carvel.dev/v1alpha1
kind: Package
metadata: {name: %[1]s.%[2]s}
spec:
  refName: %[1]s
  version: %[2]s
  template: {spec: {fetch: [{imgpkgBundle: {image: "%[3]s"}}]}}
`, name, version, fetch)
}

func assertAll(t *testing.T, s string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		assert.Contains(t, s, part)
	}
}
