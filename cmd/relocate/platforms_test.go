package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/realregistry"
)

// platformSite is a package repository of an image for three platforms, in an OCI index and in a Docker
// list, with attestations as BuildKit writes them. All children are signed.
type platformSite struct {
	*signer
	root     string                   // reference
	index    v1.Descriptor            // of OCI's type
	list     v1.Descriptor            // of Docker's type, of the same images
	children map[string]v1.Descriptor // by platform; "attests" and a platform for the attestations
	layers   map[string]string        // content of a layer, by platform
	bundles  []v1.Descriptor          // the repository and the package
}

const platformsRepo = "many/app"

func newPlatformSite(t *testing.T, host string) *platformSite {
	t.Helper()
	s := &platformSite{signer: newSigner(site{t: t, host: host}), children: map[string]v1.Descriptor{}, layers: map[string]string{}}
	var entries, docker []v1.Descriptor
	for _, platform := range []string{"linux/amd64", "linux/arm64", "windows/amd64"} {
		s.layers[platform] = noise(platform, 30_000)
		d := s.image(platformsRepo, "", s.layers[platform], "shared")
		s.signature(platformsRepo, d)
		s.children[platform] = d
		part := strings.Split(platform, "/")
		d.Platform = &v1.Platform{OS: part[0], Architecture: part[1]}
		entries = append(entries, d)

		d = s.imageOf(platformsRepo, "", s.blob(platformsRepo, types.OCIConfigJSON, []byte(`{"architecture":"unknown","os":"unknown","of":"`+platform+`"}`)),
			s.blob(platformsRepo, inTotoStatement, []byte(`{"about":"`+platform+`"}`)))
		s.children["attests "+platform] = d
		d.Platform = &v1.Platform{OS: "unknown", Architecture: "unknown"}
		d.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": s.children[platform].Digest.String()}
		entries = append(entries, d)
		docker = append(docker, entries[len(entries)-2])
	}
	s.index = s.site.index(platformsRepo, "1.0", entries...)
	s.signature(platformsRepo, s.index)
	s.list = s.manifest(platformsRepo, "", types.DockerManifestList, encode(t, v1.IndexManifest{SchemaVersion: 2, MediaType: types.DockerManifestList, Manifests: docker}))
	app := s.bundle("many/bundle", "1.0", map[string]string{"config/app.yml": "images:\n- image: " + s.ref(platformsRepo, s.index) + "\n- image: " + s.ref(platformsRepo, s.list) + "\n"},
		s.ref(platformsRepo, s.index), s.ref(platformsRepo, s.list))
	s.signature("many/bundle", app)
	ref := s.ref("many/bundle", app)
	root := s.bundle("many/repository", "1.0", map[string]string{"packages/app.yml": kbldText("app.example.com", "1.0.0", ref)}, ref)
	s.root, s.bundles = host+"/many/repository:1.0", []v1.Descriptor{root, app}
	return s
}

// manifestAt reports whether a repository has a manifest.
func (s *platformSite) manifestAt(host, repo string, d v1.Hash) bool {
	return has(s.t, host, "/v2/"+repo+"/manifests/"+d.String())
}

// assertSignature verifies the signature of a manifest.
func (s *platformSite) assertSignature(host, repo string, d v1.Hash) {
	s.t.Helper()
	raw, _ := get(s.t, host, "/v2/"+repo+"/manifests/sha256-"+d.Hex+".sig")
	require.NoError(s.t, s.verifySimple(host, repo, d, raw))
}

