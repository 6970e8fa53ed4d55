package copy

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/imgpkg"
)

// addRepository adds a repository bundle with a Package that fetches each reference.
func (m *memory) addRepository(t *testing.T, locked []v1.Descriptor, fetches ...string) v1.Descriptor {
	lock := "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages: []\n"
	for _, d := range locked {
		lock = strings.Replace(lock, "images: []", "images:", 1) + "- image: " + source + "@" + d.Digest.String() + "\n"
	}
	text := "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata:\n  name: a.x.org.1.0.0\n" +
		"spec:\n  refName: a.x.org\n  version: 1.0.0\n  template:\n    spec:\n      fetch:\n"
	for _, ref := range fetches {
		text += "      - imgpkgBundle: {image: \"" + ref + "\"}\n"
	}
	image, err := imgpkg.Build(map[string][]byte{".imgpkg/images.yml": []byte(lock), "packages/a.yml": []byte(text)}, map[string]string{imgpkg.Label: "true"})
	require.NoError(t, err)
	m.addBlob("", image.Config)
	m.addBlob("", image.Layer)
	m.manifests[image.Descriptor.Digest] = stored{image.Descriptor, image.Manifest}
	return image.Descriptor
}

// circle is a root that locks a, and fetches one that it does not lock; a and b fetch each other.
func circle(t *testing.T) (plan *bundle.Plan, src *memory, root, a, b, other v1.Descriptor) {
	src = newMemory()
	a, b = src.addRepository(t, nil, source+":b"), src.addRepository(t, nil, source+":a")
	other = src.addBundle(t)
	root = src.addRepository(t, []v1.Descriptor{a}, source+":other")
	src.tags = map[string]v1.Hash{"a": a.Digest, "b": b.Digest, "other": other.Digest, "1.0": root.Digest}
	g, err := bundle.Walk(t.Context(), src, []name.Reference{name.MustParseReference(source + ":1.0")}, bundle.WalkOptions{})
	require.NoError(t, err)
	plan, err = bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	return plan, src, root, a, b, other
}

// TestCircularOrder: what is fetched comes first, as far as no circle prevents it.
func TestCircularOrder(t *testing.T) {
	t.Parallel()
	plan, src, root, a, b, other := circle(t)
	assert.Equal(t, []v1.Hash{b.Digest}, plan.Graph.Node(a.Digest).Circular)
	assert.Equal(t, []v1.Hash{a.Digest}, plan.Graph.Node(b.Digest).Circular)
	assert.Empty(t, plan.Graph.Node(root.Digest).Circular)

	dst := newMemory()
	opt := Options{Jobs: 4, Tags: []Tag{{"1.0", root.Digest}}}
	result, err := ToRepository(t.Context(), plan, src, dst, target, opt)
	require.NoError(t, err)
	assert.Equal(t, 4, result.Manifests)
	at := map[v1.Hash]int{}
	for i, put := range dst.puts {
		if fields := strings.Fields(put); fields[0] == "manifest" {
			d, err := v1.NewHash(fields[1])
			require.NoError(t, err)
			at[d] = i
		}
	}
	assert.Less(t, at[a.Digest], at[root.Digest])
	assert.Less(t, at[other.Digest], at[root.Digest])
	assert.Equal(t, "manifest "+root.Digest.String()+" 1.0", dst.puts[len(dst.puts)-1])
}

// TestCircularFailure: a root gets no tag when something in a circle below it could not be put.
func TestCircularFailure(t *testing.T) {
	t.Parallel()
	plan, src, root, _, b, _ := circle(t)
	dst, refused := newMemory(), errors.New("refused")
	dst.before = func(_ context.Context, act string) error {
		if strings.HasPrefix(act, "manifest "+b.Digest.String()+" ") {
			return refused
		}
		return nil
	}
	_, err := ToRepository(t.Context(), plan, src, dst, target, Options{Tags: []Tag{{"1.0", root.Digest}}, KeepGoing: true})
	require.ErrorIs(t, err, refused)
	assert.NotContains(t, dst.tags, "1.0")
}
