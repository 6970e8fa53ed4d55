package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestKillImgpkgExport kills exports in imgpkg's format as TestKillExport does those in our own.
func TestKillImgpkgExport(t *testing.T) {
	skipShort(t)
	t.Parallel()
	m := newMeter(t, startReal(t).Addr)
	root, _ := pushLarge(site{t: t, host: m.host}, sized(16, 6, 4, 1)...)
	dir := t.TempDir()
	args := []string{"-b", root, "--tar-format", "imgpkg", "--to-tar"}
	m.arm(0, nil)
	before := m.down.Load()
	mustRun(t, append(args, filepath.Join(dir, "clean.tar"))...)
	want, steps, size := digestOfFile(t, filepath.Join(dir, "clean.tar")), m.settle(), m.down.Load()-before
	rnd := chance(t)
	for round := range rounds(3, 40) {
		file, jobs := filepath.Join(t.TempDir(), "r.tar"), 1+rnd.IntN(4)
		args := append(args, file, "--concurrency", fmt.Sprint(jobs))
		before, kills := m.down.Load(), 0
		for range 1 + rnd.IntN(3) {
			p := newProcess(t, args...)
			m.arm(1+rnd.IntN(steps), late(p, rnd.IntN(20)))
			status := p.run(t).status
			m.settle()
			if status == 0 || digestOfFile(t, file) == want {
				break
			}
			kills++
			require.NoFileExists(t, file, "round %d", round)
		}
		m.arm(0, nil)
		if digestOfFile(t, file) != want { // the last kill may have come too late
			mustRun(t, args...)
		}
		m.settle()
		require.Equal(t, want, digestOfFile(t, file), "round %d", round)
		assert.LessOrEqual(t, m.down.Load()-before, size*21/20+int64(kills*jobs)*again, "round %d: bytes fetched with %d kills and %d workers", round, kills, jobs)
	}
}

// TestImgpkgStream: an export to standard output, and an import from standard input, which keeps all of it first.
func TestImgpkgStream(t *testing.T) {
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	root := pushSample(t, src.Addr)
	source := dumpReal(t, src, "")
	file := export(t, root, "--tar-format", "imgpkg")
	out := mustRelocate(t, "-b", root, "--tar-format", "imgpkg", "--to-tar", "-").stdout
	assert.Equal(t, digestOf(out), digestOfFile(t, file))
	src.Stop()
	r, _ := importBytes(t, bytes.NewReader([]byte(out)), "--to-repo", dst.Addr+"/pipe", "--tmpdir", t.TempDir())
	require.Zero(t, r.status, r.stderr)
	assertAll(t, r.stderr, "all of it is stored in")
	assertRelocated(t, source, dumpReal(t, dst, "pipe"), "pipe", map[string]string{"1.0.0": source.tags["corp/repository:1.0.0"]})
	mustRelocate(t, "verify", "--repo", dst.Addr+"/pipe", file, "--level", "deep")
	dst.ResetRequests()
	r, _ = importBytes(t, bytes.NewReader([]byte(out[:len(out)-3000])), "--to-repo", dst.Addr+"/pipe")
	assertFailed(t, r, statusDamage, "standard input is cut off")
	noWrites(t, dst.Requests())
	emitted := mustRelocate(t, "emit", file, "--to-repo", dst.Addr+"/pipe")
	assertAll(t, emitted.stdout, "kind: PackageRepository", dst.Addr+"/pipe@sha256:")
}

