package leak_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"relocate/registry"
	"relocate/verify/leak"
)

// A Package that fetches a Helm chart reaches outside, wherever its repository is.
func ExampleResolve() {
	server := httptest.NewServer(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	ctx := context.Background()
	repo, err := name.NewRepository(strings.TrimPrefix(server.URL, "http://") + "/all")
	if err != nil {
		log.Fatal(err)
	}
	root, err := pushBundle(repo, map[string]string{
		".imgpkg/images.yml": "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\n",
		"packages/app.yml": `apiVersion: data.packaging.carvel.dev/v1alpha1
kind: Package
metadata: {name: app.example.1.0.0}
spec:
  refName: app.example
  version: 1.0.0
  template:
    spec:
      fetch:
      - helmChart: {name: app, repository: {url: https://charts.example}}
`})
	if err != nil {
		log.Fatal(err)
	}

	client, err := registry.New(registry.Options{Anonymous: true})
	if err != nil {
		log.Fatal(err)
	}
	found, err := leak.Resolve(ctx, client.Reader(repo), repo, []v1.Hash{root}, leak.Options{Jobs: 4})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(found.Packages, "package,", found.Inside, "of", found.References, "references end inside")
	for _, f := range found.Findings {
		fmt.Printf("%s: %s: %s:%d: %s\n", f.Level, f.Package, f.File, f.Line, f.Message)
	}
	// Output:
	// 1 package, 0 of 1 references end inside
	// install: app.example 1.0.0: packages/app.yml:10: fetches by helmChart ("https://charts.example app"), which is no image: it stays outside
}

// pushBundle pushes a bundle of the files, as imgpkg makes one, and returns its digest.
func pushBundle(repo name.Repository, files map[string]string) (v1.Hash, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for path, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o600, Size: int64(len(text))}); err != nil {
			return v1.Hash{}, err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return v1.Hash{}, err
		}
	}
	if err := w.Close(); err != nil {
		return v1.Hash{}, err
	}
	content, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		return v1.Hash{}, err
	}
	image, err := mutate.Config(empty.Image, v1.Config{Labels: map[string]string{"dev.carvel.imgpkg.bundle": "true"}})
	if err == nil {
		image, err = mutate.AppendLayers(image, content)
	}
	if err != nil {
		return v1.Hash{}, err
	}
	if err := remote.Write(repo.Tag("1.0.0"), image); err != nil {
		return v1.Hash{}, err
	}
	return image.Digest()
}
