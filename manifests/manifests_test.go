package manifests_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"relocate/internal/imgpkg"
	"relocate/internal/yamlnode"
	"relocate/manifests"
	"relocate/testdata/judges"
)

const object = `# the controller
apiVersion: apps/v1
kind: Deployment
metadata: {name: x}
spec: {template: {spec: {containers: [{image: "registry.example/app:1"}, {image: controller}]}}} # here
`

const config = `apiVersion: kbld.k14s.io/v1alpha1
kind: Config
overrides:
- {image: controller, newImage: registry.example/controller:v2}
`

// unpack returns the files in the bundle of a set, whose images all have one digest.
func unpack(t *testing.T, set *manifests.Set) map[string][]byte {
	resolved := map[string]v1.Hash{"registry.example/of/another/set:1": {Algorithm: "sha256", Hex: strings.Repeat("b", 64)}}
	_, err := set.Bundle(resolved)
	require.ErrorContains(t, err, "is not known")
	for _, image := range set.Images {
		resolved[image.Reference.Name()] = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}
	}
	made, err := set.Bundle(resolved)
	require.NoError(t, err)
	again, err := set.Bundle(resolved)
	require.NoError(t, err)
	require.Equal(t, made.Descriptor, again.Descriptor)
	assert.Equal(t, imgpkg.Config{IsBundle: true, Manifests: set.Name}, imgpkg.ReadConfig(made.Config))
	files := map[string][]byte{}
	require.NoError(t, imgpkg.ReadLayer(strings.NewReader(string(made.Layer)), func(p string, _ int64) bool { return manifests.Wants(p) }, func(p string, data []byte) error {
		files[p] = data
		return nil
	}))
	return files
}

// TestSet: the images that kbld finds are those of a set, with what a Config beside the files makes of them, and what comes
// out has each in the repository, and all else as it was.
func TestSet(t *testing.T) {
	set, err := manifests.New("kc", map[string][]byte{"b/x.yml": []byte(object), "kbld.yml": []byte(config), "a.json": []byte(`{"apiVersion":"v1","kind":"Pod","spec":{"image":"registry.example/app:1"}}`), "README.md": []byte("no")})
	require.NoError(t, err)
	var shown []string
	for _, i := range set.Images {
		shown = append(shown, strings.Join([]string{i.Value, i.Reference.Name(), i.File}, " "))
	}
	assert.Equal(t, []string{"registry.example/app:1 registry.example/app:1 config/a.json", "controller registry.example/controller:v2 config/b/x.yml"}, shown)

	files := unpack(t, set)
	assert.Equal(t, `---
apiVersion: imgpkg.carvel.dev/v1alpha1
images:
- annotations:
    kbld.carvel.dev/id: controller
  image: registry.example/controller@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
- annotations:
    kbld.carvel.dev/id: registry.example/app:1
  image: registry.example/app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
kind: ImagesLock
`, string(files[".imgpkg/images.yml"]))
	repo, err := name.NewRepository("registry.inside/all")
	require.NoError(t, err)
	documents, err := manifests.At(files, repo)
	require.NoError(t, err)
	require.Len(t, documents, 2)
	assert.Equal(t, []string{"apps/v1", "Deployment", "", "x"}, []string{documents[1].APIVersion, documents[1].Kind, documents[1].Namespace, documents[1].Name})
	var out []byte
	for _, d := range documents {
		out = append(out, d.Text...)
	}
	inside := "registry.inside/all@sha256:" + strings.Repeat("a", 64)
	assert.Equal(t, "---\n"+`{"apiVersion":"v1","kind":"Pod","spec":{"image":"`+inside+`"}}`+"\n---\n"+
		strings.NewReplacer("registry.example/app:1", inside, "image: controller", "image: "+inside).Replace(object), string(out))
}

// TestRefused: what cannot be carried as plain manifests is refused with the file and the line.
func TestRefused(t *testing.T) {
	for want, files := range map[string]map[string]string{
		`x.yml: line 1: is a Kustomization; render it first`:                                       {"x.yml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [y.yml]\n", "y.yml": object},
		`x.yml: is a template of ytt`:                                                              {"x.yml": "#@ load(\"@ytt:data\", \"data\")\n" + object},
		`x.yml: line 7: is not a Kubernetes object`:                                                {"x.yml": object + "---\nimage: x\n"},
		`x.yml: line 2: is not YAML: did not find expected`:                                        {"x.yml": "{{ .Values.x }}: [\n"},
		`x.yml: line 3: has a key that is not a string; a template of Helm must be rendered first`: {"x.yml": "apiVersion: v1\nkind: Pod\nmetadata: {name: {{ .Values.x }}}\n"},
		`x.yml: line 4: has the key "name" twice`:                                                  {"x.yml": strings.Replace(object, "{name: x}", "{name: x, name: y}", 1)},
		`kbld.yml: line 3: sources of kbld are not supported`:                                      {"x.yml": object, "kbld.yml": "apiVersion: kbld.k14s.io/v1alpha1\nkind: Config\nsources: [{image: x, path: .}]\n"},
		`kbld.yml: line 4: an override of kbld with tagSelection`:                                  {"x.yml": object, "kbld.yml": strings.Replace(config, "newImage: registry.example/controller:v2", "newImage: x, tagSelection: {semver: {}}", 1)},
		`has no Kubernetes object in a .yaml, .yml or .json file`:                                  {"kbld.yml": config, "x.txt": object},
		`x.yml: line 5: "UPPER CASE": `:                                                            {"x.yml": strings.Replace(object, "image: controller", "image: UPPER CASE", 1)},
		`x.yml: line 5: "": `:                                                                      {"x.yml": strings.Replace(object, "image: controller", "image: ''", 1)},
		`x.yml: line 5: "controller" cannot be replaced in the text`:                               {"x.yml": strings.Replace(object, "image: controller", `image: "\u0063ontroller"`, 1)},
		`x.json: line 1: is not YAML: found unknown escape character; kbld does not read \/`:       {"x.json": `{"apiVersion": "v1", "kind": "Pod", "image": "a\/b:1"}`},
		`x.yml: line 4: has a line break that some YAML readers`:                                   {"x.yml": strings.Replace(object, "{name: x}", "{name: \"x\u2028\"}", 1)},
	} {
		bytes := map[string][]byte{}
		for p, text := range files {
			bytes[p] = []byte(text)
		}
		_, err := manifests.New("kc", bytes)
		require.ErrorContains(t, err, want)
	}
	for _, name := range []string{"", "A", "a/b", "-a", "sha256-x", strings.Repeat("a", 64)} {
		require.Error(t, manifests.CheckName(name), name)
	}
}

