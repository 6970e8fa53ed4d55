package rewrite_test

import (
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
