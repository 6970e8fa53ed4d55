package manifests_test

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/carvel"
	"relocate/manifests"
)

// A set of manifests has images, whose digests are asked for at their registries. What its bundle has can be written for any
// repository that has the same images.
func Example() {
	files := map[string][]byte{"pod.yml": []byte(`apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - image: nginx:1.27   # the newest
`)}
	set, err := manifests.New("web", files)
	if err != nil {
		fmt.Println(err)
		return
	}
	lock := &carvel.ImagesLock{}
	for _, image := range set.Images {
		fmt.Printf("%s:%d: %s\n", image.File, image.Line, image.Reference.Name())
		lock.Images = append(lock.Images, carvel.LockEntry{
			Image:       image.Reference.Context().Digest("sha256:" + strings.Repeat("0", 64)), // what the registry said
			Annotations: map[string]string{carvel.KbldID: image.Value},
		})
	}
	text, err := lock.Encode()
	if err != nil {
		fmt.Println(err)
		return
	}
	repo, err := name.NewRepository("registry.airgap.internal/web")
	if err != nil {
		fmt.Println(err)
		return
	}
	documents, err := manifests.At(map[string][]byte{"config/pod.yml": files["pod.yml"], carvel.LockFile: text}, repo)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(strings.ReplaceAll(string(documents[0].Text), strings.Repeat("0", 64), "…"))
	// Output:
	// config/pod.yml:6: index.docker.io/library/nginx:1.27
	// ---
	// apiVersion: v1
	// kind: Pod
	// metadata: {name: web}
	// spec:
	//   containers:
	//   - image: registry.airgap.internal/web@sha256:…   # the newest
}
