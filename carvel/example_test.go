package carvel_test

import (
	"fmt"
	"log"

	"relocate/carvel"
)

func ExampleParseImagesLock() {
	lock, err := carvel.ParseImagesLock([]byte(`
apiVersion: imgpkg.carvel.dev/v1alpha1
kind: ImagesLock
images:
- image: registry.example.com/app@sha256:f3a29ca5ab0de1d1bbd6b0ac31ae9cd6a5f55ac2b5b8e4ccf2f38a07d8e4f8d7
  annotations:
    kbld.carvel.dev/id: registry.example.com/app:1.0
`))
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range lock.Images {
		fmt.Println(e.Image.Context(), "was", e.Annotations[carvel.KbldID])
	}
	// Output: registry.example.com/app was registry.example.com/app:1.0
}

func ExampleReadPackageFile() {
	text := `
apiVersion: data.packaging.carvel.dev/v1alpha1
kind: Package
metadata:
  name: app.example.com.1.0.0
spec:
  refName: app.example.com
  version: 1.0.0
  template:
    spec:
      fetch:
      - imgpkgBundle:
          image: registry.example.com/app-package:1.0.0
`
	gaps := carvel.ReadPackageFile("packages/app.example.com/1.0.0.yml", []byte(text), func(d carvel.PackageDocument) bool {
		fmt.Println(d.Kind, d.Package.Name, d.Package.Version, "fetches", d.Package.Fetches[0].Reference)
		return true
	})
	fmt.Println(len(gaps), "gaps")
	// Output:
	// Package app.example.com 1.0.0 fetches registry.example.com/app-package:1.0.0
	// 0 gaps
}
