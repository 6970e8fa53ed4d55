package tarball_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/copy"
	"relocate/registry"
	"relocate/tarball"
	"relocate/testdata/sample"
)

// positions is at how many places TestBitRot damages an archive; RELOCATE_TEST_SOAK=1 takes more.
func positions() int {
	if os.Getenv("RELOCATE_TEST_SOAK") == "1" {
		return 10_000
	}
	return max(200/stride, 32) // each kind of part once
}

// TestBitRot damages archives as media do: a bit flipped, a sector zeroed, a sector lost, the end cut off.
// Every damage is found, whatever it hits, and reported at its place: none more, none less.
func TestBitRot(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	for kind, archive := range rotting(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := newRotten(t, archive)
			rng := rand.New(rand.NewPCG(1, 2))
			hit, found, refused := map[string]int{}, 0, 0
			for turn := range positions() {
				at := f.somewhere(rng, turn)
				hit[f.spanAt(at).kindOf()]++
				for way, damage := range ways {
					bad := damage(archive, at)
					if bytes.Equal(bad, archive) {
						continue // what was zeroed was zero
					}
					found++
					if f.requireFound(t, bad, fmt.Sprint(way, " at ", at)) {
						refused++
					}
				}
			}
			for kind := range f.kinds {
				assert.NotZero(t, hit[kind], "nothing hit the %s", kind)
			}
			t.Logf("%d bytes: %d damages at %d places found, %d of them refused at once: %v", len(archive), found, positions(), refused, hit)
		})
	}
}

// TestAllRotIsCounted: with damage in so many members so much is reported.
func TestAllRotIsCounted(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	for kind, archive := range rotting(t) {
		f := newRotten(t, archive)
		rng := rand.New(rand.NewPCG(3, 4))
		blobs := f.kinds["blobs content"]
		for _, k := range []int{1, 2, 7, len(blobs)} {
			bad := slices.Clone(archive)
			for _, i := range rng.Perm(len(blobs))[:k] {
				bad[blobs[i].start+rng.IntN(blobs[i].length())] ^= 0x80
			}
			bad[f.kinds["oci-layout content"][0].start] ^= 1
			bad[f.kinds["index.json content"][0].start] ^= 1
			bad[f.kinds["seal content"][0].start+10] ^= 1
			damage, err := inspect(bad)
			require.NoError(t, err)
			require.Len(t, damage, k+3, "%s, %d blobs", kind, k)
			require.Equal(t, f.expected(bad), placesOfDamage(damage))
		}
	}
}

// rotting are the archives that are damaged: the sample's, and one of many small bundles.
func rotting(t *testing.T) map[string][]byte {
	t.Helper()
	s := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	root, err := sample.Push(t.Context(), strings.TrimPrefix(s.URL, "http://"), sample.Tiny)
	require.NoError(t, err)
	client, err := registry.New(registry.Options{Anonymous: true})
	require.NoError(t, err)
	g, err := bundle.Walk(t.Context(), client, []name.Reference{root}, bundle.WalkOptions{})
	require.NoError(t, err)
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "sample.tar")
	w, err := tarball.Create(path, plan, tarball.Request{}, 1)
	require.NoError(t, err)
	require.NoError(t, copy.ToArchive(t.Context(), plan, client, w, copy.ArchiveOptions{Jobs: 2}))
	require.NoError(t, w.Commit())
	exported, err := os.ReadFile(path)
	require.NoError(t, err)
	return map[string][]byte{"sample": exported, "TCE-like": manyPackages(t, 12, 3).bytes(t)}
}

// manyPackages is a repository as that of Tanzu Community Edition: every version a bundle of its own,
// whose images share layers.
func manyPackages(t testing.TB, packages, versions int) *memory {
	t.Helper()
	m := newMemory()
	files := map[string]string{}
	var locked []string
	for p := range packages {
		for v := range versions {
			var images []string
			for i := range 2 + p%3 {
				image := m.image(t, m.layer(100+p), m.layer(511+i), m.layer(1000*p+10*v+i))
				images = append(images, fmt.Sprintf("registry.example/app%d-%d@%s", p, i, image.Digest))
			}
			ref := fmt.Sprintf("registry.example/package%d:%d.0.0", p, v)
			d := m.bundle(t, ref, nil, images...)
			at := fmt.Sprintf("registry.example/package%d@%s", p, d.Digest)
			locked = append(locked, at)
			files[fmt.Sprintf("packages/p%d.example/%d.0.0.yml", p, v)] = fmt.Sprintf(`apiVersion: data.packaging.carvel.dev/v1alpha1
kind: Package
metadata: {name: p%d.example.%d.0.0}
spec: {refName: p%d.example, version: %d.0.0, template: {spec: {fetch: [{imgpkgBundle: {image: "%s"}}]}}}
`, p, v, p, v, at)
		}
	}
	m.bundle(t, rootName, files, locked...)
	return m
}

