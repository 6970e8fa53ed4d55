package rewrite_test

import (
	"regexp"
	"strings"
	"testing"
	"testing/quick"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"relocate/bundle"
	"relocate/rewrite"
)

func TestPackageRepositories(t *testing.T) {
	t.Parallel()
	repo := repository(t, "private.test/platform/all")
	image := repo.Digest(digestA.String())
	a, b := root(t, "reg.test/corp/main_repo:1.0.0", digestA), root(t, "reg.test/other/main-repo:2", digestB)
	type list []rewrite.PackageRepository
	tests := []struct {
		name                     string
		roots                    []bundle.Root
		as, namespace, secretRef string
		want                     list
		err                      string
	}{
		{name: "named after the source", roots: []bundle.Root{a}, want: list{{Name: "main-repo", Image: image, Version: "1.0.0"}}},
		{name: "root by digest has no version", roots: []bundle.Root{root(t, "reg.test/corp/main@"+digestA.String(), digestA)}, want: list{{Name: "main", Image: image}}},
		{name: "all given", roots: []bundle.Root{a}, as: "mine.v1", namespace: "packages", secretRef: "pull",
			want: list{{Name: "mine.v1", Namespace: "packages", Image: image, Version: "1.0.0", SecretRef: "pull"}}},
		{name: "several", roots: []bundle.Root{a, root(t, "reg.test/corp/extra:1", digestB)},
			want: list{{Name: "main-repo", Image: image, Version: "1.0.0"}, {Name: "extra", Image: repo.Digest(digestB.String()), Version: "1"}}},
		{name: "a bundle without Packages is none", roots: []bundle.Root{root(t, "reg.test/app:1", v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("c", 64)})}},
		{name: "two of one name", roots: []bundle.Root{a, b}, err: "PackageRepositories of reg.test/corp/main_repo:1.0.0 and reg.test/other/main-repo:2: both would be named main-repo"},
		{name: "two named alike", roots: []bundle.Root{a, root(t, "reg.test/corp/extra:1", digestB)}, as: "x", err: "both would be named x"},
		{name: "one bundle named twice", roots: []bundle.Root{a, root(t, "reg.test/corp/main_repo@"+digestA.String(), digestA)}, want: list{{Name: "main-repo", Image: image, Version: "1.0.0"}}},
		{name: "the newest of one repository", roots: []bundle.Root{root(t, "reg.test/corp/main:1.10.0", digestB), root(t, "reg.test/corp/main:1.9.0", digestA)},
			want: list{{Name: "main", Image: repo.Digest(digestB.String()), Version: "1.10.0", Older: []bundle.Root{root(t, "reg.test/corp/main:1.9.0", digestA)}}}},
		{name: "the newest is named last, by two tags", roots: []bundle.Root{
			root(t, "reg.test/corp/main:v1.9.0_vmware.1", digestA), root(t, "reg.test/corp/main:stable", digestB), root(t, "reg.test/corp/main:v1.9.0_vmware.2", digestB)},
			want: list{{Name: "main", Image: repo.Digest(digestB.String()), Version: "v1.9.0_vmware.2", Older: []bundle.Root{root(t, "reg.test/corp/main:v1.9.0_vmware.1", digestA)}}}},
		{name: "the newest under a name", roots: []bundle.Root{root(t, "reg.test/corp/main:1.0.0", digestA), root(t, "reg.test/corp/main:1.0.1", digestB)}, as: "x",
			want: list{{Name: "x", Image: repo.Digest(digestB.String()), Version: "1.0.1", Older: []bundle.Root{root(t, "reg.test/corp/main:1.0.0", digestA)}}}},
		{name: "no version", roots: []bundle.Root{root(t, "reg.test/corp/main:1.0.0", digestA), root(t, "reg.test/corp/main:latest", digestB)},
			err: "PackageRepository of reg.test/corp/main: the tags of reg.test/corp/main:latest and reg.test/corp/main:1.0.0 do not say which is newer, as 1.0.0 and 1.1.0 would"},
		{name: "no tag", roots: []bundle.Root{root(t, "reg.test/corp/main:1.0.0", digestA), root(t, "reg.test/corp/main@"+digestB.String(), digestB)}, err: "do not say which is newer"},
		{name: "one version twice", roots: []bundle.Root{root(t, "reg.test/corp/main:1.0.0", digestA), root(t, "reg.test/corp/main:v1.0.0", digestB)}, err: "do not say which is newer"},
		{name: "of two repositories", roots: []bundle.Root{root(t, "reg.test/corp/main:1.0.0", digestA), root(t, "reg.test/other/main:1.1.0", digestB)}, err: "both would be named main"},
		{name: "bad name", roots: []bundle.Root{a}, as: "Main_Repo", err: `the name "Main_Repo" is not a DNS-1123 subdomain`},
		{name: "bad namespace", roots: []bundle.Root{a}, namespace: "a b", err: `the namespace "a b" is not a DNS-1123 label`},
		{name: "namespace with dot", roots: []bundle.Root{a}, namespace: "a.b", err: `the namespace "a.b" is not a DNS-1123 label`},
		{name: "long namespace", roots: []bundle.Root{a}, namespace: strings.Repeat("x", 64), err: "is not a DNS-1123 label"},
		{name: "bad Secret", roots: []bundle.Root{a}, secretRef: "../x", err: `the Secret "../x" is not a DNS-1123 subdomain`},
		{name: "no name left", roots: []bundle.Root{root(t, "reg.test/corp/__:1", digestA)}, err: `the name "" is not a DNS-1123 subdomain`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := &bundle.Graph{Roots: tt.roots, Nodes: []*bundle.Node{
				{Descriptor: v1.Descriptor{Digest: digestA}, HasPackages: true}, {Descriptor: v1.Descriptor{Digest: digestB}, HasPackages: true},
			}}
			got, err := rewrite.PackageRepositories(g, repo, tt.as, tt.namespace, tt.secretRef)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, list(got))
		})
	}
}

