package render_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/child"
	"relocate/render"
	"relocate/render/kbld"
	"relocate/render/ytt"
	"relocate/report"
	"relocate/testdata/judges"
)

const (
	bundle = "fetch: [{imgpkgBundle: {}}]\n"
	digest = "@sha256:2222222222222222222222222222222222222222222222222222222222222222"
	lock   = "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n" +
		"- image: private.test/all" + digest + "\n  annotations: {kbld.carvel.dev/id: 'app:1.0'}\n"
	readsValues = "#@ load('@ytt:data', 'data')\n---\nv: #@ data.values.v\n"
)

// files returns files of txtar-like text: a line "-- NAME --" begins each.
func files(text string) (list []ytt.File) {
	for _, part := range strings.Split("\n"+text, "\n-- ")[1:] {
		name, data, _ := strings.Cut(part, " --")
		list = append(list, ytt.File{Path: name, Data: []byte(strings.Trim(data, "\n") + "\n")})
	}
	return list
}

func app(spec, text string) render.App {
	return render.App{Name: "inst", Namespace: "space", RefName: "a.test", Version: "1.2.3", Spec: []byte(spec), Fetched: []render.Fetched{{Files: files(text)}}}
}

func secret(name string, keys map[string]string) render.Object {
	o := render.Object{Kind: "Secret", Name: name, Data: map[string][]byte{}}
	for key, value := range keys {
		o.Data[key] = []byte(value)
	}
	return o
}

func codes(r *render.Result) (list []report.Code) {
	for _, f := range r.Faults {
		list = append(list, f.Code)
	}
	return list
}

// TestFolder: where what is fetched goes (vendir 0.41).
func TestFolder(t *testing.T) {
	t.Parallel()
	one := []render.Fetched{{Files: files("-- a.yml --\na: 1\n-- .imgpkg/images.yml --\n-- sub/b.yml --\n")}}
	two := append(slices.Clone(one), render.Fetched{Files: files("-- c.yml --\n")})
	for _, test := range []struct {
		name, fetch string
		fetched     []render.Fetched
		want        string // paths
		err         string
		faults      int
	}{
		{"one", "[{imgpkgBundle: {}}]", one, ".imgpkg/images.yml a.yml sub/b.yml", "", 0},
		{"one with a path", "[{imgpkgBundle: {}, path: p/q/}]", one, "p/q/.imgpkg/images.yml p/q/a.yml p/q/sub/b.yml", "", 0},
		{"two", "[{imgpkgBundle: {}}, {image: {}}]", two, "0/.imgpkg/images.yml 0/a.yml 0/sub/b.yml 1/c.yml", "", 0},
		{"two with a path", "[{imgpkgBundle: {}}, {image: {}, path: p}]", two, "0/.imgpkg/images.yml 0/a.yml 0/sub/b.yml p/c.yml", "", 0},
		{"subPath", "[{image: {subPath: sub/}}]", one, "b.yml", "", 0},
		{"no subPath of a bundle", "[{imgpkgBundle: {subPath: sub}}]", one, ".imgpkg/images.yml a.yml sub/b.yml", "", 0},
		{"subPath that is not there", "[{image: {subPath: none}}]", one, "", "fetch: fetch 1: subPath 'none': no such file or directory", 0},
		{"subPath outside", "[{image: {subPath: ../x}}]", one, "", "fetch: Calculating new root path: Invalid path: ../x", 0},
		{"inline", "[{inline: {paths: {b.yml: b, sub/a.yml: a}}}]", nil, "b.yml sub/a.yml", "", 0},
		{"inline outside", "[{inline: {paths: {../b.yml: b}}}]", nil, "", "fetch: Invalid path: ../b.yml", 0},
		{"inline outside at the root", "[{inline: {paths: {/../b.yml: b}}}]", nil, "", "fetch: Invalid path: /../b.yml", 0},
		{"inline is the folder", "[{inline: {paths: {.: b}}}]", nil, "", "fetch: open : is a directory", 0},
		{"inline at the root", "[{inline: {paths: {/b.yml: b}}}]", nil, "b.yml", "", 0},
		{"pathsFrom", "[{inline: {paths: {d/x.yml: a}, pathsFrom: [{secretRef: {name: s, directoryPath: d}}]}}]", nil, "d/x.yml d/y.yml", "", 0},
		{"pathsFrom nothing", "[{inline: {pathsFrom: [{}]}}]", nil, "", "fetch: Expected either secretRef or configMapRef as a source", 0},
		{"no object", "[{inline: {pathsFrom: [{configMapRef: {name: cm}}]}}]", nil, "", "the package needs the ConfigMap cm of the cluster", 0},
		{"none", "[]", nil, "", "fetch: Expected at least one fetch option", 0},
		{"unknown", "[{ftp: {}}]", nil, "", "fetch: Fetching (0): Unsupported way to fetch templates", 0},
		{"refused", "[{imgpkgBundle: {}, path: .}]", one, "", "fetch: Validating directory '.' (0): Expected path to not be one of '/', '.', '..', ''", 0},
		{"overlapping", "[{imgpkgBundle: {}}, {image: {}, path: 0/x}]", two, "", "fetch: Expected to not manage overlapping paths: '0/x' and '0'", 0},
		{"outside", "[{imgpkgBundle: {}, path: a/../../x}]", one, "", `fetch 1 goes to "a/../../x", which is not in the folder of the App`, 1},
		{"absolute", "[{imgpkgBundle: {}, path: /etc}]", one, "", `fetch 1 goes to "/etc", which is not in the folder of the App`, 1},
		{"not carried", "[{git: {}}]", []render.Fetched{{Missing: "git is not carried"}}, "", "fetch 1: git is not carried", 0},
		{"not given", "[{http: {}}]", nil, "", "what fetch 1 (http) gives is not available", 0},
	} {
		a := render.App{Spec: []byte("fetch: " + test.fetch), Fetched: test.fetched, Objects: []render.Object{secret("s", map[string]string{"y.yml": "y", "x.yml": "x"})}}
		folder, faults, err := a.Folder()
		var paths []string
		for _, f := range folder {
			paths = append(paths, f.Path)
		}
		assert.Equal(t, test.want, strings.Join(paths, " "), test.name)
		assert.Len(t, faults, test.faults, test.name)
		if test.err == "" {
			assert.NoError(t, err, test.name)
		} else {
			assert.EqualError(t, err, test.err, test.name)
		}
	}
}

