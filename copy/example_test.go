package copy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	inprocess "github.com/google/go-containerregistry/pkg/registry"

	"relocate/bundle"
	"relocate/copy"
	"relocate/registry"
	"relocate/tarball"
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

// A walk reads through a Spool, so that the export does not download manifests and configs again.
func ExampleToArchive() {
	ctx := context.Background()
	public := startRegistry()
	defer public.Close()
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file, err := os.Create(filepath.Join(dir, "spool"))
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	root, client := pushImage(hostOf(public) + "/app:1.0")

	spool := copy.NewSpool(client, file)
	plan := planOf(ctx, spool.Keeping(), root)
	draft, err := tarball.New(ctx, plan, spool, tarball.Request{Roots: []string{root.Name()}})
	if err != nil {
		log.Fatal(err)
	}
	var archive bytes.Buffer
	w, err := draft.Stream(&archive)
	if err == nil {
		err = copy.ToArchive(ctx, draft.StreamPlan(), spool, w, copy.ArchiveOptions{Jobs: 4})
	}
	if err == nil {
		err = w.Commit()
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(plan.Blobs), "blobs; the size was known before:", int64(archive.Len()) == draft.Size())
	// Output:
	// 3 blobs; the size was known before: true
}

// planImage pushes an image, and plans a copy of it.
func planImage(ctx context.Context, tag string) (*bundle.Plan, *registry.Client) {
	root, client := pushImage(tag)
	return planOf(ctx, client, root), client
}

func pushImage(tag string) (name.Reference, *registry.Client) {
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
	return root, client
}

func planOf(ctx context.Context, src bundle.Source, root name.Reference) *bundle.Plan {
	graph, err := bundle.Walk(ctx, src, []name.Reference{root}, bundle.WalkOptions{Jobs: 4})
	if err != nil {
		log.Fatal(err)
	}
	plan, err := bundle.NewPlan(graph, bundle.PlanOptions{})
	if err != nil {
		log.Fatal(err)
	}
	return plan
}

func startRegistry() *httptest.Server {
	return httptest.NewServer(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))))
}

func hostOf(server *httptest.Server) string { return strings.TrimPrefix(server.URL, "http://") }
