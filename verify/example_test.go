package verify_test

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

	"relocate/registry"
	"relocate/verify"
)

// An image is read to the last byte. What is missing is the tag with its digest, which an import gives to each
// image. For package repositories, relocate.Verify does this and all that belongs around it.
func ExampleRepository() {
	server := httptest.NewServer(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	repo, err := name.NewRepository(strings.TrimPrefix(server.URL, "http://") + "/app")
	if err != nil {
		log.Fatal(err)
	}
	image, err := crane.Image(map[string][]byte{"hello.txt": []byte("hello\n")})
	if err == nil {
		err = crane.Push(image, repo.Tag("1.0").Name())
	}
	if err != nil {
		log.Fatal(err)
	}
	root, err := image.Digest()
	if err != nil {
		log.Fatal(err)
	}

	client, err := registry.New(registry.Options{UserAgent: "example/1.0"})
	if err != nil {
		log.Fatal(err)
	}
	result, err := verify.Repository(context.Background(), client.Reader(repo), repo, []v1.Hash{root}, verify.Options{Level: verify.Deep, Jobs: 4})
	if err != nil {
		log.Fatal(err)
	}
	for _, row := range result.Rows {
		fmt.Println(row.Of, row.Checked, "wrong", row.Wrong)
	}
	// Output:
	// manifests 1 wrong 0
	// tags 1 wrong 1
	// layers 1 wrong 0
}
