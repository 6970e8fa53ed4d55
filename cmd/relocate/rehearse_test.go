package main

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/registry/rehearsal"
	"relocate/tarball"
)

// rehearse runs relocate rehearse and returns its report.
func rehearse(t *testing.T, args ...string) (rehearsalJSON, result) {
	t.Helper()
	r := tryRelocate(t, append([]string{"rehearse", "-o", "json"}, args...)...)
	var report rehearsalJSON
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &report), "%s\n%s", r.stdout, r.stderr)
	return report, r
}

// TestRehearse: what an import makes of the sample is whole, by the name that the repository will have, and
// nobody else is asked for anything.
func TestRehearse(t *testing.T) {
	t.Parallel()
	src := startReal(t)
	file := export(t, pushSample(t, src.Addr))
	src.Stop()
	report, r := rehearse(t, file, "--as", "registry.airgap.internal/tce/main", "--tag", "v2")
	assert.Zero(t, r.status, r.stderr)
	assert.True(t, report.OK)
	assert.True(t, report.Verify.OK)
	assert.Equal(t, "registry.airgap.internal/tce/main", report.Repository)
	assert.Equal(t, []string{"registry.airgap.internal:443", "registry.airgap.internal:80"}, report.Connections)
	assert.Equal(t, 1, report.Objects.Inside, "the PackageRepository")
	assert.Equal(t, 16, report.Registry.Manifests, "11, and 5 locations images")
	assert.Zero(t, report.Registry.Refused, "nothing is put before what it names")
	assert.Less(t, report.Registry.Kept, 10_000, "locations images, and nothing that the archive has")

	r = mustRelocate(t, "rehearse", file)
	assertAll(t, r.stdout, "OK: "+file+" can be imported into embedded-registry.invalid/corp/repository, and needs nothing from elsewhere\n",
		"  imported 16 manifests and 31 blobs: every byte was hashed on arrival, and no manifest was accepted before what it names\n",
		"  no host was contacted except the registry inside this program: embedded-registry.invalid:443, embedded-registry.invalid:80\n",
		"the 8 references", "fetches from it, by digest", "manifests         11 of 11 correct")
	assert.Equal(t, []string{"repository.tar", "repository.tar.seal"}, namesIn(t, filepath.Dir(file)))
}

// TestRehearsedRegistry: the embedded registry holds after an import what a real one holds.
func TestRehearsedRegistry(t *testing.T) {
	t.Parallel()
	for name, start := range attachmentRegistries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSignedSite(t, start(t))
			file := export(t, s.root)
			a, err := tarball.Open(file)
			require.NoError(t, err)
			defer a.Close()
			embedded := httptest.NewServer(rehearsal.New(a))
			defer embedded.Close()
			host, real := strings.TrimPrefix(embedded.URL, "http://"), startReferrers(t)
			mustRelocate(t, "--from-tar", file, "--to-repo", host+"/all")
			mustRelocate(t, "--from-tar", file, "--to-repo", real+"/all")
			assert.Equal(t, dumpRepositories(t, real, "all"), dumpRepositories(t, host, "all"))
			mustRelocate(t, "verify", "--repo", host+"/all", file, "--level", "deep")
			report, _ := rehearse(t, file)
			assert.Empty(t, report.Verify.Problems)
			assert.Positive(t, report.Import.Attached)
		})
	}
}

// TestRehearseOutside: what kapp-controller would show green, and what reaches outside for all that, does not
// pass.
func TestRehearseOutside(t *testing.T) {
	t.Parallel()
	src := startReal(t)
	s := site{t: t, host: src.Addr}
	image := s.ref("img/app", s.image("img/app", "1", "app"))
	deployment := func(image string) map[string]string {
		return map[string]string{"config/app.yml": "kind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n      - image: " + image + "\n"}
	}
	resolved := kbldText("a.corp.com", "1.0.0", "FETCH")
	for name, c := range map[string]struct {
		config  map[string]string
		pkg     func(bundle string) string
		covered bool
		says    string // a finding names it; empty: there is none
	}{
		"clean":     {deployment(image), nil, true, ""},
		"uncovered": {deployment(image), nil, false, "pkg/uncovered@sha256:"},
		"unlisted":  {deployment("quay.io/corp/other@" + digestOf("other")), nil, true, "quay.io/corp/other@"},
		"tag":       {deployment("quay.io/corp/other:1"), nil, true, "quay.io/corp/other:1"},
		"image-fetch": {deployment(image), func(b string) string {
			return strings.NewReplacer("imgpkgBundle:", "image:", "image: FETCH", "url: "+b).Replace(resolved)
		}, true, "pkg/image-fetch@"},
		"http-fetch": {deployment(image), func(string) string {
			return strings.NewReplacer("imgpkgBundle:", "http:", "image: FETCH", "url: https://example.com/x.tgz").Replace(resolved)
		}, true, "https://example.com/x.tgz"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := site{t: t, host: src.Addr}
			ref := s.ref("pkg/"+name, s.bundle("pkg/"+name, "1", c.config, image))
			text := strings.ReplaceAll(resolved, "FETCH", ref)
			if c.pkg != nil {
				text = c.pkg(ref)
			}
			var locked []string
			if c.covered {
				locked = append(locked, ref)
			}
			s.bundle("repository/"+name, "1", map[string]string{"packages/a.yml": text}, locked...)
			report, r := rehearse(t, export(t, src.Addr+"/repository/"+name+":1"), "--as", "registry.airgap.internal/x")
			assert.Empty(t, report.Verify.Problems)
			if c.says == "" {
				assert.Zero(t, r.status, r.stdout)
				return
			}
			assert.Equal(t, statusMissing, r.status, r.stdout)
			assert.False(t, report.OK)
			assert.Contains(t, r.stdout, c.says)
		})
	}
}

