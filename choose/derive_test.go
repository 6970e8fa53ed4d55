package choose_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/choose"
	"relocate/internal/child"
	"relocate/internal/imgpkg"
	"relocate/render"
)

// digestOf is a digest by a letter.
func digestOf(letter string) string { return "sha256:" + strings.Repeat(letter, 64) }

// pkg is a Package that fetches the bundle with a digest by a letter.
func pkg(name, version, letter string) string {
	return fmt.Sprintf(`apiVersion: data.packaging.carvel.dev/v1alpha1
kind: Package
metadata:
  name: %[1]s.%[2]s # its full name
spec:
  refName: %[1]s
  version: %[2]s
  template:
    spec:
      fetch:
      - imgpkgBundle:
          image: registry.example/%[1]s@%[3]s
`, name, version, digestOf(letter))
}

func metadata(name string) string {
	return "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: PackageMetadata\nmetadata:\n  name: " + name + "\nspec:\n  displayName: \"on\"\n"
}

// lockOf is a lock of the bundles of packages: name → letters.
func lockOf(t *testing.T, images ...[2]string) []byte {
	t.Helper()
	text := "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n"
	for _, image := range images {
		ref := "registry.example/" + image[0] + "@" + digestOf(image[1])
		text += "- image: " + ref + "\n  annotations:\n    kbld.carvel.dev/id: " + ref + "\n    example.com/note: kept\n"
	}
	return []byte(text)
}

// renderer runs ytt in the test binary.
func renderer(t *testing.T) *render.Renderer {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	r := &render.Renderer{Program: child.Program{Path: path}}
	t.Cleanup(r.Close)
	return r
}

// read makes a bundle of files and reads it.
func read(t *testing.T, r *render.Renderer, files map[string][]byte) *choose.Repository {
	t.Helper()
	image, err := imgpkg.Build(files, map[string]string{imgpkg.Label: "true"})
	require.NoError(t, err)
	repo, err := choose.Read(t.Context(), image.Descriptor.Digest, bytes.NewReader(image.Layer), r)
	require.NoError(t, err)
	return repo
}

// derive chooses and derives.
func derive(t *testing.T, repo *choose.Repository, c choose.Choice) (*choose.Chosen, *imgpkg.Image, error) {
	t.Helper()
	chosen, err := repo.Choose(t.Context(), c, nil)
	require.NoError(t, err)
	d, err := repo.Derive(t.Context(), chosen)
	return chosen, d, err
}

// filesOf returns the files of a bundle.
func filesOf(t *testing.T, image *imgpkg.Image) map[string]string {
	t.Helper()
	files := map[string]string{}
	all := func(string, int64) bool { return true }
	require.NoError(t, imgpkg.ReadLayer(bytes.NewReader(image.Layer), all, func(p string, data []byte) error {
		files[p] = string(data)
		return nil
	}))
	return files
}

// TestDerive: the derived bundle has the chosen documents as they were, and the lock's entries of them.
func TestDerive(t *testing.T) {
	t.Parallel()
	a1, a2, b1 := pkg("a.example.com", "1.0.0", "1"), pkg("a.example.com", "2.0.0", "2"), pkg("b.example.com", "1.0.0", "3")
	for name, r := range map[string]*render.Renderer{"rendered": renderer(t), "as it is": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string][]byte{
				carvel.LockFile:          lockOf(t, [2]string{"a.example.com", "1"}, [2]string{"a.example.com", "2"}, [2]string{"b.example.com", "3"}),
				"packages/a.yml":         []byte("# Copyright\n---\n" + a1 + "# after 1.0.0\n---\n# before 2.0.0\n" + a2 + "---\n" + metadata("a.example.com")),
				"packages/b/1.0.0.yaml":  []byte(strings.ReplaceAll("--- # first\n"+b1+"# the end", "\n", "\r\n")),
				"packages/b/meta.yml":    []byte(metadata("b.example.com")),
				"packages/.hidden/c.yml": []byte("kind: ConfigMap\n"),
				"packages/README.md":     []byte("x"),
				"README.md":              []byte("x"),
				".imgpkg/bundle.yml":     []byte("x"),
			}
			repo := read(t, r, files)
			_, d, err := derive(t, repo, choose.Choice{Latest: 1})
			require.NoError(t, err)
			got := filesOf(t, d)
			lock := lockIn(t, d)
			assert.Equal(t, []string{digestOf("2"), digestOf("3")}, digestsOf(lock))
			assert.Equal(t, map[string]string{"example.com/note": "kept", carvel.KbldID: "registry.example/a.example.com@" + digestOf("2")}, lock.Images[0].Annotations)
			delete(got, carvel.LockFile)
			assert.Equal(t, map[string]string{
				"packages/a.yml":        "# after 1.0.0\n---\n# before 2.0.0\n"[14:] + a2 + "---\n" + metadata("a.example.com"),
				"packages/b/1.0.0.yaml": string(files["packages/b/1.0.0.yaml"]),
				"packages/b/meta.yml":   metadata("b.example.com"),
			}, got)
			labels := imgpkg.ReadConfig(d.Config)
			assert.Equal(t, imgpkg.Config{IsBundle: true, DerivedFrom: repo.Digest.String(), Choice: `{"latest":1}`}, labels)
		})
	}
}

