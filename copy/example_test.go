package copy_test

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

	"relocate/bundle"
	"relocate/copy"
	"relocate/registry"
)

// A plan is copied from one registry to another, twice: the second time everything is present. For package
// repositories, relocate.Copy does this and all that belongs around it.
func ExampleToRepository() {
	ctx := context.Background()
	public, private := startRegistry(), startRegistry()
	defer public.Close()
	defer private.Close()
	plan, client := planImage(ctx, hostOf(public)+"/app:1.0")

	target, err := name.NewRepository(hostOf(private) + "/copies/app")
	if err != nil {
		log.Fatal(err)
	}
	opt := copy.Options{Jobs: 4, Tags: []copy.Tag{{Name: "1.0", Digest: plan.Graph.Roots[0].Digest}}}
	for range 2 {
		result, err := copy.ToRepository(ctx, plan, client, client.Writer(target), target, opt)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("uploaded", result.Manifests, result.Blobs, "already present", result.ManifestsPresent, result.BlobsPresent)
	}
	// Output:
	// uploaded 1 2 already present 0 0
	// uploaded 0 0 already present 1 2
}

// planImage pushes an image, and plans a copy of it.
func planImage(ctx context.Context, tag string) (*bundle.Plan, *registry.Client) {
	image, err := crane.Image(map[string][]byte{"hello.txt": []byte("hello\n")})
	if err == nil {
		err = crane.Push(image, tag)
	}
	if err != nil {
		log.Fatal(err)
	}
	root, err := name.ParseReference(tag)
	if err != nil {
		log.Fatal(err)
	}
	client, err := registry.New(registry.Options{Jobs: 4, UserAgent: "example/1.0"})
	if err != nil {
		log.Fatal(err)
	}
	graph, err := bundle.Walk(ctx, client, []name.Reference{root}, bundle.WalkOptions{Jobs: 4})
	if err != nil {
		log.Fatal(err)
	}
	plan, err := bundle.NewPlan(graph, false)
	if err != nil {
		log.Fatal(err)
	}
	return plan, client
}

func startRegistry() *httptest.Server {
	return httptest.NewServer(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))))
}

func hostOf(server *httptest.Server) string { return strings.TrimPrefix(server.URL, "http://") }
