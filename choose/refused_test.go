package choose_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/choose"
	"relocate/internal/imgpkg"
	"relocate/internal/yamlnode"
	"relocate/oci"
	"relocate/render"
	"relocate/testdata/seed"
)

// TestTemplates: a file with directives of ytt that holds something chosen is refused with its name, and
// so is a file of which templates elsewhere make something else. Others do not matter.
func TestTemplates(t *testing.T) {
	t.Parallel()
	const overlay = `#@ load("@ytt:overlay", "overlay")
#@overlay/match by=overlay.subset({"kind": "Package"}), expects="0+"
---
#@overlay/match-child-defaults missing_ok=True
metadata:
  annotations: {seen: "yes"}
`
	loop := "#@ for version in [\"1.0.0\", \"2.0.0\"]:\n---\n" + strings.ReplaceAll(strings.ReplaceAll(pkg("t.b.c", "VERSION", "3"), "name: t.b.c.VERSION # its full name", `name: #@ "t.b.c." + version`), "version: VERSION", "version: #@ version") + "#@ end\n"
	inString := strings.Replace(pkg("s.b.c", "1.0.0", "4"), "spec:\n  refName", "spec:\n  releaseNotes: |\n    #@ not a directive\n  refName", 1)
	for _, test := range []struct {
		name   string
		file   string // packages/t.yml
		choose []string
		want   string // in an error; empty for none
	}{
		{"a loop, chosen", loop, []string{"t.b.c"}, `packages/t.yml: nothing can be chosen from it: Package "t.b.c.1.0.0" (line 2): the file has directives of ytt, and is not cut apart`},
		{"a loop, not chosen", loop, []string{"a.b.c"}, ""},
		{"beside a directive", pkg("t.b.c", "1.0.0", "3") + "#@ x = 1\n", []string{"t.b.c"}, `packages/t.yml: nothing can be chosen from it: Package "t.b.c.1.0.0" (line 1): the file has directives of ytt`},
		{"metadata beside a directive", metadata("a.b.c") + "#@ x = 1\n", []string{"a.b.c"}, `packages/t.yml: nothing can be chosen from it: PackageMetadata "a.b.c" (line 1): the file has directives of ytt`},
		{"an overlay", overlay, []string{"a.b.c"}, `packages/a.yml: nothing can be chosen from it: Package "a.b.c.1.0.0" (line 1): without the others of the repository, ytt makes another one of it`},
		{"an overlay of another kind", strings.Replace(overlay, `"kind": "Package"`, `"kind": "ConfigMap"`, 1), []string{"a.b.c"}, ""},
		{"a comment of ytt", pkg("t.b.c", "1.0.0", "3") + "#! a comment\n", []string{"t.b.c"}, ""},
		{"text that looks like one", inString, []string{"s.b.c"}, ""},
		{"a template without a Package", "#@ x = 1\n---\nkind: ConfigMap\n", []string{"a.b.c"}, ""},
	} {
		repo := read(t, renderer(t), map[string][]byte{carvel.LockFile: lockOf(t), "packages/a.yml": []byte(pkg("a.b.c", "1.0.0", "1")), "packages/t.yml": []byte(test.file)})
		_, d, err := derive(t, repo, choose.Choice{Packages: patterns(t, test.choose...)})
		if test.want == "" {
			require.NoError(t, err, test.name)
			continue
		}
		require.ErrorIs(t, err, choose.ErrRefused, test.name)
		assert.ErrorContains(t, err, test.want, test.name)
		assert.Nil(t, d, test.name)
	}
}

