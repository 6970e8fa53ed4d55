package render_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/internal/child"
	"relocate/internal/yamlnode"
	"relocate/render"
	"relocate/render/kbld"
	"relocate/render/packagingapi"
	"relocate/render/ytt"
	"relocate/report"
)

// packages reads files below packages/.
func packages(t testing.TB, r *render.Renderer, files []ytt.File) ([]carvel.PackageDocument, []report.Finding) {
	t.Helper()
	var list []carvel.PackageDocument
	p := r.Packages(v1.Hash{Hex: t.Name()}, func(d carvel.PackageDocument) bool { list = append(list, d); return true })
	for _, f := range files {
		if p.Wants(f.Path) {
			p.Add(f.Path, f.Data)
		}
	}
	findings, err := p.End(t.Context())
	require.NoError(t, err)
	return list, findings
}

// filesOf are files below packages/, by name.
func filesOf(text map[string]string) (files []ytt.File) {
	for path, data := range text {
		files = append(files, ytt.File{Path: "packages/" + path, Data: []byte(data)})
	}
	return files
}

// TestRepositoryGoldens: what comes out is what kapp-controller's own code gave to kapp, byte for byte.
// The last document, kapp's own configuration, is the same for all repositories and none of ours.
func TestRepositoryGoldens(t *testing.T) {
	t.Parallel()
	folders, err := filepath.Glob("testdata/repository/*/packages")
	require.NoError(t, err)
	require.Len(t, folders, 2)
	for _, folder := range folders {
		dir := filepath.Dir(folder)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(filepath.Join(dir, "output.yml"))
			require.NoError(t, err)
			lock, err := os.ReadFile(filepath.Join(dir, carvel.LockFile))
			require.NoError(t, err)

			documents, findings := packages(t, renderer(t), readFolder(t, dir))
			assert.Empty(t, findings)
			var stream bytes.Buffer
			for _, d := range documents {
				object, err := packagingapi.Deployed(d.Document, "glob/repo")
				require.NoError(t, err)
				if object == nil {
					continue
				}
				text, err := json.Marshal(object)
				require.NoError(t, err)
				stream.WriteString("---\n" + string(text) + "\n")
			}
			stream.Write(want[bytes.LastIndex(want, []byte("\n---\napiVersion: kapp.k14s.io"))+1:])
			out, err := kbld.Run([]kbld.Input{{Path: "-", Data: stream.Bytes()}, {Path: carvel.LockFile, Data: lock}})
			require.NoError(t, err)
			assert.Equal(t, string(want), string(out.Text))
		})
	}
}

// TestRefused: kapp-controller v0.53.1 refused, or accepted, each of these documents.
func TestRefused(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"metadata: {name: a}\nspec: {refName: a, version: 1.10}":                                       "spec.version is a number, not a string",
		"metadata: {name: a, annotations: {a: 1}}":                                                     "metadata.annotations.a is a number, not a string",
		"metadata: {name: a, annotations: [a]}":                                                        "metadata.annotations is a list, not a map",
		"metadata: {name: a, annotations: text}":                                                       "metadata.annotations is a string, not a map",
		"metadata: text":                                                                               "metadata is a string, not a map",
		"spec: {}":                                                                                     "metadata is missing",
		"metadata: {name: a}\nspec: text":                                                              "spec is a string, not a map",
		"metadata: {name: a}\nspec: {releasedAt: 2024-01-02}":                                          `spec.releasedAt: parsing time "2024-01-02" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"`,
		"metadata: {name: a}\nspec: {releasedAt: \"\"}":                                                `spec.releasedAt: parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006"`,
		"metadata: {name: a}\nspec: {licenses: [1]}":                                                   "spec.licenses[0] is a number, not a string",
		"metadata: {name: a}\nspec: {template: {spec: {paused: \"true\"}}}":                            "spec.template.spec.paused is a string, not a boolean",
		"metadata: {name: a}\nspec: {template: {spec: {syncPeriod: 5}}}":                               "spec.template.spec.syncPeriod is a number, not a string",
		"metadata: {name: a}\nspec: {template: {spec: {syncPeriod: \"5\"}}}":                           `spec.template.spec.syncPeriod: time: missing unit in duration "5"`,
		"metadata: {name: a}\nspec: {template: {spec: {fetch: [text]}}}":                               "spec.template.spec.fetch[0] is a string, not a map",
		"metadata: {name: a}\nspec: {template: {spec: {fetch: {imgpkgBundle: {image: a}}}}}":           "spec.template.spec.fetch is a map, not a list",
		"metadata: {name: a}\nspec: {template: {spec: {fetch: [{inline: {paths: {a.yml: {b: c}}}}]}}}": "spec.template.spec.fetch[0].inline.paths.a.yml is a map, not a string",
		"metadata: {name: a}\nspec: {template: {spec: {template: [{ytt: {paths: a}}]}}}":               "spec.template.spec.template[0].ytt.paths is a string, not a list",
		"metadata: ~": "",
		"metadata: {name: a, annotations: ~, ownerReferences: [{name: b}], labels: ~}": "",
		"metadata: {name: a}\nspec: ~":                                                  "",
		"metadata: {name: a}\nspec: {refname: [a], Version: 1}":                         "",
		"metadata: {name: a}\nspec: {template: {spec: ~}}":                              "",
		"metadata: {name: a}\nspec: {template: {spec: {paused: ~, syncPeriod: 1m30s}}}": "",
		"metadata: {name: a}\nspec: {template: {spec: {fetch: [{git: {depth: 1.5}}]}}}": "",
	} {
		doc := yamlnode.Document{Line: 1, Text: []byte("apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\n" + text + "\n")}
		object, err := packagingapi.Deployed(doc, "glob/repo")
		if says == "" {
			assert.NoError(t, err, text)
			assert.NotNil(t, object, text)
			continue
		}
		assert.EqualError(t, err, "Package: "+says, text)
	}
}