// TestSteps: what each step gets and gives.
func TestSteps(t *testing.T) {
	t.Parallel()
	const text = "-- a.yml --\na: 1\n-- b.yml --\nb: 2\n-- sub/c.yml --\nc: 3\n-- x.json --\n{\"x\": 1}\n"
	for _, test := range []struct {
		name, template, want, err string
		faults                    []report.Code
	}{
		{"no steps", "[]", "", "spec: Expected at least one template option", nil},
		{"ytt without paths", "[{ytt: {}}]", "a: 1\n---\nb: 2\n---\nc: 3\n", "", nil},
		{"null is no step", "[{ytt: null}]", "", "template: Unsupported way to template", nil},
		{"kustomize", "[{kustomize: {}}]", "", "template: Unsupported way to template", nil},
		{"order of paths", "[{ytt: {paths: [sub, b.yml, a.yml]}}]", "c: 3\n---\nb: 2\n---\na: 1\n", "", nil},
		{"a path twice", "[{ytt: {paths: [a.yml, a.yml]}}]", "a: 1\n---\na: 1\n", "", nil},
		{"a path from the root", "[{ytt: {paths: [/sub/../a.yml]}}]", "a: 1\n", "", nil},
		{"a path outside", "[{ytt: {paths: [sub/../../a.yml]}}]", "", "ytt: Checking path: Invalid path: sub/../../a.yml", nil},
		{"a path that is not there", "[{ytt: {paths: [none]}}]", "", "ytt: Checking file 'none': lstat none: no such file or directory", nil},
		{"an equal sign", "[{ytt: {paths: ['a=b.yml']}}]", "", "ytt: Checking file 'b.yml': lstat b.yml: no such file or directory", nil},
		{"no stream", "[{ytt: {paths: ['-']}}]", "", "ytt: Expected stdin to be available when using it as path, but was not", nil},
		{"the stream twice", "[{ytt: {}}, {ytt: {paths: ['-', '-']}}]", "", "ytt: Standard input has already been read, has the '-' argument been used in more than one flag?", nil},
		{"stream only", "[{ytt: {paths: [a.yml]}}, {ytt: {}}]", "a: 1\n", "", nil},
		{"stream and files", "[{ytt: {paths: [a.yml]}}, {ytt: {paths: [b.yml, '-']}}]", "b: 2\n---\na: 1\n", "", nil},
		{"stream dropped", "[{ytt: {paths: [a.yml]}}, {ytt: {paths: [b.yml]}}]", "b: 2\n", "", []report.Code{render.CodeDropped}},
		{"stream dropped by kbld", "[{ytt: {paths: [a.yml]}}, {kbld: {paths: [b.yml]}}]", "---\nb: 2\n", "", []report.Code{render.CodeDropped}},
		{"nothing dropped", "[{ytt: {paths: [x.json]}}, {ytt: {paths: [b.yml]}}]", "b: 2\n", "", nil},
		{"kbld without paths", "[{kbld: {}}]", "---\na: 1\n---\nb: 2\n---\nc: 3\n---\nx: 1\n", "", nil},
		{"kbld on the stream", "[{ytt: {paths: [a.yml]}}, {kbld: {}}]", "---\na: 1\n", "", nil},
		{"kbld with a comma", "[{kbld: {paths: ['a.yml,b.yml']}}]", "", `kbld: kbld splits the path "a.yml,b.yml" at its comma: no such file or directory`, nil},
		{"the first kind counts", "[{cue: {}, kbld: {paths: [b.yml]}, ytt: {paths: [a.yml]}}]", "a: 1\n", "", nil},
		{"sops", "[{sops: {}}, {ytt: {}}]", "", "step 1 is sops, which relocate does not run", nil},
		{"cue", "[{ytt: {}}, {cue: {}}]", "", "step 2 is cue, which relocate does not run", nil},
		{"helm", "[{helmTemplate: {path: chart}}]", "", "step 1 is helmTemplate, and there is no helm program", nil},
		{"inline comes last", "[{ytt: {paths: [a.yml], inline: {paths: {z.yml: 'z: 1', b/c.yml: 'c: 1'}}}}]", "a: 1\n---\nc: 1\n---\nz: 1\n", "", nil},
		{"inline outside", "[{ytt: {inline: {paths: {../z.yml: 'z: 1'}}}}]", "", "ytt: Invalid path: ../z.yml", nil},
		{"file marks", "[{ytt: {fileMarks: ['sub/*:exclude=true', 'x.json:type=yaml-plain', 'x.json:for-output=true']}}]", "a: 1\n---\nb: 2\n---\nx: 1\n", "", nil},
		{"a file mark of nothing", "[{ytt: {fileMarks: ['c.yml:exclude=true']}}]", "", "ytt: Expected file mark 'c.yml:exclude=true' to match at least one file by path, but did not", nil},
		{"strict is ignored", "[{ytt: {strict: true, paths: [a.yml]}}]", "a: 1\n", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := renderer(t).App(t.Context(), app(bundle+"template: "+test.template, text))
			if test.err == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, test.err)
			}
			assert.Equal(t, test.want, string(got.Text))
			assert.Equal(t, test.faults, codes(got))
			assert.Len(t, got.Files, 4)
		})
	}
}

