package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/report"
)

// pushOpen pushes a package repository that is not closed: a package fetches by http, and the config of another
// names an image in an argument.
func pushOpen(t *testing.T, host string) string {
	t.Helper()
	s := site{t: t, host: host}
	app := s.ref("corp/app", s.image("corp/app", "1", noise("first", 300_000), "app"))
	leaking := s.bundle("pkg/leaking", "1", map[string]string{
		"config/app.yml": "apiVersion: apps/v1\nkind: Deployment\nspec:\n  image: " + app + "\n  args:\n  - --sidecar=quay.io/corp/sidecar:1.2\n",
	}, app)
	ref := s.ref("pkg/leaking", leaking)
	s.bundle("root/open", "1", map[string]string{
		"packages/a.yml": kbldText("a.corp.com", "1.0.0", ref),
		"packages/b.yml": strings.NewReplacer("imgpkgBundle:", "http:", "image: FETCH", "url: https://example.com/x.tgz").Replace(kbldText("b.corp.com", "1.0.0", "FETCH")),
	}, ref)
	return host + "/root/open:1"
}

// TestStrict: an export tells what points outside, and is done; under --strict nothing is moved. What the
// operator knows is no reason to fail, and everything else is.
func TestStrict(t *testing.T) {
	t.Parallel()
	src := startReal(t)
	ref, dir := pushOpen(t, src.Addr), t.TempDir()
	file, known := filepath.Join(dir, "open.tar"), filepath.Join(dir, "known.json")

	r := tryRelocate(t, "-b", ref, "--to-tar", file, "--strict")
	assert.Equal(t, statusMissing, r.status)
	assertAll(t, r.stderr, "config/app.yml:6 (outside-key, rendered)", "quay.io/corp/sidecar:1.2", "packages/b.yml:", "https://example.com/x.tgz", "hint: fix the findings above")
	assert.Empty(t, namesIn(t, dir), "nothing was written")
	for _, line := range src.Requests() {
		assert.NotContains(t, line, digestOf("app"), "no layer was fetched")
	}

	r = mustRelocate(t, "-b", ref, "--to-tar", file, "--report", known)
	assertAll(t, r.stderr, "findings: 1 breaks an install, 1 breaks a pull", "→ the author pushes what is fetched as a bundle", "quay.io/corp/sidecar:1.2", "https://example.com/x.tgz")
	places := []string{"--allow", "quay.io/corp", "--allow", "example.com"}
	for _, args := range [][]string{
		append([]string{"-b", ref, "--to-tar", filepath.Join(dir, "places.tar"), "--strict"}, places...),
		{"-b", ref, "--to-tar", filepath.Join(dir, "report.tar"), "--strict", "--accept", known},
		append([]string{"verify", file, "--strict"}, places...),
		{"verify", file, "--strict", "--accept", known},
		{"rehearse", file, "--accept", known},
	} {
		mustRelocate(t, args...)
	}
	assert.Contains(t, mustRelocate(t, "verify", file).stdout, "NOT CLOSED: "+file+" is complete, but not closed: 2 findings")
	for _, args := range [][]string{
		{"verify", file, "--strict", "--allow", "quay.io"},
		{"verify", file, "--strict", "--allow", "quay.io/cor", "--allow", "example.com"},
		{"rehearse", file, "--allow", "example.com"},
	} {
		assert.Equal(t, statusMissing, tryRelocate(t, args...).status, args)
	}
}

// TestScanBeside: an export scans beside the layers, and says so afterwards. Under --strict, and in a plan, the
// scan comes first.
func TestScanBeside(t *testing.T) {
	t.Parallel()
	ref := pushSample(t, startReal(t).Addr)
	phases := func(args ...string) (names []string) {
		for line := range strings.Lines(mustRelocate(t, append(args, "-b", ref, "--progress", "json")...).stderr) {
			var event struct {
				Phase string
				Done  bool
			}
			require.NoError(t, json.Unmarshal([]byte(line), &event))
			if event.Done {
				names = append(names, event.Phase)
			}
		}
		return names
	}
	file := func(name string) string { return filepath.Join(t.TempDir(), name) }
	assert.Equal(t, []string{"read", "export", "scan"}, phases("--to-tar", file("a.tar")))
	assert.Equal(t, []string{"read", "scan", "export"}, phases("--to-tar", file("b.tar"), "--strict"))
	assert.Equal(t, []string{"read", "scan"}, phases("plan"))
}

// TestFindingsOfRoots: where there are several roots, each finding names the first that needs its bundle.
func TestFindingsOfRoots(t *testing.T) {
	skipShort(t)
	t.Parallel()
	src := startReal(t)
	open, closed := pushOpen(t, src.Addr), pushSample(t, src.Addr)
	assertAll(t, mustRelocate(t, "plan", "-b", closed, "-b", open).stdout, "config/app.yml:6, root "+open+" (outside-key, text)")
	assert.NotContains(t, mustRelocate(t, "plan", "-b", open).stdout, ", root ")
	file := export(t, closed, "-b", open)
	assertAll(t, mustRelocate(t, "verify", file).stdout, "config/app.yml:6, root "+open+" (outside-key, rendered)")
	assertAll(t, mustRelocate(t, "verify", file, "-o", "json").stdout, `"root": "`+open+`"`)
}

