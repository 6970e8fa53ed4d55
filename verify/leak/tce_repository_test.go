package leak_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/render"
	"relocate/render/ytt"
	"relocate/report"
	"relocate/testdata/interop"
	"relocate/verify/leak"
)

// TestTCERepository scans the repository of Tanzu Community Edition: its real Packages, bundles and ids, with
// images that stand in for those that the locks name. RELOCATE_TEST_LAB is the lab's folder, beside which the
// definitions are.
func TestTCERepository(t *testing.T) {
	t.Parallel()
	lab := os.Getenv("RELOCATE_TEST_LAB")
	if lab == "" {
		t.Skip("RELOCATE_TEST_LAB does not name the lab, beside which the definitions of Tanzu Community Edition are")
	}
	var src interop.Registry
	root := putTCE(t, &src, filepath.Join(lab, "..", "tce", "addons", "packages"))
	g, err := bundle.Walk(t.Context(), &src, []name.Reference{root}, bundle.WalkOptions{})
	require.NoError(t, err)
	got, err := leak.Scan(t.Context(), &src, g, leak.Options{Jobs: 2})
	require.NoError(t, err)
	t.Logf("%+v", got.Scan)
	found := map[report.Code][]string{}
	for _, f := range got.Findings {
		found[f.Code] = append(found[f.Code], fmt.Sprintf("%s: %s:%d: %s", f.Package, f.File, f.Line, f.Reference))
		t.Logf("%s %s: %s: %s:%d: %s: %s", f.Level, f.Code, f.Package, f.File, f.Line, f.Reference, f.Message)
	}
	assert.Equal(t, 188, got.Packages)
	assert.Equal(t, 188+1, got.Bundles)
	assert.Equal(t, 448, got.IDs)
	assert.GreaterOrEqual(t, got.IDsFound, 440)
	assert.Len(t, found["tag"], 4)
	assert.Len(t, found["misnamed"], 3)
	assert.Equal(t, 14, got.PackageInstalls)
	assert.Equal(t, []string{"app-toolkit.community.tanzu.vmware.com 0.1.0: config/cartographer.yaml:17: cartographer.carto.run 0.2.1"}, found["not-installed"])
	for _, code := range []report.Code{"no-packages", "bad-lock", "without-id", "bad-image", "outside", "uncovered", "elsewhere",
		"missing", "damaged", "old-kind", "dropped", "duplicate"} {
		assert.Empty(t, found[code], code)
	}
}