// TestPlatformsSparse: only the images for the chosen platforms cross, in indexes that stay as they are.
func TestPlatformsSparse(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newPlatformSite(t, startReferrers(t))
	report := filepath.Join(t.TempDir(), "report.json")
	file := filepath.Join(t.TempDir(), "r.tar")
	exported := mustRelocate(t, "-b", s.root, "--to-tar", file, "--platform", "linux/amd64", "--report", report)
	assertAll(t, exported.stderr, "left out: 4 images by platform", "1 for linux/arm64", "1 for windows/amd64", "2 attestations")
	omitted := map[string]string{}
	for _, o := range readReport(t, report).Omitted {
		assert.Equal(t, "platform", o.Reason)
		assert.Equal(t, s.ref(platformsRepo, s.index), o.Image)
		omitted[o.Digest.String()] = o.Platform
	}
	assert.Equal(t, map[string]string{
		s.children["linux/arm64"].Digest.String(): "linux/arm64", s.children["windows/amd64"].Digest.String(): "windows/amd64",
		s.children["attests linux/arm64"].Digest.String(): "", s.children["attests windows/amd64"].Digest.String(): "",
	}, omitted)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Contains(t, string(text), s.layers["linux/amd64"])
	assert.NotContains(t, string(text), s.layers["linux/arm64"])
	assert.NotContains(t, string(text), "sha256-"+s.children["linux/arm64"].Digest.Hex, "nor is its signature named")
	assertAll(t, mustRelocate(t, "plan", "-b", s.root, "--platform", "linux/amd64").stdout, "left out: 4 images by platform")
	assertAll(t, mustRelocate(t, "inspect", file).stdout, "left out: 4 images by platform")
	for _, args := range [][]string{{"verify", file, "--strict"}, {"rehearse", file}} {
		r := mustRelocate(t, args...)
		assertAll(t, r.stdout, "OK: ", "4 images left out by platform")
		assert.NotContains(t, r.stdout+r.stderr, "behind", "the registry of a rehearsal keeps no question")
	}

	sparse := realregistry.Start(t, realregistry.Options{Kind: realregistry.Sparse})
	listed := realregistry.Start(t, realregistry.Options{Kind: realregistry.Listed})
	for name, dst := range map[string]*realregistry.Registry{"sparse": sparse, "listed": listed} {
		repo := dst.Addr + "/airgap/app"
		mustRelocate(t, "--from-tar", file, "--to-repo", repo)
		for _, level := range []string{"manifests", "blobs", "deep"} {
			assertAll(t, mustRelocate(t, "verify", "--repo", repo, file, "--level", level).stdout, "OK: ", "4 images left out by platform")
		}
		for _, d := range []v1.Descriptor{s.index, s.list, s.bundles[0], s.bundles[1], s.children["linux/amd64"], s.children["attests linux/amd64"]} {
			assert.True(t, s.manifestAt(dst.Addr, "airgap/app", d.Digest), name)
		}
		for _, d := range []string{"linux/arm64", "attests linux/arm64", "windows/amd64"} {
			assert.False(t, s.manifestAt(dst.Addr, "airgap/app", s.children[d].Digest), name)
		}
		for _, d := range []v1.Descriptor{s.children["linux/amd64"], s.index, s.bundles[1]} {
			s.assertSignature(dst.Addr, "airgap/app", d.Digest)
		}
		dst.ResetRequests()
		mustRelocate(t, "--from-tar", file, "--to-repo", repo)
		noWrites(t, dst.Requests())

		for _, what := range [][]string{{"inspect", "--tree", file}, {"inspect", "--tree", "--repo", repo + ":1.0"}} {
			assertAll(t, mustRelocate(t, what...).stdout, ", without linux/arm64, windows/amd64")
		}
		alone := tryRelocate(t, "verify", "--repo", repo+":1.0")
		assert.Equal(t, statusMissing, alone.status)
		assertAll(t, alone.stdout, "linux/arm64", "--platform")
		assertAll(t, mustRelocate(t, "verify", "--repo", repo+":1.0", "--platform", "linux/amd64", "--level", "deep").stdout, "4 images left out by platform")
	}

	// From registry to registry the same, and a platform that the registry insists on cannot be left out.
	mustRelocate(t, "-b", s.root, "--to-repo", sparse.Addr+"/direct/app", "--platform", "linux/amd64")
	mustRelocate(t, "verify", "--repo", sparse.Addr+"/direct/app", file, "--level", "deep")
	r := tryRelocate(t, "-b", s.root, "--to-repo", listed.Addr+"/direct/app", "--platform", "linux/arm64")
	assertFailed(t, r, statusFailed, "refuses an index of which images are left out")
}