// TestStrictLate: an export that goes on was walked by an earlier run, which may not have been strict. What leads
// outside is told all the same.
func TestStrictLate(t *testing.T) {
	t.Parallel()
	door := newMeter(t, startReal(t).Addr)
	ref, dir := pushOpen(t, door.host), t.TempDir()
	file := filepath.Join(dir, "open.tar")
	door.behave(func(w http.ResponseWriter, r *http.Request) bool {
		refused := strings.HasSuffix(r.URL.Path, digestOf("app"))
		if refused {
			w.WriteHeader(http.StatusInternalServerError)
		}
		return refused
	}, nil)
	r := tryRelocate(t, "-b", ref, "--to-tar", file, "--registry-retry-count", "1", "--keep-going") // all else is kept
	require.Equal(t, statusPartly, r.status, r.stderr)
	require.Contains(t, namesIn(t, dir), "open.tar.part", r.stderr)
	door.behave(nil, nil)
	r = tryRelocate(t, "-b", ref, "--to-tar", file, "--strict")
	assert.Equal(t, statusMissing, r.status)
	assertAll(t, r.stderr, "continues with", "quay.io/corp/sidecar:1.2", "seal  sha256:", "--strict: not closed")
	assert.Equal(t, []string{"open.tar", "open.tar.seal"}, namesIn(t, dir), "it is whole, and there")
}

// TestAcceptIsExact: a report accepts what it lists, and nothing that moved, grew or came.
func TestAcceptIsExact(t *testing.T) {
	t.Parallel()
	f := report.Finding{Code: "outside-key", Package: "a 1", File: "config/a.yml", Line: 3, Reference: "quay.io/x:1", Bundle: "here"}
	dir := t.TempDir()
	file := filepath.Join(dir, "report.json")
	text, err := json.Marshal(map[string]any{"version": reportVersion, "findings": []report.Finding{f}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o600))
	known := &tolerance{accept: file}
	elsewhere, level := f, f
	elsewhere.Bundle, level.Message = "there", "in other words"
	for name, same := range map[string]report.Finding{"bundle": elsewhere, "words": level} {
		rest, accepted, err := known.split([]report.Finding{same})
		require.NoError(t, err)
		assert.Empty(t, rest, name)
		assert.Len(t, accepted, 1, name)
	}
	for name, change := range map[string]func(*report.Finding){
		"code":      func(f *report.Finding) { f.Code = "not-locked" },
		"package":   func(f *report.Finding) { f.Package = "a 2" },
		"file":      func(f *report.Finding) { f.File = "config/b.yml" },
		"line":      func(f *report.Finding) { f.Line++ },
		"reference": func(f *report.Finding) { f.Reference = "quay.io/x:2" },
	} {
		other := f
		change(&other)
		rest, accepted, err := known.split([]report.Finding{other})
		require.NoError(t, err)
		assert.Len(t, rest, 1, name)
		assert.Empty(t, accepted, name)
	}
	for name, text := range map[string]string{
		"no JSON":       "hello",
		"no version":    `{"findings":[]}`,
		"newer version": `{"version":2,"findings":[]}`,
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		r := tryRelocate(t, "verify", filepath.Join(dir, "x.tar"), "--accept", file)
		assert.Equal(t, statusUsage, r.status, name)
		assert.Contains(t, r.stderr, "--accept "+file, name)
	}
	assert.Equal(t, statusUsage, tryRelocate(t, "verify", "x.tar", "--accept", filepath.Join(dir, "none.json")).status)
	assert.Equal(t, statusUsage, tryRelocate(t, "verify", "x.tar", "--allow", "not a host").status)
}

// TestReportFiles: a page where the name says so, else the JSON that -o json prints; and JUnit's status is the command's.
func TestReportFiles(t *testing.T) {
	skipShort(t)
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	ref, dir := pushOpen(t, src.Addr), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	file := at("open.tar")
	mustRelocate(t, "-b", ref, "--to-tar", file, "--report", at("export.html"))
	mustRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/all", "--report", at("import.html"))
	printed := mustRelocate(t, "verify", file, "-o", "json", "--report", at("verify.json"))
	written, err := os.ReadFile(at("verify.json"))
	require.NoError(t, err)
	assert.Equal(t, printed.stdout, string(written))
	mustRelocate(t, "verify", file, "--report", at("verify.html"))
	assert.Equal(t, statusMissing, tryRelocate(t, "verify", "--repo", dst.Addr+"/all", file, "--report", at("repository.html")).status)
	assert.Equal(t, statusMissing, tryRelocate(t, "rehearse", file, "--report", at("rehearse.html")).status)
	for _, name := range []string{"export.html", "import.html", "verify.html", "repository.html", "rehearse.html"} {
		page, err := os.ReadFile(at(name))
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(string(page), "<!DOCTYPE html>"), name)
		if name != "import.html" { // which tells what it did; what points outside is for the others
			assert.Contains(t, string(page), "quay.io/corp/sidecar:1.2", name)
		}
	}
	r := tryRelocate(t, "verify", "--repo", dst.Addr+"/all", file, "-o", "junit")
	assert.Equal(t, statusMissing, r.status)
	assertAll(t, r.stdout, `<?xml version="1.0" encoding="UTF-8"?>`, "a.corp.com 1.0.0", "<failure")
	r = tryRelocate(t, "verify", file, "--report", filepath.Join(dir, "none", "x.html"))
	assert.Equal(t, statusUsage, r.status)
	assert.Contains(t, r.stderr, "no such folder")
}