// TestValues: where values come from, and which win.
func TestValuesFrom(t *testing.T) {
	t.Parallel()
	const text = "-- config/main.yml --\n" + readsValues + "-- config/schema.yml --\n#@data/values-schema\n---\n#@schema/nullable\n#@schema/type any=True\nv: ''\n" +
		"-- defaults/a.yml --\nv: a\n-- defaults/b.yml --\nv: b\n-- defaults/sub/c.txt --\nnot values\n-- plain/readme.md --\nwords\n-- stdin.yml --\nv: stdin\n"
	for _, test := range []struct {
		name, step, want, err string
		faults                []report.Code
		change                func(*render.App)
	}{
		{"none", "", "v: null\n", "", nil, nil},
		{"a folder", "{path: defaults}", "v: b\n", "", nil, nil},
		{"a file", "{path: defaults/a.yml}", "v: a\n", "", nil, nil},
		{"the later wins", "{path: defaults/b.yml}, {path: defaults/a.yml}", "v: a\n", "", nil, nil},
		{"what is not YAML at the top of a folder", "{path: plain}", "", "expected: map (by schema.yml:2)", nil, nil},
		{"missing", "{path: none}", "", "ytt: Extracting data value from file: Checking file 'none': lstat none: no such file or directory", nil, nil},
		{"outside", "{path: ../defaults}", "v: null\n", "", []report.Code{render.CodeSkipped}, nil},
		{"a Secret's keys", "{secretRef: {name: s}}", "v: s-b\n", "", nil, nil},
		{"a ConfigMap", "{configMapRef: {name: cm}}", "v: cm\n", "", nil, nil},
		{"no Secret", "{secretRef: {name: none}}", "", "the package needs the Secret none of the cluster", nil, nil},
		{"nothing", "{}", "", "ytt: Preparing template values: Expected one of secretRef, configMapRef, downwardAPI, or path as a source", nil, nil},
		{"name", "{downwardAPI: {items: [{name: v, fieldPath: metadata.name}]}}", "v: inst\n", "", nil, nil},
		{"namespace", "{downwardAPI: {items: [{name: v, fieldPath: '{.metadata.namespace}'}]}}", "v: space\n", "", nil, nil},
		{"nested", "{downwardAPI: {items: [{name: 'v.a\\.b.c', fieldPath: .metadata.name}]}}", "v:\n  a.b:\n    c: inst\n", "", nil, nil},
		{"annotations", "{downwardAPI: {items: [{name: v, fieldPath: metadata.annotations}]}}", "v:\n  packaging.carvel.dev/package-ref-name: a.test\n  packaging.carvel.dev/package-version: 1.2.3\n", "", nil, nil},
		{"an annotation", `{downwardAPI: {items: [{name: v, fieldPath: 'metadata.annotations.packaging\.carvel\.dev/package-version'}]}}`, "v: 1.2.3\n", "", nil, nil},
		{"an annotation by index", `{downwardAPI: {items: [{name: v, fieldPath: "metadata.annotations['packaging.carvel.dev/package-ref-name']"}]}}`, "v: a.test\n", "", nil, nil},
		{"no annotation", "{downwardAPI: {items: [{name: v, fieldPath: metadata.annotations.none}]}}", "", "ytt: Preparing template values: none is not found", nil, nil},
		{"labels", "{downwardAPI: {items: [{name: v, fieldPath: metadata.labels}]}}", "v: {}\n", "", nil, nil},
		{"no field", "{downwardAPI: {items: [{name: v, fieldPath: spec.x}]}}", "", "ytt: Preparing template values: spec.x is not found", nil, nil},
		{"a bad name", "{downwardAPI: {items: [{name: v..x, fieldPath: metadata.name}]}}", "",
			"ytt: Preparing template values: Invalid name was provided 'v..x' (hint: separate paths should only use a single '.' character)", nil, nil},
		{"a Kubernetes version", "{downwardAPI: {items: [{name: v, kubernetesVersion: {}}]}}", "v: 1.31.0\n", "", nil, nil},
		{"a given Kubernetes version", "{downwardAPI: {items: [{name: v, kubernetesVersion: {version: 1.2.3}}]}}", "v: 1.2.3\n", "", nil, nil},
		{"a kapp-controller version", "{downwardAPI: {items: [{name: v, kappControllerVersion: {}}]}}", "v: 0.53.1\n", "", nil, nil},
		{"APIs", "{downwardAPI: {items: [{name: v, kubernetesAPIs: {}}]}}", "v:\n- v1\n- apps/v1\n", "", nil, nil},
		{"given APIs", "{downwardAPI: {items: [{name: v, kubernetesAPIs: {groupVersions: [x/v1]}}]}}", "v:\n- x/v1\n", "", nil, nil},
		{"no item", "{downwardAPI: {items: [{name: v}]}}", "", "ytt: Preparing template values: Invalid downward API item given", nil, nil},
		{"the PackageInstall's win", "{path: defaults}", "v: two\n", "", nil, func(a *render.App) {
			a.Values = []ytt.File{{Path: "/tmp/one", Data: []byte("v: one")}, {Path: "two", Data: []byte("v: two")}}
		}},
		{"as overlays", "{path: defaults}", "v: b\n---\nv: plain\n", "", nil, func(a *render.App) {
			a.Annotations = map[string]string{"ext.packaging.carvel.dev/ytt-data-values-overlays": ""}
			a.Values = []ytt.File{{Path: "x.yml", Data: []byte("v: plain")}, {Path: "y.yml", Data: []byte("#@data/values\n---\nv: overlay")}}
		}},
		{"an overlay Secret", "{path: defaults}", "v: b\nadded: 1\n", "", nil, func(a *render.App) {
			a.Annotations = map[string]string{"ext.packaging.carvel.dev/ytt-paths-from-secret-name": "overlay"}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := app(bundle+"template: [{ytt: {paths: [config], valuesFrom: ["+test.step+"]}}]", text)
			a.Objects = []render.Object{
				secret("s", map[string]string{"b": "v: s-b", "a": "v: s-a"}), {Kind: "ConfigMap", Name: "cm", Data: map[string][]byte{"k": []byte("v: cm")}},
				secret("overlay", map[string]string{"o.yml": "#@ load('@ytt:overlay', 'overlay')\n#@overlay/match by=overlay.all\n---\n#@overlay/match missing_ok=True\nadded: 1\n"}),
			}
			if test.change != nil {
				test.change(&a)
			}
			got, err := renderer(t).App(t.Context(), a)
			if test.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.err)
			}
			assert.Equal(t, test.want, string(got.Text))
			assert.Equal(t, test.faults, codes(got))
		})
	}
}

