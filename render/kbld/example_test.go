package kbld_test

import (
	"fmt"

	"relocate/carvel"
	"relocate/render/kbld"
)

// The lock rewrites what has its id. A Config can override others, and say where references are.
func Example() {
	lock, err := carvel.ParseImagesLock([]byte(`apiVersion: imgpkg.carvel.dev/v1alpha1
kind: ImagesLock
images:
- image: private.example/all@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  annotations: {kbld.carvel.dev/id: "nginx:1.27"}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	step := &kbld.Step{}
	step.AddLock(carvel.LockFile, lock, 0)
	findings := step.AddFile("config/kbld.yml", []byte(`apiVersion: kbld.k14s.io/v1alpha1
kind: Config
keys: [sidecarImage]
overrides:
- {image: redis, newImage: docker.io/library/redis:7}
`))
	for _, f := range findings {
		fmt.Printf("%s:%d: %s: %s\n", f.File, f.Line, f.Reference, f.Message)
	}
	fmt.Println(step.Resolve("nginx:1.27").Image)
	fmt.Println(step.Resolve("redis").Image)
	fmt.Println(step.Resolve("postgres:17").Outcome == kbld.Asked)
	image, _ := step.Rules().See([]kbld.Part{{Key: "spec"}, {Key: "sidecarImage"}}, "nginx:1.27")
	fmt.Println(image)
	// Output:
	// config/kbld.yml:5: docker.io/library/redis:7: an override names this image by tag: kbld asks its registry for the digest, and the template step fails
	// private.example/all@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
	// docker.io/library/redis:7
	// true
	// true
}
