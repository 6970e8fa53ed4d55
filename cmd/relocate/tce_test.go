package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"relocate/testdata/realregistry"
)

// TestTCE carries the repository of Tanzu Community Edition: its real bundles, locks and packages
// (154 versions), with layers that the lab generates at a small scale. RELOCATE_TEST_LAB is the lab's
// folder; what "genrepo tce" pushes to a registry is its input.
func TestTCE(t *testing.T) {
	lab := os.Getenv("RELOCATE_TEST_LAB")
	if lab == "" {
		t.Skip("RELOCATE_TEST_LAB does not name the folder with genrepo, which makes the input")
	}
	t.Parallel()
	source, destination := startReal(t), startReal(t)
	ref := generate(t, lab, source.Addr, "0.005")
	source.ResetRequests()
	archive := export(t, ref)
	requireFrugal(t, source.Requests(), 155)
	source.Stop()

	repo := destination.Addr + "/tce/main"
	mustRelocate(t, "--from-tar", archive, "--to-repo", repo)
	known := filepath.Join(t.TempDir(), "known.json")
	mustRelocate(t, "verify", archive, "--report", known)
	require.Equal(t, statusMissing, tryRelocate(t, "rehearse", archive).status, "its packages are not closed")
	destination.ResetRequests()
	mustRelocate(t, "verify", "--repo", repo, archive, "--accept", known)
	requireOnce(t, destination.Requests())
	rehearsed := rehearseCut(t, archive, "--accept", known)
	require.True(t, rehearsed.OK)
	require.Equal(t, 155, rehearsed.Import.Locations)
	require.Contains(t, mustRelocate(t, "inspect", archive).stdout, "154 versions of 30 packages, 155 bundles")

	served := mustServe(t, archive, "--as", "tce/main")
	imported, got := dumpRepositories(t, destination.Addr, "tce/main"), dumpRepositories(t, served.host, "tce/main")
	require.Equal(t, imported.tags, got.tags)
	require.Equal(t, imported.manifests, got.manifests)

	destination.ResetRequests()
	mustRelocate(t, "--from-tar", archive, "--to-repo", repo)
	for _, request := range destination.Requests() {
		method := strings.Fields(request)[1]
		require.Contains(t, []string{"HEAD", "GET"}, method, "a second import writes nothing")
	}
}

// TestTCELatest carries the newest version of each package of that repository, and what app-toolkit installs.
func TestTCELatest(t *testing.T) {
	lab := os.Getenv("RELOCATE_TEST_LAB")
	if lab == "" {
		t.Skip("RELOCATE_TEST_LAB does not name the folder with genrepo, which makes the input")
	}
	t.Parallel()
	source, destination := startReal(t), realregistry.StartDebian(t)
	ref := generate(t, lab, source.Addr, "0.02") // where the archive's headers are within the 1%
	want := &reached{t: t, host: source.Addr, sizes: map[string]int{}}
	versions := want.newest(ref, "cert-manager.community.tanzu.vmware.com 1.6.1", "contour.community.tanzu.vmware.com 1.20.1", "knative-serving.community.tanzu.vmware.com 1.0.0")
	require.Len(t, versions, 30+3)

	source.ResetRequests()
	archive, report := export(t, ref, "--latest", "1"), filepath.Join(t.TempDir(), "known.json")
	assert.Equal(t, want.manifests+1, requireFrugal(t, source.Requests(), want.bundles+1), "the chosen ones and the root")
	info, err := os.Stat(archive)
	require.NoError(t, err)
	assert.LessOrEqual(t, float64(info.Size()), 1.01*float64(want.sum()), "of %d bytes", want.sum())
	var inside struct {
		Roots    []struct{ Digest string }
		Packages []struct {
			Name     string
			Versions []string
		}
		Images []struct{ Digest string }
	}
	require.NoError(t, json.Unmarshal([]byte(mustRelocate(t, "inspect", archive, "-o", "json").stdout), &inside))
	var got []string
	for _, p := range inside.Packages {
		for _, v := range p.Versions {
			got = append(got, p.Name+" "+v)
		}
	}
	assert.ElementsMatch(t, versions, got)
	derived := inside.Roots[0].Digest
	for _, image := range inside.Images {
		assert.True(t, image.Digest == derived || want.sizes[image.Digest] > 0, "%s is not the source's", image.Digest)
	}
	assert.Len(t, inside.Images, 1+want.manifests)
	assertAll(t, mustRelocate(t, "plan", "-b", ref, "--latest", "1").stdout, derived, fmt.Sprintf("%d bytes", info.Size()))
	source.Stop()

	repo := destination.Addr + "/tce/main"
	mustRelocate(t, "--from-tar", archive, "--to-repo", repo)
	require.Contains(t, []int{0, statusMissing}, tryRelocate(t, "verify", archive, "--report", report).status)
	mustRelocate(t, "verify", "--repo", repo, archive, "--accept", report, "--level", "deep")
	rehearsed := rehearseCut(t, archive, "--accept", report)
	assert.True(t, rehearsed.OK)
	assert.Equal(t, want.bundles+1, rehearsed.Import.Locations)
	assert.Len(t, dumpRepositories(t, destination.Addr, "tce/main").rootTags("tce/main"), 1)
}