// TestPlatformsRefused: a registry that does not take such indexes gets nothing.
func TestPlatformsRefused(t *testing.T) {
	t.Parallel()
	s := newPlatformSite(t, startReferrers(t))
	file := export(t, s.root, "--platform", "linux/amd64")
	for name, start := range realRegistries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dst := start(t)
			for _, args := range [][]string{{"--from-tar", file}, {"-b", s.root, "--platform", "linux/amd64"}} {
				dst.ResetRequests()
				r := tryRelocate(t, append(args, "--to-repo", dst.Addr+"/airgap/app")...)
				assertFailed(t, r, statusFailed, "refuses an index of which images are left out")
				assertAll(t, r.stderr, "MANIFEST_BLOB_UNKNOWN", "--platform-mode derive")
				for _, request := range dst.Requests() {
					assert.NotRegexp(t, "^(PUT|PATCH) .*/blobs/", request)
				}
				assert.False(t, s.manifestAt(dst.Addr, "airgap/app", s.children["linux/amd64"].Digest))
			}
		})
	}
}

// TestPlatformsPruned: an image that the source no longer has can be left out.
func TestPlatformsPruned(t *testing.T) {
	skipShort(t)
	t.Parallel()
	src := realregistry.Start(t, realregistry.Options{})
	s := newPlatformSite(t, src.Addr)
	s.send(http.MethodDelete, "http://"+src.Addr+"/v2/"+platformsRepo+"/manifests/"+s.children["windows/amd64"].Digest.String(), "", nil, http.StatusAccepted)
	r := tryRelocate(t, "-b", s.root, "--to-tar", filepath.Join(t.TempDir(), "r.tar"))
	assertFailed(t, r, statusMissing, "windows/amd64")
	assertAll(t, r.stderr, "--platform")
	mustRelocate(t, "verify", export(t, s.root, "--platform", "linux/amd64", "--platform", "linux/arm64"))
}

func TestPlatformFlags(t *testing.T) {
	t.Parallel()
	s := newPlatformSite(t, startReferrers(t))
	to := filepath.Join(t.TempDir(), "r.tar")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-b", s.root, "--to-tar", to, "--platform", "amd64"}, `--platform "amd64" is not a platform; write os/architecture`},
		{[]string{"-b", s.root, "--to-tar", to, "--platform", "linux/amd64", "--platform-mode", "trim"}, "--platform-mode trim: must be sparse or derive"},
		{[]string{"-b", s.root, "--to-tar", to, "--platform-mode", "derive"}, "--platform-mode derive needs --platform"},
		{[]string{"-b", s.root, "--to-tar", to, "--platform", "linux/x86_64"}, "no index has an image for a chosen platform"},
		{[]string{"-b", s.root, "--to-tar", to, "--platform", "linux/amd64", "--tar-format", "imgpkg"}, "imgpkg's format holds all children of an index"},
		{[]string{"plan", "-b", s.root, "--platform", "linux"}, `--platform "linux" is not a platform`},
	} {
		assertFailed(t, tryRelocate(t, tt.args...), statusUsage, tt.want)
	}
	assert.NoFileExists(t, to)
	assert.NoFileExists(t, to+".part")
}

