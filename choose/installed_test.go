package choose_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/choose"
	"relocate/internal/yamlnode"
	"relocate/testdata/seed"
)

// cluster is what "kubectl get packageinstalls -A -o yaml" writes.
const cluster = `apiVersion: v1
items:
- apiVersion: packaging.carvel.dev/v1alpha1
  kind: PackageInstall
  metadata:
    annotations:
      packaging.carvel.dev/package-namespace: default
    name: cert-manager
    namespace: tce
  spec:
    packageRef:
      refName: cert-manager.example.com
      versionSelection:
        constraints: 1.5.x
        prereleases: {}
    serviceAccountName: sa
    values:
    - secretRef:
        name: cert-manager-values
  status:
    conditions:
    - status: "True"
      type: ReconcileSucceeded
    lastAttemptedVersion: 1.5.4
    version: 1.5.3
- apiVersion: packaging.carvel.dev/v1alpha1
  kind: PackageInstall
  metadata:
    name: new
    namespace: default
  spec:
    packageRef:
      refName: new.example.com
      versionSelection:
        constraints: '>=1.0.0'
        prereleases:
          identifiers: [beta, rc]
- apiVersion: v1
  kind: Secret
  metadata: {name: other}
kind: List
metadata:
  resourceVersion: ""
`

func TestParseInstalled(t *testing.T) {
	t.Parallel()
	want := []choose.Installed{
		{Name: "cert-manager.example.com", Constraint: "1.5.x", Prereleases: &carvel.Prereleases{}},
		{Name: "cert-manager.example.com", Version: "1.5.3"},
		{Name: "cert-manager.example.com", Version: "1.5.4"},
		{Name: "new.example.com", Constraint: ">=1.0.0", Prereleases: &carvel.Prereleases{Identifiers: []string{"beta", "rc"}}},
	}
	got, err := choose.ParseInstalled([]byte(cluster))
	require.NoError(t, err)
	assert.Equal(t, want, got)

	asJSON, err := yamlnode.ToJSON([]byte(cluster))
	require.NoError(t, err)
	got, err = choose.ParseInstalled(asJSON)
	require.NoError(t, err)
	assert.Equal(t, want, got)

	got, err = choose.ParseInstalled([]byte(cluster + "---\n" + cluster))
	require.NoError(t, err)
	assert.Equal(t, want, got, "each once")

	got, err = choose.ParseInstalled([]byte("kind: InstalledPackage\nspec: {packageRef: {publicName: old.example.com, version: 1.0.0}}\n---\nkind: PackageInstall\nspec: {packageRef: {refName: any.example.com}}\nstatus: {version: 2.0.0, lastAttemptedVersion: 2.0.0}\n"))
	require.NoError(t, err)
	assert.Equal(t, []choose.Installed{{Name: "any.example.com"}, {Name: "any.example.com", Version: "2.0.0"}, {Name: "old.example.com", Constraint: "1.0.0"}}, got)

	for _, empty := range []string{
		"apiVersion: v1\nitems: []\nkind: List\nmetadata:\n  resourceVersion: \"\"\n",
		`{"apiVersion": "v1", "items": [], "kind": "List", "metadata": {"resourceVersion": ""}}`,
		"kind: PackageInstallList\nitems: []\n",
	} {
		got, err = choose.ParseInstalled([]byte(empty))
		require.NoError(t, err, empty)
		assert.Empty(t, got)
	}

	for in, want := range map[string]string{
		"":                                    `has no PackageInstall; write it with "kubectl get packageinstalls -A -o yaml"`,
		"kind: List\n":                        `has no PackageInstall; write it with "kubectl get packageinstalls -A -o yaml"`,
		"kind: List\nitems:\n- {kind: Pod}\n": `has no PackageInstall; write it with "kubectl get packageinstalls -A -o yaml"`,
		"kind: PodList\nitems: []\n":          `has no PackageInstall; write it with "kubectl get packageinstalls -A -o yaml"`,
		"kind: Package\n":                     `has no PackageInstall; write it with "kubectl get packageinstalls -A -o yaml"`,
		"a: b\nc: [\n":                        "line 3: is not YAML: did not find expected node content",
		"kind: PackageInstall\n":              "line 1: a PackageInstall names no package in spec.packageRef.refName",
		"a: 1\na: 2\n":                        `line 2: has the key "a" twice`,
		"kind: PackageInstall\nspec: {packageRef: {refName: \"\\e[2J\"}}":                                                `line 1: "\x1b[2J" is not a name, version or constraint of an installed package`,
		"kind: PackageInstall\nspec: {packageRef: {refName: a}}\nstatus: {version: " + strings.Repeat("1", 1001) + "}\n": "is not a name, version or constraint of an installed package",
	} {
		_, err := choose.ParseInstalled([]byte(in))
		assert.ErrorContains(t, err, want, in)
	}
	_, err = choose.ParseInstalled(make([]byte, choose.MaxInstalled+1))
	assert.EqualError(t, err, "has 67108865 bytes, more than the limit of 67108864")
}

