package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/realregistry"
)

// TestUnusualContent carries what the sample does not have. Each case pushes below its own name and
// returns what the bundle's lock has.
func TestUnusualContent(t *testing.T) {
	t.Parallel()
	cases := map[string]func(s site, prefix string) []string{
		"one-digest-two-repositories": func(s site, prefix string) []string {
			a := s.image(prefix+"/a", "1", "shared", "layer")
			b := s.image(prefix+"/b", "1", "shared", "layer")
			require.Equal(s.t, a, b)
			return []string{s.ref(prefix+"/b", b), s.ref(prefix+"/a", a)}
		},
		"index-in-index": func(s site, prefix string) []string {
			repo := prefix + "/images"
			inner := s.index(repo, "", s.image(repo, "", "amd64"), s.image(repo, "", "arm64"))
			return []string{s.ref(repo, s.index(repo, "1", inner, s.image(repo, "", "windows")))}
		},
		"empty-index": func(s site, prefix string) []string {
			return []string{s.ref(prefix+"/images", s.index(prefix+"/images", "1"))}
		},
		"zstd-layer": func(s site, prefix string) []string {
			repo := prefix + "/images"
			config := s.blob(repo, types.OCIConfigJSON, []byte(`{"os":"linux"}`))
			layer := s.blob(repo, types.OCILayerZStd, []byte("\x28\xb5\x2f\xfd"+noise("zstd", 5000)))
			return []string{s.ref(repo, s.imageOf(repo, "1", config, layer))}
		},
		"artifacts": func(s site, prefix string) []string {
			repo := prefix + "/artifacts"
			chart := s.blob(repo, "application/vnd.cncf.helm.chart.content.v1.tar+gzip", []byte("a chart"))
			helm := s.imageOf(repo, "helm", s.blob(repo, "application/vnd.cncf.helm.config.v1+json", []byte(`{"name":"chart","config":"text"}`)), chart)
			binary := s.imageOf(repo, "binary", s.blob(repo, "application/vnd.example.config+octets", []byte("\x00\xff no JSON")), chart)
			list := s.imageOf(repo, "list", s.blob(repo, "application/vnd.example.list+json", []byte(`["config"]`)))
			empty := s.imageOf(repo, "empty", s.blob(repo, "application/vnd.oci.empty.v1+json", []byte(`{}`)),
				s.blob(repo, "application/vnd.oci.empty.v1+json", []byte(`{}`)))
			return []string{s.ref(repo, helm), s.ref(repo, binary), s.ref(repo, list), s.ref(repo, empty)}
		},
		"empty-blob-and-repeated-layer": func(s site, prefix string) []string {
			return []string{s.ref(prefix+"/images", s.image(prefix+"/images", "1", "twice", "", "twice"))}
		},
		"bundles-three-deep": func(s site, prefix string) []string {
			image := s.ref(prefix+"/image", s.image(prefix+"/image", "1", "the deepest"))
			third := s.ref(prefix+"/third", s.bundle(prefix+"/third", "1", nil, image))
			second := s.ref(prefix+"/second", s.bundle(prefix+"/second", "1", nil, third))
			first := s.ref(prefix+"/first", s.bundle(prefix+"/first", "1", nil, second, image))
			return []string{first}
		},
		"empty-lock": func(site, string) []string { return nil },
	}
	for name, start := range realRegistries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := start(t), start(t)
			for name, build := range cases {
				t.Run(name, func(t *testing.T) { crossUnusual(t, src, dst, name, build) })
			}
		})
	}
}

// crossUnusual carries a case across and compares everything.
func crossUnusual(t *testing.T, src, dst *realregistry.Registry, name string, build func(site, string) []string) {
	s := site{t: t, host: src.Addr}
	root := s.bundle(name+"/root", "v1", nil, build(s, name)...)
	src.ResetRequests()
	file := export(t, src.Addr+"/"+name+"/root:v1")
	assertOnce(t, src.Requests())
	source := dumpReal(t, src, name)
	require.LessOrEqual(t, strings.Count(strings.Join(src.Requests(), "\n"), ".image-locations.imgpkg"), len(source.bundles(t)), "at most one probe a bundle")

	to := dst.Addr + "/" + name
	mustRelocate(t, "--from-tar", file, "--to-repo", to)
	destination := dumpReal(t, dst, name)
	assertRelocated(t, source, destination, name, map[string]string{"v1": root.Digest.String()})
	mustRelocate(t, "verify", file)
	mustRelocate(t, "verify", "--repo", to, file, "--level", "deep")
	mustRelocate(t, "verify", "--repo", to, "--root", root.Digest.String(), "--level", "blobs")
	dst.ResetRequests()
	mustRelocate(t, "--from-tar", file, "--to-repo", to)
	assert.ElementsMatch(t, secondImport(t, destination, name), dst.Requests())
}

// assertOnce: each manifest and blob is read once, wherever.
func assertOnce(t *testing.T, requests []string) {
	t.Helper()
	seen := map[string]int{}
	for _, r := range withoutRepositories(requests) {
		seen[r]++
	}
	for r, n := range seen {
		assert.Equal(t, 1, n, r)
	}
}

