package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"

	"relocate/registry"
)

// A client reads from any registry. Plain HTTP is refused, but for loopback and where Insecure allows it.
func ExampleClient() {
	server := httptest.NewServer(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	repo, err := name.NewRepository(strings.TrimPrefix(server.URL, "http://") + "/app")
	if err != nil {
		log.Fatal(err)
	}
	if err := crane.Push(empty.Image, repo.Tag("1.0").Name()); err != nil {
		log.Fatal(err)
	}

	client, err := registry.New(registry.Options{Jobs: 4, UserAgent: "example/1.0"})
	if err != nil {
		log.Fatal(err)
	}
	desc, raw, err := client.Manifest(context.Background(), repo.Tag("1.0"))
	fmt.Println(desc.MediaType, int64(len(raw)) == desc.Size, err)
	_, _, err = client.Manifest(context.Background(), repo.Tag("2.0"))
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output:
	// application/vnd.docker.distribution.manifest.v2+json true <nil>
	// true
}
