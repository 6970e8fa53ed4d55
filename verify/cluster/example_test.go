package cluster_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	inprocess "github.com/google/go-containerregistry/pkg/registry"

	"relocate/registry"
	"relocate/verify/cluster"
)

func ExampleObjects_Verify() {
	server := httptest.NewServer(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	repo, err := name.NewRepository(strings.TrimPrefix(server.URL, "http://") + "/tce/main")
	if err != nil {
		log.Fatal(err)
	}
	client, err := registry.New(registry.Options{UserAgent: "example/1.0"})
	if err != nil {
		log.Fatal(err)
	}
	objects, err := cluster.Read(strings.NewReader(`
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers:
  - name: web
    image: docker.io/library/nginx:1.25
`))
	if err != nil {
		log.Fatal(err)
	}
	result, err := objects.Verify(context.Background(), client.Reader(repo), repo, cluster.Options{Jobs: 4})
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range result.Findings {
		fmt.Println(f.Level, f.Reference)
	}
	// Output: pull docker.io/library/nginx:1.25
}