// TestRead: a file or a folder is named by its last element, or by what is before =.
func TestRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "set.d")
	for p, text := range map[string]string{"a/x.yml": object, ".git/y.yml": "no", "z.txt": "no", ".imgpkg/images.yml": "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\n"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, p)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, p), []byte(text), 0o600))
	}
	for arg, want := range map[string]string{dir: "set", "n=" + dir: "n", filepath.Join(dir, "a", "x.yml"): "x", "n=" + filepath.Join(dir, "a", "x.yml"): "n"} {
		set, err := manifests.Read(arg)
		require.NoError(t, err)
		assert.Equal(t, want, set.Name)
		assert.Len(t, set.Images, 2)
	}
	odd := t.TempDir()
	require.NoError(t, os.Symlink(dir, filepath.Join(odd, "x.yml"))) // as a FIFO, which would not end
	for arg, want := range map[string]string{"odd=" + odd: "x.yml is not a regular file", "N=" + dir: `"N" cannot name manifests`, "n=" + dir + "/no": "no such file", filepath.Join(dir, "z.txt"): "is not a Kubernetes object"} {
		_, err := manifests.Read(arg)
		require.ErrorContains(t, err, want)
	}
}

// TestKbld: the real kbld makes the same of the bundle of kapp-controller's manifests as At, in its own order and without
// comments.
func TestKbld(t *testing.T) {
	program := judges.Program(t, "kbld")
	release, err := os.ReadFile("../testdata/manifests/kapp-controller.yml")
	require.NoError(t, err)
	set, err := manifests.New("kc", map[string][]byte{"release.yml": release, "kbld.yml": []byte("apiVersion: kbld.k14s.io/v1alpha1\nkind: Config\noverrides:\n" +
		"- {image: kapp-controller, newImage: registry.invalid/kapp-controller:v1}\nkeys: [command]\n")})
	require.NoError(t, err)
	require.Len(t, set.Images, 1)
	files, dir := unpack(t, set), t.TempDir()
	for p, data := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, p)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, p), data, 0o600))
	}
	theirs, err := exec.Command(program, "-f", filepath.Join(dir, ".imgpkg/images.yml"), "-f", filepath.Join(dir, "config")).Output()
	require.NoError(t, err)
	inside, err := name.NewRepository("registry.invalid/kapp-controller") // as the lock has it
	require.NoError(t, err)
	ours, err := manifests.At(files, inside)
	require.NoError(t, err)
	contents := func(text []byte) (list []map[string]any) {
		for doc := range yamlnode.Documents(text) {
			var content map[string]any
			require.NoError(t, yaml.Unmarshal(doc.Text, &content))
			if a, ok := content["metadata"].(map[string]any)["annotations"].(map[string]any); ok {
				if delete(a, "kbld.k14s.io/images"); len(a) == 0 {
					delete(content["metadata"].(map[string]any), "annotations")
				}
			}
			list = append(list, content)
		}
		return list
	}
	var text []byte
	for _, d := range ours {
		text = append(text, d.Text...)
	}
	assert.Equal(t, contents(theirs), contents(text))
}

// TestAtUnlocked: of a bundle that others labelled as manifests, an image that the lock does not have stays what it is; one
// without a digest is refused, as kbld would ask for it.
func TestAtUnlocked(t *testing.T) {
	repo, err := name.NewRepository("registry.inside/all")
	require.NoError(t, err)
	elsewhere := "registry.example/app@sha256:" + strings.Repeat("b", 64)
	files := map[string][]byte{".imgpkg/images.yml": []byte("apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\n"),
		"config/pod.yml": []byte("apiVersion: v1\nkind: Pod\nspec: {image: \"" + elsewhere + "\"}\n")}
	documents, err := manifests.At(files, repo)
	require.NoError(t, err)
	assert.Contains(t, string(documents[0].Text), elsewhere)
	files["config/pod.yml"] = []byte(object)
	_, err = manifests.At(files, repo)
	require.ErrorContains(t, err, "would ask registries for controller, registry.example/app:1")
}
