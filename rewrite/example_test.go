package rewrite_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/rewrite"
)

func ExampleNewPackageRepository() {
	repo, err := name.NewRepository("registry.airgap.internal/tce/main")
	if err != nil {
		log.Fatal(err)
	}
	source, err := name.NewDigest("registry.example.com/tce/main@sha256:f3a29ca5ab0de1d1bbd6b0ac31ae9cd6a5f55ac2b5b8e4ccf2f38a07d8e4f8d7")
	if err != nil {
		log.Fatal(err)
	}
	p, err := rewrite.NewPackageRepository(source, repo, "v0.12.0", "tce", "", "pull")
	if err != nil {
		log.Fatal(err)
	}
	text, err := rewrite.Encode([]rewrite.PackageRepository{p})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(text))
	// Output:
	// ---
	// apiVersion: packaging.carvel.dev/v1alpha1
	// kind: PackageRepository
	// metadata:
	//   annotations:
	//     kctrl.carvel.dev/repository-version: v0.12.0
	//   name: tce
	//   namespace: kapp-controller-packaging-global
	// spec:
	//   fetch:
	//     imgpkgBundle:
	//       image: registry.airgap.internal/tce/main@sha256:f3a29ca5ab0de1d1bbd6b0ac31ae9cd6a5f55ac2b5b8e4ccf2f38a07d8e4f8d7
	//       secretRef:
	//         name: pull
}

// A Secret with placeholders, and the PackageRepository that names it.
func ExampleForCluster() {
	repo, err := name.NewRepository("registry.airgap.internal/tce/main")
	if err != nil {
		log.Fatal(err)
	}
	source, err := name.NewDigest("registry.example.com/tce/main@sha256:f3a29ca5ab0de1d1bbd6b0ac31ae9cd6a5f55ac2b5b8e4ccf2f38a07d8e4f8d7")
	if err != nil {
		log.Fatal(err)
	}
	p, err := rewrite.NewPackageRepository(source, repo, "v0.12.0", "tce", "", "")
	if err != nil {
		log.Fatal(err)
	}
	c, err := rewrite.ForCluster([]rewrite.PackageRepository{p}, repo, rewrite.ClusterOptions{Secret: true})
	if err != nil {
		log.Fatal(err)
	}
	files, err := c.Files()
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range files {
		fmt.Println(f.Path)
	}
	text, notes, err := c.Encode()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(bytes.Count(text, []byte("---\n")), "objects")
	fmt.Println(notes[0])
	// Output:
	// secret.kapp-controller-packaging-global.pull-registry.airgap.internal.yml
	// packagerepository.kapp-controller-packaging-global.tce.yml
	// kustomization.yaml
	// 2 objects
	// the Secret kapp-controller-packaging-global/pull-registry.airgap.internal has placeholders: replace REPLACE-WITH-USERNAME and REPLACE-WITH-PASSWORD
}
