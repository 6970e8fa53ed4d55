package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"relocate/testdata/sample"
)

// prepare pushes a package repository to the source and exports it, and lets others put something at
// the destination.
func (r *chaosRound) prepare() {
	r.t.Helper()
	if r.rnd.IntN(4) == 0 {
		root, err := sample.Push(r.t.Context(), r.src.Addr, sample.Tiny)
		require.NoError(r.t, err)
		r.root = root.Name()
		r.archive = r.export()
		return
	}
	images := r.generate()
	r.archive = r.export()
	if r.rnd.IntN(2) == 0 {
		r.letOthersPush(images)
	}
}

func (r *chaosRound) export() string {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "clean.tar")
	mustRun(r.t, "-b", r.root, "--to-tar", file)
	return file
}

// generate pushes a package repository of some packages, whose images are signed, each in its own way.
// It returns the images.
func (r *chaosRound) generate() []v1.Descriptor {
	r.t.Helper()
	s := &signer{site: site{t: r.t, host: r.src.Addr}}
	var images []v1.Descriptor
	var bundles []string
	files := map[string]string{}
	for i := range 1 + r.rnd.IntN(3) {
		image := s.image("corp/app", "", fmt.Sprint("layer ", i), noise(fmt.Sprint("layer", r.seed, i), 1+r.rnd.IntN(400_000)))
		if r.rnd.IntN(2) == 0 {
			image = s.index("corp/app", fmt.Sprint("1.0.", i), image, s.image("corp/app", "", "of another platform", fmt.Sprint(i)))
		}
		images = append(images, image)
		r.attach(s, "corp/app", image)
		locked := append([]string{s.ref("corp/app", image)}, bundles...)
		pkg := s.bundle("corp/packages", fmt.Sprint("1.0.", i), nil, locked...)
		r.attach(s, "corp/packages", pkg)
		if bundles = nil; r.rnd.IntN(2) == 0 { // the next package has this one's bundle in its own
			bundles = []string{s.ref("corp/packages", pkg)}
		}
		files[fmt.Sprintf("packages/p%d.yml", i)] = packageText(fmt.Sprintf("p%d.corp.com", i), "1.0.0", s.ref("corp/packages", pkg))
	}
	var locked []string
	for i := range len(files) {
		text := files[fmt.Sprintf("packages/p%d.yml", i)]
		_, ref, _ := strings.Cut(text, "image: ")
		ref, _, _ = strings.Cut(ref, "\n")
		locked = append(locked, ref)
	}
	r.attach(s, "corp/repository", s.bundle("corp/repository", "1.0.0", files, locked...))
	r.root = r.src.Addr + "/corp/repository:1.0.0"
	return images
}

// attach attaches something to an image: a signature always, so that others can add theirs. What it
// says does not matter here.
func (r *chaosRound) attach(s *signer, repo string, subject v1.Descriptor) {
	r.t.Helper()
	s.byTag(repo, subject.Digest, ".sig", r.signature(s.site, repo, "vendor", subject))
	if r.rnd.IntN(2) == 0 {
		s.byTag(repo, subject.Digest, ".att", s.blob(repo, dsseEnvelope, fmt.Appendf(nil, "an attestation of %s", subject.Digest)))
	}
	if r.rnd.IntN(2) == 0 {
		s.sbom(repo, subject)
	}
	for i := range r.rnd.IntN(3) {
		s.referrer(repo, subject, spdxText, fmt.Appendf(nil, "referrer %d of %s", i, subject.Digest))
	}
}

// signature pushes a signature's layer.
func (r *chaosRound) signature(s site, repo, by string, subject v1.Descriptor) v1.Descriptor {
	r.t.Helper()
	layer := s.blob(repo, simpleSigning, fmt.Appendf(nil, "%s signs %s", by, subject.Digest))
	layer.Annotations = map[string]string{signatureKey: by}
	return layer
}

// letOthersPush imports the archive, and lets others push an image there, refer to one of ours, and sign
// it: beside the vendor's signature, or in its place.
func (r *chaosRound) letOthersPush(images []v1.Descriptor) {
	r.t.Helper()
	mustRun(r.t, "--from-tar", r.archive, "--to-repo", r.repo)
	_, repo, _ := strings.Cut(r.repo, "/")
	s := &signer{site: site{t: r.t, host: r.dst.Addr}}
	subject := images[r.rnd.IntN(len(images))]
	r.signed = "/v2/" + repo + "/manifests/sha256-" + subject.Digest.Hex + ".sig"
	layers := []v1.Descriptor{r.signature(s.site, repo, "site", subject)}
	beside := r.rnd.IntN(2) == 0
	if beside {
		layers = append(layersOf(r.t, r.dst.Addr, r.signed), layers...)
	}
	r.signatures = digestsOf(layers)
	diffs := encode(r.t, r.signatures)
	config := s.blob(repo, types.OCIConfigJSON, fmt.Appendf(nil, `{"architecture":"","os":"","rootfs":{"type":"layers","diff_ids":%s},"config":{}}`, diffs))
	signed := s.imageOf(repo, "sha256-"+subject.Digest.Hex+".sig", config, layers...)
	r.others = map[string]string{}
	r.keep("/v2/" + repo + "/manifests/" + signed.Digest.String())
	if beside {
		r.keep(r.signed)
	}
	s.image(repo, "site", "an image of the site")
	r.keep("/v2/" + repo + "/manifests/site")
	r.keep("/v2/" + repo + "/manifests/" + s.referrer(repo, subject, "application/x-scan", []byte("no findings")).Digest.String())
}

// keep notes what others have at the destination.
func (r *chaosRound) keep(path string) {
	r.t.Helper()
	body, _ := get(r.t, r.dst.Addr, path)
	r.others[path] = string(body)
}

// layersOf returns the layers of a manifest.
func layersOf(t *testing.T, host, path string) []v1.Descriptor {
	t.Helper()
	raw, _ := get(t, host, path)
	var m v1.Manifest
	require.NoError(t, json.Unmarshal(raw, &m))
	return m.Layers
}