// TestUnreadValues: values that no template reads, or that the wrong step gets.
func TestUnreadValues(t *testing.T) {
	t.Parallel()
	const text = "-- plain/a.yml --\na: 1\n-- main/m.yml --\n" + readsValues + "-- main/values.yml --\n#@data/values\n---\nv: default\n-- d.yml --\nv: d\n"
	given := []ytt.File{{Path: "x", Data: []byte("v: given")}}
	for _, test := range []struct {
		name, template, want string
		values               []ytt.File
		message              string
	}{
		{"read", "[{ytt: {paths: [main]}}]", "v: given\n", given, ""},
		{"none", "[{ytt: {paths: [plain]}}]", "a: 1\n", nil, ""},
		{"unread", "[{ytt: {paths: [plain]}}]", "a: 1\n", given, "step 1 (ytt) gets values, and none of its templates reads values"},
		{"unread valuesFrom", "[{ytt: {paths: [main]}}, {ytt: {valuesFrom: [{path: d.yml}]}}]", "v: default\n", nil, "step 2 (ytt) gets values, and none of its templates reads values"},
		{"the wrong step", "[{ytt: {paths: [plain]}}, {ytt: {paths: ['-', main]}}]", "a: 1\n---\nv: default\n", given,
			"the values of a PackageInstall go to step 1 (ytt), whose templates read no values; step 2 (ytt) reads values and does not get them"},
		{"a later step with its own", "[{ytt: {paths: [plain]}}, {ytt: {paths: ['-', main], valuesFrom: [{path: d.yml}]}}]", "a: 1\n---\nv: d\n", nil, ""},
		{"no step for values", "[{kbld: {paths: [plain]}}]", "---\na: 1\n", given, "no step takes the values of the PackageInstall: there is no ytt and no helmTemplate step"},
		{"the stream as values", "[{ytt: {paths: [d.yml]}}, {ytt: {paths: [main], valuesFrom: [{path: '-'}]}}]", "v: d\n", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := app(bundle+"template: "+test.template, text)
			a.Values = test.values
			got, err := renderer(t).App(t.Context(), a)
			require.NoError(t, err)
			assert.Equal(t, test.want, string(got.Text))
			if test.message == "" {
				assert.Empty(t, got.Faults)
			} else if assert.Len(t, got.Faults, 1) {
				assert.Equal(t, render.CodeValues, got.Faults[0].Code)
				assert.Equal(t, test.message, got.Faults[0].Message)
			}
		})
	}
}