// TestLargeCluster: a cluster can have more PackageInstalls than can be parsed at once, and an error names the
// line.
func TestLargeCluster(t *testing.T) {
	t.Parallel()
	head, rest, _ := strings.Cut(cluster, "items:\n")
	items, tail, _ := strings.Cut(rest, "kind: List\n")
	message := "    usefulErrorMessage: |\n" + strings.Repeat("      a line of many\n", 10_000)
	large := head + "items:\n" + strings.Repeat(strings.Replace(items, "    version: 1.5.3\n", "    version: 1.5.3\n"+message, 1), 20) + "# the end\nkind: List\n" + tail
	want, err := choose.ParseInstalled([]byte(cluster))
	require.NoError(t, err)
	got, err := choose.ParseInstalled([]byte(large))
	require.NoError(t, err)
	assert.Equal(t, want, got)
	got, err = choose.ParseInstalled([]byte(strings.ReplaceAll(cluster, "\n", "\r\n")))
	require.NoError(t, err)
	assert.Equal(t, want, got)

	large = head + "items:\n" + strings.Repeat(items, 50) + "# the end\nkind: List\n" + tail
	lines := strings.Count(large, "\n")
	_, err = choose.ParseInstalled([]byte(large + "kind: Again\n"))
	assert.EqualError(t, err, fmt.Sprintf(`line %d: has the key "kind" twice`, lines+1))
	_, err = choose.ParseInstalled([]byte(large[:len(large)-len(tail)] + "- a: [\n"))
	assert.ErrorContains(t, err, fmt.Sprintf("line %d: is not YAML", lines-1))

	list, err := yamlnode.ToJSON([]byte(cluster))
	require.NoError(t, err)
	var indented bytes.Buffer
	require.NoError(t, json.Indent(&indented, list, "", "    "))
	before, rest, _ := strings.Cut(indented.String(), "\"items\": [\n")
	items, after, _ := strings.Cut(rest, "\n    ],\n")
	items = strings.Replace(items, `"version": "1.5.3"`, `"version": "1.5.3", "usefulErrorMessage": "`+strings.Repeat(",", 20_000)+`"`, 1)
	inJSON := before + "\"items\": [\n" + strings.Repeat(items+",\n", 20) + items + "\n    ],\n" + after
	got, err = choose.ParseInstalled([]byte(inJSON))
	require.NoError(t, err)
	assert.Equal(t, want, got)
	broken := strings.LastIndex(inJSON, `"refName": "new.example.com"`)
	_, err = choose.ParseInstalled([]byte(inJSON[:broken] + `"refName": "\u001b"       ` + inJSON[broken+len(`"refName": "new.example.com"`):]))
	assert.ErrorContains(t, err, "is not a name, version or constraint")
}

