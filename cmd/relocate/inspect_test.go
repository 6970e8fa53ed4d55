package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fixture reads a file of testdata/packages. What is expected there was written by hand: -update leaves
// it alone.
func fixture(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "packages", name))
	require.NoError(t, err)
	return string(text)
}

// pushPackages pushes the package repository of testdata/packages as corp/repository:1.0.0 and returns its
// reference. Contour's bundle is where its Package says only by digest.
func pushPackages(t *testing.T, host string) string {
	t.Helper()
	s := site{t: t, host: host}
	image := s.ref("corp/images/app", s.image("corp/images/app", "1", "app"))
	pkg := s.ref("corp/packages/a", s.bundle("corp/packages/a", "1", map[string]string{"config/deployment.yml": "image: " + image + "\n", "config/lib/values.yml": "a: b\n"}, image))
	at := func(text, image string) string { return strings.ReplaceAll(text, image, pkg) }
	s.bundle("corp/repository", "1.0.0", map[string]string{
		"packages/contour/metadata.yml": fixture(t, "contour.yml"),
		"packages/contour/1.20.1.yml":   at(fixture(t, "contour-1.20.1.yml"), "projects.registry.vmware.com/tce/contour@sha256:0128c3458d57cd637c198b3a6377bb1eca6e23301f27710ac29d9d0ee1c5bd09"),
		"packages/contour/1.9.0.yml":    packageText(contour, "1.9.0", pkg),
		"packages/tricky.yml":           at(fixture(t, "tricky-1.0.0.yml"), "BUNDLE"),
	}, pkg)
	return host + "/corp/repository:1.0.0"
}

const contour = "contour.community.tanzu.vmware.com"

// subjects exports the packages and returns how inspect can look at them: as archive, where they were
// pushed, and where they were imported to.
func subjects(t *testing.T) (host string, args map[string][]string) {
	t.Helper()
	host = startMemory(t, nil)
	root := pushPackages(t, host)
	file := export(t, root)
	mustRelocate(t, "--from-tar", file, "--to-repo", host+"/private")
	return host, map[string][]string{
		"archive": {"inspect", file}, "source": {"inspect", "--repo", root}, "destination": {"inspect", "--repo", host + "/private:1.0.0"},
	}
}

// TestValuesSchema: the tables are kctrl's, row for row, and so are the files of default values.
func TestValuesSchema(t *testing.T) {
	skipShort(t)
	t.Parallel()
	_, all := subjects(t)
	for name, base := range all {
		for which, file := range map[string]string{contour + "/1.20.1": "contour-1.20.1", "tricky.corp.com/1.0.0": "tricky-1.0.0"} {
			args := append(base[:len(base):len(base)], "package", which)
			got := mustRelocate(t, append(args, "--values-schema")...)
			assert.Equal(t, fixture(t, file+".values.txt"), got.stdout, "%s %s", name, which)

			values := filepath.Join(t.TempDir(), "values.yml")
			got = mustRelocate(t, append(args, "--values-file-output", values)...)
			text, err := os.ReadFile(values)
			require.NoError(t, err)
			assert.Equal(t, fixture(t, file+".defaults.yml"), string(text), "%s %s", name, which)
			assert.Contains(t, got.stderr, "Created default values file at "+values)
			mustRelocate(t, append(args, "--values-file-output", values)...)
			filled := string(text) + "namespace: mine\n"
			require.NoError(t, os.WriteFile(values, []byte(filled), 0o600))
			assertFailed(t, tryRelocate(t, append(args, "--values-file-output", values)...), statusUsage, "has values, which would be lost")
			assert.Equal(t, filled, readText(t, values))

			asJSON, asYAML := formats(t, append(args, "--values-schema"))
			assert.Equal(t, asJSON["values"], asYAML["values"])
			assert.Equal(t, which, asJSON["package"])
		}
	}
}

