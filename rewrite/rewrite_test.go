package rewrite_test

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/rewrite"
	"relocate/testdata/interop"
)

var (
	digestA = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}
	digestB = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("b", 64)}
)

func repository(t *testing.T, s string) name.Repository {
	t.Helper()
	repo, err := name.NewRepository(s)
	require.NoError(t, err)
	return repo
}

// root returns a root that was named s, by tag or digest.
func root(t *testing.T, s string, d v1.Hash) bundle.Root {
	t.Helper()
	ref, err := name.ParseReference(s)
	require.NoError(t, err)
	return bundle.Root{Reference: ref, Digest: d}
}

func TestLockIsImgpkgs(t *testing.T) {
	t.Parallel()
	d, err := v1.NewHash(interop.Root)
	require.NoError(t, err)
	roots := []bundle.Root{root(t, interop.Repository+":1.0.0", d)}
	for file, repo := range map[string]string{"copy-from-tar.yml": interop.Relocated, "copy-direct.yml": "127.0.0.1:5111/dst2/repository"} {
		want, err := interop.Read("locks/" + file)
		require.NoError(t, err)
		got, err := rewrite.Lock(graphOf(roots), repository(t, repo), "1.0.0", nil)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got), file)
	}
}

// graphOf is a graph of bundles that are roots.
func graphOf(roots []bundle.Root) *bundle.Graph {
	g := &bundle.Graph{Roots: roots}
	for _, root := range roots {
		n := &bundle.Node{Kind: bundle.Bundle}
		n.Descriptor.Digest = root.Digest
		g.Nodes = append(g.Nodes, n)
	}
	return g
}

func TestLock(t *testing.T) {
	t.Parallel()
	a, b := root(t, "reg.test/a:1", digestA), root(t, "reg.test/b:1", digestB)
	repo := repository(t, "private.test/repo")

	one, err := rewrite.Lock(graphOf([]bundle.Root{a}), repo, "", nil)
	require.NoError(t, err)
	assert.Equal(t, "---\napiVersion: imgpkg.carvel.dev/v1alpha1\nbundle:\n  image: private.test/repo@"+digestA.String()+"\nkind: BundleLock\n", string(one))

	two, err := rewrite.Lock(graphOf([]bundle.Root{b, a}), repo, "", nil)
	require.NoError(t, err)
	assert.Equal(t, "---\napiVersion: imgpkg.carvel.dev/v1alpha1\nimages:\n- image: private.test/repo@"+digestA.String()+
		"\n- image: private.test/repo@"+digestB.String()+"\nkind: ImagesLock\n", string(two), "by source reference, as imgpkg")

	listed := &carvel.ImagesLock{Images: []carvel.LockEntry{
		{Image: b.Reference.Context().Digest(digestB.String()), Annotations: map[string]string{"x": "y"}}, {Image: a.Reference.Context().Digest(digestA.String())},
	}}
	same, err := rewrite.Lock(graphOf([]bundle.Root{b, a}), repo, "", listed)
	require.NoError(t, err)
	assert.Equal(t, "---\napiVersion: imgpkg.carvel.dev/v1alpha1\nimages:\n- annotations:\n    x: \"y\"\n  image: private.test/repo@"+digestB.String()+
		"\n- image: private.test/repo@"+digestA.String()+"\nkind: ImagesLock\n", string(same), "the lock's order and annotations")
}

func TestMapping(t *testing.T) {
	t.Parallel()
	src, err := interop.Source()
	require.NoError(t, err)
	r, err := name.NewDigest(interop.Repository + "@" + interop.Root)
	require.NoError(t, err)
	g, err := bundle.Walk(t.Context(), src, []name.Reference{r}, bundle.WalkOptions{})
	require.NoError(t, err)

	moves := rewrite.Mapping(g, repository(t, "private.test/repo"))

	assert.Len(t, moves, 10, "every reference, the two of one digest too, and no child of an index")
	assert.Equal(t, rewrite.Move{From: r.Name(), To: "private.test/repo@" + interop.Root, Kind: bundle.Bundle}, moves[0])
	for _, m := range moves {
		_, from, _ := strings.Cut(m.From, "@")
		assert.Equal(t, "private.test/repo@"+from, m.To)
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	byDigest := "reg.test/a@" + digestA.String()
	tests := []struct {
		name  string
		roots []bundle.Root
		tag   string
		want  map[string]v1.Hash
		err   string
	}{
		{"as named", []bundle.Root{root(t, "reg.test/a:1", digestA), root(t, "reg.test/b:2", digestB)}, "", map[string]v1.Hash{"1": digestA, "2": digestB}, ""},
		{"none", []bundle.Root{root(t, byDigest, digestA)}, "", map[string]v1.Hash{}, ""},
		{"latest", []bundle.Root{root(t, "reg.test/a", digestA)}, "", map[string]v1.Hash{"latest": digestA}, ""},
		{"another", []bundle.Root{root(t, "reg.test/a:1", digestA)}, "2", map[string]v1.Hash{"2": digestA}, ""},
		{"for a digest", []bundle.Root{root(t, byDigest, digestA)}, "2", map[string]v1.Hash{"2": digestA}, ""},
		{"for two", []bundle.Root{root(t, "reg.test/a:1", digestA), root(t, "reg.test/b:2", digestB)}, "3", nil, `tag "3": a tag names one root, not 2`},
		{"conflict", []bundle.Root{root(t, "reg.test/a:1", digestA), root(t, "reg.test/b:1", digestB)}, "", nil, `tag "1": both ` + digestA.String() + " and " + digestB.String()},
		{"the same twice", []bundle.Root{root(t, "reg.test/a:1", digestA), root(t, "reg.test/b:1", digestA)}, "", map[string]v1.Hash{"1": digestA}, ""},
		{"imgpkg's", []bundle.Root{root(t, "reg.test/a:sha256-"+digestA.Hex+".imgpkg", digestA)}, "", nil, "are made of digests"},
		{"like imgpkg's", []bundle.Root{root(t, "reg.test/a:1", digestA)}, "sha256-x", nil, `tag "sha256-x"`},
		{"no tag", []bundle.Root{root(t, "reg.test/a:1", digestA)}, "a/b", nil, `tag "a/b" is not valid`},
		{"too long", []bundle.Root{root(t, "reg.test/a:1", digestA)}, strings.Repeat("x", 129), nil, "is not valid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := rewrite.Tags(tt.roots, tt.tag)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}