// TestPlatformsDerived: where a registry refuses sparse indexes, others are made, with bundles that name
// them. An export, a copy and an import of a part give the same.
func TestPlatformsDerived(t *testing.T) {
	t.Parallel()
	s := newPlatformSite(t, startReferrers(t))
	derive := []string{"--platform", "linux/amd64", "--platform-mode", "derive"}
	whole, sparse := export(t, s.root), export(t, append([]string{s.root}, derive[:2]...)...)
	file := export(t, append([]string{s.root}, derive...)...)
	again := export(t, append([]string{s.root, "--concurrency", "1"}, derive...)...)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	other, err := os.ReadFile(again)
	require.NoError(t, err)
	require.Equal(t, digestOf(text), digestOf(other), "the same bytes")
	assert.Contains(t, string(text), s.layers["linux/amd64"])
	assert.NotContains(t, string(text), s.layers["linux/arm64"])
	assertAll(t, mustRelocate(t, "inspect", file).stdout, "is derived from "+s.bundles[0].Digest.String()+" for linux/amd64; signatures of the original do not apply to it")
	for _, args := range [][]string{{"verify", file, "--strict"}, {"rehearse", file}} {
		r := mustRelocate(t, args...)
		assertAll(t, r.stdout, "OK: ")
		assert.NotContains(t, r.stdout, "left out")
	}
	assertAll(t, mustRelocate(t, "inspect", whole, derive[0], derive[1]).stdout, "left out: 4 images by platform")
	assertAll(t, mustRelocate(t, append([]string{"inspect", whole}, derive...)...).stdout, "is derived from "+s.bundles[0].Digest.String()+" for linux/amd64")
	for mode, want := range map[string]string{"sparse": "4 images left out by platform", "derive": "needs nothing from elsewhere"} {
		assertAll(t, mustRelocate(t, "rehearse", whole, "--platform", "linux/amd64", "--platform-mode", mode).stdout, "OK: ", want)
	}
	for _, mode := range []string{"sparse", "derive"} {
		absent := tryRelocate(t, "--from-tar", sparse, "--to-repo", "registry.invalid/absent", "--platform", "linux/amd64", "--platform", "linux/arm64", "--platform-mode", mode)
		assertFailed(t, absent, statusUsage, "the archive was exported without the images for linux/arm64", "export it again with --platform linux/arm64")
	}
	imgpkgTar, imgpkgWhole := export(t, append([]string{s.root, "--tar-format", "imgpkg"}, derive...)...), export(t, s.root, "--tar-format", "imgpkg")

	for name, start := range realRegistries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dst := start(t)
			repos := map[string][]string{
				"derived": {"--from-tar", file}, "part": append([]string{"--from-tar", whole}, derive...), "sparse": append([]string{"--from-tar", sparse}, derive...),
				"copied": append([]string{"-b", s.root}, derive...), "imgpkg": {"--from-tar", imgpkgTar},
				"imgpkg-part": append([]string{"--from-tar", imgpkgWhole}, derive...),
			}
			objects := map[string]string{}
			for repo, args := range repos {
				objects[repo] = mustRelocate(t, append(args, "--to-repo", dst.Addr+"/"+repo)...).stdout
				mustRelocate(t, "verify", "--repo", dst.Addr+"/"+repo, file, "--level", "deep")
				assert.False(t, s.manifestAt(dst.Addr, repo, s.index.Digest), repo)
				assert.False(t, s.manifestAt(dst.Addr, repo, s.bundles[0].Digest), repo)
				assert.True(t, s.manifestAt(dst.Addr, repo, s.children["attests linux/amd64"].Digest), repo)
				s.assertSignature(dst.Addr, repo, s.children["linux/amd64"].Digest)
				assertAll(t, objects[repo], "relocate/derived-from: "+s.bundles[0].Digest.String(), "relocate/platforms: linux/amd64")
			}
			for repo, object := range objects {
				assert.Equal(t, strings.ReplaceAll(objects["derived"], "/derived@", "/@"), strings.ReplaceAll(object, "/"+repo+"@", "/@"), repo)
			}
			mustRelocate(t, "verify", "--repo", dst.Addr+"/part", whole, "--level", "deep", derive[0], derive[1], derive[2], derive[3])
			assert.Equal(t, []string{"1.0-selected-"}, selectedTags(t, dst.Addr, "derived"))
			mustRelocate(t, "verify", "--repo", dst.Addr+"/derived", file)
			dst.ResetRequests()
			mustRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/derived")
			noWrites(t, dst.Requests())
		})
	}
}

