package generated

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// configOf returns the configuration of a version of a package: a Deployment for each image, and values.
func configOf(version int, images []lockEntry) map[string][]byte {
	files := map[string][]byte{"config/values.yml": []byte(`#@data/values-schema
---
#@schema/desc "Namespace that the package is installed to"
namespace: default
#@schema/desc "How many pods answer"
replicas: 1
`)}
	for i, image := range images {
		files[fmt.Sprintf("config/%d.yml", i)] = fmt.Appendf(nil, `#@ load("@ytt:data", "data")
---
apiVersion: apps/v1
kind: Deployment
metadata:
  namespace: #@ data.values.namespace
  name: app%[1]d
  labels: {version: %[2]d.0.0}
spec:
  replicas: #@ data.values.replicas
  selector:
    matchLabels: {app: app%[1]d}
  template:
    metadata:
      labels: {app: app%[1]d}
    spec:
      containers:
      - name: app
        image: %[3]s
`, i, version, image.id)
	}
	return files
}

func packageOf(i, version int, bundle name.Digest) []byte {
	return fmt.Appendf(nil, `---
apiVersion: data.packaging.carvel.dev/v1alpha1
kind: Package
metadata:
  name: p%[1]d.bench.test.%[2]d.0.0
spec:
  refName: p%[1]d.bench.test
  version: %[2]d.0.0
  releaseNotes: %[4]s
  template:
    spec:
      fetch:
      - imgpkgBundle:
          image: %[3]s
      template:
      - ytt: {paths: [config]}
      - kbld: {paths: ["-", .imgpkg/images.yml]}
      deploy:
      - kapp: {}
`, i, version, bundle.Name(), strings.Repeat("what is new in this version ", 20))
}
