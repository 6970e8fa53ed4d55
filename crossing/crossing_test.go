package crossing_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/crossing"
)

// head begins every file.
const head = "apiVersion: relocate/v1alpha1\nkind: Crossing\n"

const whole = `# What site 7 gets.
apiVersion: relocate/v1alpha1
kind: Crossing
roots:
- bundle: registry.example.com/tce/main:v0.12.0
- image: registry.example.com/tools/kubectl:v1.30.1
- bundle: registry.example.com/corp/main:v1
  choose:
    packages: ["*.corp.com@>=1.0.0"]
    latest: 3
choose:
  packages: [contour.*@1.x, cert-manager.*]
  exclude: ["*.alpha"]
  latest: 1
  prereleases: true
  installed: installed.yml
  noDependencies: true
platforms: [linux/amd64, linux/arm/v7]
platformMode: derive
have: [site.txt]
bases: [january.tar, february.tar, "https://a.com/march.tar"]
includeNonDistributableLayers: true
attachments: require
signaturesFrom: registry.example.com/signatures
strict: true
allow: [docs.example.com, registry.example.com/mirror]
accept: reports/last.json
cluster:
  kubernetesVersion: "1.30"
  kappControllerVersion: 0.50.0
render:
  packages: true
  values:
    b.example.com/1.0.0: values/b.yml
    a.example.com: /etc/a.yml
destination:
  repository: registry.airgap.internal/tce/main
  tag: "1.10"
  name: main
  namespace: tce
  secretRef: registry
`

// TestParse: every value, with its line and the flag that means the same.
func TestParse(t *testing.T) {
	t.Parallel()
	c, err := crossing.Parse(filepath.Join("site", "crossing.yml"), []byte(whole))
	require.NoError(t, err)
	assert.Equal(t, []crossing.Root{{Bundle: "registry.example.com/tce/main:v0.12.0"}, {Image: "registry.example.com/tools/kubectl:v1.30.1"},
		{Bundle: "registry.example.com/corp/main:v1", Choose: &crossing.Choice{Packages: []crossing.Pattern{"*.corp.com@>=1.0.0"}, Latest: 3}}}, c.Roots)
	assert.Equal(t, crossing.Path(filepath.Join("site", "reports", "last.json")), c.Accept)
	assert.Equal(t, []crossing.Setting{
		{"roots[0].bundle", 5, "bundle", []string{"registry.example.com/tce/main:v0.12.0"}},
		{"roots[1].image", 6, "image", []string{"registry.example.com/tools/kubectl:v1.30.1"}},
		{"roots[2].bundle", 7, "bundle", []string{"registry.example.com/corp/main:v1"}},
		{"choose.packages", 12, "package", []string{"contour.*@1.x", "cert-manager.*"}},
		{"choose.exclude", 13, "exclude-package", []string{"*.alpha"}},
		{"choose.latest", 14, "latest", []string{"1"}},
		{"choose.prereleases", 15, "prerelease", []string{"true"}},
		{"choose.installed", 16, "installed", []string{filepath.Join("site", "installed.yml")}},
		{"choose.noDependencies", 17, "no-dependencies", []string{"true"}},
		{"platforms", 18, "platform", []string{"linux/amd64", "linux/arm/v7"}},
		{"platformMode", 19, "platform-mode", []string{"derive"}},
		{"have", 20, "have", []string{filepath.Join("site", "site.txt")}},
		{"bases", 21, "base", []string{filepath.Join("site", "january.tar"), filepath.Join("site", "february.tar"), "https://a.com/march.tar"}},
		{"includeNonDistributableLayers", 22, "include-non-distributable-layers", []string{"true"}},
		{"attachments", 23, "attachments", []string{"require"}},
		{"signaturesFrom", 24, "signatures-from", []string{"registry.example.com/signatures"}},
		{"strict", 25, "strict", []string{"true"}},
		{"allow", 26, "allow", []string{"docs.example.com", "registry.example.com/mirror"}},
		{"accept", 27, "accept", []string{filepath.Join("site", "reports", "last.json")}},
		{"render.packages", 32, "render", []string{"true"}},
		{"render.values", 34, "values-file", []string{"a.example.com=/etc/a.yml", "b.example.com/1.0.0=" + filepath.Join("site", "values", "b.yml")}},
		{"cluster.kubernetesVersion", 29, "kubernetes-version", []string{"1.30"}},
		{"cluster.kappControllerVersion", 30, "kapp-controller-version", []string{"0.50.0"}},
		{"destination.repository", 37, "to-repo", []string{"registry.airgap.internal/tce/main"}},
		{"destination.tag", 38, "tag", []string{"1.10"}},
		{"destination.name", 39, "name", []string{"main"}},
		{"destination.namespace", 40, "namespace", []string{"tce"}},
		{"destination.secretRef", 41, "secret-ref", []string{"registry"}},
	}, c.Settings())
}

