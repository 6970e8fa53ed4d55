package bundle_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	inprocess "github.com/google/go-containerregistry/pkg/registry"

	"relocate/bundle"
	"relocate/registry"
	"relocate/testdata/sample"
)

func ExampleWalk() {
	server := httptest.NewServer(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	ctx := context.Background()
	root, err := sample.Push(ctx, strings.TrimPrefix(server.URL, "http://"), sample.Tiny)
	if err != nil {
		log.Fatal(err)
	}

	client, err := registry.New(registry.Options{Anonymous: true})
	if err != nil {
		log.Fatal(err)
	}
	graph, err := bundle.Walk(ctx, client, []name.Reference{root}, bundle.WalkOptions{Jobs: 4})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range graph.Packages {
		fmt.Println(p.Name, p.Version)
	}
	fmt.Println(graph.Count(bundle.Bundle), "bundles,", graph.Count(bundle.Index), "index")
	// Output:
	// guestbook.corp.com 1.0.0
	// guestbook.corp.com 1.1.0
	// simple-app.corp.com 1.0.0
	// 5 bundles, 1 index
}