// TestNote: the versions that an object does not serve are named.
func TestNote(t *testing.T) {
	t.Parallel()
	g := &bundle.Graph{Roots: []bundle.Root{root(t, "reg.test/corp/main:1.0.0", digestA), root(t, "reg.test/corp/main:1.1.0", digestB)}, Nodes: []*bundle.Node{
		{Descriptor: v1.Descriptor{Digest: digestA}, HasPackages: true}, {Descriptor: v1.Descriptor{Digest: digestB}, HasPackages: true},
	}}
	got, err := rewrite.PackageRepositories(g, repository(t, "private.test/all"), "", "", "")
	require.NoError(t, err)
	require.Len(t, got, 1)
	assert.Equal(t, "the PackageRepository main serves reg.test/corp/main:1.1.0, the newest by its tag; no PackageRepository serves reg.test/corp/main:1.0.0", got[0].Note())
	g.Roots = g.Roots[1:]
	got, err = rewrite.PackageRepositories(g, repository(t, "private.test/all"), "", "", "")
	require.NoError(t, err)
	assert.Empty(t, got[0].Note())
}

func TestEncode(t *testing.T) {
	t.Parallel()
	repo := repository(t, "private.test:5000/all")
	text, err := rewrite.Encode([]rewrite.PackageRepository{
		{Name: "main", Image: repo.Digest(digestA.String()), Version: "1.10", SecretRef: "pull"},
		{Name: "123", Namespace: "true", Image: repo.Digest(digestB.String())},
	})
	require.NoError(t, err)

	docs := strings.SplitAfter(string(text), "---\n")
	require.Len(t, docs, 3)
	assert.Equal(t, "---\n", docs[0])
	for i, want := range []map[string]any{
		{
			"apiVersion": "packaging.carvel.dev/v1alpha1", "kind": "PackageRepository",
			"metadata": map[string]any{"name": "main", "namespace": "kapp-controller-packaging-global",
				"annotations": map[string]any{"kctrl.carvel.dev/repository-version": "1.10"}},
			"spec": map[string]any{"fetch": map[string]any{"imgpkgBundle": map[string]any{
				"image": "private.test:5000/all@" + digestA.String(), "secretRef": map[string]any{"name": "pull"}}}},
		},
		{
			"apiVersion": "packaging.carvel.dev/v1alpha1", "kind": "PackageRepository",
			"metadata": map[string]any{"name": "123", "namespace": "true"},
			"spec":     map[string]any{"fetch": map[string]any{"imgpkgBundle": map[string]any{"image": "private.test:5000/all@" + digestB.String()}}},
		},
	} {
		var got map[string]any
		require.NoError(t, yaml.UnmarshalStrict([]byte(strings.TrimSuffix(docs[i+1], "---\n")), &got))
		assert.Equal(t, want, got)
	}

	text, err = rewrite.Encode(nil)
	require.NoError(t, err)
	assert.Empty(t, text)
}

func TestDNSName(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"main", "main"},
		{"Main_Repo", "main-repo"},
		{"tce-main-latest.1", "tce-main-latest.1"},
		{"__a__", "a"},
		{"a..b", "a.b"},
		{"a-.-b", "a.b"},
		{".a.", "a"},
		{"a b\n", "a-b"},
		{"größe", "gr--e"},
		{"", ""},
		{"__", ""},
		{"...", ""},
		{strings.Repeat("x", 300), strings.Repeat("x", 253)},
		{strings.Repeat("x", 252) + ".y", strings.Repeat("x", 252)},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, rewrite.DNSName(tt.in), tt.in)
	}
}

// Whatever comes in: the result is a name for Kubernetes, or nothing, and stays as it is.
func TestDNSNameIsValid(t *testing.T) {
	t.Parallel()
	valid := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	property := func(s string) bool {
		got := rewrite.DNSName(s)
		return got == rewrite.DNSName(got) && len(got) <= 253 && (got == "" || valid.MatchString(got))
	}
	mixed := func(choice []byte) bool { // of characters that matter
		var b strings.Builder
		for _, c := range choice {
			b.WriteByte("aZ9.-_ "[int(c)%7])
		}
		return property(strings.Repeat(b.String(), 6))
	}
	assert.NoError(t, quick.Check(property, nil))
	assert.NoError(t, quick.Check(mixed, &quick.Config{MaxCount: 2000}))
}

// TestDerivedPackageRepository: the object of a derived bundle says what it was derived from.
func TestDerivedPackageRepository(t *testing.T) {
	t.Parallel()
	g := &bundle.Graph{Roots: []bundle.Root{root(t, "reg.test/corp/main:1.0.0-selected-0a1b2c3d", digestA)}, Nodes: []*bundle.Node{
		{Descriptor: v1.Descriptor{Digest: digestA}, HasPackages: true, Derived: &bundle.Derivation{From: digestB, Choice: `{"latest":1}`}},
	}}
	list, err := rewrite.PackageRepositories(g, repository(t, "private.test/all"), "", "", "")
	require.NoError(t, err)
	text, err := rewrite.Encode(list)
	require.NoError(t, err)
	var got struct {
		Metadata struct {
			Name        string
			Annotations map[string]string
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &got))
	assert.Equal(t, "main", got.Metadata.Name)
	assert.Equal(t, map[string]string{
		"kctrl.carvel.dev/repository-version": "1.0.0-selected-0a1b2c3d",
		"relocate/derived-from":               digestB.String(),
		"relocate/choice":                     `{"latest":1}`,
	}, got.Metadata.Annotations)
}
