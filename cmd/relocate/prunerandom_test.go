package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// model is a repository that a test filled at random, as the test knows it.
type model struct {
	site
	chance *rand.Rand
	all    []v1.Descriptor
	raw    map[string][]byte
	leads  map[string][]string // digest → digests: children, and what is attached
	tags   map[string]string   // tag → digest
	roots  []string            // tags that are not made of digests
}

const modelRepo = "any/main"

// fillAtRandom pushes images, indexes and bundles that need each other, and gives some of them tags: as imgpkg
// and cosign do, and others.
func fillAtRandom(t *testing.T, chance *rand.Rand) *model {
	t.Helper()
	m := &model{site: site{t: t, host: startReferrers(t)}, chance: chance, raw: map[string][]byte{}, leads: map[string][]string{}, tags: map[string]string{}}
	for i := range 4 + chance.IntN(5) {
		m.add(m.image(modelRepo, "", fmt.Sprint("layer ", i%3), fmt.Sprint("own ", i)))
	}
	for range chance.IntN(4) {
		children := m.some(1+chance.IntN(2), func(d v1.Descriptor) bool { return d.MediaType == types.OCIManifestSchema1 })
		m.add(m.index(modelRepo, "", children...), children...)
	}
	for i := range 3 + chance.IntN(6) {
		locked := m.some(chance.IntN(4), nil)
		var refs []string
		for _, d := range locked {
			refs = append(refs, m.ref(modelRepo, d))
		}
		m.add(m.bundle(modelRepo, "", map[string]string{"config/a.yml": fmt.Sprint("bundle: ", i, "\n")}, refs...), locked...)
	}
	for _, d := range slices.Clone(m.all) {
		made := strings.Replace(d.Digest.String(), ":", "-", 1)
		if chance.IntN(3) > 0 {
			m.tag(made+".imgpkg", d)
		}
		if chance.IntN(3) == 0 {
			m.attach(made+".image-locations.imgpkg", d, m.image(modelRepo, "", fmt.Sprint("locations ", chance.IntN(3))))
		}
		if chance.IntN(4) == 0 {
			m.attach(made+".sig", d, m.image(modelRepo, "", "signature of "+d.Digest.Hex))
		}
		if chance.IntN(5) == 0 {
			m.leads[d.Digest.String()] = append(m.leads[d.Digest.String()], m.add(newSigner(m.site).referrer(modelRepo, d, "application/x-scan", []byte("scan of "+d.Digest.Hex))))
		}
		for chance.IntN(4) == 0 {
			tag := fmt.Sprint("root-", len(m.roots))
			m.roots = append(m.roots, tag)
			m.tag(tag, d)
		}
	}
	return m
}

// add notes a manifest, and what it leads to.
func (m *model) add(d v1.Descriptor, leads ...v1.Descriptor) string {
	digest := d.Digest.String()
	if m.raw[digest] == nil {
		m.all = append(m.all, d)
	}
	m.raw[digest], _ = get(m.t, m.host, "/v2/"+modelRepo+"/manifests/"+digest)
	for _, to := range leads {
		m.leads[digest] = append(m.leads[digest], to.Digest.String())
	}
	return digest
}

// some returns up to n of the manifests.
func (m *model) some(n int, allowed func(v1.Descriptor) bool) []v1.Descriptor {
	var list []v1.Descriptor
	for range n {
		d := m.all[m.chance.IntN(len(m.all))]
		if (allowed == nil || allowed(d)) && !slices.ContainsFunc(list, func(x v1.Descriptor) bool { return x.Digest == d.Digest }) {
			list = append(list, d)
		}
	}
	return list
}

func (m *model) tag(tag string, d v1.Descriptor) {
	m.manifest(modelRepo, tag, d.MediaType, m.raw[d.Digest.String()])
	m.tags[tag] = d.Digest.String()
}

func (m *model) attach(tag string, to, d v1.Descriptor) {
	digest := m.add(d)
	m.leads[to.Digest.String()] = append(m.leads[to.Digest.String()], digest)
	m.tag(tag, d)
	if m.chance.IntN(2) == 0 {
		m.tag(strings.Replace(digest, ":", "-", 1)+".imgpkg", d)
	}
}

// closure returns everything that digests lead to.
func (m *model) closure(digests []string) map[string]bool {
	found := map[string]bool{}
	for len(digests) > 0 {
		d := digests[0]
		digests = digests[1:]
		if !found[d] {
			found[d] = true
			digests = append(digests, m.leads[d]...)
		}
	}
	return found
}

// gone returns what a prune of the tags must delete.
func (m *model) gone(drop []string) []string {
	var dropped, kept []string
	for _, tag := range drop {
		dropped = append(dropped, m.tags[tag])
	}
	below := m.closure(dropped)
	for tag, d := range m.tags {
		of, isMade := strings.CutPrefix(tag, "sha256-")
		of, _, _ = strings.Cut(of, ".")
		if !slices.Contains(drop, tag) && !(isMade && below["sha256:"+of]) {
			kept = append(kept, d)
		}
	}
	keep := m.closure(kept)
	return without(slices.Collect(maps.Keys(below)), slices.Collect(maps.Keys(keep)))
}

// TestPruneAnything: of any repository exactly that goes to which no other tag leads.
func TestPruneAnything(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	seed := anySeed(t)
	for i := range rounds(25, 1000) {
		m := fillAtRandom(t, rand.New(rand.NewPCG(seed, uint64(i))))
		if len(m.roots) == 0 {
			continue
		}
		drop := m.roots[:1+m.chance.IntN(len(m.roots))]
		args := []string{"prune", "--repo", m.host + "/" + modelRepo, "-o", "json", "--yes"}
		for _, tag := range drop {
			args = append(args, "--drop", tag)
		}
		want := m.gone(drop)
		r := pruned(t, mustRelocate(t, args...))
		var got []string
		for _, manifest := range r.Manifests {
			got = append(got, manifest.Digest.String())
		}
		slices.Sort(got)
		require.Equal(t, want, got, "RELOCATE_TEST_SEED=%d, round %d", seed, i)
		require.Empty(t, r.Deleted.Stay)
		for digest := range m.raw {
			assert.Equal(t, !slices.Contains(want, digest), has(t, m.host, "/v2/"+modelRepo+"/manifests/"+digest), digest)
		}
		for tag, digest := range m.tags {
			of, isMade := strings.CutPrefix(tag, "sha256-")
			of, _, _ = strings.Cut(of, ".")
			goes := slices.Contains(want, digest) || slices.Contains(drop, tag) || isMade && slices.Contains(want, "sha256:"+of)
			assert.Equal(t, !goes, has(t, m.host, "/v2/"+modelRepo+"/manifests/"+tag), "%s is %s", tag, digest)
		}
	}
}
