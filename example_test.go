package relocate_test

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
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"relocate"
	"relocate/registry"
	"relocate/render"
	"relocate/render/ytt"
	"relocate/tarball"
	"relocate/verify"
)

// The crossing: an archive is exported where the public registry can be reached, and imported where only
// the private one can.
func Example() {
	ctx := context.Background()
	public, private := startRegistry(), startRegistry()
	defer public.Close()
	defer private.Close()
	dir := tempDir()
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "repository.tar")
	from := relocate.Source{Bundles: []name.Reference{publish(hostOf(public))}}
	exported, err := relocate.Export(ctx, from, relocate.Target{Path: file}, relocate.Options{})
	if err != nil {
		log.Fatal(err)
	}
	public.Close() // from here on it is out of reach

	archive, err := tarball.Open(file)
	if err != nil {
		log.Fatal(err)
	}
	defer archive.Close()
	to := relocate.Destination{Repository: repository(hostOf(private) + "/tce/main"), Name: "tce"}
	imported, err := relocate.Import(ctx, archive, to, relocate.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the archive is the one that was exported:", imported.Seal == exported.Seal)
	fmt.Println(imported.Copied.Manifests, "manifests uploaded, tagged", imported.Tags)
	verdict, err := relocate.Verify(ctx, archive, to, relocate.VerifyOptions{Level: verify.Deep})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("complete and closed:", verdict.OK)
	// Output:
	// the archive is the one that was exported: true
	// 3 manifests uploaded, tagged [1.0.0]
	// complete and closed: true
}

