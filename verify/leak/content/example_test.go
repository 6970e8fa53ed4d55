package content_test

import (
	"fmt"

	"relocate/render/kbld"
	"relocate/report"
	"relocate/verify/leak/content"
)

// printer prints what is found.
type printer struct{}

func (printer) Reference(r content.Reference) { fmt.Printf("%s:%d %s\n", r.File, r.Line, r.Value) }
func (printer) Note(f report.Finding)         { fmt.Printf("%s:%d %s\n", f.File, f.Line, f.Message) }

// kbld sees the image key. It does not see the argument.
func ExampleScan() {
	file := &content.File{Path: "config/pod.yml", Kbld: &kbld.Step{}, Data: []byte(`apiVersion: v1
kind: Pod
spec:
  containers:
  - image: nginx
    args: [--sidecar=registry.example/team/proxy:v1]
`)}
	content.Scan([]*content.File{file}, &kbld.Step{}, printer{})
	// Output:
	// config/pod.yml:5 nginx
	// config/pod.yml:5 the kbld step is not given the lock: kbld asks its registry for the digest, and the template step fails
	// config/pod.yml:6 registry.example/team/proxy:v1
	// config/pod.yml:6 an image outside of the keys that kbld searches: the lock does not have it, and pods pull it from there
}
