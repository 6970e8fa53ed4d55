package main

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/realregistry"
)

// TestCrossing carries the sample from one registry to another that never see each other. The source
// is stopped before the import, and whoever asks for it afterwards is noticed.
func TestCrossing(t *testing.T) {
	t.Parallel()
	for name, start := range realRegistries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testCrossing(t, start(t), start(t))
		})
	}
}

func testCrossing(t *testing.T, src, dst *realregistry.Registry) {
	root := pushSample(t, src.Addr)
	source := dumpReal(t, src, "")
	digest := source.tags["corp/repository:1.0.0"]
	file := export(t, root)
	src.Stop()
	_, err := net.Dial("tcp", src.Addr)
	require.Error(t, err, "the source still answers")
	gone := startCanary(t, src.Addr)

	repo := dst.Addr + "/airgap/repository"
	mustRelocate(t, "--from-tar", file, "--to-repo", repo)
	destination := dumpReal(t, dst, "")
	assertRelocated(t, source, destination, "airgap/repository", map[string]string{"1.0.0": digest})
	assert.Len(t, source.manifests, 11)
	assert.Len(t, destination.manifests, 11+5)

	verified := mustRelocate(t, "verify", file, "--root", digest)
	assertAll(t, verified.stdout, "OK: "+file)
	for _, level := range []string{"manifests", "blobs", "deep"} {
		verified := mustRelocate(t, "verify", "--repo", repo, file, "--level", level)
		assertAll(t, verified.stdout, "OK: "+repo)
		mustRelocate(t, "verify", "--repo", repo, "--root", digest, "--level", level)
	}

	dst.ResetRequests()
	mustRelocate(t, "--from-tar", file, "--to-repo", repo)
	assert.ElementsMatch(t, secondImport(t, destination, "airgap/repository"), dst.Requests())
	assert.Equal(t, destination, dumpReal(t, dst, ""))
	gone.assertSilent(t)
}

// secondImport is what an import asks of a repository that has everything: for each of its tags, and
// for each child of an index, once.
func secondImport(t *testing.T, d dump, repo string) []string {
	t.Helper()
	requests := []string{"200 GET /v2/"}
	for tag := range d.tags {
		requests = append(requests, "200 HEAD /v2/"+repo+"/manifests/"+tag[len(repo)+1:])
	}
	for _, child := range d.children(t) {
		requests = append(requests, "200 HEAD /v2/"+repo+"/manifests/"+child)
	}
	return requests
}

// TestDirectCopy copies from registry to registry: the destination is that of a crossing.
func TestDirectCopy(t *testing.T) {
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	root := pushSample(t, src.Addr)
	source := dumpReal(t, src, "")
	digest := source.tags["corp/repository:1.0.0"]
	direct := mustRelocate(t, "-b", root, "--to-repo", dst.Addr+"/direct")
	assertRelocated(t, source, dumpReal(t, dst, "direct"), "direct", map[string]string{"1.0.0": digest})

	file := export(t, root)
	imported := mustRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/direct")
	assert.Equal(t, imported.stdout, direct.stdout)
	mustRelocate(t, "verify", "--repo", dst.Addr+"/direct", file, "--level", "deep")
}

// TestMount copies within one registry: blobs are taken over there, and none is sent but those of locations
// images.
func TestMount(t *testing.T) {
	t.Parallel()
	reg := startReal(t)
	root := pushSample(t, reg.Addr)
	file := export(t, root)
	for how, args := range map[string][]string{"direct": {"-b", root}, "tar": {"--from-tar", file}} {
		reg.ResetRequests()
		mustRelocate(t, append(args, "--to-repo", reg.Addr+"/mounted/"+how)...)
		mounted := 0
		for _, r := range reg.Requests() {
			if strings.HasPrefix(r, "201 POST ") {
				mounted++
			}
		}
		uploads, _ := written(reg.Requests())
		assert.LessOrEqual(t, len(uploads), 10, "%s: config and layer of each locations image", how)
		assert.Greater(t, mounted, 10, how)
		mustRelocate(t, "verify", "--repo", reg.Addr+"/mounted/"+how, file, "--level", "deep")
	}
}

// TestSecondHop carries the sample on from a repository to which it was relocated, the first source
// being gone; and once more from there.
func TestSecondHop(t *testing.T) {
	skipShort(t)
	t.Parallel()
	first, second := startReal(t), startReal(t)
	root := pushSample(t, first.Addr)
	source := dumpReal(t, first, "")
	digest := source.tags["corp/repository:1.0.0"]
	mustRelocate(t, "-b", root, "--to-repo", second.Addr+"/hop1")
	first.Stop()
	gone := startCanary(t, first.Addr)

	for _, hop := range []struct{ from, to string }{{"hop1", "hop2"}, {"hop2", "hop3"}} {
		file := export(t, second.Addr+"/"+hop.from+":1.0.0")
		mustRelocate(t, "--from-tar", file, "--to-repo", second.Addr+"/"+hop.to)
		got := dumpReal(t, second, hop.to)
		assertRelocated(t, source, got, hop.to, map[string]string{"1.0.0": digest})
		mustRelocate(t, "verify", "--repo", second.Addr+"/"+hop.to, file, "--level", "deep")
	}
	gone.assertSilent(t)
	hop1, hop3 := dumpReal(t, second, "hop1"), dumpReal(t, second, "hop3")
	assert.Equal(t, hop1.manifests, hop3.manifests, "locations images are the same after three hops")
	assert.True(t, slices.Equal(hop1.bundles(t), hop3.bundles(t)))
}