const pkg = `apiVersion: data.packaging.carvel.dev/v1alpha1
kind: Package
metadata:
  name: NAME.1.0.0
spec:
  refName: NAME
  version: 1.0.0
  template:
    spec:
      fetch:
      - imgpkgBundle:
          image: IMAGE
      template: []
      deploy: []
`

// packageOf is a Package with a name and an image, or with expressions of ytt for both.
func packageOf(name, image string) string {
	object := name + ".1.0.0"
	if strings.HasPrefix(name, "#@") {
		object = name + " + '.1.0.0'"
	}
	return strings.NewReplacer("NAME.1.0.0", object, "NAME", name, "IMAGE", image).Replace(pkg)
}

// TestPlaces: a document that is as in its file has the lines of the file, and a computed one those
// that ytt says.
func TestPlaces(t *testing.T) {
	t.Parallel()
	documents, findings := packages(t, renderer(t), filesOf(map[string]string{
		"a.yml": "# plain\n---\n" + packageOf("plain.a.test", "reg.test/a:1") + "---\n" + packageOf("changed.a.test", "reg.test/b:1"),
		"b.yml": "#@ load('@ytt:data', 'data')\n#@ load('c.star', 'image')\n#@ for name in data.values.names:\n---\n" +
			"#! comment\n" + packageOf("#@ name", "#@ image") + "#@ end\n---\n" + packageOf("still.a.test", "reg.test/d:1"),
		"c.star":         "image = 'reg.test/c:1'\n",
		"overlay.yml":    "#@ load('@ytt:overlay', 'overlay')\n#@overlay/match by=overlay.subset({'metadata': {'name': 'changed.a.test.1.0.0'}})\n---\nspec:\n  template:\n    spec:\n      fetch:\n      #@overlay/match by=overlay.index(0)\n      - imgpkgBundle:\n          image: reg.test/e:1\n",
		"values.yml":     "#@data/values\n---\nnames: [one.a.test, two.a.test]\n",
		"x/skip.lib.yml": packageOf("library.a.test", "reg.test/f:1"),
	}))
	require.Empty(t, findings)
	type found struct {
		name, image string
		file        string
		line, fetch int
		isComputed  bool
	}
	var got []found
	for _, d := range documents {
		require.NotNil(t, d.Package)
		f := d.Package.Fetches[0]
		got = append(got, found{d.Package.Name, f.Reference, d.File, d.Package.Line, f.Line, d.Lines != nil})
	}
	assert.Equal(t, []found{
		{"plain.a.test", "reg.test/a:1", "packages/a.yml", 2, 14, false},
		{"changed.a.test", "reg.test/e:1", "packages/a.yml", 17, 24, true}, // the image is in another file
		{"one.a.test", "reg.test/c:1", "packages/b.yml", 4, 17, true},
		{"two.a.test", "reg.test/c:1", "packages/b.yml", 4, 17, true},
		{"still.a.test", "reg.test/d:1", "packages/b.yml", 21, 33, false},
	}, got)
}