// TestHidden: a document behind a line break that editors do not see is not carried along.
func TestHidden(t *testing.T) {
	t.Parallel()
	r := renderer(t)
	for _, lineBreak := range []string{"\u0085", "\u2028", "\u2029"} {
		repo := read(t, r, map[string][]byte{carvel.LockFile: lockOf(t), "packages/a.yml": []byte(pkg("a.b.c", "1.0.0", "1") + "# x" + lineBreak + "---\n" + pkg("hidden.b.c", "1.0.0", "2"))})
		require.Len(t, repo.Packages, 2, "ytt sees it")
		_, _, err := derive(t, repo, choose.Choice{Packages: patterns(t, "a.b.c")})
		require.ErrorIs(t, err, choose.ErrRefused)
		require.ErrorContains(t, err, `packages/a.yml: nothing can be chosen from it: Package "hidden.b.c.1.0.0"`)
		require.ErrorContains(t, err, "ytt makes one of it that was not chosen")
	}
}

// TestTwice: of a lock that a layer has twice, the first one counts, and of a file below packages/ the
// last one: as kapp-controller has them.
func TestTwice(t *testing.T) {
	t.Parallel()
	var layer bytes.Buffer
	zw := gzip.NewWriter(&layer)
	tw := tar.NewWriter(zw)
	for _, f := range [][2]string{
		{carvel.LockFile, string(lockOf(t, [2]string{"a.b.c", "1"}))}, {carvel.LockFile, string(lockOf(t, [2]string{"a.b.c", "2"}))},
		{"packages/a.yml", pkg("a.b.c", "1.0.0", "2")}, {"./packages//a.yml", pkg("a.b.c", "1.0.0", "1")},
	} {
		require.NoError(t, tw.WriteHeader(&tar.Header{Name: f[0], Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(f[1]))}))
		_, err := tw.Write([]byte(f[1]))
		require.NoError(t, err)
	}
	require.NoError(t, tw.Close())
	require.NoError(t, zw.Close())
	repo, err := choose.Read(t.Context(), v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}, &layer, renderer(t))
	require.NoError(t, err)
	_, d, err := derive(t, repo, choose.Choice{Latest: 1})
	require.NoError(t, err)
	assert.Equal(t, []string{digestOf("1")}, digestsOf(lockIn(t, d)))
	assert.Equal(t, pkg("a.b.c", "1.0.0", "1"), filesOf(t, d)["packages/a.yml"])
}

// TestBroken: where other files cannot be read, what can be read can be chosen.
func TestBroken(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*render.Renderer{"rendered": renderer(t), "as it is": nil} {
		broken := map[string][]byte{carvel.LockFile: lockOf(t), "packages/a.yml": []byte(pkg("a.b.c", "1.0.0", "1")), "packages/b.yml": []byte("a: [\n"), "packages/c.yml": []byte("\xff\xfea\x00")}
		repo := read(t, r, broken)
		assert.NotEmpty(t, repo.Findings, name)
		_, d, err := derive(t, repo, choose.Choice{Latest: 1})
		require.NoError(t, err, name)
		assert.Equal(t, pkg("a.b.c", "1.0.0", "1"), filesOf(t, d)["packages/a.yml"], name)
	}
}

