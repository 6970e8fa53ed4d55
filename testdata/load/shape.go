package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"relocate/internal/imgpkg"
)

// shape says what a repository holds.
type shape struct {
	name               string
	layers             int   // in one image
	size               int64 // of each, in bytes
	blobs              int   // layers of 1 KiB, perImage in an image
	locks              int   // images of one layer
	nesting            int   // bundles in one another, among which the images are divided
	packages, versions int   // each version has a bundle with an image
}

const perImage = 100

// twice has twice as much of what is counted; the nesting stays.
func (s shape) twice() shape {
	s.name, s.layers, s.blobs, s.locks, s.packages = "", 2*s.layers, 2*s.blobs, 2*s.locks, 2*s.packages
	return s
}

// String names what is there.
func (s shape) String() string {
	if s.name != "" {
		return s.name
	}
	return fmt.Sprintf("%d layers of %d MiB, %d blobs of 1 KiB, %d lock entries in %d bundles, %d packages of %d versions",
		s.layers, s.size>>20, s.blobs, s.locks, s.nesting, s.packages, s.versions)
}

// push puts the repository on the registry at host, whose blobs g is, and returns its reference.
func (s shape) push(host string, g *generator) (string, error) {
	p := &pusher{host: host, g: g}
	p.puts.SetLimit(8)
	p.config = g.keep(types.OCIConfigJSON, []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`))
	var images []string
	if s.layers > 0 {
		images = append(images, p.image("large", s.layers, s.size))
	}
	for n := s.blobs; n > 0; n -= perImage {
		images = append(images, p.image(fmt.Sprintf("image%d", n), min(n, perImage), 1<<10))
	}
	nesting := max(s.nesting, 1)
	for depth := range nesting {
		for i := range s.locks / nesting {
			images = append(images, p.image(fmt.Sprintf("level%d/image%d", depth, i), 1, 1<<10))
		}
		if depth < nesting-1 {
			images = []string{p.bundle(fmt.Sprintf("level%d", depth), nil, images)}
		}
	}
	files := map[string][]byte{}
	for i := range s.packages {
		for v := range s.versions {
			ref := p.bundle(fmt.Sprintf("package%d", i), nil, []string{p.image(fmt.Sprintf("app%d", i), 1, 1<<10)})
			images = append(images, ref)
			files[fmt.Sprintf("packages/p%d.load.test/%d.yml", i, v)] = packageOf(i, v, ref)
		}
	}
	root := p.bundle("repository", files, images)
	return root, p.puts.Wait()
}

func packageOf(i, version int, ref string) []byte {
	return fmt.Appendf(nil, `---
apiVersion: data.packaging.carvel.dev/v1alpha1
kind: Package
metadata:
  name: p%[1]d.load.test.%[2]d.0.0
spec:
  refName: p%[1]d.load.test
  version: %[2]d.0.0
  releaseNotes: %[4]s
  template:
    spec:
      fetch:
      - imgpkgBundle:
          image: %[3]s
      template:
      - ytt: {paths: [config]}
      deploy:
      - kapp: {}
`, i, version, ref, strings.Repeat("what is new in this version ", 20))
}

// pusher puts manifests on a registry; their blobs it has from the generator.
type pusher struct {
	host   string
	g      *generator
	config v1.Descriptor
	seed   uint64
	puts   errgroup.Group
}

// image puts an image of layers that no other has, and returns its reference.
func (p *pusher) image(name string, layers int, size int64) string {
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: p.config}
	for range layers {
		p.seed++
		m.Layers = append(m.Layers, p.g.layer(p.seed, size))
	}
	raw, err := json.Marshal(m)
	if err != nil {
		p.puts.Go(func() error { return err })
	}
	return p.put(name, types.OCIManifestSchema1, raw)
}

// bundle puts a bundle of files, whose lock names images, and returns its reference.
func (p *pusher) bundle(name string, files map[string][]byte, images []string) string {
	var lock strings.Builder
	lock.WriteString("---\napiVersion: imgpkg.carvel.dev/v1alpha1\nimages:\n")
	for _, ref := range images {
		fmt.Fprintf(&lock, "- annotations:\n    kbld.carvel.dev/id: %s\n  image: %s\n", ref, ref)
	}
	lock.WriteString("kind: ImagesLock\n")
	all := map[string][]byte{".imgpkg/images.yml": []byte(lock.String())}
	for path, text := range files {
		all[path] = text
	}
	b, err := imgpkg.Build(all, map[string]string{imgpkg.Label: "true"})
	if err != nil {
		p.puts.Go(func() error { return err })
		return ""
	}
	p.g.keep(types.DockerConfigJSON, b.Config)
	p.g.keep(types.DockerLayer, b.Layer)
	return p.put(name, b.Descriptor.MediaType, b.Manifest)
}

// put puts a manifest by its digest and returns its reference.
func (p *pusher) put(name string, mediaType types.MediaType, raw []byte) string {
	id := fmt.Sprintf("sha256:%x", sha256.Sum256(raw))
	p.puts.Go(func() error {
		req, err := http.NewRequest(http.MethodPut, fmt.Sprintf("http://%s/v2/load/%s/manifests/%s", p.host, name, id), bytes.NewReader(raw))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", string(mediaType))
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		if res.StatusCode != http.StatusCreated {
			return fmt.Errorf("PUT %s: %s", req.URL, res.Status)
		}
		return nil
	})
	return fmt.Sprintf("%s/load/%s@%s", p.host, name, id)
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
