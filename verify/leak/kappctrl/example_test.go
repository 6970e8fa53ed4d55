package kappctrl_test

import (
	"fmt"

	"relocate/carvel"
	"relocate/verify/leak/kappctrl"
)

func ExampleReadDocument() {
	text := []byte(`apiVersion: data.packaging.carvel.dev/v1alpha1
kind: Package
metadata: {name: app.example.1.0.0}
spec:
  refName: app.example
  version: 1.0.0
  template:
    spec:
      fetch:
      - imgpkgBundle: {image: registry.example/app:1.0.0}
      template:
      - ytt: {paths: [config]}
      - kbld: {paths: ["-", .imgpkg/images.yml]}
`)
	carvel.ReadPackageFile("packages/app.yml", text, func(head carvel.PackageDocument) bool {
		d, err := kappctrl.ReadDocument("packages/app.yml", head)
		if err != nil {
			fmt.Println(err)
			return false
		}
		for _, f := range d.Fetches {
			fmt.Printf("line %d: %s %s\n", f.Line, f.Kind, f.Reference)
		}
		fmt.Println(d.Steps.Read("config/deployment.yml"), d.Steps.Read("docs/notes.yml"))
		return true
	})
	// Output:
	// line 10: imgpkgBundle registry.example/app:1.0.0
	// true false
}
