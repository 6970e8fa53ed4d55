package leak_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"relocate/bundle"
	"relocate/registry"
	"relocate/verify/leak"
)

// A Package that fetches what no lock covers.
func ExampleScan() {
	server := httptest.NewServer(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	root, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/repository:1.0")
	if err != nil {
		log.Fatal(err)
	}
	image, err := crane.Image(map[string][]byte{
		".imgpkg/images.yml": []byte("apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\n"),
		"packages/app.yml": []byte("apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: app.example.com.1.0.0}\n" +
			"spec:\n  refName: app.example.com\n  version: 1.0.0\n  template: {spec: {fetch: [{http: {url: https://example.com/app.tgz}}]}}\n"),
	})
	if err == nil {
		image, err = mutate.Config(image, v1.Config{Labels: map[string]string{"dev.carvel.imgpkg.bundle": "true"}})
	}
	if err == nil {
		err = crane.Push(image, root.Name())
	}
	if err != nil {
		log.Fatal(err)
	}

	client, err := registry.New(registry.Options{UserAgent: "example/1.0"})
	if err != nil {
		log.Fatal(err)
	}
	graph, err := bundle.Walk(context.Background(), client, []name.Reference{root}, bundle.WalkOptions{})
	if err != nil {
		log.Fatal(err)
	}
	found, err := leak.Scan(context.Background(), client, graph, leak.Options{Jobs: 4})
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range found.Findings {
		fmt.Println(f.Level, f.Code, f.File, f.Reference)
	}
	// Output: install outside packages/app.yml https://example.com/app.tgz
}
