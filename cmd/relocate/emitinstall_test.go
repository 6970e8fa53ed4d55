package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const oldAPI = "install.package.carvel.dev/v1alpha1"

// TestEmitConstraint: a constraint goes to the cluster as it is; the annotations and the values are those of the version
// that meets it now.
func TestEmitConstraint(t *testing.T) {
	t.Parallel()
	base := []string{"emit", export(t, pushPackages(t, startMemory(t, nil))), "--to-repo", "reg.airgap.test/tce", "--install"}
	for given, want := range map[string]struct {
		as, constraint string
		defaults       bool // only 1.20.1 has a schema
	}{
		contour + "@>=1.0.0 <2.0.0":  {"contour", ">=1.0.0 <2.0.0", true},
		contour + "=edge@<1.20.0":    {"edge", "<1.20.0", false},
		contour + "@1.x || 3.0.0-rc": {"contour", "1.x || 3.0.0-rc", true},
	} {
		list := objects(t, mustRelocate(t, append(base, given)...).stdout)
		o := list[len(list)-1]
		assert.Equal(t, "PackageInstall default/"+want.as, kinds(list)[len(list)-1], given)
		assert.Equal(t, map[string]any{"refName": contour, "versionSelection": map[string]any{"constraints": want.constraint}}, o.Spec["packageRef"], given)
		assert.Equal(t, want.defaults, o.Spec["values"] != nil, given)
	}
	for given, says := range map[string]string{
		contour + "/1.20.1@1.x": "give a version or a constraint, not both", contour + "@": "has no constraint after @",
		contour + "@1.x=edge": "AS comes before it", contour + "@^1.0.0": `Could not parse Range "^1.0.0"`,
	} {
		assertFailed(t, tryRelocate(t, append(base, given)...), statusUsage, "--install "+given, says)
	}
	assertFailed(t, tryRelocate(t, append(base, contour+"@>2.0.0")...), statusMissing, "none of its versions in ", " meets >2.0.0: 1.20.1, 1.9.0")
	assertFailed(t, tryRelocate(t, append(base, "contour=edge@1.x")...), statusUsage, "a package is named in full", "hint: did you mean: relocate emit ", contour+"=edge@1.x")
	assertFailed(t, tryRelocate(t, append(base, "none.corp.com@>2.0.0")...), statusMissing, "has no package of that name")
}

// TestEmitValues: the files of --values-file become the values Secret, byte for byte and in their order.
func TestEmitValues(t *testing.T) {
	t.Parallel()
	file := export(t, pushPackages(t, startMemory(t, nil)))
	first, second := valuesFile(t, "# ours\nenvoy: {hostPorts: {enable: true}}\n"), valuesFile(t, "certificates:\n  renewBefore: 1h # \"soon\"\n")
	base := []string{"emit", file, "--to-repo", "reg.airgap.test/tce", "--install", contour + "/1.20.1"}
	secrets := func(args ...string) map[string]map[string]string {
		t.Helper()
		all := map[string]map[string]string{}
		for _, o := range objects(t, mustRelocate(t, append(base[:len(base):len(base)], args...)...).stdout) {
			if o.Kind == "Secret" {
				all[o.Metadata.Name] = o.StringData
			}
		}
		return all
	}
	one := map[string]string{"values.yaml": "# ours\nenvoy: {hostPorts: {enable: true}}\n"}
	for _, given := range []string{first, contour + "=" + first, contour + "/1.20.1=" + first, "contour=" + first} {
		assert.Equal(t, map[string]map[string]string{"contour-values": one}, secrets("--values-file", given), given)
	}
	assert.Equal(t, map[string]map[string]string{"contour-values": {"values-1.yaml": one["values.yaml"], "values-2.yaml": "certificates:\n  renewBefore: 1h # \"soon\"\n"}},
		secrets("--values-file", first, "--values-file", contour+"="+second))
	two := secrets("--install", contour+"/1.20.1=edge", "--values-file", "edge="+first)
	assert.Equal(t, one, two["edge-values"])
	assert.Equal(t, fixture(t, "contour-1.20.1.defaults.yml"), two["contour-values"]["values.yaml"])

	wrong := valuesFile(t, "envoy:\n  hostPort: hunter2\n  hostPorts: {enable: hunter2}\n")
	r := mustRelocate(t, append(base[:len(base):len(base)], "--values-file", valuesFile(t, "hostPort: hunter2\n"))...)
	assert.Contains(t, r.stderr, "note: values of "+contour+"/1.20.1: ")
	r = tryRelocate(t, append(base[:len(base):len(base)], "--values-file", second, "--values-file", wrong)...)
	assertFailed(t, r, statusUsage, "the values do not fit the schema of "+contour+"/1.20.1:\n", "  warning: "+wrong+": line 2: envoy.hostPort: ", "  error: "+wrong+": line 3: envoy.hostPorts.enable: ",
		"hint: relocate inspect … package NAME/VERSION --values-schema")
	assert.NotContains(t, r.stdout+r.stderr, "hunter2", "a value may be a password")

	none := filepath.Join(t.TempDir(), "none.yml")
	for says, args := range map[string][]string{
		"write NAME=FILE: there are 2 packages to install": {"--install", "tricky.corp.com", "--values-file", first},
		"--install does not name package tricky.corp.com":  {"--values-file", "tricky.corp.com=" + first},
		"no such file":                        {"--values-file", none},
		"line 2: is not a map of data values": {"--values-file", valuesFile(t, "\n- a\n")},
	} {
		assertFailed(t, tryRelocate(t, append(base[:len(base):len(base)], args...)...), statusUsage, "--values-file", says)
	}
	assertFailed(t, tryRelocate(t, "emit", file, "--to-repo", "reg.airgap.test/tce", "--values-file", first), statusUsage, "--values-file needs --install")
}