// TestPlatformsReplaced: what was made for the platforms is listed with its digests, and with what is attached to
// the originals: by a plan, an export, a copy, an import of a part and a look at it.
func TestPlatformsReplaced(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newPlatformSite(t, startReferrers(t))
	s.bundled("many/repository", s.bundles[0], "https://sigstore.dev/cosign/sign/v1")
	dir, dst := t.TempDir(), startReal(t)
	derive := []string{"--platform", "linux/amd64", "--platform-mode", "derive"}
	whole, sparse := export(t, s.root), export(t, s.root, "--platform", "linux/amd64")
	var first copyReport
	for name, args := range map[string][]string{
		"plan": {"plan", "-b", s.root}, "export": {"-b", s.root, "--to-tar", filepath.Join(dir, "r.tar")}, "copy": {"-b", s.root, "--to-repo", dst.Addr + "/copy"},
		"import": {"--from-tar", whole, "--to-repo", dst.Addr + "/import"}, "sparse": {"--from-tar", sparse, "--to-repo", dst.Addr + "/sparse"},
	} {
		report := filepath.Join(dir, name)
		r := mustRelocate(t, slices.Concat(args, derive, []string{"--report", report})...)
		assertAll(t, r.stdout+r.stderr, "made for the platforms, with other digests: 2 indexes and 2 bundles", "no longer valid, and left out: 3 attachments of the originals",
			"no longer valid: sha256-"+s.index.Digest.Hex+".sig")
		got := readReport(t, report)
		if first.Replaced == nil {
			first = got
		}
		assert.Equal(t, first.Replaced, got.Replaced, name)
		page := report + ".html"
		mustRelocate(t, slices.Concat(args, derive, []string{"--report", page})...)
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		assertAll(t, string(text), "Other digests", s.list.Digest.String())
	}
	var inspected copyReport
	require.NoError(t, json.Unmarshal([]byte(mustRelocate(t, slices.Concat([]string{"inspect", whole, "-o", "json"}, derive)...).stdout), &inspected))
	assert.Equal(t, first.Replaced, inspected.Replaced)

	attached := map[string]int{}
	for _, r := range first.Replaced {
		attached[r.Kind+" "+r.Reference+" "+r.From.String()] = len(r.Attachments)
		assert.True(t, s.manifestAt(dst.Addr, "import", r.To), r.Reference)
		for _, a := range r.Attachments {
			assert.Equal(t, r.From, a.Subject)
			assert.False(t, s.manifestAt(dst.Addr, "import", a.Digest), r.Reference)
		}
	}
	assert.Equal(t, map[string]int{
		"bundle " + s.root + " " + s.bundles[0].Digest.String():                             1,
		"bundle " + s.ref("many/bundle", s.bundles[1]) + " " + s.bundles[1].Digest.String(): 1,
		"index " + s.ref(platformsRepo, s.index) + " " + s.index.Digest.String():            1,
		"index " + s.ref(platformsRepo, s.list) + " " + s.list.Digest.String():              0,
	}, attached)

	// Other packages are chosen, too: the repository is that of the source. Nothing is listed without others.
	report := filepath.Join(dir, "chosen")
	mustRelocate(t, slices.Concat([]string{"plan", "-b", s.root, "--package", "app.example.com", "--report", report}, derive)...)
	assert.Equal(t, attached["bundle "+s.root+" "+s.bundles[0].Digest.String()], len(readReport(t, report).Replaced[0].Attachments))
	assert.Equal(t, s.bundles[0].Digest, readReport(t, report).Replaced[0].From)
	assert.NotContains(t, mustRelocate(t, slices.Concat([]string{"plan", "-b", s.root, "--attachments", "none"}, derive)...).stdout, "attachment")
	assert.NotContains(t, mustRelocate(t, "plan", "-b", s.root, "--platform", "linux/amd64", "-o", "json").stdout, "replaced")
}

// selectedTags returns the tags of a repository that are not imgpkg's or cosign's, without the digits at their end.
func selectedTags(t *testing.T, host, repo string) (list []string) {
	t.Helper()
	body, _ := get(t, host, "/v2/"+repo+"/tags/list")
	var tags struct {
		Tags []string `json:"tags"`
	}
	require.NoError(t, json.Unmarshal(body, &tags))
	for _, tag := range tags.Tags {
		if !strings.HasPrefix(tag, "sha256-") {
			list = append(list, tag[:len(tag)-8])
		}
	}
	return list
}

