package cluster

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/child"
	"relocate/internal/digest"
	"relocate/render"
)

// source has no blobs. It has manifests by tag and digest, and counts who asks.
type source struct {
	bundle.Source
	manifests map[string]string
	errs      map[string]error
	mu        sync.Mutex
	asked     []string
}

func (s *source) Manifest(_ context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, ref.Name())
	id := ref.Identifier()
	if err := s.errs[id]; err != nil {
		return v1.Descriptor{}, nil, err
	}
	raw, ok := s.manifests[id]
	if !ok {
		return v1.Descriptor{}, nil, fmt.Errorf("asked: %w", fs.ErrNotExist)
	}
	return v1.Descriptor{Digest: digest.Of([]byte(raw))}, []byte(raw), nil
}

func podOf(images ...string) string {
	text := "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n"
	for _, image := range images {
		text += "  - image: " + image + "\n"
	}
	return text + "---\n"
}

func verifyText(t *testing.T, s *source, text string, allow ...string) (*Result, error) {
	t.Helper()
	o, err := Read(strings.NewReader(text))
	require.NoError(t, err)
	opt := Options{Jobs: 4}
	for _, a := range allow {
		place, err := ParsePlace(a)
		require.NoError(t, err)
		opt.Allow = append(opt.Allow, place)
	}
	repo, err := name.NewRepository("registry.airgap.test/corp/all")
	require.NoError(t, err)
	return o.Verify(t.Context(), s, repo, opt)
}

// TestVerifyAsksOnce: one request for each tag and digest that can be there, however often they are named, and
// none for what is allowed, nor for tags elsewhere.
func TestVerifyAsksOnce(t *testing.T) {
	t.Parallel()
	there, gone := digest.Of([]byte("{}")).String(), digest.Of([]byte("gone")).String()
	s := &source{manifests: map[string]string{there: "{}", "v1": "{}"}}
	pod := podOf("registry.airgap.test/corp/all@"+there, "registry.airgap.test/corp/all:v1@"+there, "registry.airgap.test/corp/all:v1",
		"quay.io/corp/app@"+there, "quay.io/corp/app:v2", "registry.k8s.io/pause@"+gone, "registry.airgap.test/corp/all@"+gone)
	r, err := verifyText(t, s, strings.Repeat(pod, 100), "registry.k8s.io")
	require.NoError(t, err)
	const base = "registry.airgap.test/corp/all"
	assert.ElementsMatch(t, []string{base + "@" + there, base + ":v1", base + "@" + gone}, s.asked)
	assert.Equal(t, []int{100, 700, 300, 100}, []int{r.Objects, r.References, r.Inside, r.Allowed})
	assert.Len(t, r.Findings, 400)
}

// TestVerifyDamage: what a registry has damaged is named; what it does not answer ends the run.
func TestVerifyDamage(t *testing.T) {
	t.Parallel()
	d := digest.Of([]byte("x")).String()
	image := "registry.airgap.test/corp/all@" + d
	s := &source{errs: map[string]error{d: fmt.Errorf("%w: \x1b[2J", digest.ErrMismatch)}}
	r, err := verifyText(t, s, podOf(image))
	require.NoError(t, err)
	require.Len(t, r.Findings, 1)
	assert.Equal(t, codeDamaged, r.Findings[0].Code)
	assert.Equal(t, 1, r.Findings.Breaking())
	assert.Zero(t, r.Inside)

	s.errs[d] = fs.ErrPermission
	_, err = verifyText(t, s, podOf(image, image+"1"))
	require.ErrorIs(t, err, fs.ErrPermission)
	assert.ErrorContains(t, err, "ask for "+image)
}

// TestVerifyDetails: what was asked for as a workload's image, and then is a child of a Pod's, is looked at
// closer.
func TestVerifyDetails(t *testing.T) {
	t.Parallel()
	config := digest.Of([]byte("config")).String()
	image := fmt.Sprintf(`{"config":{"digest":%q}}`, config)
	child := digest.Of([]byte(image)).String()
	index := fmt.Sprintf(`{"manifests":[{"digest":%q}]}`, child)
	s := &source{manifests: map[string]string{child: image, digest.Of([]byte(index)).String(): index}}
	const base = "registry.airgap.test/corp/all@"
	r, err := verifyText(t, s, podOf(base+child)+fmt.Sprintf(`
apiVersion: v1
kind: Pod
spec: {containers: [{name: a, image: %q}]}
status: {containerStatuses: [{name: a, imageID: %q}]}
`, base+digest.Of([]byte(index)).String(), config))
	require.NoError(t, err)
	assert.Empty(t, r.Findings)
	assert.Equal(t, 1, r.Running)
	assert.Len(t, s.asked, 3)
}