// rehearseCut rehearses an archive without a network, and returns what the program printed.
func rehearseCut(t *testing.T, file string, args ...string) rehearsalJSON {
	t.Helper()
	cut := cutOff(t)
	path, err := program()
	require.NoError(t, err)
	r := runProgram(t, cut[0], append(append(cut[1:], path, "rehearse", file, "-o", "json"), args...)...)
	var report rehearsalJSON
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &report), r.stderr)
	for _, host := range report.Connections {
		assert.Contains(t, host, "embedded-registry.invalid:")
	}
	return report
}

// TestRehearseDamage: an archive that would not arrive whole does not pass, whatever is damaged.
func TestRehearseDamage(t *testing.T) {
	t.Parallel()
	archive, _ := sampleArchive(t)
	for name, at := range map[string]int{"layer": len(archive) - 12_000, "manifest": len(archive) / 8, "header": 3, "seal": len(archive) - 1500} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			damaged := bytes.Clone(archive)
			damaged[at] ^= 1
			file := filepath.Join(t.TempDir(), "damaged.tar")
			require.NoError(t, os.WriteFile(file, damaged, 0o600))
			want := tryRelocate(t, "verify", file)
			r := tryRelocate(t, "rehearse", file)
			assert.Equal(t, want.status, r.status, "%s\n%s", want.stdout, r.stderr)
			assert.Equal(t, statusDamage, r.status)
			assert.NotContains(t, r.stdout, "OK: ")
		})
	}
}

func TestRehearseUsage(t *testing.T) {
	skipShort(t)
	t.Parallel()
	archive, _ := sampleArchive(t)
	file := filepath.Join(t.TempDir(), "a.tar")
	require.NoError(t, os.WriteFile(file, archive, 0o600))
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "archive"},
		{[]string{file, "--as", "no-registry"}, "--as no-registry"},
		{[]string{file, "--as", "registry.test/x:v1"}, "--as registry.test/x:v1"},
		{[]string{file, "--tag", "sha256-x y"}, "sha256-x y"},
		{[]string{file, "--concurrency", "0"}, "between 1 and 256"},
		{[]string{filepath.Join(t.TempDir(), "none.tar")}, "none.tar"},
	} {
		r := tryRelocate(t, append([]string{"rehearse"}, c.args...)...)
		assert.Equal(t, statusUsage, r.status, r.stderr)
		assert.Contains(t, r.stderr, c.says)
		assert.Empty(t, r.stdout)
	}
}

// TestRehearseCutOff runs the program where there is no network but loopback: it connects to nothing.
func TestRehearseCutOff(t *testing.T) {
	skipShort(t)
	t.Parallel()
	cut := cutOff(t)
	path, err := program()
	require.NoError(t, err)
	archive, _ := sampleArchive(t)
	dir := t.TempDir()
	file, trace := filepath.Join(dir, "a.tar"), filepath.Join(dir, "trace")
	require.NoError(t, os.WriteFile(file, archive, 0o600))
	args := append(cut, "strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", trace, path)
	if _, err := exec.LookPath("strace"); err != nil {
		args = append(cut, path)
	}
	args = append(args, "rehearse", file, "--as", "registry.airgap.internal/tce/main")
	r := runProgram(t, args[0], args[1:]...)
	require.Zero(t, r.status, r.stderr)
	assertAll(t, r.stdout, "OK: "+file+" can be imported into registry.airgap.internal/tce/main")
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Skip("passed, but its connections were not looked at: strace is not installed")
	}
	assert.NotContains(t, string(text), "sa_family")
}

// cutOff returns a command that runs another where only loopback is up, and skips the test where there can be
// none.
func cutOff(t *testing.T) []string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("network namespaces are Linux's")
	}
	cut := []string{"unshare", "--net", "sh", "-c", `ip link set lo up && exec "$@"`, "sh"}
	if out, err := exec.CommandContext(t.Context(), cut[0], append(cut[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("needs root, unshare and ip: %v: %s", err, out)
	}
	return cut
}