// TestPlatformsOfCosign: what cosign itself has signed verifies in an index that is without the other platform, and
// in one that was made anew. The index that cosign signed does not say which platforms it has.
func TestPlatformsOfCosign(t *testing.T) {
	t.Parallel()
	src := startReferrers(t)
	s, subjects := cosignImage(t, src)
	var children []v1.Descriptor
	for i, platform := range []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}} {
		raw, _ := get(t, src, "/v2/demo/app/manifests/"+subjects[1+i].String())
		d := descriptor(t, types.DockerManifestSchema2, raw)
		d.Platform = &platform
		children = append(children, d)
	}
	s.index("demo/app", "2.0", children...)
	sparse, refuses := realregistry.Start(t, realregistry.Options{Kind: realregistry.Sparse}), startReal(t)
	mustRelocate(t, "-i", src+"/demo/app:2.0", "--to-repo", sparse.Addr+"/airgap/app", "--platform", "linux/amd64")
	mustRelocate(t, "-i", src+"/demo/app:2.0", "--to-repo", refuses.Addr+"/airgap/app", "--platform", "linux/amd64", "--platform-mode", "derive")
	for _, host := range []string{sparse.Addr, refuses.Addr} {
		require.NoError(t, s.verifySigned(host, "airgap/app", subjects[1]))
		verifyWithCosign(t, host+"/airgap/app@"+subjects[1].String())
		require.Error(t, s.verifySigned(host, "airgap/app", subjects[2]), "it is left out")
	}
}

// TestPlatformsServed: an archive without some platforms serves what it has.
func TestPlatformsServed(t *testing.T) {
	t.Parallel()
	s := newPlatformSite(t, startReferrers(t))
	for _, mode := range []string{"sparse", "derive"} {
		host := mustServe(t, export(t, s.root, "--platform", "linux/amd64", "--platform-mode", mode)).host
		assert.Equal(t, mode == "sparse", s.manifestAt(host, platformsRepo, s.index.Digest))
		assert.True(t, s.manifestAt(host, platformsRepo, s.children["linux/amd64"].Digest))
		assert.False(t, s.manifestAt(host, platformsRepo, s.children["linux/arm64"].Digest))
	}
}

// TestPlatformsResume: an export for some platforms continues where it was cut off, with the same bytes in the end,
// and not for other platforms.
func TestPlatformsResume(t *testing.T) {
	t.Parallel()
	var cut atomic.Value // path of a blob that is not found; "" for none
	cut.Store("")
	s := newPlatformSite(t, startMemory(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if path := cut.Load().(string); path != "" && strings.HasSuffix(r.URL.Path, path) {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			h.ServeHTTP(w, r)
		})
	}))
	lock := filepath.Join(t.TempDir(), "images.yml")
	require.NoError(t, os.WriteFile(lock, []byte(lockText(s.ref(platformsRepo, s.index), s.ref(platformsRepo, s.list))), 0o600))
	for _, args := range [][]string{
		{"-b", s.root}, {"-b", s.root, "--platform-mode", "derive"}, {"-b", s.ref("many/repository", s.bundles[0]), "--platform-mode", "derive"},
		{"--lock", lock, "--platform-mode", "derive"},
	} {
		args = append(args, "--platform", "linux/amd64")
		want := filepath.Join(t.TempDir(), "whole.tar")
		mustRelocate(t, append(args, "--to-tar", want)...)
		file := filepath.Join(t.TempDir(), "r.tar")
		cut.Store(digestOf([]byte(s.layers["linux/amd64"])))
		r := tryRelocate(t, append(args, "--to-tar", file, "--keep-going")...)
		require.Equal(t, statusPartly, r.status, r.stderr)
		require.FileExists(t, file+".part", r.stderr)
		cut.Store("")
		r = tryRelocate(t, append(args, "--to-tar", file, "--platform", "linux/arm64")...)
		assertFailed(t, r, statusUsage, "cannot be continued")
		r = mustRelocate(t, append(args, "--to-tar", file)...)
		assertAll(t, r.stderr, "note: continues with ")
		assert.NotContains(t, r.stderr, "has moved", args)
		assert.Equal(t, digestOfFile(t, want), digestOfFile(t, file), args)
	}
}

