package render_test

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"relocate/internal/child"
	"relocate/render"
	"relocate/render/ytt"
	"relocate/testdata/judges"
)

// renderer runs this test binary for ytt.
func renderer(t testing.TB) *render.Renderer {
	path, err := os.Executable()
	require.NoError(t, err)
	r := &render.Renderer{Program: child.Program{Path: path}, KubernetesVersion: "1.31.0", KubernetesAPIs: []string{"v1", "apps/v1"}}
	t.Cleanup(r.Close)
	return r
}

// TestGoldens compares with what kapp-controller's own code gives: see testdata/golden/README.md.
func TestGoldens(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"1-values-order", "2-two-steps", "3-kbld-rules", "4-helm"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := renderer(t)
			if name == "4-helm" {
				r.Helm = judges.Program(t, "helm")
			}
			dir := filepath.Join("testdata", "golden", name)
			want, err := os.ReadFile(filepath.Join(dir, "output.yml"))
			require.NoError(t, err)
			got, err := r.App(t.Context(), readApp(t, dir))
			require.NoError(t, err)
			assert.Equal(t, string(want), string(got.Text))
		})
	}
}

// readApp reads a PackageInstall, its Package, and what both need.
func readApp(t *testing.T, dir string) render.App {
	t.Helper()
	var install struct {
		Metadata struct {
			Name, Namespace string
			Annotations     map[string]string
		}
		Spec struct {
			Values []struct {
				SecretRef struct{ Name string } `yaml:"secretRef"`
			}
		}
	}
	app := readPackage(t, filepath.Join(dir, "package.yml"), filepath.Join(dir, "bundle"))
	decode(t, filepath.Join(dir, "install.yml"), &install)
	app.Name, app.Namespace, app.Annotations = install.Metadata.Name, install.Metadata.Namespace, install.Metadata.Annotations
	app.Objects = readObjects(t, filepath.Join(dir, "objects.yml"))
	for _, values := range install.Spec.Values {
		for _, object := range app.Objects {
			if object.Kind == "Secret" && object.Name == values.SecretRef.Name {
				app.Values = append(app.Values, object.Files()...)
			}
		}
	}
	return app
}

// readPackage reads a Package and the folder that it fetches.
func readPackage(t *testing.T, file, bundle string) render.App {
	t.Helper()
	var pkg struct {
		Spec struct {
			RefName  string                   `yaml:"refName"`
			Version  string                   `yaml:"version"`
			Template struct{ Spec yaml.Node } `yaml:"template"`
		} `yaml:"spec"`
	}
	decode(t, file, &pkg)
	spec, err := yaml.Marshal(&pkg.Spec.Template.Spec)
	require.NoError(t, err)
	return render.App{
		Name: "inst", Namespace: "space", RefName: pkg.Spec.RefName, Version: pkg.Spec.Version, Spec: spec,
		Fetched: []render.Fetched{{Files: readFolder(t, bundle)}},
	}
}

func decode(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(data, into))
}

func readFolder(t *testing.T, dir string) (files []ytt.File) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		files = append(files, ytt.File{Path: filepath.ToSlash(rel), Data: data})
		return err
	}))
	return files
}

func readObjects(t *testing.T, file string) (objects []render.Object) {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	for d := yaml.NewDecoder(f); ; {
		var o struct {
			Kind       string
			Metadata   struct{ Name string }
			Data       map[string]string
			StringData map[string]string `yaml:"stringData"`
		}
		if err := d.Decode(&o); err != nil {
			require.ErrorIs(t, err, io.EOF)
			return objects
		}
		object := render.Object{Kind: o.Kind, Name: o.Metadata.Name, Data: map[string][]byte{}}
		for _, data := range []map[string]string{o.Data, o.StringData} {
			for key, value := range data {
				object.Data[key] = []byte(value)
			}
		}
		objects = append(objects, object)
	}
}