// TestRefused: what is wrong, with its line.
func TestRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                "f.yml: must have one document, not 0",
		head + "---\n" + head:             "f.yml: must have one document, not 2",
		"kind: Crossing\n":                "f.yml:1: apiVersion is missing: write apiVersion: relocate/v1alpha1",
		"apiVersion: relocate/v1alpha1\n": "f.yml:1: kind is missing: write kind: Crossing",
		"apiVersion: relocate/v2\nkind: Crossing":  `f.yml:1: apiVersion: must be relocate/v1alpha1, not "relocate/v2"`,
		"apiVersion: relocate/v1alpha1\nkind: Pod": `f.yml:2: kind: must be Crossing, not "Pod"`,
		"- a":             "f.yml:1: must be a mapping, not a list",
		"a: [":            "f.yml:2: is not YAML: ",
		head + "rots: []": `f.yml:3: unknown key "rots"; the keys are apiVersion, kind, roots, `,
		head + "destination:\n  # ours\n  tga: x":                                  `f.yml:5: destination: unknown key "tga"; the keys are repository, tag, noTag, `,
		head + "destination:\n  secret-ref: x":                                     `f.yml:4: destination: unknown key "secret-ref"; write secretRef`,
		"# ours\n---\n" + head + "strict: true\nstrict: true":                      `f.yml:6: has the key "strict" twice`,
		head + "destination:\n  secret: x":                                         `f.yml:4: destination: unknown key "secret"; write secretRef`,
		head + "destination: {repo: a}":                                            `f.yml:3: destination: unknown key "repo"; write repository`,
		head + "render: {values: {'a=b': c}}":                                      `f.yml:3: render.values: "a=b" is not NAME or NAME/VERSION of a package`,
		head + "render: {values: {'': c}}":                                         `f.yml:3: render.values: "" is not NAME or NAME/VERSION of a package`,
		head + "roots:\n- b: x":                                                    `f.yml:4: roots[0]: unknown key "b"; the keys are bundle, image, manifests, lock, choose`,
		head + "strict: true\nallow: []\nstrict: true":                             `f.yml:5: has the key "strict" twice`,
		head + "destination:\n  tag: a\n  tag: b":                                  `f.yml:5: has the key "tag" twice`,
		head + "strict: yes":                                                       "f.yml:3: strict: must be true or false, not text",
		head + "strict: \"true\"":                                                  "f.yml:3: strict: must be true or false, not text",
		head + "strict:":                                                           "f.yml:3: strict: must be true or false, not nothing",
		head + "allow: a.com":                                                      "f.yml:3: allow: must be a list of text, not text",
		head + "allow:\n- a.com\n- {}":                                             "f.yml:5: allow[1]: must be text, not a mapping",
		head + "allow:\n- a.com:":                                                  "f.yml:4: allow[0]: must be text, not a mapping",
		head + "allow:\n- '*.com'":                                                 `f.yml:4: allow[0]: "*.com": `,
		head + "roots: {}":                                                         "f.yml:3: roots: must be a list of mappings, not a mapping",
		head + "roots:\n- a/b:1":                                                   "f.yml:4: roots[0]: must be a mapping, not text",
		head + "render: true":                                                      "f.yml:3: render: must be a mapping, not true or false",
		head + "destination:\n  tag: 1.10":                                         `f.yml:4: destination.tag: must be text, not a number; write it in quotes: "1.10"`,
		head + "destination:\n  tag: 1":                                            `f.yml:4: destination.tag: must be text, not a number; write it in quotes: "1"`,
		head + "destination:\n  tag: 2026-01-01":                                   `f.yml:4: destination.tag: must be text, not a value of another type; write it in quotes: "2026-01-01"`,
		head + "destination:\n  tag: ''":                                           "f.yml:4: destination.tag: is empty: leave the key out, or give it a value",
		head + "destination:\n  tag: \"a\\nb\"":                                    `f.yml:4: destination.tag: "a\nb" has characters that are not shown`,
		head + "destination:\n  repository: a.com/b:1":                             `f.yml:4: destination.repository: "a.com/b:1": is a reference with a tag; name the repository only`,
		head + "destination:\n  repository: a/b":                                   `f.yml:4: destination.repository: "a/b": has no registry; write registry.example.com/a/b`,
		head + "attachments: some":                                                 `f.yml:3: attachments: must be auto, require or none, not "some"`,
		head + "roots:\n- bundle: https://a.com/b:1":                               `f.yml:4: roots[0].bundle: "https://a.com/b:1": write it without https://`,
		head + "roots:\n- {}":                                                      "f.yml:4: roots[0]: must have one of bundle, image, manifests or lock, not 0",
		head + "roots:\n- bundle: a.com/b:1\n  image: a.com/b:1":                   "f.yml:4: roots[0]: must have one of bundle, image, manifests or lock, not 2",
		head + "roots:\n- bundle: a.com/b:1\n- lock: l.yml":                        "f.yml:5: roots[1]: a lock must be the only root",
		head + "roots:\n- bundle: a.com/b:1\n- image: a.com/c\n- image: a.com/b:1": "f.yml:6: roots[2]: a.com/b:1 is already roots[0]",
		head + "render:\n  values:\n    a: [b]":                                    "f.yml:5: render.values[a]: must be text, not a list",
		head + "allow:\n- a.com\r- b.com":                                          "f.yml:4: has a line break that most editors do not show",
		head + "roots:\n- image: a.com/b:1\n  choose: {latest: 1}":                 "f.yml:4: roots[0]: only a bundle has packages to choose from",
		head + "roots: []":                                                         "f.yml:3: roots: is empty: leave the key out, or give it a value",
		head + "strict: true\nplatforms: []":                                       "f.yml:4: platforms: is empty: leave the key out, or give it a value",
		head + "have: []":                                                          "f.yml:3: have: is empty: leave the key out, or give it a value",
		head + "bases: []":                                                         "f.yml:3: bases: is empty: leave the key out, or give it a value",
		head + "allow: []":                                                         "f.yml:3: allow: is empty: leave the key out, or give it a value",
		head + "choose: {}":                                                        "f.yml:3: choose: is empty: leave the key out, or give it a value",
		head + "choose:\n  latest: 1\n  packages: []":                              "f.yml:5: choose.packages: is empty: leave the key out, or give it a value",
		head + "choose: {exclude: []}":                                             "f.yml:3: choose.exclude: is empty: leave the key out, or give it a value",
		head + "render: {values: {}}":                                              "f.yml:3: render.values: is empty: leave the key out, or give it a value",
		head + "destination: {}":                                                   "f.yml:3: destination: is empty: leave the key out, or give it a value",
		head + "roots:\n- bundle: a.com/b:1\n  choose: {}":                         "f.yml:5: roots[0].choose: is empty: leave the key out, or give it a value",
		head + "choose: {latest: 0}":                                               `f.yml:3: choose.latest: must be a number from 1, not "0"`,
		head + "choose: {latest: 1.5}":                                             `f.yml:3: choose.latest: must be a number from 1, not "1.5"`,
		head + "choose: {packages: [a@~1.0]}":                                      `f.yml:3: choose.packages[0]: "a@~1.0": `,
		head + "choose: {packages: ['a[']}":                                        `f.yml:3: choose.packages[0]: "a[": `,
		head + "choose: {exclude: [a@1]}":                                          `f.yml:3: choose.exclude[0]: `,
		head + "platforms: [amd64]":                                                `f.yml:3: platforms[0]: "amd64": `,
		head + "platformMode: dense":                                               `f.yml:3: platformMode: must be sparse or derive, not "dense"`,
		head + "x: \xff":                                                           "f.yml: is not UTF-8",
		head + strings.Repeat("#", 5<<20):                                          "f.yml: has ",
		head + "a: &a [*a]":                                                        "f.yml:1: is nested more than 200 deep",
	} {
		_, err := crossing.Parse("f.yml", []byte(text))
		if assert.Error(t, err, text) {
			assert.True(t, strings.HasPrefix(err.Error(), want), "%s\ngot:  %s\nwant: %s", text, err, want)
		}
	}
}