// TestHalfThere imports into a repository that has some of it: a package that was imported before, and
// blobs that nothing refers to, as an interrupted import leaves them.
func TestHalfThere(t *testing.T) {
	t.Parallel()
	for name, start := range realRegistries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := start(t), start(t)
			root := pushSample(t, src.Addr)
			source := dumpReal(t, src, "")
			to := dst.Addr + "/half"
			mustRelocate(t, "-b", src.Addr+"/corp/packages/guestbook:1.0.0", "--to-repo", to)
			first := dumpReal(t, dst, "half")
			s := site{t: t, host: dst.Addr}
			loose := source.layersOf(t, source.tags["corp/status:1.0.0"])
			for _, digest := range loose {
				s.blob("half", types.OCILayer, []byte(source.blobs[digest]))
			}
			file := export(t, root)
			report := filepath.Join(t.TempDir(), "report.json")
			dst.ResetRequests()
			mustRelocate(t, "--from-tar", file, "--to-repo", to, "--no-tag", "--report", report)

			destination := dumpReal(t, dst, "half")
			assertRelocated(t, source, destination, "half", map[string]string{"1.0.0": source.tags["corp/packages/guestbook:1.0.0"]})
			uploads, manifests := written(dst.Requests())
			for digest := range destination.blobs {
				want := 1
				if first.blobs[digest] != "" || slices.Contains(loose, digest) {
					want = 0
				}
				assert.Equal(t, want, uploads[digest], "uploads of blob %s", digest)
			}
			for tag := range first.tags {
				assert.Zero(t, manifests[strings.TrimPrefix(tag, "half:")], "PUT of %s", tag)
			}
			result := readReport(t, report).Result
			assert.Equal(t, 3, result.ManifestsPresent+result.LocationsPresent, "guestbook 1.0.0: image, bundle, locations")
			mustRelocate(t, "verify", "--repo", to, file, "--level", "deep", "--no-tag")
		})
	}
}

// layersOf are the digests of an image's layers.
func (d dump) layersOf(t *testing.T, digest string) []string {
	t.Helper()
	var layers []string
	for _, layer := range d.manifests[digest].document(t).Layers {
		layers = append(layers, layer.Digest)
	}
	return layers
}

// written counts uploads by digest, and PUTs of manifests by tag or digest.
func written(requests []string) (uploads, manifests map[string]int) {
	uploads, manifests = map[string]int{}, map[string]int{}
	for _, r := range requests {
		if !isPut(r) {
			continue
		}
		if _, digest, found := strings.Cut(r, "digest=sha256%3A"); found {
			uploads["sha256:"+digest[:64]]++
		} else {
			manifests[r[strings.LastIndex(r, "/")+1:]]++
		}
	}
	return uploads, manifests
}

// isPut reports whether a request puts something, and does not only ask whether it might: that is of a digest
// that nothing has.
func isPut(request string) bool {
	return strings.Contains(request, " PUT ") && !strings.HasSuffix(request, "sha256:"+strings.Repeat("0", 64))
}

// TestUncoveredFetch: what a Package fetches and no lock has is carried, and reported, because
// kapp-controller will go on asking for it at its old place.
func TestUncoveredFetch(t *testing.T) {
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	s := site{t: t, host: src.Addr}
	covered := s.ref("pkg/covered", s.bundle("pkg/covered", "1", nil))
	image := s.image("img/app", "1", "app")
	byDigest := s.bundle("pkg/digest", "1", nil, s.ref("img/app", image))
	byTag := s.bundle("pkg/tag", "2.1.0", map[string]string{"config/a.yml": "a: b\n"})
	root := s.bundle("root/repository", "1", map[string]string{
		"packages/a/1.yml": packageText("a.corp.com", "1.0.0", covered),
		"packages/b/1.yml": packageText("b.corp.com", "1.0.0", s.ref("pkg/digest", byDigest)),
		"packages/c/1.yml": packageText("c.corp.com", "1.0.0", src.Addr+"/pkg/tag:2.1.0"),
	}, covered)
	source := dumpReal(t, src, "")
	report, file := filepath.Join(t.TempDir(), "report.json"), filepath.Join(t.TempDir(), "r.tar")
	exported := mustRelocate(t, "-b", src.Addr+"/root/repository:1", "--to-tar", file, "--report", report)
	assertAll(t, exported.stderr, "b.corp.com 1.0.0", "c.corp.com 1.0.0", src.Addr+"/pkg/tag:2.1.0")
	assert.NotContains(t, exported.stderr, "a.corp.com")
	var found []string
	for _, f := range readReport(t, report).Findings {
		found = append(found, string(f.Code)+" "+f.Package+" "+f.File)
	}
	assert.Equal(t, []string{"uncovered b.corp.com 1.0.0 packages/b/1.yml", "uncovered c.corp.com 1.0.0 packages/c/1.yml"}, found)
	src.Stop()

	repo := dst.Addr + "/all"
	mustRelocate(t, "--from-tar", file, "--to-repo", repo)
	assertRelocated(t, source, dumpReal(t, dst, ""), "all", map[string]string{"1": root.Digest.String()})
	assert.True(t, has(t, dst.Addr, "/v2/all/manifests/"+byTag.Digest.String()))
	assert.Contains(t, mustRelocate(t, "verify", file).stdout, "is complete, but not closed: 2 findings")
	assert.Equal(t, statusMissing, tryRelocate(t, "verify", file, "--strict").status)
	r := tryRelocate(t, "verify", "--repo", repo, file, "--level", "deep")
	assert.Equal(t, statusMissing, r.status)
	assertAll(t, r.stdout, "is complete, but not closed: 2 findings", "packages/b/1.yml:12 (uncovered)", "packages/c/1.yml:12 (uncovered)")
}