// TestPlatformsOfALock: what is made of the images of a lock is in the lock of the destination, with their
// annotations.
func TestPlatformsOfALock(t *testing.T) {
	t.Parallel()
	s := newPlatformSite(t, startReferrers(t))
	dir, dst := t.TempDir(), startReal(t)
	lock, file := filepath.Join(dir, "images.yml"), filepath.Join(dir, "r.tar")
	require.NoError(t, os.WriteFile(lock, []byte(lockText(s.ref(platformsRepo, s.index), s.ref(platformsRepo, s.list))), 0o600))
	derive := []string{"--platform", "linux/amd64", "--platform-mode", "derive"}
	mustRelocate(t, append(derive, "--lock", lock, "--to-tar", file)...)
	var got []string
	for i, args := range [][]string{{"--from-tar", file}, append(derive, "--lock", lock)} {
		out := filepath.Join(dir, fmt.Sprint(i))
		mustRelocate(t, append(args, "--to-repo", dst.Addr+"/airgap/app", "--lock-output", out)...)
		text, err := os.ReadFile(out)
		require.NoError(t, err)
		got = append(got, string(text))
	}
	assert.Equal(t, got[0], got[1])
	for _, d := range []v1.Descriptor{s.index, s.list} {
		assertAll(t, got[0], "kbld.carvel.dev/id: "+s.ref(platformsRepo, d))
		assert.NotContains(t, got[0], "image: "+dst.Addr+"/airgap/app@"+d.Digest.String())
	}
	mustRelocate(t, "verify", "--repo", dst.Addr+"/airgap/app", file, "--level", "deep")
}

// TestPlatformsAndPackages: packages and platforms are chosen together. The repository says what it was derived from
// at the source.
func TestPlatformsAndPackages(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newPlatformSite(t, startReferrers(t))
	other := s.bundle("many/other", "1.0", nil, s.ref(platformsRepo, s.list))
	refs := []string{s.ref("many/bundle", s.bundles[1]), s.ref("many/other", other)}
	root := s.bundle("many/both", "1.0", map[string]string{
		"packages/app.yml": kbldText("app.example.com", "1.0.0", refs[0]), "packages/other.yml": kbldText("other.example.com", "1.0.0", refs[1]),
	}, refs...)
	choose := []string{"-b", s.host + "/many/both:1.0", "--package", "app.example.com", "--platform", "linux/amd64"}
	sparse := filepath.Join(t.TempDir(), "sparse.tar")
	mustRelocate(t, append(choose, "--to-tar", sparse)...)
	assertAll(t, mustRelocate(t, "rehearse", sparse).stdout, "OK: ", "4 images left out by platform")
	file := filepath.Join(t.TempDir(), "r.tar")
	mustRelocate(t, append(choose, "--platform-mode", "derive", "--to-tar", file)...)
	inspected := mustRelocate(t, "inspect", file).stdout
	assertAll(t, inspected, "is derived from "+root.Digest.String()+" by the choice of ", " for linux/amd64", "app.example.com")
	assert.NotContains(t, inspected, "other.example.com")
	assertAll(t, mustRelocate(t, "rehearse", file).stdout, "OK: ")

	dst := startReal(t)
	repos := map[string][]string{
		"exported": {"--from-tar", file}, "copied": append(choose, "--platform-mode", "derive"),
		"imported": {"--from-tar", export(t, s.host+"/many/both:1.0"), "--package", "app.example.com", "--platform", "linux/amd64", "--platform-mode", "derive"},
	}
	for repo, args := range repos {
		object := mustRelocate(t, append(args, "--to-repo", dst.Addr+"/"+repo)...).stdout
		assertAll(t, object, "relocate/derived-from: "+root.Digest.String(), "relocate/choice: ", "relocate/platforms: linux/amd64")
		mustRelocate(t, "verify", "--repo", dst.Addr+"/"+repo, file, "--level", "deep")
		assert.Equal(t, []string{"1.0-selected-"}, selectedTags(t, dst.Addr, repo), repo)
	}
}