func ExamplePlan() {
	public := startRegistry()
	defer public.Close()
	from := relocate.Source{Bundles: []name.Reference{publish(hostOf(public))}}
	plan, err := relocate.Plan(context.Background(), from, relocate.Target{}, relocate.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range plan.Plan.Graph.Packages {
		fmt.Println(p.Name, p.Version)
	}
	fmt.Println(len(plan.Plan.Blobs), "blobs,", len(plan.Scan.Findings), "findings")
	// Output:
	// app.example.com 1.0.0
	// 9 blobs, 0 findings
}

// An export to a stream, with a client of its own and a callback that sees what is done.
func ExampleExport() {
	public := startRegistry()
	defer public.Close()
	client, err := registry.New(registry.Options{Jobs: 4, UserAgent: "example/1.0"})
	if err != nil {
		log.Fatal(err)
	}
	from := relocate.Source{Client: client, Bundles: []name.Reference{publish(hostOf(public))}, Strict: true}
	var archive bytes.Buffer
	_, err = relocate.Export(context.Background(), from, relocate.Target{Writer: &archive}, relocate.Options{
		Progress: func(e relocate.Event) {
			if e.Done {
				fmt.Println("done:", e.Phase)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = tarball.NewArchive(bytes.NewReader(archive.Bytes()), int64(archive.Len()))
	fmt.Println(err)
	// Output:
	// done: read
	// done: scan
	// done: export
	// <nil>
}

// An import from a stream: an export writes into a pipe, and nothing is kept in a file.
func ExampleImportStream() {
	ctx := context.Background()
	public, private := startRegistry(), startRegistry()
	defer public.Close()
	defer private.Close()
	from := relocate.Source{Bundles: []name.Reference{publish(hostOf(public))}}
	in, out := io.Pipe()
	go func() {
		_, err := relocate.Export(ctx, from, relocate.Target{Writer: out}, relocate.Options{})
		_ = out.CloseWithError(err)
	}()
	to := relocate.Destination{Repository: repository(hostOf(private) + "/tce/main"), NoTag: true}
	imported, err := relocate.ImportStream(ctx, in, to, relocate.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(imported.Copied.Manifests, "manifests uploaded, tagged", imported.Tags)
	// Output: 3 manifests uploaded, tagged []
}

// A copy that is repeated uploads nothing.
func ExampleCopy() {
	ctx := context.Background()
	public, private := startRegistry(), startRegistry()
	defer public.Close()
	defer private.Close()
	from := relocate.Source{Bundles: []name.Reference{publish(hostOf(public))}}
	to := relocate.Destination{Repository: repository(hostOf(private) + "/tce/main")}
	for range 2 {
		copied, err := relocate.Copy(ctx, from, to, relocate.Options{})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(copied.Copied.Manifests, "manifests uploaded,", copied.Copied.ManifestsPresent, "already present")
	}
	// Output:
	// 3 manifests uploaded, 0 already present
	// 0 manifests uploaded, 3 already present
}

// An archive alone: every byte is accounted for, and the seal is the one that the export returned.
func ExampleVerify() {
	ctx := context.Background()
	archive, exported := exportExample(ctx)
	defer archive.Close()
	verdict, err := relocate.Verify(ctx, archive, relocate.Destination{}, relocate.VerifyOptions{Options: relocate.Options{Seal: exported.Seal}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verdict.Word())
	for _, s := range verdict.Proved {
		fmt.Println("proved:", s)
	}
	// Output:
	// OK
	// proved: every byte is accounted for, every blob hashed
	// proved: the roots need all of it and nothing else
	// proved: the seal is the one given: this is the file that was exported
	// proved: none of the 2 references in 1 package version and their files points outside
}

// An import is tried before the archive crosses. No registry is needed.
func ExampleRehearse() {
	ctx := context.Background()
	archive, _ := exportExample(ctx)
	defer archive.Close()
	verdict, err := relocate.Rehearse(ctx, archive, relocate.Destination{}, relocate.VerifyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verdict.Word(), verdict.Repository)
	// Output: OK embedded-registry.invalid/repository
}

// A registry straight from an archive.
// A program that renders is its own child, too: its main calls ytt.Hook before anything else.
func init() { ytt.Hook() }

func ExampleRender() {
	public := startRegistry()
	defer public.Close()
	program, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	renderer := &render.Renderer{}
	renderer.Program.Path = program
	from := relocate.Source{Bundles: []name.Reference{publish(hostOf(public))}}
	opt := relocate.RenderOptions{Options: relocate.Options{Renderer: renderer}, Destination: repository("registry.example.com/private")}
	rendered, err := relocate.Render(context.Background(), nil, from, "app.example.com", opt)
	if err != nil {
		log.Fatal(err)
	}
	for _, image := range rendered.Images {
		repo, _, _ := strings.Cut(image.Reference, "@")
		fmt.Println(rendered.Name, rendered.Version, "deploys an image of", repo)
		fmt.Println("named in", image.File, "line", image.Line)
	}
	// Output:
	// app.example.com 1.0.0 deploys an image of registry.example.com/private
	// named in config/app.yml line 10
}

// A repository is compared with its relocated copy: content is compared, not where it is.
func ExampleDiff() {
	ctx := context.Background()
	public, private := startRegistry(), startRegistry()
	defer public.Close()
	defer private.Close()
	from := relocate.Source{Bundles: []name.Reference{publish(hostOf(public))}}
	to := relocate.Destination{Repository: repository(hostOf(private) + "/tce/main")}
	if _, err := relocate.Copy(ctx, from, to, relocate.Options{}); err != nil {
		log.Fatal(err)
	}
	copied := relocate.Source{Bundles: []name.Reference{to.Repository.Tag("1.0.0")}}
	r, err := relocate.Diff(ctx, relocate.Side{Source: from}, relocate.Side{Source: copied}, relocate.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("equal:", r.Equal)
	fmt.Println(r.Blobs.Same.Blobs, "blobs in both")
	// Output:
	// equal: true
	// 9 blobs in both
}

// After an upgrade: what the old version does not have in common with the new one is deleted.
func ExamplePrune() {
	ctx := context.Background()
	public, private := startRegistry(), startRegistry()
	defer public.Close()
	defer private.Close()
	from := relocate.Source{Bundles: []name.Reference{publish(hostOf(public))}}
	at := relocate.Destination{Repository: repository(hostOf(private) + "/tce/main")}
	for _, at.Tag = range []string{"old", "new"} {
		if _, err := relocate.Copy(ctx, from, at, relocate.Options{}); err != nil {
			log.Fatal(err)
		}
	}
	for _, tag := range []string{"old", "new"} {
		pruned, err := relocate.Prune(ctx, at, []relocate.Drop{{Name: tag, Tag: tag}}, relocate.PruneOptions{Delete: true})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(tag, "dropped:", pruned.Deleted.Manifests, "manifests deleted,", pruned.Keep.Manifests, "kept")
	}
	// Output:
	// old dropped: 0 manifests deleted, 5 kept
	// new dropped: 5 manifests deleted, 0 kept
}

func ExampleServe() {
	ctx, stop := context.WithCancel(context.Background())
	archive, _ := exportExample(ctx)
	defer archive.Close()
	err := relocate.Serve(ctx, []*tarball.Archive{archive}, relocate.ServeOptions{
		Listen: "127.0.0.1:0",
		Path:   "tce/main",
		Ready: func(at relocate.Serving) error {
			go func() { // which it answers when this function has returned
				defer stop()
				_, err := crane.Manifest(at.Roots[0][0])
				fmt.Println(at.Repositories, "repositories", err)
			}()
			return nil
		},
	})
	fmt.Println(err)
	// Output:
	// 4 repositories <nil>
	// <nil>
}

func startRegistry() *httptest.Server {
	return httptest.NewServer(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))))
}

func hostOf(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }

func repository(s string) name.Repository {
	repo, err := name.NewRepository(s)
	if err != nil {
		log.Fatal(err)
	}
	return repo
}

func tempDir() string {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	return dir
}

// exportExample returns the archive of the example, whose file is removed already.
func exportExample(ctx context.Context) (*tarball.Archive, *relocate.Result) {
	public := startRegistry()
	defer public.Close()
	dir := tempDir()
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "repository.tar")
	from := relocate.Source{Bundles: []name.Reference{publish(hostOf(public))}}
	exported, err := relocate.Export(ctx, from, relocate.Target{Path: file}, relocate.Options{})
	if err != nil {
		log.Fatal(err)
	}
	archive, err := tarball.Open(file)
	if err != nil {
		log.Fatal(err)
	}
	return archive, exported
}

// publish pushes a package repository with one package, which is a Deployment of one image.
func publish(host string) name.Reference {
	lock := func(image string) string { // as kbld writes it
		return "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n- image: " + image +
			"\n  annotations:\n    kbld.carvel.dev/id: " + image + "\n"
	}
	image := push(host+"/app", nil, map[string]string{"app": "#!/bin/sh\necho hello\n"})
	isBundle := map[string]string{"dev.carvel.imgpkg.bundle": "true"}
	pkg := push(host+"/app-package", isBundle, map[string]string{
		".imgpkg/images.yml": lock(image),
		"config/app.yml": "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app\nspec:\n  template:\n    spec:\n" +
			"      containers:\n      - name: app\n        image: " + image + "\n",
	})
	push(host+"/repository:1.0.0", isBundle, map[string]string{
		".imgpkg/images.yml": lock(pkg),
		"packages/app.example.com/1.0.0.yml": "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata:\n  name: app.example.com.1.0.0\n" +
			"spec:\n  refName: app.example.com\n  version: 1.0.0\n  template:\n    spec:\n      fetch:\n      - imgpkgBundle:\n          image: " + pkg +
			"\n      template:\n      - ytt:\n          paths: [config/]\n      - kbld:\n          paths: [\"-\", .imgpkg/images.yml]\n      deploy:\n      - kapp: {}\n",
	})
	return repository(host + "/repository").Tag("1.0.0")
}

// push pushes an image of files, and returns its reference by digest.
func push(to string, labels, files map[string]string) string {
	content := map[string][]byte{}
	for path, text := range files {
		content[path] = []byte(text)
	}
	layer, err := crane.Layer(content)
	if err != nil {
		log.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err == nil {
		image, err = mutate.Config(image, v1.Config{Labels: labels})
	}
	if err == nil {
		err = crane.Push(image, to)
	}
	if err != nil {
		log.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		log.Fatal(err)
	}
	path, _, _ := strings.Cut(to, ":1.0.0")
	return repository(path).Digest(digest.String()).Name()
}