// TestOrigins: each string of the result has the file and line that it comes from, through all steps.
func TestOrigins(t *testing.T) {
	t.Parallel()
	const text = "-- config/a.yml --\n#@ load('@ytt:data', 'data')\n---\nkind: List\nitems:\n- metadata: {name: x}\n  image: #@ data.values.image\n- image: app:1.0\n---\nimage: other:2\n" +
		"-- config/values.yml --\n#@data/values\n---\nimage: app:1.0\n-- config/z.txt --\n-- more.yml --\nimage: more:3\n-- .imgpkg/images.yml --\n" + lock
	for _, test := range []struct{ name, template string }{
		{"kbld", "[{ytt: {paths: [config, more.yml]}}, {kbld: {paths: ['-', .imgpkg/images.yml]}}]"},
		{"a second ytt step", "[{ytt: {paths: [config]}}, {ytt: {paths: ['-', more.yml]}}, {kbld: {paths: ['-', .imgpkg/images.yml]}}]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := renderer(t).App(t.Context(), app(bundle+"template: "+test.template, text))
			require.NoError(t, err)
			var strs []ytt.String
			for _, doc := range got.Documents {
				for _, s := range doc.Strings {
					if s.Path == "/image" {
						strs = append(strs, s)
					}
				}
			}
			rewritten := "private.test/all" + digest
			assert.Equal(t, []ytt.String{
				{Document: 0, Path: "/image", Value: rewritten, Place: ytt.Place{File: "config/a.yml", Line: 6}},
				{Document: 1, Path: "/image", Value: rewritten, Place: ytt.Place{File: "config/a.yml", Line: 7}},
				{Document: 2, Path: "/image", Value: "other:2", Place: ytt.Place{File: "config/a.yml", Line: 9}},
				{Document: 3, Path: "/image", Value: "more:3", Place: ytt.Place{File: "more.yml", Line: 1}},
			}, strs)
			var images []string
			for i, image := range got.Images {
				assert.Equal(t, i, image.Document)
				assert.Equal(t, strs[i].Place, image.Place)
				images = append(images, image.Value)
			}
			assert.Equal(t, []string{"app:1.0", "app:1.0", "other:2", "more:3"}, images)
			assert.Equal(t, kbld.Rewritten, got.Images[0].Result.Outcome)
			assert.Equal(t, kbld.Asked, got.Images[2].Result.Outcome)
			assert.Empty(t, got.Faults)
		})
	}
}