// TestPlatformsRequests: nothing is asked twice, and deriving asks for nothing more.
func TestPlatformsRequests(t *testing.T) {
	skipShort(t)
	t.Parallel()
	src := startReal(t)
	s := newPlatformSite(t, src.Addr)
	asked := map[string][]string{}
	for _, mode := range []string{"sparse", "derive"} {
		src.ResetRequests()
		export(t, s.root, "--platform", "linux/amd64", "--platform-mode", mode)
		for _, request := range src.Requests() {
			if strings.Contains(request, "/manifests/") || strings.Contains(request, "/blobs/") || strings.Contains(request, "/tags/") {
				assert.NotContains(t, asked[mode], request, mode)
				asked[mode] = append(asked[mode], request)
			}
		}
		assert.NotContains(t, strings.Join(asked[mode], "\n"), s.children["linux/arm64"].Digest.String())
	}
	assert.Subset(t, asked["sparse"], asked["derive"])
}

// TestPlatformsPrune: an old version goes from a repository of which some platforms are left out, and the others
// stay whole.
func TestPlatformsPrune(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	s := newPlatformSite(t, startReferrers(t))
	dst := realregistry.Start(t, realregistry.Options{Kind: realregistry.Sparse})
	repo := dst.Addr + "/airgap/app"
	mustRelocate(t, "-b", s.root, "--to-repo", repo, "--platform", "linux/amd64")
	newer := s.bundle("many/repository", "2.0", map[string]string{"packages/app.yml": kbldText("app.example.com", "2.0.0", s.ref("many/bundle", s.bundles[1]))}, s.ref("many/bundle", s.bundles[1]))
	file := export(t, s.host+"/many/repository:2.0", "--platform", "linux/amd64")
	mustRelocate(t, "--from-tar", file, "--to-repo", repo)
	r := mustRelocate(t, "prune", "--repo", repo, "--drop", "1.0", "--yes")
	assert.False(t, s.manifestAt(dst.Addr, "airgap/app", s.bundles[0].Digest), r.stdout+r.stderr)
	assert.True(t, s.manifestAt(dst.Addr, "airgap/app", newer.Digest))
	mustRelocate(t, "verify", "--repo", repo, file, "--level", "deep")
}

// TestPlatformsCompared: a registry without some platforms is equal to the archive that it was filled from, and both
// have less than the whole. A delta for the same platforms assumes their layers.
func TestPlatformsCompared(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newPlatformSite(t, startReferrers(t))
	dst := realregistry.Start(t, realregistry.Options{Kind: realregistry.Sparse})
	repo := dst.Addr + "/airgap/app"
	sparse := []string{"--platform", "linux/amd64"}
	file := export(t, append([]string{s.root}, sparse...)...)
	mustRelocate(t, "--from-tar", file, "--to-repo", repo)
	assertAll(t, mustRelocate(t, "diff", file, repo+":1.0").stdout, "no differences")
	r := tryRelocate(t, "diff", export(t, s.root), repo+":1.0")
	assert.Equal(t, statusDifferent, r.status)
	assertAll(t, r.stdout, "images       0 added, 4 removed")
	list := filepath.Join(t.TempDir(), "inventory.txt")
	require.NoError(t, os.WriteFile(list, []byte(mustRelocate(t, "inventory", "--repo", repo).stdout), 0o600))
	for _, mode := range []string{"sparse", "derive"} {
		delta := export(t, append([]string{s.root, "--have", list, "--platform-mode", mode}, sparse...)...)
		text, err := os.ReadFile(delta)
		require.NoError(t, err)
		assert.NotContains(t, string(text), s.layers["linux/amd64"])
		mustRelocate(t, "--from-tar", delta, "--to-repo", repo)
		mustRelocate(t, "verify", "--repo", repo, delta, "--level", "deep")
	}
}
