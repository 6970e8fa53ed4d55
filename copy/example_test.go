package copy_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	inprocess "github.com/google/go-containerregistry/pkg/registry"

	"relocate/bundle"
	"relocate/copy"
	"relocate/registry"
	"relocate/testdata/sample"
)

// ExampleToRepository copies a package repository, with all that its packages need, from one registry
// to another.
func ExampleToRepository() {
	ctx := context.Background()
	public, private := startRegistry(), startRegistry()
	defer public.Close()
	defer private.Close()
	root, err := sample.Push(ctx, hostOf(public), sample.Tiny)
	if err != nil {
		log.Fatal(err)
	}

	client, err := registry.New(registry.Options{Jobs: 4, UserAgent: "example"})
	if err != nil {
		log.Fatal(err)
	}
	// The walk finds out what to copy. What it reads goes to a scratch file, so that it is not fetched
	// again.
	scratch, err := os.CreateTemp("", "example-*")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.Remove(scratch.Name()) }()
	spool := copy.NewSpool(client, scratch)
	graph, err := bundle.Walk(ctx, spool.Keeping(), []name.Reference{root}, bundle.WalkOptions{Jobs: 4})
	if err != nil {
		log.Fatal(err)
	}
	plan, err := bundle.NewPlan(graph, false)
	if err != nil {
		log.Fatal(err)
	}

	target, err := name.NewRepository(hostOf(private) + "/packages/repository")
	if err != nil {
		log.Fatal(err)
	}
	opt := copy.Options{Jobs: 4, Tags: []copy.Tag{{Name: root.TagStr(), Digest: graph.Roots[0].Digest}}}
	for range 2 {
		result, err := copy.ToRepository(ctx, plan, spool, client.Writer(target), target, opt)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d manifests and %d blobs were sent, %d and %d were there\n",
			result.Manifests, result.Blobs, result.ManifestsHad, result.BlobsHad)
	}
	// Output:
	// 11 manifests and 21 blobs were sent, 0 and 0 were there
	// 0 manifests and 0 blobs were sent, 11 and 21 were there
}

func startRegistry() *httptest.Server {
	return httptest.NewServer(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))))
}

func hostOf(server *httptest.Server) string { return strings.TrimPrefix(server.URL, "http://") }
