package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/tarball"
)

// pushComputed pushes a package repository whose Packages ytt computes: two versions in a loop with data
// values, and one whose fetch an overlay replaces. The lock has one of the bundles. The others are only
// where the computed Packages say. It returns the references of the repository and of the bundles.
func pushComputed(s site) (root string, bundles []string) {
	for _, name := range []string{"locked", "loose", "overlaid"} {
		image := s.ref("c/images", s.image("c/images", name, name))
		bundles = append(bundles, s.ref("c/"+name, s.bundle("c/"+name, "1", map[string]string{"config/app.yml": "image: " + image + "\n"}, image)))
	}
	loop := "#@ load('@ytt:data', 'data')\n#@ for i, version in enumerate(data.values.versions):\n---\n" +
		packageText("computed.x.org", "VERSION", "BUNDLE") + "#@ end\n"
	s.bundle("c/repository", "1.0.0", map[string]string{
		"packages/computed.yml": strings.NewReplacer("computed.x.org.VERSION", "#@ 'computed.x.org.' + version", "VERSION", "#@ version",
			"BUNDLE", "#@ data.values.bundles[i]").Replace(loop),
		"packages/overlay.yml": "#@ load('@ytt:overlay', 'overlay')\n#@overlay/match by=overlay.subset({'metadata': {'name': 'overlaid.x.org.1.0.0'}})\n---\n" +
			"spec:\n  template:\n    spec:\n      fetch:\n      #@overlay/match by=overlay.index(0)\n      - imgpkgBundle:\n          image: " + bundles[2] + "\n",
		"packages/overlaid.yml": packageText("overlaid.x.org", "1.0.0", "origin.invalid/nothing@sha256:"+strings.Repeat("0", 64)),
		"packages/values.yml":   "#@data/values\n---\nversions: [1.0.0, 1.1.0]\nbundles:\n- " + bundles[0] + "\n- " + bundles[1] + "\n",
	}, bundles[0])
	return s.host + "/c/repository:1.0.0", bundles
}

// TestComputedPackages: Packages that ytt computes cross the gap like any other, with the bundles that
// only they name, and everything lists them.
func TestComputedPackages(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	root, bundles := pushComputed(site{t: t, host: src.Addr})
	file := export(t, root)
	mustRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/private")
	mustRelocate(t, "-b", root, "--to-repo", dst.Addr+"/copy")
	for _, repo := range []string{"private", "copy"} {
		there := dumpReal(t, dst, repo)
		for _, b := range bundles {
			_, digest, _ := strings.Cut(b, "@")
			assert.Contains(t, there.manifests, digest, repo)
		}
	}
	all := []string{"computed.x.org", "overlaid.x.org"}
	assertAll(t, mustRelocate(t, "inspect", file).stdout, all...)
	assertAll(t, mustRelocate(t, "inspect", "--repo", dst.Addr+"/private:1.0.0").stdout, all...)
	assertAll(t, mustRelocate(t, "plan", "-b", root).stdout, "3 versions of 2 packages")
	for _, of := range [][]string{{file}, {"--repo", root}} {
		got := mustRelocate(t, append(append([]string{"inspect"}, of...), "package", "computed.x.org/1.1.0")...)
		assertAll(t, got.stdout, "1.1.0", bundles[1])
		assertAll(t, mustRelocate(t, append(append([]string{"inspect"}, of...), "package", "overlaid.x.org/1.0.0")...).stdout, bundles[2])
	}
	mustRelocate(t, "emit", file, "--to-repo", dst.Addr+"/private", "--install", "computed.x.org")

	// The lock has one of the bundles: the fetches of the others stay outside, at the lines of the templates.
	for _, args := range [][]string{{"verify", file}, {"rehearse", file}, {"verify", "--repo", dst.Addr + "/private", file}} {
		r := tryRelocate(t, append(args, "-o", "json")...)
		for i, b := range bundles {
			said := strings.Contains(r.stdout, "fetches "+b+", which no lock entry")
			assert.Equal(t, i > 0, said, "%v: %s", args, b)
		}
		assertAll(t, r.stdout, `"computed.x.org 1.1.0"`, `"packages/computed.yml"`, `"overlaid.x.org 1.0.0"`)
		assert.NotContains(t, r.stdout, "origin.invalid", "%v", args)
	}
}

// TestNotRendered: what a library without a renderer makes of such an archive is no damage, and no success.
func TestNotRendered(t *testing.T) {
	t.Parallel()
	root, _ := pushComputed(site{t: t, host: startMemory(t, nil)})
	a, err := tarball.Open(export(t, root))
	require.NoError(t, err)
	defer a.Close()
	_, err = a.CheckedPlan(t.Context(), 1, nil)
	require.ErrorIs(t, err, tarball.ErrNotRendered)
	require.NotErrorIs(t, err, tarball.ErrDamaged)
	_, err = a.CheckedPlan(t.Context(), 1, newRenderer())
	require.NoError(t, err)
}

// TestRefusedByYtt: where ytt fails over packages/, what can be read is carried, and its message is shown.
func TestRefusedByYtt(t *testing.T) {
	t.Parallel()
	s := site{t: t, host: startMemory(t, nil)}
	pkg := s.ref("c/pkg", s.bundle("c/pkg", "1", map[string]string{"config/app.yml": "a: b\n"}))
	s.bundle("c/repository", "1", map[string]string{
		"packages/a.yml": packageText("plain.x.org", "1.0.0", pkg),
		"packages/b.yml": "#@ assert.fail('give a version')\n---\na: b\n",
	}, pkg)
	file := filepath.Join(t.TempDir(), "a.tar")
	mustRelocate(t, "-b", s.host+"/c/repository:1", "--to-tar", file)
	assert.Contains(t, mustRelocate(t, "inspect", file).stdout, "plain.x.org")
	r := tryRelocate(t, "rehearse", file, "-o", "json")
	assert.NotZero(t, r.status)
	assertAll(t, r.stdout, `"refused"`, "ytt fails, so that kapp-controller refuses the whole repository: ", "give a version")
	r = tryRelocate(t, "-b", s.host+"/c/repository:1", "--to-tar", filepath.Join(t.TempDir(), "b.tar"), "--strict")
	assert.NotZero(t, r.status)
	assert.Contains(t, r.stderr, "give a version")
}
