package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// cutExport kills an export when so many bytes of blobs have passed, and returns how many bytes of the
// largest layer, the one with the index given in file order, its journal promises.
func cutExport(t *testing.T, m *meter, file string, bytes int64, args ...string) {
	t.Helper()
	p := newProcess(t, append([]string{"--to-tar", file}, args...)...)
	start := m.down.Load()
	behave(m, &m.piece, func(*http.Request, int64) error {
		if m.down.Load()-start > bytes {
			p.kill()
		}
		return nil
	})
	defer func() { m.settle(); behave(m, &m.piece, nil) }()
	p.run(t)
	require.Equal(t, -1, p.cmd.ProcessState.ExitCode(), "it was to be killed: %s", p.stderr.String())
}

// promised returns the most bytes that a journal promises of one blob.
func promised(t *testing.T, file string) (most int64) {
	t.Helper()
	text, err := os.ReadFile(file + ".part.journal")
	require.NoError(t, err)
	for _, line := range strings.Split(string(text), "\n") {
		var blob, n int64
		if _, err := fmt.Sscanf(line, "%d %d", &blob, &n); err == nil {
			most = max(most, n)
		}
	}
	return most
}

// TestResumeWithinLayer: a large layer goes on where it was cut off, by a Range. A registry that gives no
// ranges gives all of it, and the archive is the same.
func TestResumeWithinLayer(t *testing.T) {
	t.Parallel()
	m := newMeter(t, startReal(t).Addr)
	root, layers := pushLarge(site{t: t, host: m.host}, 24<<20)
	layer := "/v2/load/app/blobs/" + layers[0].Digest.String()
	want := digestOfFile(t, export(t, root))
	for _, ranges := range []bool{true, false} {
		file := filepath.Join(t.TempDir(), "r.tar")
		behave(m, &m.fault, nil)
		cutExport(t, m, file, 18<<20, "-b", root, "--concurrency", "1")
		had := promised(t, file)
		require.Greater(t, had, int64(8<<20), "8 MiB may be lost")
		m.asked("")
		if !ranges {
			behave(m, &m.fault, func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("Range"); return false })
		}
		before := m.down.Load()
		r := mustRun(t, "-b", root, "--to-tar", file, "--report", filepath.Join(filepath.Dir(file), "report.json"))
		m.settle()
		assertAll(t, r.stderr, "note: continues with "+file+".part, which has ", "kept ")
		assert.Equal(t, want, digestOfFile(t, file))
		assert.GreaterOrEqual(t, readReport(t, filepath.Join(filepath.Dir(file), "report.json")).Kept.Bytes, had)
		got := m.down.Load() - before
		if ranges {
			assert.Equal(t, []string{fmt.Sprintf("GET %s bytes=%d-", layer, had)}, m.asked("GET "+layer))
			assert.Less(t, got, 24<<20-had+1<<20, "bytes of blobs")
		} else {
			assert.Greater(t, got, int64(24<<20))
		}
	}
}

// TestResumeMovedTag: the export goes on with what the tag stood for, and says so. --no-resume takes what it
// stands for now.
func TestResumeMovedTag(t *testing.T) {
	t.Parallel()
	registry := startReal(t)
	m := newMeter(t, registry.Addr)
	s := site{t: t, host: m.host}
	root, _ := pushLarge(s, 12<<20)
	old, was := export(t, root), rootDigest(t, registry.Addr, "load/repository", "1.0.0")
	dir := t.TempDir()
	file := filepath.Join(dir, "r.tar")
	cutExport(t, m, file, 10<<20, "-b", root, "--concurrency", "1")
	other := s.bundle("load/repository", "1.0.0", map[string]string{"new.txt": "new"}).Digest.String()

	report := filepath.Join(t.TempDir(), "report.json")
	r := mustRun(t, "-b", root, "--to-tar", file, "--report", report)
	assertAll(t, r.stderr, "note: "+root+" has moved to "+other+" since the export began; the export continues with "+was)
	assert.Equal(t, digestOfFile(t, old), digestOfFile(t, file))
	require.Len(t, readReport(t, report).Moved, 1)
	assert.Equal(t, other, readReport(t, report).Moved[0].Is.String())

	s.manifest("load/repository", "1.0.0", "application/vnd.docker.distribution.manifest.v2+json", []byte(manifestOf(t, registry.Addr, was)))
	cutExport(t, m, file, 10<<20, "-b", root, "--concurrency", "1")
	s.bundle("load/repository", "1.0.0", map[string]string{"new.txt": "new"})
	r = mustRun(t, "-b", root, "--to-tar", file, "--no-resume")
	assertAll(t, r.stderr, other)
	assert.NotContains(t, r.stderr, "continues")
	assert.Equal(t, []string{"r.tar", "r.tar.seal"}, namesIn(t, dir))
	mustRun(t, "verify", file, "--root", other)
}

