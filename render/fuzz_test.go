package render_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"

	"relocate/render"
	"relocate/render/ytt"
)

// FuzzFolder: whatever a spec says, no file leaves the folder of the App.
func FuzzFolder(f *testing.F) {
	for _, seed := range []string{
		"fetch: [{imgpkgBundle: {}}]", "fetch: [{image: {subPath: ../x}, path: a/../../b}, {inline: {paths: {../y: z, /q: r}}}]",
		"fetch: [{inline: {pathsFrom: [{secretRef: {name: s, directoryPath: ../..}}]}}]", "fetch: [{http: {}, path: 1/x}, {git: {}}]",
	} {
		f.Add(seed, "sub/../../x")
	}
	f.Fuzz(func(t *testing.T, spec, name string) {
		fetched := render.Fetched{Files: []ytt.File{{Path: name}, {Path: "x/a.yml"}}}
		app := render.App{Spec: []byte(spec), Fetched: []render.Fetched{fetched, fetched}, Objects: []render.Object{secret("s", map[string]string{name: ""})}}
		files, _, err := app.Folder()
		if err != nil {
			return
		}
		for _, file := range files {
			assert.True(t, filepath.IsLocal(file.Path), "%q", file.Path)
		}
	})
}
