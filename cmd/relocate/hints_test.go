package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"relocate/tarball"
)

// pushUncovered pushes a repository whose only package stays at its origin, and returns its reference.
func pushUncovered(t *testing.T, host string) string {
	s := site{t: t, host: host}
	ref := s.ref("pkg/open", s.bundle("pkg/open", "1", map[string]string{"config/app.yml": "kind: ConfigMap\n"}))
	s.bundle("repository/open", "1", map[string]string{"packages/a.yml": packageText("a.corp.com", "1.0.0", ref)})
	return host + "/repository/open:1"
}

// TestFindingsHelp: what is said to do about content helps: nothing that is sent again mends it, and plan, verify
// and an export judge it alike.
func TestFindingsHelp(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	registry := startReal(t)
	root, repo := pushUncovered(t, registry.Addr), registry.Addr+"/airgap/open"
	file := export(t, root)
	mustRelocate(t, "--from-tar", file, "--to-repo", repo)
	known := filepath.Join(t.TempDir(), "known.json")
	mustRelocate(t, "verify", file, "--report", known)

	for _, args := range [][]string{
		{"plan", "-b", root, "--strict"}, {"verify", file, "--strict"}, {"verify", "--repo", repo, file}, {"rehearse", file},
	} {
		r := tryRelocate(t, args...)
		assert.Equal(t, statusMissing, r.status, args)
		assert.Contains(t, r.stderr, "hint: "+hintFindings, args)
		assert.NotContains(t, r.stderr, "import again", args)
		r = mustRelocate(t, append(args, "--accept", known)...)
		assert.Contains(t, r.stdout, "accepted: 1 finding; ", args)
	}
	again := mustRelocate(t, "-b", root, "--to-tar", file, "--strict", "--accept", known)
	assert.Contains(t, again.stderr, "accepted: 1 finding; ")
	assert.Contains(t, mustRelocate(t, "plan", "-b", root).stdout, "findings: 1 breaks")
	assert.Contains(t, mustRelocate(t, "plan", "-b", pushSample(t, registry.Addr)).stdout, "outside    none of the 8 references in 3 package versions")

	r := tryRelocate(t, "verify", file, "--seal", digestOf("other"))
	assert.Equal(t, statusMissing, r.status)
	assert.Contains(t, r.stderr, "hint: this is another file")
	r = tryRelocate(t, "verify", "--repo", registry.Addr+"/none", file)
	assert.Equal(t, statusMissing, r.status)
	assert.Contains(t, r.stderr, "hint: import again")
}

// TestAcceptReports: the report of every command that has findings of packages is taken, and no other file.
func TestAcceptReports(t *testing.T) {
	skipShort(t)
	t.Parallel()
	registry := startReal(t)
	root, repo, dir := pushOpen(t, registry.Addr), registry.Addr+"/airgap/open", t.TempDir()
	file, known := export(t, root), filepath.Join(dir, "known.json")
	mustRelocate(t, "--from-tar", file, "--to-repo", repo)
	for _, args := range [][]string{
		{"rehearse", file}, {"verify", file}, {"verify", "--repo", repo, file}, {"-b", root, "--to-tar", filepath.Join(dir, "r.tar")},
	} {
		tryRelocate(t, append(args, "--report", known)...)
		mustRelocate(t, "rehearse", file, "--accept", known)
		tryRelocate(t, "rehearse", file, "--accept", known, "--report", known)
		mustRelocate(t, "verify", file, "--accept", known, "--strict")
	}
	objects := filepath.Join(dir, "objects.yml")
	require.NoError(t, os.WriteFile(objects, []byte("kind: Pod\nmetadata: {name: web}\nspec: {containers: [{image: nginx}]}\n"), 0o600))
	tryRelocate(t, "verify", "--repo", repo, "-f", objects, "--report", known)
	assertFailed(t, tryRelocate(t, "verify", file, "--accept", known), statusUsage, "is a report on cluster objects")
	require.NoError(t, os.WriteFile(known, []byte("{}"), 0o600))
	assertFailed(t, tryRelocate(t, "verify", file, "--accept", known), statusUsage, "is not a report")
}

// pageText is what is read on a page.
func pageText(t *testing.T, page []byte) string {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(page))
	require.NoError(t, err)
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" && n.Parent.Data != "script" {
			b.WriteString(n.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// TestPageSaysWhat: the page of a rehearsal is of the archive, and one of objects says nothing of archives.
func TestPageSaysWhat(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	registry := startReal(t)
	file := export(t, pushUncovered(t, registry.Addr))
	dir := t.TempDir()
	page := func(args ...string) string {
		path := filepath.Join(dir, "page.html")
		tryRelocate(t, append(args, "--report", path)...)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		return pageText(t, text)
	}
	a, err := tarball.Open(file)
	require.NoError(t, err)
	seal := a.Seal().String()
	require.NoError(t, a.Close())
	rehearsed := page("rehearse", file, "--as", "registry.test/x")
	assertAll(t, rehearsed, "Rehearsal report", file+" does not work at registry.test/x", seal, "every byte was hashed on arrival", "the rehearsal has its own registry")
	assert.NotContains(t, rehearsed, "--level")

	objects := filepath.Join(dir, "objects.yml")
	require.NoError(t, os.WriteFile(objects, []byte("kind: Pod\nmetadata: {name: web}\nspec: {containers: [{image: nginx}]}\n"), 0o600))
	looked := page("verify", "--repo", registry.Addr+"/x", "-f", objects)
	assertAll(t, looked, "not everything that 1 object in "+objects+" needs comes from "+registry.Addr+"/x: 1 breaks a pull", "Repository")
	for _, no := range []string{"complete", "-o json", "--level", "Signatures"} {
		assert.NotContains(t, looked, no)
	}
	cases := tryRelocate(t, "verify", "--repo", registry.Addr+"/x", "-f", objects, "-o", "junit").stdout
	assert.Equal(t, 1, strings.Count(cases, "<testcase "), cases)
}

// TestReportFolder: a report that cannot be written is refused before the work, not after it.
func TestReportFolder(t *testing.T) {
	t.Parallel()
	registry := startReal(t)
	file, dir := export(t, pushSample(t, registry.Addr)), filepath.Join(t.TempDir(), "full")
	require.NoError(t, os.Mkdir(dir, 0o500))
	if f, err := os.CreateTemp(dir, "x"); err == nil {
		require.NoError(t, f.Close())
		t.Skip("this user may write anywhere")
	}
	registry.ResetRequests()
	for _, args := range [][]string{{"verify", file}, {"rehearse", file}, {"--from-tar", file, "--to-repo", registry.Addr + "/x"}} {
		r := tryRelocate(t, append(args, "--report", filepath.Join(dir, "r.html"))...)
		assertFailed(t, r, statusPermission, "--report", "permission denied")
	}
	assert.Empty(t, registry.Requests())
}

// TestHelpOfCommand: the hint about a command's usage is of that command, and only a copy can be continued.
func TestHelpOfCommand(t *testing.T) {
	t.Parallel()
	for path, args := range map[string][]string{
		"relocate": {"--none"}, "relocate verify": {"verify", "a", "b"}, "relocate plan": {"plan", "--none"}, "relocate serve": {"serve", "x", "--log", "y"},
	} {
		assertFailed(t, tryRelocate(t, args...), statusUsage, "hint: see "+path+" --help\n")
	}
	verify, _, err := newRoot().Find([]string{"verify"})
	require.NoError(t, err)
	assert.Empty(t, hintFor(verify, hintResume))
	assert.Equal(t, hintResume, hintFor(newRoot(), hintResume))
}