// TestLock: the entries that a chosen document names by id or by digest stay, in their order.
func TestLock(t *testing.T) {
	t.Parallel()
	entry := func(letter, id string) string {
		s := "- image: registry.example/x@" + digestOf(letter) + "\n"
		if id != "" {
			s += "  annotations: {kbld.carvel.dev/id: \"" + id + "\"}\n"
		}
		return s
	}
	lock := "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n" + entry("9", "unused") + entry("5", "docker.io/other:5") + entry("4", "") + entry("3", "nginx:1") +
		entry("2", "registry.example/a:1.0.0") + entry("1", "registry.example/gone:1.0.0") + entry("2", "registry.example/mirror:1.0.0") + entry("6", "registry.example/a")
	file := strings.NewReplacer("registry.example/a.b.c@"+digestOf("7"), "registry.example/a:1.0.0", "spec:\n  refName", `spec:
  releaseNotes: >-
    It also has
    registry.example/y@`+digestOf("4")+`,
    but not registry.example/gone:1.0.0 in a text.
  valuesSchema: {openAPIv3: {default: {image: "\u006eginx:1"}}}
  refName`).Replace(pkg("a.b.c", "1.0.0", "7"))
	repo := read(t, renderer(t), map[string][]byte{carvel.LockFile: []byte(lock), "packages/a.yml": []byte(file)})
	assert.Equal(t, digestOf("2"), repo.Packages[0].Fetches[0].Digest.String())
	_, d, err := derive(t, repo, choose.Choice{Latest: 1})
	require.NoError(t, err)
	assert.Equal(t, []string{digestOf("4"), digestOf("3"), digestOf("2")}, digestsOf(lockIn(t, d)))

	// Without any image there is a lock all the same: a bundle has one.
	inline := strings.Replace(pkg("a.b.c", "1.0.0", "7"), "imgpkgBundle:\n          image: registry.example/a.b.c@"+digestOf("7"), "inline: {paths: {}}", 1)
	repo = read(t, renderer(t), map[string][]byte{carvel.LockFile: []byte(lock), "packages/a.yml": []byte(inline)})
	_, d, err = derive(t, repo, choose.Choice{Latest: 1})
	require.NoError(t, err)
	assert.Equal(t, "---\napiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\n", filesOf(t, d)[carvel.LockFile])
}

// TestKinds: Packages of older generations are chosen like today's; duplicates stay duplicates.
func TestKinds(t *testing.T) {
	t.Parallel()
	old := "apiVersion: package.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: old.b.c.1.0.0}\nspec: {publicName: old.b.c, version: 1.0.0}\n"
	oldMetadata := "apiVersion: package.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: old.b.c}\nspec: {displayName: Old}\n"
	repo := read(t, renderer(t), map[string][]byte{
		carvel.LockFile: lockOf(t), "packages/old.yml": []byte(old + "---\n" + oldMetadata), "packages/a.yml": []byte(pkg("a.b.c", "1.0.0", "1")), "packages/z.yml": []byte(pkg("a.b.c", "1.0.0", "1")),
	})
	_, d, err := derive(t, repo, choose.Choice{Packages: patterns(t, "old.b.c")})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{carvel.LockFile: filesOf(t, d)[carvel.LockFile], "packages/old.yml": old + "---\n" + oldMetadata}, filesOf(t, d))
	chosen, d, err := derive(t, repo, choose.Choice{Packages: patterns(t, "a.b.c")})
	require.NoError(t, err)
	assert.Len(t, chosen.Versions, 1)
	assert.Len(t, filesOf(t, d), 3)
}

// TestNothing: a repository without any package is none.
func TestNothing(t *testing.T) {
	t.Parallel()
	repo := read(t, nil, map[string][]byte{carvel.LockFile: lockOf(t), "packages/a.yml": []byte(pkg("a.b.c", "1.0.0-rc.1", "1"))})
	_, _, err := derive(t, repo, choose.Choice{Latest: 1})
	assert.ErrorIs(t, err, choose.ErrUnmatched)
	assert.EqualError(t, err, "the choice matches nothing: no version of a package of the repository")
}

// TestRead: what is no layer of a bundle, or too large, is an error that says why.
func TestRead(t *testing.T) {
	t.Parallel()
	large := map[string][]byte{carvel.LockFile: lockOf(t)}
	for _, name := range strings.Split("abcdefghijklmnopq", "") {
		large["packages/"+name+".yml"] = bytes.Repeat([]byte("\xff"), yamlnode.MaxSize) // soon known to be no YAML
	}
	for want, files := range map[string]map[string][]byte{
		"has no .imgpkg/images.yml":                               {"packages/a.yml": nil},
		`apiVersion: is "", want`:                                 {carvel.LockFile: []byte("kind: ImagesLock\n")},
		"has 4194305 bytes, more than the limit of 4194304":       {carvel.LockFile: lockOf(t), "packages/a.yml": make([]byte, yamlnode.MaxSize+1)},
		"the files below packages/ have more than 67108864 bytes": large,
	} {
		image, err := imgpkg.BuildStored(files, nil)
		require.NoError(t, err)
		_, err = choose.Read(t.Context(), image.Descriptor.Digest, bytes.NewReader(image.Layer), renderer(t))
		assert.ErrorContains(t, err, want)
		assert.ErrorIs(t, err, oci.ErrMalformed)
	}
	_, err := choose.Read(t.Context(), v1.Hash{}, strings.NewReader("x"), nil)
	assert.ErrorIs(t, err, oci.ErrMalformed)
}

