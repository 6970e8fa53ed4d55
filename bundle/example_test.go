package bundle_test

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
)

// The graph of a bundle that lists one image.
func ExampleWalk() {
	server := httptest.NewServer(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host, ctx := strings.TrimPrefix(server.URL, "http://"), context.Background()
	image := pushFiles(host+"/app:1.0", nil, map[string][]byte{"app": []byte("echo hello")})
	pushFiles(host+"/app-bundle:1.0", map[string]string{"dev.carvel.imgpkg.bundle": "true"}, map[string][]byte{
		".imgpkg/images.yml": []byte("apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n- image: " + host + "/app@" + image),
	})

	client, err := registry.New(registry.Options{Anonymous: true})
	if err != nil {
		log.Fatal(err)
	}
	root, err := name.ParseReference(host + "/app-bundle:1.0")
	if err != nil {
		log.Fatal(err)
	}
	graph, err := bundle.Walk(ctx, client, []name.Reference{root}, bundle.WalkOptions{Jobs: 4})
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range graph.Nodes {
		path, _, _ := strings.Cut(strings.TrimPrefix(n.Name(), host), "@")
		fmt.Println(n.Kind, path)
	}
	plan, err := bundle.NewPlan(graph, bundle.PlanOptions{})
	fmt.Println(len(plan.Blobs), "blobs", err)
	// Output:
	// bundle /app-bundle:1.0
	// image /app
	// 6 blobs <nil>
}

// pushFiles pushes an image of files, and returns its digest.
func pushFiles(to string, labels map[string]string, files map[string][]byte) string {
	image, err := crane.Image(files)
	if err == nil {
		image, err = mutate.Config(image, v1.Config{Labels: labels})
	}
	if err == nil {
		err = crane.Push(image, to)
	}
	if err != nil {
		log.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		log.Fatal(err)
	}
	return digest.String()
}