// TestTCERendered renders the repository of Tanzu Community Edition. RELOCATE_TEST_TCE is the folder
// addons/packages of its repository, with the modules in Starlark that the lab does not have, and
// RELOCATE_TEST_TCE_VALUES a folder with files NAME.yml of values for the packages that ask for some.
func TestTCERendered(t *testing.T) {
	t.Parallel()
	folder, given := os.Getenv("RELOCATE_TEST_TCE"), os.Getenv("RELOCATE_TEST_TCE_VALUES")
	if folder == "" || given == "" {
		t.Skip("RELOCATE_TEST_TCE and RELOCATE_TEST_TCE_VALUES do not name the packages of Tanzu Community Edition and their values")
	}
	var src interop.Registry
	g, err := bundle.Walk(t.Context(), &src, []name.Reference{putTCE(t, &src, folder)}, bundle.WalkOptions{})
	require.NoError(t, err)
	var values render.Values
	for _, p := range g.Packages {
		short, _, _ := strings.Cut(p.Name, ".")
		if data, err := os.ReadFile(filepath.Join(given, short+".yml")); err == nil {
			values = append(values, render.GivenValues{Package: p.Name + "/" + p.Version, File: ytt.File{Path: short + ".yml", Data: data}})
		}
	}
	for _, test := range []struct {
		values                render.Values
		rendered, needsValues int
	}{
		{nil, 112, 43}, // one of the 34 whose bundle is not known has steps that read all there is
		{values, 155, 0},
	} {
		got, err := leak.Scan(t.Context(), &src, g, leak.Options{Jobs: 2, Renderer: renderer(t), RenderPackages: true, Values: test.values})
		require.NoError(t, err)
		assert.Equal(t, test.rendered, got.PackagesRendered)
		assert.Equal(t, 188, got.PackagesRendered+got.PackagesAsText)
		found := map[report.Code]int{}
		var certain []string
		for _, f := range got.Findings {
			for range strings.Split(f.Package, ", ") {
				found[f.Code]++
			}
			if f.Basis == report.Rendered && f.Level.Breaks() && f.Code != "missing-path" {
				name, _, _ := strings.Cut(f.Package, ".")
				reference, _, _ := strings.Cut(f.Reference, "@")
				certain = append(certain, fmt.Sprintf("%s %s %s", f.Code, name, reference))
			}
		}
		slices.Sort(certain)
		assert.Equal(t, test.needsValues, found["needs-values"])
		assert.Equal(t, 2, found["not-rendered"], "kubeapps, by helm")
		assert.Equal(t, []string{
			"not-installed app-toolkit cartographer.carto.run 0.2.1",
			"not-locked load-balancer-and-ingress-service projects-stg.registry.vmware.com/tkg/ako:v1.7.2_vmware.3",
			"outside-key knative-serving gcr.io/knative-releases/knative.dev/serving/cmd/queue",
			"outside-key knative-serving gcr.io/knative-releases/knative.dev/serving/cmd/queue",
			"outside-key knative-serving gcr.io/knative-releases/knative.dev/serving/cmd/queue",
			"outside-key knative-serving gcr.io/knative-releases/knative.dev/serving/cmd/queue",
			"outside-key local-path-storage busybox",
			"outside-key local-path-storage busybox",
			"outside-key local-path-storage busybox",
		}, certain)
	}
}

var (
	lockImage   = regexp.MustCompile(`(?m)^([ -]*image: )\S+@(sha256:[0-9a-f]{64})`)
	bundleImage = regexp.MustCompile(`imgpkgBundle:\s+image: (\S+)`)
)

// putTCE makes the package repository of the folder.
func putTCE(t *testing.T, src *interop.Registry, folder string) name.Digest {
	t.Helper()
	images := map[string]string{} // digest → reference of what stands in for it
	files := map[string]string{}
	var lock strings.Builder
	lock.WriteString("apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n")
	packages, err := filepath.Glob(filepath.Join(folder, "*", "*", "package.yaml"))
	require.NoError(t, err)
	for _, file := range packages {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		version, _ := filepath.Rel(folder, filepath.Dir(file))
		files["packages/"+version+".yaml"] = string(text)
		content := readFolder(t, filepath.Join(filepath.Dir(file), "bundle"))
		content[carvel.LockFile] = lockImage.ReplaceAllStringFunc(content[carvel.LockFile], func(s string) string {
			m := lockImage.FindStringSubmatch(s)
			if images[m[2]] == "" {
				repo := src.Repo("images.test/image")
				images[m[2]] = repo.PutPlain(fmt.Sprintf(`{"for":%q}`, m[2])).Name()
			}
			return m[1] + images[m[2]]
		})
		if content[carvel.LockFile] == "" { // of 34 the bundle is not known
			content = map[string]string{carvel.LockFile: "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\n", "of": version}
		}
		ref := src.Repo("images.test/bundle").PutBundle(content)
		m := bundleImage.FindSubmatch(text)
		require.NotNil(t, m, file)
		fmt.Fprintf(&lock, "- image: %s\n  annotations: {kbld.carvel.dev/id: '%s'}\n", ref.Name(), m[1])
	}
	files[carvel.LockFile] = lock.String()
	return src.Repo("images.test/repository").PutBundle(files)
}

func readFolder(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := map[string]string{}
	if _, err := os.Stat(folder); err != nil {
		return files
	}
	require.NoError(t, filepath.WalkDir(folder, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(p)
		rel, _ := filepath.Rel(folder, p)
		files[filepath.ToSlash(rel)] = string(text)
		return err
	}))
	return files
}