// TestKbldFaults: what kbld loses or changes without a word.
func TestKbldFaults(t *testing.T) {
	t.Parallel()
	const text = "-- a.yml --\nkind: Odd\nitems: [{a: 1}]\n---\nn: 12345678901234567\n---\nimage: app:1.0\nmetadata: {annotations: {x: 1}}\n-- .imgpkg/images.yml --\n" + lock
	got, err := renderer(t).App(t.Context(), app(bundle+"template: [{ytt: {paths: [a.yml]}}, {kbld: {paths: ['-', .imgpkg/images.yml]}}]", text))
	require.NoError(t, err)
	require.Equal(t, []report.Code{render.CodeChanged, render.CodeChanged, render.CodeChanged}, codes(got))
	assert.Equal(t, `step 2 (kbld): of a document of kind "Odd" with items, only the items are printed`, got.Faults[0].Message)
	assert.Equal(t, "step 2 (kbld): the integer 12345678901234567 is rounded", got.Faults[1].Message)
	assert.Equal(t, `step 2 (kbld): the annotation "x" is not a string: all annotations of the document are lost`, got.Faults[2].Message)
	for _, fault := range got.Faults {
		assert.Equal(t, "a.yml", fault.Place.File)
		assert.NotZero(t, fault.Place.Line)
	}
}

// TestKbldFails: the images that make kbld fail are in the result.
func TestKbldFails(t *testing.T) {
	t.Parallel()
	got, err := renderer(t).App(t.Context(), app(bundle+"template: [{ytt: {}}, {kbld: {}}]", "-- a.yml --\nimage: A B\n"))
	failed, ok := err.(*render.FailedError)
	require.True(t, ok, "%v", err)
	assert.Equal(t, 1, failed.Step)
	assert.Equal(t, "kbld", failed.Kind)
	assert.Contains(t, failed.Message, "A B")
	require.Len(t, got.Images, 1)
	assert.Equal(t, ytt.Place{File: "a.yml", Line: 1}, got.Images[0].Place)
}

// TestUnused: files that no step prints, runs or could read.
func TestUnused(t *testing.T) {
	t.Parallel()
	const text = "-- config/a.yml --\na: 1\n-- config/notes.md --\n-- config/x.json --\n{}\n-- config/c.star --\n-- other/b.yml --\nb: 1\n-- .imgpkg/images.yml --\n" + lock
	for _, test := range []struct{ name, template, more, want string }{
		{"none of its templates reads", "[{ytt: {paths: [config]}}]", "", ".imgpkg/images.yml config/notes.md config/x.json other/b.yml"},
		{"kbld reads", "[{ytt: {paths: [config]}}, {kbld: {paths: ['-', .imgpkg]}}]", "", "config/notes.md config/x.json other/b.yml"},
		{"data.read", "[{ytt: {paths: [config]}}]", "-- config/r.yml --\n#@ load('@ytt:data', 'data')\n#@ if False:\nr: #@ data.read('x.json')\n#@ end\n", ".imgpkg/images.yml other/b.yml"},
		{"excluded", "[{ytt: {paths: [config], fileMarks: ['a.yml:exclude=true']}}]", "", ".imgpkg/images.yml config/a.yml config/notes.md config/x.json other/b.yml"},
		{"a library that none gets", "[{ytt: {paths: [config, other]}}]", "-- config/_ytt_lib/l/a.yml --\na: 1\n", ".imgpkg/images.yml config/_ytt_lib/l/a.yml config/notes.md config/x.json"},
		{"a library", "[{ytt: {paths: [config, other]}}]", "-- config/_ytt_lib/l/a.yml --\na: 1\n-- config/r.yml --\n#@ load('@ytt:library', 'library')\n#@ if False:\nr: #@ library.get('l')\n#@ end\n", ".imgpkg/images.yml config/notes.md config/x.json"},
		{"values", "[{ytt: {paths: [config], valuesFrom: [{path: other}]}}]", "", ".imgpkg/images.yml config/notes.md config/x.json"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := renderer(t).App(t.Context(), app(bundle+"template: "+test.template, text+test.more))
			require.NoError(t, err)
			assert.Equal(t, test.want, strings.Join(slices.Sorted(maps.Keys(got.Unused)), " "))
		})
	}
}