// TestNoValues: a package without a schema, and one that has no properties.
func TestNoValues(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	s := site{t: t, host: host}
	pkg := s.ref("p", s.bundle("p", "1", nil))
	with := func(version, schema string) string {
		return strings.Replace(packageText("a.corp.com", version, pkg), "spec:\n", "spec:\n  valuesSchema: {openAPIv3: "+schema+"}\n", 1)
	}
	s.bundle("r", "1", map[string]string{
		"packages/1.yml": packageText("a.corp.com", "1.0.0", pkg), "packages/2.yml": with("2.0.0", "null"),
		"packages/3.yml": with("3.0.0", "{}"), "packages/4.yml": with("4.0.0", "{properties: [a]}"), "packages/5.yml": with("5.0.0", "{type: object, properties: {}}"),
		"packages/6.yml": strings.Replace(packageText("a.corp.com", "6.0.0", pkg), "spec:\n", "spec:\n  licenses: Apache\n", 1),
	}, pkg)
	args := func(version string, more ...string) []string {
		return append([]string{"inspect", "--repo", host + "/r:1", "package", "a.corp.com/" + version}, more...)
	}
	for _, version := range []string{"1.0.0", "2.0.0"} {
		r := mustRelocate(t, args(version, "--values-schema")...)
		assert.Equal(t, "Package 'a.corp.com/"+version+"' does not have any user configurable values\n", r.stdout)
		none := filepath.Join(t.TempDir(), "none.yml")
		assertFailed(t, tryRelocate(t, args(version, "--values-file-output", none)...), statusMissing, "does not have any user configurable values")
		assert.NoFileExists(t, none)
	}
	for _, version := range []string{"3.0.0", "4.0.0"} {
		assertFailed(t, tryRelocate(t, args(version, "--values-schema")...), statusFailed, "a.corp.com/"+version, "unable to parse the value schema")
	}
	assert.Equal(t, "KEY  DEFAULT  TYPE    DESCRIPTION\n-    -        object  -\n", mustRelocate(t, args("5.0.0", "--values-schema")...).stdout, "kctrl prints it so")
	assertFailed(t, tryRelocate(t, args("6.0.0")...), statusFailed, "packages/6.yml", "licenses")
}

// TestInspectPackage: what a package is, from each place, and the packages there are.
func TestInspectPackage(t *testing.T) {
	t.Parallel()
	host, all := subjects(t)
	for name, base := range all {
		at := func(view ...string) string {
			return mustRelocate(t, append(base[:len(base):len(base)], view...)...).stdout
		}
		packages := at("packages")
		assert.Equal(t, packages, at(), name)
		assertAll(t, packages, "NAME                                DISPLAY-NAME  SHORT-DESCRIPTION      LATEST-VERSION  OTHER-VERSIONS\n"+
			contour+"  contour       An ingress controller  1.20.1          1.9.0\n"+
			"tricky.corp.com                     -             -                      1.0.0           -\n")
		golden(t, "inspect-package.txt", at("package", contour))
		golden(t, "inspect-package-version.txt", masked(host, at("package", contour+"/1.20.1")))
		tricky := at("package", "tricky.corp.com/1.0.0")
		assertAll(t, tricky, "2026-09-01 08:00:00 +0000 UTC\n", "- Tricky\ufffd[31m\n")
		assert.False(t, obeyed.MatchString(strings.ReplaceAll(tricky, "\n", "")), tricky)

		var report inspectReport
		require.NoError(t, json.Unmarshal([]byte(at("-o", "json")), &report))
		require.Len(t, report.Packages, 2)
		assert.Equal(t, name == "archive", report.Archive != nil && report.Contents != nil && len(report.Images) > 0)
		asJSON, asYAML := formats(t, append(base[:len(base):len(base)], "package", contour+"/1.20.1"))
		assert.Equal(t, asJSON, asYAML)
	}
}

// TestInspectRequests: of a repository only its bundle is asked for, and for --tree nothing outside.
func TestInspectRequests(t *testing.T) {
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	file := export(t, pushPackages(t, src.Addr))
	mustRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/private")
	src.ResetRequests()
	dst.ResetRequests()
	repo := []string{"inspect", "--repo", dst.Addr + "/private:1.0.0"}
	mustRelocate(t, repo...)
	asked := strings.Join(withoutRepositories(dst.Requests()), "\n")
	assert.Len(t, dst.Requests(), 4, "ping, manifest, config and layer of one bundle:\n%s", asked)
	tree := mustRelocate(t, append(repo, "--tree")...)
	assertAll(t, tree.stdout, "tricky.corp.com 1.0.0: bundle", "3 versions of 2 packages, 2 bundles, 1 image")
	noWrites(t, dst.Requests())
	assert.Empty(t, src.Requests())

	r := tryRelocate(t, "inspect", "--repo", src.Addr+"/corp/repository:1.0.0", "--tree")
	assertFailed(t, r, statusMissing, "corp/repository")
}

