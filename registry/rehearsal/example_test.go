package rehearsal_test

import (
	"fmt"
	"io/fs"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/google/go-containerregistry/pkg/crane"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"

	"relocate/bundle"
	"relocate/registry/rehearsal"
)

// emptyArchive is an archive without content. A *tarball.Archive is the usual one.
type emptyArchive struct{}

func (emptyArchive) Content(d v1.Hash) (bundle.Content, error) {
	return bundle.Content{}, fmt.Errorf("%s: %w", d, fs.ErrNotExist)
}

// Push an image to a registry in memory, and count what it has.
func Example() {
	registry := rehearsal.New(emptyArchive{})
	server := httptest.NewServer(registry)
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	if err := crane.Push(empty.Image, host+"/app:1.0"); err != nil {
		log.Fatal(err)
	}
	counts := registry.Counts()
	fmt.Printf("%d manifest, %d blob\n", counts.Manifests, counts.Blobs)
	// Output:
	// 1 manifest, 1 blob
}