// FuzzDerive: whatever a file has, each document of what is derived is one of the file's, in order, and
// the Packages are those that were chosen; or it is refused.
func FuzzDerive(f *testing.F) {
	for _, in := range seed.Files(f, "..", seed.YAML...) {
		f.Add(in)
	}
	f.Add([]byte("# a\n---\n" + pkg("a.b.c", "1.0.0", "1") + "...\n" + pkg("a.b.c", "2.0.0", "1") + "---\n%YAML 1.1\n---\n" + metadata("a.b.c")))
	f.Add([]byte("{kind: Package}\n--- {apiVersion: data.packaging.carvel.dev/v1alpha1, kind: Package, spec: {refName: a, version: 1.0.0}} \n--- |\n ---\r\n...\r# x\n"))
	f.Add([]byte("a: 1\u2028--- \n" + pkg("a.b.c", "1.0.0", "1") + "... # x\n---\n--- # y\n" + pkg("a.b.c", "2.0.0", "1")))
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) > 1<<16 {
			return
		}
		image, err := imgpkg.BuildStored(map[string][]byte{carvel.LockFile: []byte("apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\n"), "packages/a.yml": file}, nil)
		require.NoError(t, err)
		repo, err := choose.Read(t.Context(), image.Descriptor.Digest, bytes.NewReader(image.Layer), nil)
		require.NoError(t, err)
		chosen, err := repo.Choose(t.Context(), choose.Choice{Latest: 1}, nil)
		require.NoError(t, err)
		d, err := repo.Derive(t.Context(), chosen)
		if err != nil {
			seed.RequireLine(t, err)
			return
		}
		again, err := choose.Read(t.Context(), d.Descriptor.Digest, bytes.NewReader(d.Layer), nil)
		require.NoError(t, err)
		versions := map[string]bool{}
		for _, v := range chosen.Versions {
			versions[v.Name+" "+v.Version] = true
		}
		for _, p := range again.Packages {
			require.True(t, versions[p.Name+" "+p.Version])
		}
		got := filesOf(t, d)["packages/a.yml"]
		all, whole := decodeAll(file)
		if !whole {
			return
		}
		kept, whole := decodeAll([]byte(got))
		require.True(t, whole, "%q", got)
		for _, doc := range kept {
			i := 0
			for i < len(all) && all[i] != doc {
				i++
			}
			require.Less(t, i, len(all), "the document is none of the file's: %q", doc)
			all = all[i+1:]
		}
	})
}

// decodeAll returns the documents of a file as another parser sees them, and whether it could read all.
func decodeAll(data []byte) (list []string, whole bool) {
	for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var n yaml.Node
		switch err := d.Decode(&n); {
		case errors.Is(err, io.EOF):
			return list, true
		case err != nil:
			return list, false
		}
		if len(n.Content) == 0 || n.Content[0].ShortTag() == "!!null" {
			continue
		}
		n.HeadComment, n.FootComment = "", ""
		list = append(list, plain(&n))
	}
}

// plain is the content of a node without comments and places.
func plain(n *yaml.Node) string {
	s := n.ShortTag() + " " + n.Anchor + " " + n.Value
	for _, child := range n.Content {
		s += "(" + plain(child) + ")"
	}
	return s
}