// manifestOf reads a manifest of load/repository.
func manifestOf(t *testing.T, host, digest string) string {
	t.Helper()
	raw, _ := get(t, host, "/v2/load/repository/manifests/"+digest)
	return string(raw)
}

// TestResumeRefused: other references and flags are not those of the cut export. It says so, touches nothing,
// and --no-resume starts again; so it does with files that are garbled.
func TestResumeRefused(t *testing.T) {
	t.Parallel()
	m := newMeter(t, startReal(t).Addr)
	s := site{t: t, host: m.host}
	root, _ := pushLarge(s, 12<<20)
	want := digestOfFile(t, export(t, root))
	s.bundle("other/repository", "1", nil)
	file := filepath.Join(t.TempDir(), "r.tar")
	cutExport(t, m, file, 10<<20, "-b", root, "--concurrency", "1")
	part, journal := digestOfFile(t, file+".part"), digestOfFile(t, file+".part.journal")
	for says, args := range map[string][]string{
		"it was begun for " + root + ", not for " + m.host + "/other/repository:1":                                              {"-b", m.host + "/other/repository:1"},
		"it was begun without the choice of every package, the newest version of each, from " + root + " (selected-571afac3)\n": {"-b", root, "--latest", "1"},
		"it was begun without platform linux/amd64\n":                                                                           {"-b", root, "--platform", "linux/amd64"},
		"it was begun without --include-non-distributable-layers":                                                               {"-b", root, "--include-non-distributable-layers"},
	} {
		r := newProcess(t, append(args, "--to-tar", file)...).run(t)
		assertFailed(t, r, statusUsage, says, "discard it with --no-resume")
		assert.Equal(t, []string{"r.tar.part", "r.tar.part.journal"}, namesIn(t, filepath.Dir(file)))
		assert.Equal(t, part, digestOfFile(t, file+".part"))
		assert.Equal(t, journal, digestOfFile(t, file+".part.journal"))
	}
	f, err := os.OpenFile(file+".part", os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt(make([]byte, 64<<10), 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	r := newProcess(t, "-b", root, "--to-tar", file).run(t)
	assertFailed(t, r, statusUsage, "resume "+file+".part: the unfinished archive cannot be continued", "--no-resume")
	mustRun(t, "-b", root, "--to-tar", file, "--no-resume")
	assert.Equal(t, want, digestOfFile(t, file))
}

// breakOff lets an export fail for want of one layer, so that the same command goes on.
func breakOff(t *testing.T, m *meter, layer, file string, args ...string) result {
	t.Helper()
	behave(m, &m.fault, func(w http.ResponseWriter, r *http.Request) bool {
		refused := strings.HasSuffix(r.URL.Path, "/blobs/"+layer)
		if refused {
			w.WriteHeader(http.StatusNotFound)
		}
		return refused
	})
	defer behave(m, &m.fault, nil)
	r := tryRelocate(t, append([]string{"--to-tar", file, "--keep-going"}, args...)...)
	require.Equal(t, statusPartly, r.status, r.stderr)
	require.FileExists(t, file+".part")
	return r
}

// TestResumeNotes: an export that goes on says again that the import will refuse the tags of its roots.
func TestResumeNotes(t *testing.T) {
	t.Parallel()
	m := newMeter(t, startMemory(t, nil))
	s := site{t: t, host: m.host}
	s.image("a/app", "v1", "first")
	s.image("b/app", "v1", "second")
	file := filepath.Join(t.TempDir(), "r.tar")
	two := []string{"-i", m.host + "/a/app:v1", "-i", m.host + "/b/app:v1"}
	const told = `the import will refuse the tags of the roots: tag "v1": both `
	assertAll(t, breakOff(t, m, digestOf("second"), file, two...).stderr, told)
	assertAll(t, mustRelocate(t, append(two, "--to-tar", file)...).stderr, "note: continues with ", told)
}

// TestResumeOtherAnnotations: the annotations of an ImagesLock go into the archive, so an export goes on only with
// the same ones. imgpkg's format has none: any will do.
func TestResumeOtherAnnotations(t *testing.T) {
	t.Parallel()
	m := newMeter(t, startMemory(t, nil))
	s := site{t: t, host: m.host}
	image := s.ref("app", s.image("app", "1", "app"))
	annotated := func(annotations string) string {
		return lockFileOf(t, lockText()+"images:\n- image: "+image+"\n"+annotations)
	}
	begun := annotated("  annotations: {kbld.carvel.dev/id: app}\n")
	others := []string{annotated("  annotations: {kbld.carvel.dev/id: other}\n"), annotated("")}
	file := filepath.Join(t.TempDir(), "r.tar")
	breakOff(t, m, digestOf("app"), file, "--lock", begun)
	for _, other := range others {
		r := tryRelocate(t, "--lock", other, "--to-tar", file)
		assertFailed(t, r, statusUsage, "resume "+file, "the unfinished archive cannot be continued: the lock has other annotations", "--no-resume")
		assert.Equal(t, []string{"r.tar.part", "r.tar.part.journal"}, namesIn(t, filepath.Dir(file)))
	}
	assertAll(t, mustRelocate(t, "--lock", begun, "--to-tar", file).stderr, "note: continues with ")
	for _, lock := range append(others, begun) {
		file := filepath.Join(t.TempDir(), "i.tar")
		breakOff(t, m, digestOf("app"), file, "--lock", begun, "--tar-format", "imgpkg")
		assertAll(t, mustRelocate(t, "--lock", lock, "--to-tar", file, "--tar-format", "imgpkg").stderr, "note: continues with ")
	}
}

// TestResumeRefusedAttachments: what a registry refused to show when the export began is asked for again. The archive
// has no place for it, so an export that goes on names it: as refused, and as refused no longer.
func TestResumeRefusedAttachments(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]string{"manifest": ".sig", "blob of one": "", "tags": "/tags/list", "referrers": "/referrers/"} {
		for _, format := range []string{"relocate", "imgpkg"} {
			t.Run(name+" "+format, func(t *testing.T) {
				t.Parallel()
				s, what, part := newSignedSite(t, startReferrers(t)), name, part
				if part == "" {
					_, raw, _ := ask(t, http.MethodGet, s.host, "/v2/"+s.app+"/manifests/sha256-"+s.subjects[0].Digest.Hex+".sig")
					var manifest v1.Manifest
					require.NoError(t, json.Unmarshal(raw, &manifest))
					part, what = "/blobs/"+manifest.Layers[0].Digest.String(), "manifest"
				}
				m, inner := newMeter(t, s.host), digestOf("amd64")
				image := m.host + "/" + s.app + "@" + s.subjects[0].Digest.String()
				file, reportFile := filepath.Join(t.TempDir(), "r.tar"), filepath.Join(t.TempDir(), "report.json")
				args := []string{"-i", image, "--to-tar", file, "--tar-format", format, "--report", reportFile}
				refuse := func(parts ...string) {
					behave(m, &m.fault, func(w http.ResponseWriter, r *http.Request) bool {
						refused := slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(r.URL.Path, part) })
						if refused {
							w.WriteHeader(http.StatusForbidden)
						}
						return refused
					})
				}
				refuse(part, inner)
				r := tryRelocate(t, append(args, "--keep-going")...)
				require.Equal(t, statusPartly, r.status, r.stderr)
				r = tryRelocate(t, append(args, "--keep-going")...)
				require.Equal(t, statusPartly, r.status, r.stderr)
				assertAll(t, r.stderr, "note: continues with ")
				assert.NotContains(t, r.stderr, "when the export began")
				unseen := readReport(t, reportFile).Attachments.Unseen
				require.NotEmpty(t, unseen)
				refuse()
				r = mustRelocate(t, args...)
				assertAll(t, r.stderr, "note: continues with ", fmt.Sprintf("attachments not copied: %d", len(unseen)))
				for _, u := range unseen {
					assert.Equal(t, what, u.What)
					assertAll(t, r.stderr, u.Reference+" can be read now, but could not when the export began", u.String())
				}
				assert.Equal(t, unseen, readReport(t, reportFile).Attachments.Unseen)
				r = mustRelocate(t, append(args, "--no-resume")...)
				assert.Empty(t, readReport(t, reportFile).Attachments.Unseen)
			})
		}
	}
}
