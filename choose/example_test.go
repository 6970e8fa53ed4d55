package choose_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/carvel"
	"relocate/choose"
)

func ExampleRepository_Choose() {
	pkg := func(name, version string) string {
		return "---\napiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: " + name + "." + version + "}\n" +
			"spec: {refName: " + name + ", version: " + version + ", template: {spec: {fetch: [{inline: {}}]}}}\n"
	}
	layer, err := layerOf(
		carvel.LockFile, "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\n",
		"packages/app.yml", pkg("app.example.com", "1.0.0")+pkg("app.example.com", "1.2.0"),
		"packages/db.yml", pkg("db.example.com", "5.0.0")+pkg("db.example.com", "5.1.0"),
		"packages/rest.yml", pkg("rest.example.com", "1.0.0"))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	digest := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)} // of the bundle
	repo, err := choose.Read(ctx, digest, bytes.NewReader(layer), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	app, err := choose.ParsePattern("app.*@1.x")
	if err != nil {
		fmt.Println(err)
		return
	}
	installs := func(_ context.Context, packages []carvel.Package) (needs [][]choose.Need, err error) {
		for _, p := range packages { // a program reads the bundles of the packages
			if p.Name == "app.example.com" {
				needs = append(needs, []choose.Need{{Name: "db.example.com", Constraint: "<5.1.0"}})
			} else {
				needs = append(needs, nil)
			}
		}
		return needs, nil
	}
	chosen, err := repo.Choose(ctx, choose.Choice{Packages: []choose.Pattern{app}, Latest: 1}, installs)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range chosen.Versions {
		fmt.Println(v.Name, v.Version, v.Reason, v.NeededBy)
	}
	derived, err := repo.Derive(ctx, chosen)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(derived.Descriptor.MediaType, chosen.Choice.Tag("1.0"))
	// Output:
	// app.example.com 1.2.0 chosen []
	// db.example.com 5.0.0 dependency [app.example.com 1.2.0]
	// application/vnd.docker.distribution.manifest.v2+json 1.0-selected-92937c81
}

// layerOf returns the layer of a bundle with files: path, content, and so on.
func layerOf(files ...string) ([]byte, error) {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	tw := tar.NewWriter(zw)
	for i := 0; i < len(files); i += 2 {
		if err := tw.WriteHeader(&tar.Header{Name: files[i], Mode: 0o600, Size: int64(len(files[i+1]))}); err != nil {
			return nil, err
		}
		if _, err := tw.Write([]byte(files[i+1])); err != nil {
			return nil, err
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	err := zw.Close()
	return b.Bytes(), err
}