// lockIn returns the lock of a bundle.
func lockIn(t *testing.T, image *imgpkg.Image) *carvel.ImagesLock {
	t.Helper()
	lock, err := carvel.ParseImagesLock([]byte(filesOf(t, image)[carvel.LockFile]))
	require.NoError(t, err)
	return lock
}

func digestsOf(lock *carvel.ImagesLock) (list []string) {
	for _, e := range lock.Images {
		list = append(list, e.Image.DigestStr())
	}
	return list
}

// TestDigest: the digest of a derived bundle stays for ever. Two sides of a gap may derive it with
// programs that different releases of Go built.
func TestDigest(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{
		carvel.LockFile:      lockOf(t, [2]string{"a.example.com", "1"}, [2]string{"a.example.com", "2"}),
		"packages/a.yml":     []byte(pkg("a.example.com", "1.0.0", "1") + "---\n" + pkg("a.example.com", "2.0.0", "2")),
		"packages/large.yml": []byte(metadata("a.example.com") + strings.Repeat("# large: more than a stored block has\n", 2000)),
	}
	source, err := v1.NewHash(digestOf("0")) // what compressed the source does not matter
	require.NoError(t, err)
	repo := read(t, renderer(t), files)
	repo.Digest = source
	c := choose.Choice{Packages: patterns(t, "a.*@>=1.0.0 <3.0.0"), Latest: 1}
	_, d, err := derive(t, repo, c)
	require.NoError(t, err)
	assert.Equal(t, "sha256:81d5b7b297f0d8c1b6e765412aa55f34f84cecd88c4ac68c7cbecf2c0462a8f4", d.Descriptor.Digest.String())

	repo = read(t, nil, files)
	repo.Digest = source
	_, again, err := derive(t, repo, c)
	require.NoError(t, err)
	assert.Equal(t, d, again, "from another reading of the same bundle")

	zr, err := gzip.NewReader(bytes.NewReader(d.Layer)) // Go's, not the one that ReadLayer has
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, zr)
	require.NoError(t, err)
}

// TestCut: of a file, the chosen documents stay as they were, whatever separates them.
func TestCut(t *testing.T) {
	t.Parallel()
	readers := map[string]*render.Renderer{"rendered": renderer(t), "as it is": nil}
	for _, test := range []struct{ name, file, want string }{ // A: chosen, X: not; I and E: a marker and an end that are added
		{"the first", "A---\nX", "A"},
		{"the last", "X---\nA", "---\nA"},
		{"all", "# c\n---\nA...\n---\nA# end\n", "# c\n---\nA...\n---\nA# end\n"},
		{"none", "X---\nX", ""},
		{"between", "X---\nA---\nX---\nA---\nX", "---\nA---\nA"},
		{"text above and below", "# top\n\n---\nX# below\n---\n# above\nA# below\n--- # mark\nX", "---\n# above\nA# below\n"},
		{"the first with its top", "# top\n---\nA---\nX", "# top\n---\nA"},
		{"ends", "A...\nX...\nA...\n", "A...\nI\nA...\n"},
		{"an end that is left out", "---\nA---\nX...\nA", "---\nAI\nA"},
		{"directives", "%YAML 1.1\n---\nX...\n%YAML 1.1\n---\nA", "%YAML 1.1\n---\nA"},
		{"a directive after one that is left out", "---\nA---\nX...\n%YAML 1.1\n---\nA", "---\nAE%YAML 1.1\n---\nA"},
		{"no last line break", "X---\nA# end", "---\nA# end"},
		{"empty documents", "---\n---\n# nothing\n---\nX---\n---\nA---\n", "---\n---\nA"},
		{"dropped kinds", "A---\nkind: ConfigMap\n---\nkind: List\nitems: []\n---\nA", "A---\nA"},
	} {
		n := 0
		chosen := func() string { n++; return pkg("chosen.b.c", fmt.Sprintf("1.0.%d", n), "1") }
		other := func() string { n++; return pkg("other.b.c", fmt.Sprintf("1.0.%d", n), "2") }
		file := regexp.MustCompile(`(?m)^[AX]`).ReplaceAllStringFunc(test.file, func(s string) string {
			if s == "A" {
				return chosen()
			}
			return other()
		})
		var mine []string
		for _, m := range regexp.MustCompile(`(?s)refName: chosen.b.c\n  version: (\S+)`).FindAllStringSubmatch(file, -1) {
			mine = append(mine, m[1])
		}
		want := regexp.MustCompile(`(?m)^A`).ReplaceAllStringFunc(test.want, func(string) string {
			version := mine[0]
			mine = mine[1:]
			return pkg("chosen.b.c", version, "1")
		})
		require.Empty(t, mine, test.name)
		for kind, r := range readers {
			for _, ends := range []string{"\n", "\r\n"} {
				repo := read(t, r, map[string][]byte{
					carvel.LockFile: lockOf(t), "packages/a.yml": []byte(strings.ReplaceAll(file, "\n", ends)), "packages/z.yml": []byte(pkg("z.b.c", "1.0.0", "3")),
				})
				_, d, err := derive(t, repo, choose.Choice{Packages: patterns(t, "chosen.b.c", "z.b.c")})
				require.NoError(t, err, "%s, %s, %q", test.name, kind, ends)
				added := strings.NewReplacer("I"+ends, "---\n", "E%", "...\n%")
				require.Equal(t, added.Replace(strings.ReplaceAll(want, "\n", ends)), filesOf(t, d)["packages/a.yml"], "%s, %s, %q", test.name, kind, ends)
			}
		}
	}
}