// TestPackagesFail: where ytt fails, is stopped, or is not run, the files are read as they are, and a
// finding says so.
func TestPackagesFail(t *testing.T) {
	t.Parallel()
	plain := map[string]string{"a.yml": packageOf("a.test", "reg.test/a:1")}
	template := map[string]string{"a.yml": packageOf("a.test", "reg.test/a:1"), "b.yml": "#@ x = 1\n---\na: #@ x\n"}
	failing := map[string]string{"a.yml": packageOf("a.test", "reg.test/a:1"), "b.yml": "#@ assert.fail('no')\n---\na: 1\n"}
	quoting := map[string]string{"a.yml": packageOf("a.test", "reg.test/a:1") + "  releaseNotes: |\n    #@ x\n"}
	slow := renderer(t)
	slow.Program.Time = time.Nanosecond
	for _, test := range []struct {
		what  string
		r     *render.Renderer
		files map[string]string
		want  []string // level, code, file, words of the message
	}{
		{"plain, not rendered", nil, plain, nil},
		{"an overlay in a string", nil, quoting, nil},
		{"not rendered", nil, template, []string{"install not-read packages/b.yml: has ytt directives"}},
		{"rendered", renderer(t), template, nil},
		{"slow", slow, template, []string{"install not-read packages/b.yml: has ytt directives", "install not-read packages: was not rendered"}},
		{"plain and slow", slow, plain, []string{"warning not-read packages: was not rendered"}},
		{"no such program", &render.Renderer{Program: child.Program{Path: "/does/not/exist"}}, template, []string{"install not-read packages/b.yml", "install not-read packages: was not rendered"}},
		{"fails", renderer(t), failing, []string{"install refused packages: ytt fails, so that kapp-controller refuses the whole repository: ", "install not-read packages/b.yml"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			documents, findings := packages(t, test.r, filesOf(test.files))
			isA := func(d carvel.PackageDocument) bool { return d.Package != nil && d.Package.Name == "a.test" }
			require.NotEmpty(t, documents)
			assert.True(t, isA(documents[0]) || isA(documents[len(documents)-1]))
			require.Len(t, findings, len(test.want), "%v", findings)
			for i, f := range findings {
				assert.Contains(t, string(f.Level)+" "+string(f.Code)+" "+f.File+": "+f.Message, test.want[i])
			}
		})
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	p := renderer(t).Packages(v1.Hash{}, func(carvel.PackageDocument) bool { return true })
	p.Add("packages/a.yml", []byte("a: b"))
	_, err := p.End(stopped)
	require.ErrorIs(t, err, context.Canceled)
}

// TestPackagesOnce: a bundle is rendered once in a run, whatever else happens.
func TestPackagesOnce(t *testing.T) {
	t.Parallel()
	r := renderer(t)
	files := filesOf(map[string]string{"a.yml": "#@ x = 'a.test'\n" + packageOf("#@ x", "reg.test/a:1")})
	first, findings := packages(t, r, files)
	require.Empty(t, findings)
	r.Program.Path = "/does/not/exist"
	again, findings := packages(t, r, files)
	assert.Empty(t, findings)
	assert.Equal(t, first, again)
}

// TestPackagesApart: who reads a repository gets documents of its own, with what none before it wrote.
func TestPackagesApart(t *testing.T) {
	t.Parallel()
	r := renderer(t)
	files := filesOf(map[string]string{"a.yml": "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: a.corp.com.1.0.0}\nspec:\n" +
		"  refName: a.corp.com\n  version: 1.0.0\n  template: {spec: {fetch: [{imgpkgBundle: {image: a.corp.com/a}}]}}\n"})
	first, _ := packages(t, r, files)
	require.Len(t, first, 1)
	first[0].Package.Name, first[0].Package.Fetches[0].Reference = "b", "b"
	second, _ := packages(t, r, files)
	require.Equal(t, "a.corp.com", second[0].Package.Name)
	require.Equal(t, "a.corp.com/a", second[0].Package.Fetches[0].Reference)
}

// TestPackagesTooMuch: what is too large to be rendered is still read.
func TestPackagesTooMuch(t *testing.T) {
	t.Parallel()
	p := renderer(t).Packages(v1.Hash{}, func(carvel.PackageDocument) bool { return true })
	n := 0
	count := renderer(t).Packages(v1.Hash{}, func(carvel.PackageDocument) bool { n++; return true })
	for i := range 20_001 {
		count.Add("packages/"+strings.Repeat("a", i%50)+".yml", []byte("a: b\n"))
	}
	findings, err := count.End(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 20_001, n)
	require.Len(t, findings, 1)
	assert.Contains(t, findings[0].Message, "was not rendered: packages/ has more than")

	p.Add("packages/a.yml", []byte("#@ x = 1\na: b\n"))
	p.TooLarge("packages/b.md", 5<<20)
	findings, err = p.End(t.Context())
	require.NoError(t, err)
	require.Len(t, findings, 2)
	assert.Equal(t, report.Install, findings[0].Level)
	assert.Contains(t, findings[1].Message, "was not rendered: packages/b.md has 5242880 bytes")
}