// TestImgpkgDamaged: what is wrong with a tar of imgpkg is found before the first write, a layer's content before
// anything refers to the layer.
func TestImgpkgDamaged(t *testing.T) {
	skipShort(t)
	t.Parallel()
	good := readFile(t, interop+"tar/repository.tar")
	for name, c := range map[string]struct {
		change func(m []fileOfTar) []fileOfTar
		says   string
		late   bool
	}{
		"layer missing":   {func(m []fileOfTar) []fileOfTar { return m[:len(m)-1] }, "it does not hold sha256-", false},
		"layer too short": {func(m []fileOfTar) []fileOfTar { m[len(m)-1].data = m[len(m)-1].data[1:]; return m }, "bytes, ", false},
		"layer changed":   {func(m []fileOfTar) []fileOfTar { m[len(m)-1].data[7] ^= 1; return m }, "sha256:", true},
		"bundle changed":  {func(m []fileOfTar) []fileOfTar { m[1].data[7] ^= 1; return m }, "sha256:", false},
		"text changed": {func(m []fileOfTar) []fileOfTar {
			m[0].data = bytes.Replace(m[0].data, []byte(`\"architecture\"`), []byte(`\"Architecture\"`), 1)
			return m
		}, "manifest.json: [0]", false},
		"names of another": {func(m []fileOfTar) []fileOfTar {
			m[0].data = bytes.Replace(m[0].data, []byte(`"Tag":"1.0.0"`), []byte(`"Tag":"sha256-4"`), 1)
			return m
		}, "are made of digests", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "r.tar")
			require.NoError(t, os.WriteFile(file, packMembers(t, c.change(membersOf(t, good))), 0o600))
			dst := startNoting(t)
			r := tryRelocate(t, "--from-tar", file, "--to-repo", dst.host+"/x")
			assertAll(t, r.stderr, c.says)
			assert.Empty(t, r.stdout)
			if name == "names of another" { // which is as good as any other, but for the tag
				assert.Equal(t, statusUsage, r.status)
				noWrites(t, dst.requests())
				return
			}
			assert.Equal(t, statusDamage, r.status, r.stderr)
			assert.Equal(t, statusDamage, tryRelocate(t, "verify", file).status)
			if c.late {
				assertNotReferred(t, file, dst)
				return
			}
			noWrites(t, dst.requests())
		})
	}
}

type fileOfTar struct {
	name string
	data []byte
}

func membersOf(t *testing.T, b []byte) []fileOfTar {
	t.Helper()
	var list []fileOfTar
	for tr := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := tr.Next()
		if err != nil {
			return list
		}
		var content bytes.Buffer
		_, err = content.ReadFrom(tr)
		require.NoError(t, err)
		list = append(list, fileOfTar{h.Name, content.Bytes()})
	}
}

func packMembers(t *testing.T, list []fileOfTar) []byte {
	t.Helper()
	var files []string
	for _, m := range list {
		files = append(files, m.name, string(m.data))
	}
	return tarOf(t, files...)
}

// TestTarFormat: where the flag has no meaning it is refused; a cut export goes on in its own form only; what has no seal
// is not compared with one.
func TestTarFormat(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	root := pushSample(t, host)
	file := filepath.Join(t.TempDir(), "r.tar")
	for says, args := range map[string][]string{
		"needs --to-tar":             {"-b", root, "--to-repo", host + "/x", "--tar-format", "imgpkg"},
		"must be relocate or imgpkg": {"-b", root, "--to-tar", file, "--tar-format", "oci"},
	} {
		r := tryRelocate(t, args...)
		assert.Equal(t, statusUsage, r.status, r.stderr)
		assertAll(t, r.stderr, says)
	}
	file = export(t, root, "--tar-format", "imgpkg")
	r := tryRelocate(t, "verify", file, "--seal", digestOf("x"))
	assert.Equal(t, statusUsage, r.status)
	assertAll(t, r.stderr, "has no seal to compare with")
	mustRelocate(t, "verify", file, "--root", rootDigest(t, host, "corp/repository", "1.0.0"))
	assert.Equal(t, statusMissing, tryRelocate(t, "verify", file, "--root", digestOf("x")).status)
	assertAll(t, mustRelocate(t, "inspect", file, "-o", "json").stdout, `"form": "imgpkg"`)
	assert.NotContains(t, mustRelocate(t, "inspect", file, "-o", "json").stdout, `"seal"`)
	two := tryRelocate(t, "-b", root, "-b", host+"/corp/packages/guestbook:1.0.0", "--to-tar", file, "--tar-format", "imgpkg")
	assert.Equal(t, statusUsage, two.status)
	assertAll(t, two.stderr, "holds one root bundle", "hint: export each bundle")
}