// TestNoLogins: a login has an error of its own, which does not repeat it.
func TestNoLogins(t *testing.T) {
	t.Parallel()
	for text, line := range map[string]int{
		head + "password: hunter2":                                         3,
		head + "destination:\n  registryUsername: hunter2":                 4,
		head + "destination:\n  repository: a.com/b\n  token: hunter2":     5,
		head + "destination:\n  auth:\n    hunter2: a":                     4,
		head + "roots:\n- bundle: https://me:hunter2@a.com/b:1":            4,
		head + "roots:\n- bundle: me:hunter2@a.com/b:1":                    4,
		head + "destination:\n  repository: https://hunter2@a.com/b":       4,
		head + "signaturesFrom: me:hunter2@a.com/b":                        3,
		head + "accept: https://me:hunter2@a.com/report.json":              3,
		head + "roots:\n- bundle: a.com/b:1\n  registry-password: hunter2": 5,
	} {
		_, err := crossing.Parse("f.yml", []byte(text))
		require.ErrorIs(t, err, crossing.ErrCredentials, text)
		assert.NotContains(t, err.Error(), "hunter2")
		var at *crossing.Error
		require.ErrorAs(t, err, &at)
		assert.Equal(t, line, at.Line, text)
	}
	_, err := crossing.Parse("f.yml", []byte(head+"bases: ['https://a.com/b.tar?sig=hunter2']"))
	require.ErrorIs(t, err, crossing.ErrQuery)
	assert.NotContains(t, err.Error(), "hunter2")
	_, err = crossing.Parse("f.yml", []byte(head+"roots:\n- bundle: a.com/b@sha256:"+strings.Repeat("0", 64)+"\n- bundle: a.com:5000/b@sha256:"+strings.Repeat("0", 64)+"\n"))
	require.NoError(t, err)
}

// TestRead: a file that is missing is an error of the system.
func TestRead(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.yml")
	_, err := crossing.Read(file)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(file, []byte(head+"strict: 1"), 0o600))
	_, err = crossing.Read(file)
	var at *crossing.Error
	require.True(t, errors.As(err, &at))
	assert.Equal(t, crossing.Error{File: file, Line: 3, Field: "strict", Err: at.Err}, *at)
}
