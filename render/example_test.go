package render_test

import (
	"context"
	"fmt"
	"os"

	"relocate/render"
	"relocate/render/ytt"
)

// The test binary runs ytt here; elsewhere it is the relocate program.
func ExampleRenderer_App() {
	program, err := os.Executable()
	if err != nil {
		fmt.Println(err)
		return
	}
	renderer := &render.Renderer{}
	renderer.Program.Path = program
	result, err := renderer.App(context.Background(), render.App{
		Spec: []byte("fetch: [{imgpkgBundle: {}}]\ntemplate: [{ytt: {paths: [config]}}]"),
		Fetched: []render.Fetched{{Files: []ytt.File{
			{Path: "config/deployment.yml", Data: []byte("#@ load('@ytt:data', 'data')\nimage: #@ data.values.registry + '/app:1.0'\n")},
			{Path: "config/values.yml", Data: []byte("#@data/values\n---\nregistry: a.test\n")},
		}}},
		Values: []ytt.File{{Path: "values.yml", Data: []byte("registry: b.test\n")}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(result.Text))
	for _, s := range result.Documents[0].Strings {
		fmt.Printf("%s:%d: %s\n", s.Place.File, s.Place.Line, s.Value)
	}
	// Output:
	// image: b.test/app:1.0
	// config/deployment.yml:2: b.test/app:1.0
}