// TestNeeds: the values that a failing package asks for.
func TestNeeds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, message, want string }{
		{"assert", "#@ load('@ytt:data', 'data')\n#@ load('@ytt:assert', 'assert')\n#@ if not data.values.vsphere.server:\n#@   assert.fail('no server: set data.values.vsphere.server')\n#@ end\n", "no server", "vsphere.server"},
		{"required", "#@ load('@ytt:assert', 'assert')\n#@ assert.fail('cloud.region is required')\n", "is required", "cloud.region"},
		{"field", "#@ load('@ytt:data', 'data')\na: #@ data.values.region\n", "struct has no .region field or method", "region"},
		{"validation", "#@data/values-schema\n---\n#@schema/validation min_len=1\nname: ''\n", "must be: length >= 1", "name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := app(bundle+"template: [{ytt: {}}]", "-- a.yml --\n"+test.text)
			if test.name == "assert" {
				a.Values = []ytt.File{{Path: "v", Data: []byte("vsphere: {server: ''}")}}
			}
			_, err := renderer(t).App(t.Context(), a)
			failed, ok := err.(*render.FailedError)
			require.True(t, ok, "%v", err)
			assert.Contains(t, failed.Message, test.message)
			assert.Equal(t, test.want, strings.Join(failed.Needs, " "), failed.Message)
		})
	}
}

// TestLimits: nothing waits for ever.
func TestLimits(t *testing.T) {
	t.Parallel()
	r := renderer(t)
	r.Time = time.Nanosecond
	_, err := r.App(t.Context(), app(bundle+"template: [{ytt: {}}]", "-- a.yml --\na: 1\n"))
	var limit *child.LimitError
	assert.ErrorAs(t, err, &limit)

	_, err = (&render.Renderer{}).App(t.Context(), app(bundle+"template: [{ytt: {}}]", "-- a.yml --\na: 1\n"))
	var not *render.NotRenderedError
	assert.ErrorAs(t, err, &not)
}

// TestHelmThenOthers: what helm prints goes on to the other steps, with the files that it comes from;
// of a packed chart that is the pack.
func TestHelmThenOthers(t *testing.T) {
	t.Parallel()
	r := renderer(t)
	r.Helm = judges.Program(t, "helm")
	chart := files("-- c/Chart.yaml --\napiVersion: v2\nname: c\nversion: 0.1.0\n-- c/templates/a.yaml --\n{{ if .Files.Get \"x\" }}\nimage: app:1.0\n{{ end }}\n-- c/x --\nyes\n-- .imgpkg/images.yml --\n" + lock)
	const template = "template: [{helmTemplate: {path: %s}}, {ytt: {}}, {kbld: {paths: ['-', .imgpkg/images.yml]}}]"
	for _, test := range []struct {
		path, place string
		files       []ytt.File
	}{
		{"c", "c/templates/a.yaml", chart},
		{"c.tgz", "c.tgz", []ytt.File{{Path: "c.tgz", Data: pack(t, chart[:3])}, chart[3]}},
	} {
		got, err := r.App(t.Context(), render.App{Spec: []byte(bundle + strings.ReplaceAll(template, "%s", test.path)), Fetched: []render.Fetched{{Files: test.files}}})
		require.NoError(t, err)
		require.Len(t, got.Images, 1)
		assert.Equal(t, kbld.Rewritten, got.Images[0].Result.Outcome)
		assert.Equal(t, ytt.Place{File: test.place}, got.Images[0].Place)
		assert.Empty(t, got.Unused)
		assert.Empty(t, got.Faults)
	}
}