// ways are the ways in which a medium loses what stands at a place.
var ways = map[string]func(b []byte, at int) []byte{
	"bit flipped": func(b []byte, at int) []byte {
		bad := slices.Clone(b)
		bad[at] ^= 1 << (at % 8)
		return bad
	},
	"sector zeroed": func(b []byte, at int) []byte {
		bad := slices.Clone(b)
		clear(bad[at/512*512:][:512])
		return bad
	},
	"sector dropped": func(b []byte, at int) []byte { return slices.Delete(slices.Clone(b), at/512*512, at/512*512+512) },
	"cut":            func(b []byte, at int) []byte { return b[:at] },
}

// span is a part of an archive: the header, content or padding of a member.
type span struct {
	member, kind string
	start, end   int
}

func (s span) length() int { return s.end - s.start }

// kindOf names the part, all blobs alike.
func (s span) kindOf() string {
	member, _, _ := strings.Cut(s.member, "/")
	return member + " " + s.kind
}

// rotten is a good archive, and where its parts are.
type rotten struct {
	good  []byte
	spans []span
	kinds map[string][]span
}

func newRotten(t *testing.T, archive []byte) *rotten {
	t.Helper()
	f := &rotten{good: archive, kinds: map[string][]span{}}
	at := 0
	add := func(member, kind string, n int) {
		if n > 0 {
			f.spans = append(f.spans, span{member, kind, at, at + n})
			at += n
		}
	}
	for _, m := range unpack(t, archive) {
		add(m.Name, "header", 512)
		add(m.Name, "content", len(m.data))
		add(m.Name, "padding", -len(m.data)&511)
	}
	add("end", "content", len(archive)-at)
	for _, s := range f.spans {
		f.kinds[s.kindOf()] = append(f.kinds[s.kindOf()], s)
	}
	require.Len(t, f.kinds, 16, "every kind of part is there")
	return f
}

func (f *rotten) spanAt(at int) span {
	i, _ := slices.BinarySearchFunc(f.spans, at, func(s span, at int) int { return s.end - at - 1 })
	return f.spans[i]
}

// somewhere returns a place, by turns any, and one in a part of each kind, so that small ones are hit.
func (f *rotten) somewhere(rng *rand.Rand, turn int) int {
	if turn%2 == 0 {
		return rng.IntN(len(f.good))
	}
	kinds := slices.Sorted(maps.Keys(f.kinds))
	of := f.kinds[kinds[turn/2%len(kinds)]]
	s := of[rng.IntN(len(of))]
	return s.start + rng.IntN(s.length())
}

// place is where damage is reported.
type place struct {
	member string
	offset int64
	isBlob bool // its content is wrong
}

func placesOfDamage(damage []tarball.Damage) []place {
	var list []place
	for _, d := range damage {
		isBlob := d.Digest.Hex != ""
		list = append(list, place{d.Member, d.Offset, isBlob && d.Member == "blobs/sha256/"+d.Digest.Hex})
	}
	return list
}

// expected returns where damage must be reported: at the first wrong byte of each document, and of each
// header with the padding before it, and at the content of each blob, in file order.
func (f *rotten) expected(bad []byte) []place {
	var list []place
	headerOf := "" // what stands between two contents of blobs belongs to the member whose header ends it
	for i, s := range f.spans {
		isDocument := slices.Contains([]string{"oci-layout", "index.json", "relocate.json"}, s.member)
		if s.kind == "padding" && !isDocument && s.member != "seal" {
			s.member = f.spans[i+1].member
		}
		if s.member == "end" {
			s.member = "seal"
		}
		first := firstChange(f.good[s.start:s.end], bad[s.start:s.end])
		switch {
		case first < 0:
		case s.kind == "content" && strings.HasPrefix(s.member, "blobs/"):
			list = append(list, place{s.member, int64(s.start), true})
		case s.member != headerOf:
			headerOf = s.member
			list = append(list, place{s.member, int64(s.start + first), false})
		}
	}
	return list
}

func firstChange(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// requireFound holds what is said of a damaged archive to what is wrong with it. It reports whether the
// archive was refused at once.
func (f *rotten) requireFound(t *testing.T, bad []byte, what string) bool {
	t.Helper()
	a, err := open(bad)
	if err != nil {
		assertSpeaks(t, err)
		if len(bad) == len(f.good) { // only what must be read to know where everything is
			s := f.spanAt(firstChange(f.good, bad))
			require.Contains(t, []string{"oci-layout header", "index.json header", "relocate.json header", "relocate.json content"}, s.kindOf(), what)
			require.True(t, errors.Is(err, tarball.ErrDamaged) || s.start == 0 && errors.Is(err, tarball.ErrNotArchive), "%s: %v", what, err)
		}
		return true
	}
	require.Len(t, bad, len(f.good), "%s: a file of another size opens", what)
	damage, err := a.Check(context.Background(), 2, nil)
	require.NoError(t, err, what)
	require.NotEmpty(t, damage, "%s was not found", what)
	if f.spanAt(firstChange(f.good, bad)).kindOf() != "relocate.json content" { // which says what all the rest must be
		require.Equal(t, f.expected(bad), placesOfDamage(damage), what)
	}
	return false
}
