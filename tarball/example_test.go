package tarball_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/bundle"
	"relocate/tarball"
)

// A plan usually comes from bundle.Walk and bundle.NewPlan; this one is made by hand.
func Example() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "repository.tar")

	layer := []byte("the content of a layer")
	digest, size, err := v1.SHA256(bytes.NewReader(layer))
	if err != nil {
		fmt.Println(err)
		return
	}
	desc := v1.Descriptor{MediaType: types.OCILayer, Size: size, Digest: digest}
	plan := &bundle.Plan{Graph: &bundle.Graph{}, Blobs: []bundle.Blob{{Descriptor: &desc}}}

	draft, err := tarball.New(context.Background(), plan, nil, tarball.Request{})
	if err != nil {
		fmt.Println(err)
		return
	}
	w, err := draft.Create(path, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = w.PutBlob(context.Background(), desc, func(context.Context, int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layer)), nil // a real source hashes what it reads
	})
	if err != nil {
		fmt.Println(err, w.Suspend())
		return
	}
	if err := w.Commit(); err != nil { // only now there is a file under that name
		fmt.Println(err)
		return
	}

	a, err := tarball.Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Close()
	damage, err := a.Check(context.Background(), 1, nil)
	blobs, _ := a.Blobs()
	fmt.Println(blobs, "blob,", a.Size(), "bytes, damage:", damage, err)
	fmt.Println("the seal is the one that was written:", a.Seal() == w.Seal())
	// Output:
	// 1 blob, 6144 bytes, damage: [] <nil>
	// the seal is the one that was written: true
}