// pack returns files as a gzipped tarball.
func pack(t *testing.T, files []ytt.File) []byte {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	tarball := tar.NewWriter(zip)
	for _, f := range files {
		require.NoError(t, tarball.WriteHeader(&tar.Header{Name: f.Path, Size: int64(len(f.Data)), Mode: 0o644}))
		_, err := tarball.Write(f.Data)
		require.NoError(t, err)
	}
	require.NoError(t, tarball.Close())
	require.NoError(t, zip.Close())
	return packed.Bytes()
}

// TestHelmIsAlone: helm sees nothing of the environment, and nothing of it stays.
func TestHelmIsAlone(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the stand-in for helm is a script for Linux")
	}
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv("HELM_NAMESPACE", "leaked")
	program := filepath.Join(t.TempDir(), "helm")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n/usr/bin/env | /usr/bin/sort\nls -A \"$HOME\"\nstat -c %a \"$HOME/..\"\n"), 0o755))
	r := renderer(t)
	r.Helm = program
	got, err := r.App(t.Context(), app(bundle+"template: [{helmTemplate: {path: chart}}]", "-- chart/Chart.yaml --\nname: c\n"))
	require.NoError(t, err)
	text := string(got.Text)
	assert.Contains(t, text, "KUBERNETES_SERVICE_HOST=not-real\nKUBERNETES_SERVICE_PORT=not-real\n")
	assert.NotContains(t, text, "leaked")
	assert.True(t, strings.HasSuffix(text, "\n700\n"), text)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if strings.HasPrefix(name, "HELM_") || name == "HOME" {
			assert.True(t, strings.HasPrefix(value, tmp+"/relocate-helm-"), line)
		}
	}
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// TestHelm: how helm is called, and what comes out.
func TestHelm(t *testing.T) {
	t.Parallel()
	helm := judges.Program(t, "helm")
	const text = "-- chart/Chart.yaml --\napiVersion: v2\nname: c\nversion: 0.1.0\n-- chart/values.yaml --\nv: chart\n" +
		"-- chart/templates/a.yaml --\nkube: {{ .Capabilities.KubeVersion.Version }}\nname: {{ .Release.Name }} {{ .Release.Namespace }}\nv: {{ .Values.v }}\nimage: app:1.0\n" +
		"-- chart/README.md --\n-- chart/ci/test.yaml --\nv: ci\n-- v.yaml --\nv: file\n-- other.txt --\n"
	const want = "---\n# Source: c/templates/a.yaml\nkube: v1.31.0\nname: inst space\nv: %s\nimage: app:1.0\n"
	for _, test := range []struct{ name, template, value, err string }{
		{"defaults", "[{helmTemplate: {path: chart}}]", "chart", ""},
		{"a file", "[{helmTemplate: {path: chart, valuesFrom: [{path: v.yaml}]}}]", "file", ""},
		{"a folder", "[{helmTemplate: {path: chart, valuesFrom: [{path: chart}]}}]", "", "is a directory"},
		{"the PackageInstall's", "[{helmTemplate: {path: chart, valuesFrom: [{path: v.yaml}], kubernetesVersion: {version: 1.2.3}}}]", "given", ""},
		{"no chart", "[{helmTemplate: {path: none}}]", "", "helmTemplate: Error: "},
		{"outside", "[{helmTemplate: {path: ../none}}]", "", "helmTemplate: Invalid path: ../none"},
		{"no stream", "[{helmTemplate: {path: chart, valuesFrom: [{path: '-'}]}}]", "", "helmTemplate: Expected stdin to be available when using it as path, but was not"},
		{"the stream as values", "[{ytt: {paths: [v.yaml]}}, {helmTemplate: {path: chart, valuesFrom: [{path: '-'}]}}]", "file", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := renderer(t)
			r.Helm = helm
			a := app(bundle+"template: "+test.template, text)
			if test.value == "given" {
				a.Values = []ytt.File{{Path: "v", Data: []byte("v: given\n")}}
			}
			got, err := r.App(t.Context(), a)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				assert.NotContains(t, err.Error(), "relocate-helm-")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, strings.ReplaceAll(want, "%s", test.value), string(got.Text))
			require.Len(t, got.Documents, 1)
			assert.Contains(t, got.Documents[0].Strings, ytt.String{Path: "/image", Value: "app:1.0", Place: ytt.Place{File: "chart/templates/a.yaml"}})
			assert.True(t, got.Unused["chart/README.md"])
			assert.True(t, got.Unused["chart/ci/test.yaml"])
			assert.True(t, got.Unused["other.txt"])
			assert.False(t, got.Unused["chart/values.yaml"])
			assert.Empty(t, got.Faults)
		})
	}
}