func TestParsePlace(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "/", "/x", "https://quay.io", "quay.io/UPPER", "a b", "quay.io:port/x", "*", "*.quay.io"} {
		_, err := ParsePlace(bad)
		assert.Error(t, err, bad)
	}
	for place, c := range map[string]struct{ has, hasNot [][2]string }{
		"quay.io":        {[][2]string{{"quay.io", "a"}, {"QUAY.io", "a/b"}}, [][2]string{{"quay.io:443", "a"}, {"x.quay.io", "a"}}},
		"quay.io/corp/":  {[][2]string{{"quay.io", "corp"}, {"quay.io", "corp/b"}}, [][2]string{{"quay.io", "corporation"}, {"quay.io", "a"}}},
		"docker.io":      {[][2]string{{"index.docker.io", "library/nginx"}}, nil},
		"localhost:5000": {[][2]string{{"localhost:5000", "a"}}, [][2]string{{"localhost", "a"}}},
	} {
		p, err := ParsePlace(place)
		require.NoError(t, err)
		for _, yes := range c.has {
			assert.True(t, p.has(yes[0], yes[1]), "%s %s", place, yes)
		}
		for _, no := range c.hasNot {
			assert.False(t, p.has(no[0], no[1]), "%s %s", place, no)
		}
	}
}

// TestVerifyStrings: what a container or a ConfigMap tells a program to pull is an image like any other; a kind of
// another group that is called like one of kapp-controller's is none of its.
func TestVerifyStrings(t *testing.T) {
	t.Parallel()
	there := digest.Of([]byte("{}")).String()
	s := &source{manifests: map[string]string{there: "{}"}}
	const base = "registry.airgap.test/corp/all@"
	r, err := verifyText(t, s, fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: operator}
spec:
  template:
    spec:
      containers:
      - image: %[1]q
        args: ["--sidecar=quay.io/corp/sidecar:v1", --inside=%[1]s, "--pause=registry.k8s.io/pause:3.9", --verbose, "https://quay.io/corp/x:v1"]
        env:
        - {name: RELATED_IMAGE, value: "quay.io/corp/related:v1"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config}
data:
  sidecar: quay.io/corp/config:v1
  pod.yaml: |
    # quay.io/corp/comment:v1
    image: "quay.io/corp/file:v1"
---
apiVersion: app.k8s.io/v1
kind: App
spec: {fetch: {image: "quay.io/corp/app:v1"}}
---
apiVersion: example.com/v1
kind: Other
spec: {text: "quay.io/corp/any:v1"}
`, base+there), "registry.k8s.io")
	require.NoError(t, err)
	var got []string
	for _, f := range r.Findings {
		got = append(got, fmt.Sprintf("%s %s %s %d %s", f.Level, f.Code, f.Path, f.Line, f.Reference))
	}
	assert.Equal(t, []string{
		"pull outside spec.template.spec.containers[0].args[0] 10 quay.io/corp/sidecar:v1",
		"pull outside spec.template.spec.containers[0].env[0].value 12 quay.io/corp/related:v1",
		"pull outside data.sidecar 18 quay.io/corp/config:v1",
		`pull outside data["pod.yaml"] 19 quay.io/corp/file:v1`,
		"pull outside spec.fetch.image 25 quay.io/corp/app:v1",
	}, got)
	assert.Equal(t, []int{8, 2, 1}, []int{r.References, r.Inside, r.Allowed})
}

// TestDeployDies: templates whose child dies are a problem, and those of a Package that are not rendered are not proved.
func TestDeployDies(t *testing.T) {
	t.Parallel()
	o, err := Read(strings.NewReader(`---
apiVersion: data.packaging.carvel.dev/v1alpha1
kind: Package
metadata: {name: a.test.corp.1.0.0}
spec:
  refName: a.test.corp
  version: 1.0.0
  template:
    spec:
      fetch: [{inline: {paths: {a.yml: "a: 1"}}}]
      template: [{ytt: {}}]
---
apiVersion: packaging.carvel.dev/v1alpha1
kind: PackageInstall
metadata: {name: a, namespace: apps}
spec: {packageRef: {refName: a.test.corp, versionSelection: {constraints: 1.0.0}}}
`))
	require.NoError(t, err)
	repo, err := name.NewRepository("registry.airgap.test/corp/all")
	require.NoError(t, err)
	r, err := o.Verify(t.Context(), &source{}, repo, Options{RenderPackages: true, Renderer: &render.Renderer{Program: child.Program{Path: "/bin/false"}}})
	require.NoError(t, err)
	require.Len(t, r.Findings, 1)
	f := r.Findings[0]
	assert.Equal(t, []string{string(codeNotRendered), "install", "PackageInstall apps/a"}, []string{string(f.Code), string(f.Level), f.Object.String()})
	assert.Equal(t, []int{0, 1}, []int{r.Rendered, r.NotRendered})

	r, err = o.Verify(t.Context(), &source{}, repo, Options{})
	require.NoError(t, err)
	assert.Empty(t, r.Findings)
	assert.Equal(t, []int{0, 1}, []int{r.Rendered, r.NotRendered})
	assert.Equal(t, "what 1 PackageInstall deploys: not rendered", r.Verdict("x", repo).NotProved[0])
}