// reached is what packages need, found in a registry over plain HTTP with nothing of relocate's own.
type reached struct {
	t                  *testing.T
	host               string
	sizes              map[string]int // of manifests and blobs, by digest
	manifests, bundles int
}

// newest follows the newest version of each package of a repository bundle, and more versions. It returns all.
func (r *reached) newest(root string, more ...string) []string {
	repo, digest, _ := strings.Cut(strings.TrimPrefix(root, r.host+"/"), "@")
	files := r.files(repo, digest)
	byName, fetches := map[string]string{}, map[string]string{}
	for path, text := range files {
		if !strings.HasPrefix(path, "packages/") {
			continue
		}
		for doc := range strings.SplitSeq(text, "\n---") {
			var p struct {
				Kind string
				Spec struct {
					RefName, Version string
					Template         struct {
						Spec struct {
							Fetch []struct{ ImgpkgBundle struct{ Image string } }
						}
					}
				}
			}
			require.NoError(r.t, yaml.Unmarshal([]byte(doc), &p), path)
			if p.Kind != "Package" {
				continue
			}
			fetches[p.Spec.RefName+" "+p.Spec.Version] = p.Spec.Template.Spec.Fetch[0].ImgpkgBundle.Image
			if newer(p.Spec.Version, byName[p.Spec.RefName]) {
				byName[p.Spec.RefName] = p.Spec.Version
			}
		}
	}
	for name, version := range byName {
		more = append(more, name+" "+version)
	}
	locked := lockedIn(r.t, files)
	for _, version := range more {
		r.follow(locked[fetches[version]])
	}
	return more
}

var number = regexp.MustCompile(`[0-9]+`)

// newer compares versions by their numbers; those of the repository have no prereleases.
func newer(a, b string) bool {
	x, y := number.FindAllString(a, -1), number.FindAllString(b, -1)
	for i := range min(len(x), len(y)) {
		m, _ := strconv.Atoi(x[i])
		n, _ := strconv.Atoi(y[i])
		if m != n {
			return m > n
		}
	}
	return len(x) > len(y)
}

// lockedIn returns the images of a bundle's lock, by their ids.
func lockedIn(t *testing.T, files map[string]string) map[string]string {
	t.Helper()
	var lock struct {
		Images []struct {
			Image       string
			Annotations map[string]string
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(files[".imgpkg/images.yml"]), &lock))
	images := map[string]string{}
	for i, image := range lock.Images {
		id := image.Annotations["kbld.carvel.dev/id"]
		if id == "" {
			id = strconv.Itoa(i)
		}
		images[id] = image.Image
	}
	return images
}

// files reads the files of a bundle.
func (r *reached) files(repo, digest string) map[string]string {
	raw, _ := get(r.t, r.host, "/v2/"+repo+"/manifests/"+digest)
	layer, _ := get(r.t, r.host, "/v2/"+repo+"/blobs/"+stored{raw: string(raw)}.document(r.t).Layers[0].Digest)
	zr, err := gzip.NewReader(bytes.NewReader(layer))
	require.NoError(r.t, err)
	files := map[string]string{}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(r.t, err)
		text, err := io.ReadAll(tr)
		require.NoError(r.t, err)
		files[strings.TrimPrefix(h.Name, "./")] = string(text)
	}
}

// follow adds an image and all that it needs.
func (r *reached) follow(ref string) {
	require.NotEmpty(r.t, ref)
	repo, digest, _ := strings.Cut(strings.TrimPrefix(ref, r.host+"/"), "@")
	if r.sizes[digest] > 0 {
		return
	}
	raw, _ := get(r.t, r.host, "/v2/"+repo+"/manifests/"+digest)
	r.sizes[digest] = len(raw)
	r.manifests++
	doc := stored{raw: string(raw)}.document(r.t)
	for _, child := range doc.Manifests {
		r.follow(r.host + "/" + repo + "@" + child.Digest)
	}
	if doc.Config == nil {
		return
	}
	config, _ := get(r.t, r.host, "/v2/"+repo+"/blobs/"+doc.Config.Digest)
	r.sizes[doc.Config.Digest] = len(config)
	for _, layer := range doc.Layers {
		content, _ := get(r.t, r.host, "/v2/"+repo+"/blobs/"+layer.Digest)
		r.sizes[layer.Digest] = len(content)
	}
	if strings.Contains(string(config), `"dev.carvel.imgpkg.bundle"`) {
		r.bundles++
		for _, image := range lockedIn(r.t, r.files(repo, digest)) {
			r.follow(image)
		}
	}
}

// sum is the sum of all sizes.
func (r *reached) sum() (n int) {
	for _, size := range r.sizes {
		n += size
	}
	return n
}