// TestEmitInstalledPackage: kapp-controller up to v0.19.0-alpha.9 has another kind, other names, and no annotation.
func TestEmitInstalledPackage(t *testing.T) {
	t.Parallel()
	base := []string{"emit", export(t, pushPackages(t, startMemory(t, nil))), "--to-repo", "reg.airgap.test/tce", "--api", oldAPI, "--with", "secret", "--install"}
	values := valuesFile(t, "a: 1\n")
	r := mustRelocate(t, append(base, contour+"/1.9.0", "--values-file", values)...)
	list := objects(t, r.stdout)
	assert.Equal(t, []string{"Secret kapp-controller/pull-reg.airgap.test", "PackageRepository repository",
		"ServiceAccount default/contour-sa", "Secret default/contour-values", "InstalledPackage default/contour"}, kinds(list))
	o := list[4]
	assert.Equal(t, oldAPI, o.APIVersion)
	assert.Equal(t, map[string]string{"kapp.k14s.io/change-rule": "upsert after upserting relocate/packagerepository"}, o.Metadata.Annotations, "none about fetching")
	assert.Equal(t, map[string]string{"kctrl.carvel.dev/repository-version": "1.0.0", "kapp.k14s.io/change-group": "relocate/packagerepository"}, list[1].Metadata.Annotations,
		"kapp installs after it has waited for the repository")
	assert.Equal(t, map[string]any{"serviceAccountName": "contour-sa", "packageRef": map[string]any{"publicName": contour, "version": "1.9.0"},
		"values": []any{map[string]any{"secretRef": map[string]any{"name": "contour-values"}}}}, o.Spec)
	assertAll(t, r.stderr, "an InstalledPackage cannot name a Secret for fetching", values+" must begin with the lines #@data/values and ---",
		contour+"/1.9.0 has no schema of its values", contour+"/1.9.0 will not be found: kapp-controller with the API "+oldAPI)

	list = objects(t, mustRelocate(t, append(base, contour+"@<1.10.0")...).stdout)
	assert.Equal(t, map[string]any{"publicName": contour, "versionSelection": map[string]any{"constraints": "<1.10.0"}}, list[3].Spec["packageRef"])
	for version, text := range map[string]string{"1.9.0": "#@data/values\n---\na: 1\n", "1.20.1": "#@data/values\n---\n#@overlay/match missing_ok=True\nenvoy: {}\n"} {
		r = mustRelocate(t, append(base, contour+"/"+version, "--values-file", valuesFile(t, text))...)
		assert.NotContains(t, r.stderr, "must begin")
		assert.Equal(t, text, objects(t, r.stdout)[3].StringData["values.yaml"])
	}
	assertFailed(t, tryRelocate(t, append(base, contour+"/1.20.1", "--values-file", valuesFile(t, "#@data/values\n---\nenvoy: 1\n"))...), statusUsage, "line 3: envoy: ")
}

// TestEmitPrune: what an emit no longer writes goes with --prune, and only what nobody changed.
func TestEmitPrune(t *testing.T) {
	t.Parallel()
	file := export(t, pushPackages(t, startMemory(t, nil)))
	dir := t.TempDir()
	base := []string{"emit", file, "--to-repo", "reg.airgap.test/tce", "-d", dir}
	mustRelocate(t, append(base, "--with", "hosts-toml", "--install", contour)...)
	assertFailed(t, tryRelocate(t, base...), statusUsage, "packageinstall.default.contour.yml was written by another emit", "--prune", "nothing was written")
	r := mustRelocate(t, append(base, "--prune")...)
	assertAll(t, r.stderr, "note: removed packageinstall.default.contour.yml", "note: removed nodes/containerd/certs.d/reg.airgap.test/hosts.toml", "2 files in ")
	assert.Len(t, files(t, dir), 2)
	assert.NoDirExists(t, filepath.Join(dir, "nodes"))
	assertFailed(t, tryRelocate(t, "emit", file, "--to-repo", "reg.airgap.test/tce", "--prune"), statusUsage, "--prune needs a folder: -d DIR")
	require.Len(t, objects(t, mustRelocate(t, base[:4]...).stdout), 1)
}