// TestInstalled: what a cluster uses is kept, and what it uses that is gone is said.
func TestInstalled(t *testing.T) {
	t.Parallel()
	repo := repository("a 1.0.0", "a 1.1.0", "a 2.0.0", "a 3.0.0-rc.1", "b 1.0.0 k8s:>=1.30.0", "b 2.0.0", "c 1.0.0")
	rc := &carvel.Prereleases{Identifiers: []string{"rc"}}
	for _, test := range []struct {
		name      string
		choice    choose.Choice
		installed []choose.Installed
		want      string
		findings  []string
	}{
		{"installed only", choose.Choice{}, []choose.Installed{{Name: "a", Version: "1.0.0"}}, "a 1.0.0 (installed)", nil},
		{"with the newest", choose.Choice{Latest: 1}, []choose.Installed{{Name: "a", Version: "1.0.0"}}, "a 2.0.0, a 1.0.0 (installed), b 2.0.0, c 1.0.0", nil},
		{"one that is chosen", choose.Choice{Latest: 1}, []choose.Installed{{Name: "a", Version: "2.0.0"}}, "a 2.0.0, b 2.0.0, c 1.0.0", nil},
		{"pinned", choose.Choice{Packages: patterns(t, "c")}, []choose.Installed{{Name: "a", Constraint: "1.0.0"}}, "a 1.0.0 (installed), c 1.0.0", nil},
		{"selected: the newest", choose.Choice{}, []choose.Installed{{Name: "a", Constraint: "1.x"}}, "a 1.1.0 (installed)", nil},
		{"selected: one that is installed", choose.Choice{}, []choose.Installed{{Name: "a", Version: "1.0.0"}, {Name: "a", Constraint: "1.x"}}, "a 1.0.0 (installed)", nil},
		{"selected, but not what is installed", choose.Choice{}, []choose.Installed{{Name: "a", Version: "1.0.0"}, {Name: "a", Constraint: "2.x"}}, "a 2.0.0 (installed), a 1.0.0 (installed)", nil},
		{"a prerelease", choose.Choice{}, []choose.Installed{{Name: "a", Constraint: ">=2.0.0", Prereleases: rc}}, "a 3.0.0-rc.1 (installed)", nil},
		{"an installed prerelease", choose.Choice{}, []choose.Installed{{Name: "a", Version: "3.0.0-rc.1"}}, "a 3.0.0-rc.1 (installed)", nil},
		{"excluded all the same", choose.Choice{Exclude: []string{"a"}, Latest: 1}, []choose.Installed{{Name: "a", Version: "1.0.0"}}, "a 1.0.0 (installed), b 2.0.0, c 1.0.0", nil},
		{"not for the cluster's next version", choose.Choice{Kubernetes: "1.29.0"}, []choose.Installed{{Name: "b", Version: "1.0.0"}}, "b 1.0.0 (installed)", nil},
		{"of another repository", choose.Choice{Packages: patterns(t, "c")}, []choose.Installed{{Name: "z", Version: "1.0.0"}, {Name: "z", Constraint: "1.x"}}, "c 1.0.0", nil},
		{"gone", choose.Choice{Packages: patterns(t, "c")}, []choose.Installed{{Name: "a", Version: "0.9.0"}, {Name: "a", Constraint: "0.x"}}, "c 1.0.0", []string{
			`the cluster uses "a 0.9.0", which the repository does not have`,
			`a PackageInstall of the cluster selects "a 0.x", of which the repository has no version: Expected to find at least one version, but did not (details: all=4 -> after-prereleases-filter=3 -> after-constraints-filter=0)`,
		}},
		{"refused", choose.Choice{Packages: patterns(t, "c")}, []choose.Installed{{Name: "a", Constraint: "^1.0.0"}}, "c 1.0.0", []string{
			`a PackageInstall of the cluster selects "a ^1.0.0", and kapp-controller refuses it: Selecting versions: Parsing version constraint '^1.0.0': Could not parse Range "^1.0.0": Could not parse comparator "^" in "^1.0.0"`,
		}},
	} {
		test.choice.Installed = test.installed
		chosen := chosenOf(t, repo, test.choice)
		assert.Equal(t, test.want, versionsOf(chosen), test.name)
		var findings []string
		for _, f := range chosen.Findings {
			assert.Equal(t, "not-installed warning", string(f.Code)+" "+string(f.Level), test.name)
			findings = append(findings, f.Message)
		}
		assert.Equal(t, test.findings, findings, test.name)
	}
}

// FuzzInstalled: whatever a file has, what is read of it is a choice that says the same again.
func FuzzInstalled(f *testing.F) {
	f.Add([]byte(cluster))
	for _, in := range seed.Files(f, "..", ".yml") {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := choose.ParseInstalled(data)
		if err != nil {
			seed.RequireLine(t, err)
			return
		}
		c := choose.Choice{Installed: list}
		if err := c.Check(); err != nil { // too many
			seed.RequireLine(t, err)
			return
		}
		var again choose.Choice
		require.NoError(t, json.Unmarshal([]byte(c.String()), &again))
		require.Equal(t, list, again.Installed)
		_, err = repository("a 1.0.0").Choose(t.Context(), c, nil)
		require.NoError(t, err)
	})
}