// TestLeavesFirst: at each moment of an import, whatever the destination shows is complete.
func TestLeavesFirst(t *testing.T) {
	skipShort(t)
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	s := site{t: t, host: src.Addr}
	early := s.ref("b/early", s.image("b/early", "1", "early"))
	third := s.ref("b/third", s.bundle("b/third", "1", nil, early))
	late := s.ref("b/late", s.image("b/late", "1", noise("late", 200_000)))
	second := s.ref("b/second", s.bundle("b/second", "1", nil, third, late))
	s.bundle("b/root", "1", nil, second, early)
	for name, c := range map[string]struct {
		root  string
		there []string // imported before
	}{
		"sample":            {pushSample(t, src.Addr), nil},
		"sample-with-image": {src.Addr + "/corp/repository:1.0.0", []string{"corp/packages/guestbook:1.0.0", "corp/packages/common:1.0.0"}},
		"nested":            {src.Addr + "/b/root:1", nil},
		"nested-half-there": {src.Addr + "/b/root:1", []string{"b/third:1"}},
	} {
		for _, jobs := range []string{"1", "16"} {
			t.Run(name+"-"+jobs, func(t *testing.T) {
				repo := name + "-" + jobs
				for _, ref := range c.there {
					mustRelocate(t, "-b", src.Addr+"/"+ref, "--to-repo", dst.Addr+"/"+repo, "--no-tag")
				}
				before := dumpReal(t, dst, repo)
				dst.ResetRequests()
				mustRelocate(t, "-b", c.root, "--to-repo", dst.Addr+"/"+repo, "--concurrency", jobs)
				assertLeavesFirst(t, before, dumpReal(t, dst, repo), repo, dst.Requests())
			})
		}
	}
}

// assertLeavesFirst replays the requests of an import.
func assertLeavesFirst(t *testing.T, before, after dump, repo string, requests []string) {
	t.Helper()
	there := map[string]bool{}
	for digest := range before.manifests {
		there[digest] = true
	}
	for digest := range before.blobs {
		there[digest] = true
	}
	last, puts := "", map[string]int{}
	for _, r := range requests {
		if !isPut(r) {
			continue
		}
		if _, digest, found := strings.Cut(r, "digest=sha256%3A"); found {
			there["sha256:"+digest[:64]] = true
			continue
		}
		last = r[strings.LastIndex(r, "/")+1:]
		puts[last]++
		digest := last
		if after.tags[repo+":"+last] != "" {
			digest = after.tags[repo+":"+last]
		}
		needs := after.needs(t, digest)
		if hex, found := strings.CutSuffix(last, ".image-locations.imgpkg"); found {
			owner := strings.Replace(hex, "-", ":", 1)
			needs = append(append(needs, after.needs(t, owner)...), owner)
		}
		for _, need := range needs {
			assert.True(t, there[need], "%s was put before %s, which it needs", last, need)
		}
		there[digest] = true
	}
	for id, n := range puts {
		assert.Equal(t, 1, n, "PUTs of %s", id)
	}
	assert.NotContains(t, last, "sha256", "the root's tag is put last")
}

// needs are the digests of all that a manifest names: config, layers, children, and what a lock has.
func (d dump) needs(t *testing.T, digest string) []string {
	t.Helper()
	doc := d.manifests[digest].document(t)
	var list []string
	for _, one := range append(doc.Layers, doc.Manifests...) {
		list = append(list, one.Digest)
	}
	if doc.Config != nil {
		list = append(list, doc.Config.Digest)
	}
	if d.isBundle(t, digest) {
		list = append(list, lockedDigests(t, d.blobs[doc.Layers[0].Digest])...)
	}
	return list
}

// lockedDigests reads the ImagesLock in a bundle's layer.
func lockedDigests(t *testing.T, layer string) []string {
	t.Helper()
	zr, err := gzip.NewReader(strings.NewReader(layer))
	require.NoError(t, err)
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		require.NoError(t, err, "the bundle has no lock")
		if h.Name == ".imgpkg/images.yml" {
			text, err := io.ReadAll(tr)
			require.NoError(t, err)
			return digestText.FindAllString(string(text), -1)
		}
	}
}