// generate pushes the repository and returns its reference.
func generate(t testing.TB, lab, host, scale string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "genrepo")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = filepath.Join(lab, "genrepo")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd := exec.CommandContext(t.Context(), program, "tce", "--tce", filepath.Join(lab, "..", "tce"), "--scale", scale,
		"--registry", host, "--pool", "synth", "--pool-size", "16777216", "--pool-file", filepath.Join(t.TempDir(), "pool"))
	out, err = cmd.Output()
	require.NoError(t, err)
	return strings.Fields(string(out))[0]
}

// requireOnce checks that a verification got each of 675 manifests and 155 locations images once, and of their
// blobs the config of each image, which tells whether it is a bundle, and the layer of each bundle and locations image.
func requireOnce(t *testing.T, requests []string) {
	t.Helper()
	seen, manifests, blobs := map[string]bool{}, 0, 0
	for _, request := range requests {
		fields := strings.Fields(request)
		if fields[1] != "GET" || fields[2] == "/v2/" {
			continue
		}
		require.False(t, seen[fields[2]], "%s was asked for more than once", fields[2])
		seen[fields[2]] = true
		if strings.Contains(fields[2], "/manifests/") {
			manifests++
		} else {
			blobs++
		}
	}
	require.Equal(t, 675+155, manifests)
	require.LessOrEqual(t, blobs, 452+2*155+2*155)
}

// requireFrugal checks that an export asked for each manifest and blob once, and besides for one
// locations image a bundle at most and for the registry itself. It returns how many manifests were asked for by digest.
func requireFrugal(t *testing.T, requests []string, bundles int) (manifests int) {
	t.Helper()
	seen := map[string]int{}
	probes := 0
	for _, request := range requests {
		fields := strings.Fields(request)
		id := fields[2][strings.LastIndex(fields[2], "/")+1:]
		if strings.Contains(fields[2], "/tags/list") || strings.Contains(fields[2], "/referrers/") { // what is attached
			id = fields[2]
		}
		switch {
		case fields[2] == "/v2/":
		case strings.HasSuffix(id, ".image-locations.imgpkg"):
			probes++
		default:
			require.Equal(t, "GET", fields[1], request)
			seen[id]++
			require.Equal(t, 1, seen[id], "%s was asked for more than once", id)
			if strings.Contains(fields[2], "/manifests/sha256:") { // not a tag by which something may be attached
				manifests++
			}
		}
	}
	require.LessOrEqual(t, probes, bundles, "at most one locations probe a bundle")
	return manifests
}

// TestTCEPlatforms carries that repository for one platform into a registry that refuses sparse indexes: bundles are
// made for it, their packages render and resolve as those of the whole do, and images keep their digests.
func TestTCEPlatforms(t *testing.T) {
	if !isSoak() {
		t.Skip("takes minutes: RELOCATE_TEST_SOAK=1 runs it")
	}
	lab := os.Getenv("RELOCATE_TEST_LAB")
	if lab == "" {
		t.Skip("RELOCATE_TEST_LAB does not name the folder with genrepo, which makes the input")
	}
	source, destination := startReal(t), realregistry.StartDebian(t)
	ref := generate(t, lab, source.Addr, "0.005")
	derive := []string{"--platform", "linux/amd64", "--platform-mode", "derive"}
	whole, archive := export(t, ref), export(t, append([]string{ref}, derive...)...)
	known := filepath.Join(t.TempDir(), "known.json")
	mustRelocate(t, "verify", archive, "--report", known)
	repo := destination.Addr + "/tce/main"
	mustRelocate(t, "--from-tar", archive, "--to-repo", repo)
	mustRelocate(t, "verify", "--repo", repo, archive, "--level", "deep", "--accept", known)
	mustRelocate(t, append([]string{"--from-tar", whole, "--to-repo", repo}, derive...)...)
	mustRelocate(t, append([]string{"verify", "--repo", repo, whole, "--accept", known}, derive...)...)

	inspected := mustRelocate(t, "inspect", archive).stdout
	require.Contains(t, inspected, "154 versions of 30 packages, 155 bundles")
	was, is := imagesIn(t, whole), imagesIn(t, archive)
	for digest, image := range is {
		if image.Kind == "image" {
			require.Equal(t, was[digest], image, "images do not change")
		}
		if image.Kind == "index" && was[digest].Kind == "" {
			require.Len(t, image.Children, 1)
		}
	}
	require.Less(t, len(is), len(was))
}

// inspectedImage is an image as inspect -o json has it.
type inspectedImage struct {
	Kind       string
	References []string
	Children   []string
}

// imagesIn returns the manifests of an archive by digest.
func imagesIn(t *testing.T, archive string) map[string]inspectedImage {
	t.Helper()
	var doc struct {
		Images []struct {
			Digest string
			inspectedImage
		}
	}
	require.NoError(t, json.Unmarshal([]byte(mustRelocate(t, "inspect", archive, "-o", "json").stdout), &doc))
	images := map[string]inspectedImage{}
	for _, i := range doc.Images {
		images[i.Digest] = i.inspectedImage
	}
	return images
}