// TestInspectAbsent: names that are not there, and what is no repository.
func TestInspectAbsent(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	s := site{t: t, host: host}
	file := export(t, pushPackages(t, host))
	s.image("image", "1", "x")
	dir := filepath.Join(t.TempDir(), "new")
	for name, c := range map[string]struct {
		status int
		args   []string
		parts  []string
	}{
		"package":        {statusMissing, []string{file, "package", "b.corp.com"}, []string{"b.corp.com", file}},
		"version":        {statusMissing, []string{file, "package", contour + "/2.0.0"}, []string{contour + "/2.0.0", "1.20.1, 1.9.0"}},
		"extract-none":   {statusMissing, []string{file, "--extract", dir, "--bundle", digestOf("x")}, []string{digestOf("x"), "does not have it"}},
		"extract-tag":    {statusMissing, []string{file, "--extract", dir, "--bundle", host + "/corp/packages/a:9"}, []string{"does not have this tag"}},
		"extract-image":  {statusUsage, []string{file, "--extract", dir, "--bundle", rootDigest(t, host, "corp/images/app", "1")}, []string{"not a bundle"}},
		"repo":           {statusMissing, []string{"--repo", host + "/nowhere:1"}, []string{host + "/nowhere:1"}},
		"repo-image":     {statusUsage, []string{"--repo", host + "/image:1"}, []string{"is not a bundle"}},
		"schema-version": {statusUsage, []string{file, "package", contour, "--values-schema"}, []string{"--values-schema", "NAME/VERSION"}},
		"file-version":   {statusUsage, []string{file, "package", contour, "--values-file-output", "x"}, []string{"--values-file-output", "NAME/VERSION"}},
		"file-folder":    {statusUsage, []string{file, "package", contour + "/1.9.0", "--values-file-output", t.TempDir()}, []string{"not a regular file"}},
		"extract-name":   {statusUsage, []string{file, "package", contour, "--extract", dir}, []string{"--extract", "NAME/VERSION"}},
		"bundle-alone":   {statusUsage, []string{file, "--bundle", digestOf("x")}, []string{"--extract"}},
		"bundle-package": {statusUsage, []string{file, "package", "a/1", "--extract", dir, "--bundle", digestOf("x")}, []string{"--bundle and package cannot be used together"}},
		"extract-tree":   {statusUsage, []string{file, "--extract", dir, "--tree"}, []string{"--extract"}},
		"tree-package":   {statusUsage, []string{file, "package", "a", "--tree"}, []string{"--tree"}},
		"view":           {statusUsage, []string{file, "images"}, []string{"images", "packages"}},
		"slashes":        {statusUsage, []string{file, "package", "a/b/c"}, []string{"NAME/VERSION"}},
		"scheme":         {statusUsage, []string{"--repo", "https://" + host + "/a:1"}, []string{"without https://"}},
	} {
		t.Run(name, func(t *testing.T) {
			assertFailed(t, tryRelocate(t, append([]string{"inspect"}, c.args...)...), c.status, c.parts...)
			assert.NoDirExists(t, dir)
		})
	}
}

// TestReleasedAt: what is not a time stays as it is.
func TestReleasedAt(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "soon", releasedAt("soon"))
	assert.Equal(t, "2026-01-02 03:04:05 +0000 UTC", releasedAt("2026-01-02T03:04:05Z"))
}

// TestInspectOld: Packages of kapp-controller v0.17 are listed as the tanzu CLI of their time did.
func TestInspectOld(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	s := site{t: t, host: host}
	pkg := s.ref("p", s.bundle("p", "1", nil))
	old := func(name, version, description string) string {
		text := strings.Replace(packageText(name, version, pkg), "data.packaging", "package", 1)
		return strings.Replace(text, "refName: "+name, "publicName: "+name+"\n  displayName: Old\n  description: "+description, 1)
	}
	s.bundle("old", "1", map[string]string{
		"packages/1.yml": old("cert-manager.tce.vmware.com", "1.1.0-vmware0", "Certificates"),
		"packages/2.yml": old("a.tce.vmware.com", "1.9.0", "first") + "---\n" + old("a.tce.vmware.com", "1.10.0", "second"),
	}, pkg)
	inspect := func(tag string, more ...string) string {
		return mustRelocate(t, append([]string{"inspect", "--repo", host + tag}, more...)...).stdout
	}
	text := inspect("/old:1")
	assert.Contains(t, text, "only kapp-controller v0.17 and v0.18 serve these (package.carvel.dev/v1alpha1):\n"+
		"NAME                         VERSION        DESCRIPTION\n"+
		"a.tce.vmware.com             1.10.0         second\n"+
		"a.tce.vmware.com             1.9.0          first\n"+
		"cert-manager.tce.vmware.com  1.1.0-vmware0  Certificates\n")
	assert.NotContains(t, text, "LATEST-VERSION")
	assert.Contains(t, inspect("/old:1", "package", "a.tce.vmware.com"), "SHORT-DESCRIPTION:    second\n")
	assert.Contains(t, inspect("/old:1", "package", "a.tce.vmware.com/1.9.0"), "SHORT-DESCRIPTION:          first\n")

	s.bundle("mixed", "1", map[string]string{
		"packages/1.yml": old("a.tce.vmware.com", "1.0.0", "old one"), "packages/2.yml": packageText("a.tce.vmware.com", "2.0.0", pkg), "packages/3.yml": packageText("b.corp.com", "1.0.0", pkg),
	}, pkg)
	text = inspect("/mixed:1", "-o", "json")
	assert.Contains(t, text, `"versions": [`+"\n        \"2.0.0\",\n        \"1.0.0\"\n")
	assert.Contains(t, text, `"description": "old one"`)
	text = inspect("/mixed:1")
	assert.Contains(t, text, "a.tce.vmware.com  Old           old one            2.0.0           -\n")
	assert.Contains(t, text, "a.tce.vmware.com  1.0.0    old one\n")
}
