package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/types"

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

// A repository is written content first: the blobs, then the manifest that names them.
func ExampleRepository() {
	ctx := context.Background()
	server := httptest.NewServer(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	repo, err := name.NewRepository(strings.TrimPrefix(server.URL, "http://") + "/app")
	if err != nil {
		log.Fatal(err)
	}
	client, err := registry.New(registry.Options{})
	if err != nil {
		log.Fatal(err)
	}
	dst := client.Writer(repo)

	config := []byte("{}")
	digest, size, err := v1.SHA256(bytes.NewReader(config))
	if err != nil {
		log.Fatal(err)
	}
	blob := v1.Descriptor{MediaType: types.OCIConfigJSON, Size: size, Digest: digest}
	open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(config)), nil }
	if err := dst.PutBlob(ctx, blob, open); err != nil {
		log.Fatal(err)
	}
	raw, err := json.Marshal(v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: blob, Layers: []v1.Descriptor{}})
	if err != nil {
		log.Fatal(err)
	}
	digest, size, err = v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		log.Fatal(err)
	}
	manifest := v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: size, Digest: digest}
	if err := dst.PutManifest(ctx, manifest, raw, "1.0"); err != nil {
		log.Fatal(err)
	}
	got, err := dst.Resolve(ctx, "1.0")
	fmt.Println(got == digest, err)
	// Output:
	// true <nil>
}

// The meaning of a refusal is found by errors.Is, the answer itself by errors.As.
func ExampleError() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"errors":[{"code":"DENIED","message":"the project's quota of 1 GiB is used up"}]}`)
		}
	}))
	defer server.Close()
	repo, err := name.NewRepository(strings.TrimPrefix(server.URL, "http://") + "/app")
	if err != nil {
		log.Fatal(err)
	}
	client, err := registry.New(registry.Options{Anonymous: true})
	if err != nil {
		log.Fatal(err)
	}
	open := func(context.Context) (io.ReadCloser, error) { return http.NoBody, nil }
	err = client.Writer(repo).PutBlob(context.Background(), v1.Descriptor{}, open)
	var answer *registry.Error
	if errors.As(err, &answer) {
		fmt.Println(answer.Status, answer.Code, answer.Message)
	}
	fmt.Println(errors.Is(err, registry.ErrNoSpace))
	// Output:
	// 403 DENIED the project's quota of 1 GiB is used up
	// true
}
