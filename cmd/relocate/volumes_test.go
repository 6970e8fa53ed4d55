package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
)

// volumesOf returns the content of all files of a folder whose names have a prefix.
func filesOf(t *testing.T, dir, prefix string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range namesIn(t, dir) {
		if strings.HasPrefix(name, prefix) {
			text, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			files[name] = text
		}
	}
	return files
}

// assertWrong checks a run that printed a verdict and failed.
func assertWrong(t *testing.T, r result, status int, hint string) {
	t.Helper()
	assert.Equal(t, status, r.status, r.stderr)
	assert.Contains(t, r.stdout, "NOT OK: ")
	assert.Contains(t, r.stderr, hint)
}

// move moves files between folders.
func move(t *testing.T, from, to string, names ...string) {
	t.Helper()
	for _, name := range names {
		require.NoError(t, os.Rename(filepath.Join(from, name), filepath.Join(to, name)))
	}
}

// TestVolumes: the volumes of an export are its archive in pieces, some smaller than a layer, and every
// command reads them without joining them, from several folders.
func TestVolumes(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	root, _ := pushLarge(site{t: t, host: host}, 3<<20, 1<<20)
	want, err := os.ReadFile(export(t, root))
	require.NoError(t, err)
	one, two := t.TempDir(), t.TempDir()
	file := filepath.Join(one, "r.tar")
	r := mustRelocate(t, "-b", root, "--to-tar", file, "--volume-size", "1MB", "--parity", "2")
	assertAll(t, r.stderr, "volumes  5 of at most 999.9 kB, and 2 for parity\n")
	var joined []byte
	for i := 1; ; i++ {
		part, err := os.ReadFile(fmt.Sprintf("%s.%03d", file, i))
		if os.IsNotExist(err) {
			break
		}
		require.NoError(t, err)
		assert.LessOrEqual(t, len(part), 1000_000)
		joined = append(joined, part...)
	}
	assert.True(t, bytes.Equal(want, joined))

	for _, name := range []string{"r.tar.001", "r.tar.003", "r.tar.p002"} {
		r := mustRelocate(t, "verify", filepath.Join(one, name))
		assertAll(t, r.stdout, "OK: "+filepath.Join(one, name)+" is volume ", "its SHA-256 is the one in r.tar.volumes", "not proved:")
	}
	assertFailed(t, tryRelocate(t, "verify", file+".001", "--root", digestOf("")), statusUsage, "is one volume")
	move(t, one, two, "r.tar.002", "r.tar.p001")
	repo := startMemory(t, nil) + "/x"
	for _, args := range [][]string{
		{"verify", file}, {"rehearse", file}, {"inspect", file}, {"--from-tar", file, "--to-repo", repo},
	} {
		r := mustRelocate(t, append(args, "--volumes", two)...)
		if args[0] == "verify" {
			assertAll(t, r.stdout, "OK: "+file+" is complete", "every byte is accounted for")
		}
	}
	mustRelocate(t, "verify", "--repo", repo, file, "--volumes", two, "--level", "deep")
	for _, args := range [][]string{{"rehearse", file}, {"serve", file}} {
		assertFailed(t, tryRelocate(t, args...), statusMissing, "r.tar.002", "is missing", "hint: name the folders")
	}
	for _, name := range []string{file + ".001", file + ".volumes"} {
		assertFailed(t, tryRelocate(t, "inspect", name), statusUsage, "is a part of an archive in volumes: "+file, "hint: name the archive")
	}

	require.NoError(t, os.WriteFile(filepath.Join(one, "s.tar"), joined, 0o600))
	assertFailed(t, tryRelocate(t, "-b", root, "--to-tar", filepath.Join(one, "s.tar"), "--volume-size", "1MB"), statusFailed, "s.tar is one file")
	assertFailed(t, tryRelocate(t, "-b", root, "--to-tar", file), statusFailed, "r.tar.volumes")
	again := mustRelocate(t, "-b", root, "--to-tar", file, "--volume-size", "3MB")
	assert.NotContains(t, again.stderr, "parity")
	assert.Equal(t, []string{"r.tar.001", "r.tar.002", "r.tar.seal", "r.tar.volumes", "s.tar"}, namesIn(t, one), "the older volumes are gone")
	mustRelocate(t, "verify", file)
}

// TestVolumeFlags refuses what cannot be cut, before anything is fetched.
func TestVolumeFlags(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "r.tar")
	for says, args := range map[string][]string{
		"--volume-size needs --to-tar FILE":                     {"--to-tar", "-", "--volume-size", "1MiB"},
		"--parity needs --volume-size":                          {"--to-tar", file, "--parity", "1"},
		"--parity -1: must not be negative":                     {"--to-tar", file, "--volume-size", "1MiB", "--parity", "-1"},
		"--volume-size cannot be used with --tar-format imgpkg": {"--to-tar", file, "--volume-size", "1MiB", "--tar-format", "imgpkg"},
		"must be a number with kB, MB":                          {"--to-tar", file, "--volume-size", "1 fortnight"},
		"must be at least 4096 bytes":                           {"--to-tar", file, "--volume-size", "4000"},
		"--volumes needs --from-tar FILE":                       {"--to-tar", file, "--volumes", "/tmp"},
	} {
		assertFailed(t, tryRelocate(t, append(args, "-b", "registry.invalid/x")...), statusUsage, says)
	}
	for text, want := range map[string]byteSize{"4000MiB": 4000 << 20, "4GB": 4e9, "700MB": 699_999_744, "5000": 4608, "1TiB": 1 << 40, "8kB": 7680} {
		var s byteSize
		require.NoError(t, s.Set(text))
		assert.Equal(t, want, s)
	}
}

// TestRepairProgram: lost and damaged volumes are named, and rebuilt byte for byte; beyond what parity
// covers, the images that are lost are named and nothing is changed.
func TestRepairProgram(t *testing.T) {
	t.Parallel()
	root, _ := pushLarge(site{t: t, host: startMemory(t, nil)}, 3<<20, 1<<20)
	dir := t.TempDir()
	file := filepath.Join(dir, "r.tar")
	mustRelocate(t, "-b", root, "--to-tar", file, "--volume-size", "500kB", "--parity", "2")
	want := filesOf(t, dir, "r.tar")
	assertAll(t, mustRelocate(t, "repair", file).stdout, "OK: all volumes are as their list says; nothing was rebuilt",
		"not proved:\n  that the list is the one that was exported, and the archive whole")

	damage := func(name string) {
		text := bytes.Clone(want[name])
		text[len(text)/2] ^= 1
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	damage("r.tar.004")
	require.NoError(t, os.Remove(file+".p001"))
	r := tryRelocate(t, "verify", file)
	assertWrong(t, r, statusDamage, "hint: rebuild what is lost or damaged: relocate repair "+file)
	elsewhere := t.TempDir()
	assertWrong(t, tryRelocate(t, "verify", file, "--volumes", elsewhere), statusDamage, "relocate repair "+file+" --volumes "+elsewhere)
	assertAll(t, r.stdout, "damaged: volume r.tar.004: does not have the SHA-256 of the list", "missing: volume r.tar.p001: it is in none of the folders", ": in r.tar.00", "needed by ")
	assertWrong(t, tryRelocate(t, "verify", file+".004"), statusDamage, "transfer the volume again")
	r = mustRelocate(t, "repair", file)
	assertAll(t, r.stdout, "OK: 2 volumes rebuilt: r.tar.004, r.tar.p001", "every byte of the archive is what its seal and its digests say")
	assert.Equal(t, want, filesOf(t, dir, ""))

	require.NoError(t, os.Remove(file+".001")) // which has the documents
	assertFailed(t, tryRelocate(t, "verify", file), statusMissing, "r.tar.001 is missing", "relocate repair")
	mustRelocate(t, "repair", file)
	assert.Equal(t, want, filesOf(t, dir, ""))

	require.NoError(t, os.Remove(file+".002"))
	require.NoError(t, syscall.Mkfifo(file+".002", 0o600))
	assertWrong(t, tryRelocate(t, "verify", file), statusMissing, "relocate repair "+file)
	mustRelocate(t, "repair", file)
	assert.Equal(t, want, filesOf(t, dir, ""))
	require.NoError(t, os.Remove(file+".002"))
	require.NoError(t, os.Mkdir(file+".002", 0o700))
	assert.NotZero(t, tryRelocate(t, "repair", file).status, "a folder is not replaced")
	require.NoError(t, os.Remove(file+".002"))
	assert.Len(t, filesOf(t, dir, ""), len(want)-1, "nothing half-done stays")
	mustRelocate(t, "repair", file)

	for _, name := range []string{"r.tar.003", "r.tar.004", "r.tar.005"} {
		damage(name)
	}
	before := filesOf(t, dir, "")
	r = tryRelocate(t, "repair", file)
	assertWrong(t, r, statusDamage, "transfer these volumes again")
	assertAll(t, r.stdout, "NOT OK: 3 volumes are lost or damaged; with 2 for parity, at most 2 can be rebuilt", "damaged: volume r.tar.003", "needed by ")
	assert.Equal(t, before, filesOf(t, dir, ""))
}

// TestExportBesideVolumes: an export replaces no volume of another archive, and is not mixed with volumes that
// have lost their list.
func TestExportBesideVolumes(t *testing.T) {
	t.Parallel()
	root, _ := pushLarge(site{t: t, host: startMemory(t, nil)}, 1<<20)
	dir := t.TempDir()
	file := filepath.Join(dir, "r.tar")
	cut := func(size string) []string { return []string{"-b", root, "--to-tar", file, "--volume-size", size} }
	mustRelocate(t, cut("200kB")...)
	want := filesOf(t, dir, "")
	for _, ending := range []string{".001", ".volumes"} {
		r := tryRelocate(t, "-b", root, "--to-tar", file+ending)
		assertFailed(t, r, statusUsage, file+ending+" is a part of an archive in volumes: "+file, "hint: name the archive")
	}
	assert.Equal(t, want, filesOf(t, dir, ""))
	require.NoError(t, os.WriteFile(file+".volumes", []byte("damaged"), 0o600))
	assertFailed(t, tryRelocate(t, cut("500kB")...), statusFailed, file+".001 is there, and no list names it")
	require.NoError(t, os.Remove(file+".volumes"))
	assertFailed(t, tryRelocate(t, cut("500kB")...), statusFailed, file+".001 is there, and no list names it")
	require.NoError(t, os.WriteFile(file+".volumes", want["r.tar.volumes"], 0o600))
	mustRelocate(t, cut("500kB")...)
	assert.NoFileExists(t, file+".004")
}

// TestManyVolumes: a set of more than 1,000 volumes, each smaller than almost every blob.
func TestManyVolumes(t *testing.T) {
	skipShort(t)
	t.Parallel()
	root, _ := pushLarge(site{t: t, host: startMemory(t, nil)}, 3<<20, 1<<20)
	dir := t.TempDir()
	file := filepath.Join(dir, "r.tar")
	mustRelocate(t, "-b", root, "--to-tar", file, "--volume-size", "4KiB", "--parity", "3")
	want := filesOf(t, dir, "r.tar.")
	require.Contains(t, want, "r.tar.1001")
	mustRelocate(t, "verify", file)
	for _, name := range []string{"0001", "0777", "p0002"} {
		require.NoError(t, os.Remove(file+"."+name))
	}
	mustRelocate(t, "repair", file)
	assert.Equal(t, want, filesOf(t, dir, "r.tar."))
}

// TestRepairProvesTheArchive: a set that was changed with its list and its parity is not rebuilt: the
// list proves nothing.
func TestRepairProvesTheArchive(t *testing.T) {
	t.Parallel()
	root, _ := pushLarge(site{t: t, host: startMemory(t, nil)}, 1<<20)
	dir := t.TempDir()
	file := filepath.Join(dir, "r.tar")
	mustRelocate(t, "-b", root, "--to-tar", file, "--volume-size", "2MB", "--parity", "1") // parity is a copy of the one volume
	text, err := os.ReadFile(file + ".001")
	require.NoError(t, err)
	list, err := os.ReadFile(file + ".volumes")
	require.NoError(t, err)
	was := digest.Of(text).Hex
	text[len(text)/2] ^= 1
	lines := strings.Split(strings.ReplaceAll(string(list), was, digest.Of(text).Hex), "\n")
	body := strings.Join(lines[:len(lines)-2], "\n") + "\n"
	require.NoError(t, os.WriteFile(file+".volumes", []byte(body+"# list "+digest.Of([]byte(body)).Hex+"\n"), 0o600))
	require.NoError(t, os.WriteFile(file+".p001", text, 0o600))
	require.NoError(t, os.Remove(file+".001"))
	r := tryRelocate(t, "repair", file)
	assertWrong(t, r, statusDamage, "hint: ")
	assertAll(t, r.stdout, "NOT OK: what was rebuilt is not the archive that its seal names; nothing was changed")
	assert.Equal(t, []string{"r.tar.p001", "r.tar.seal", "r.tar.volumes"}, namesIn(t, dir))
}

// TestOtherVolume: a volume of another archive in the place of one is named.
func TestOtherVolume(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	root, _ := pushLarge(site{t: t, host: host}, 3<<20)
	dir := t.TempDir()
	mustRelocate(t, "-b", root, "--to-tar", filepath.Join(dir, "a.tar"), "--volume-size", "400kB")
	mustRelocate(t, "-b", root, "-i", host+"/extra@"+site{t: t, host: host}.image("extra", "", "layer").Digest.String(), "--to-tar", filepath.Join(dir, "b.tar"), "--volume-size", "400kB")
	files := filesOf(t, dir, "")
	require.NotEqual(t, files["a.tar.007"], files["b.tar.007"])
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.tar.007"), files["b.tar.007"], 0o600))
	for _, name := range []string{"a.tar", "a.tar.007"} {
		r := tryRelocate(t, "verify", filepath.Join(dir, name))
		assertWrong(t, r, statusDamage, "hint: ")
		assertAll(t, r.stdout, "damaged: volume a.tar.007: does not have the SHA-256 of the list: it is b.tar.007, of another file (sha256:")
	}
}

// TestImportArrives: volumes are imported as they arrive. Until all have, nothing in the repository
// names what was uploaded, and it is not uploaded again.
func TestImportArrives(t *testing.T) {
	t.Parallel()
	m := newMeter(t, startReal(t).Addr)
	root, layers := pushLarge(site{t: t, host: startMemory(t, nil)}, 3<<20, 2<<20, 1<<20)
	dir, mail := t.TempDir(), t.TempDir()
	file := filepath.Join(mail, "r.tar")
	mustRelocate(t, "-b", root, "--to-tar", filepath.Join(dir, "r.tar"), "--volume-size", "1MiB")
	args := []string{"--from-tar", file, "--to-repo", m.host + "/x"}
	probe := "PUT /v2/x/manifests/sha256:" + strings.Repeat("0", 64) // asks which types the registry takes
	names := namesIn(t, dir)
	require.Len(t, names, 9)
	move(t, dir, mail, "r.tar.volumes", "r.tar.003")
	assertFailed(t, tryRelocate(t, args...), statusPartly, "waits for r.tar.001: it says what the archive has, and nothing was uploaded", "hint: run the same command again")
	for _, name := range []string{"r.tar.001", "r.tar.002", "r.tar.004", "r.tar.006", "r.tar.005"} {
		move(t, dir, mail, name)
		r := tryRelocate(t, args...)
		assertFailed(t, r, statusPartly, "waits for ", "no manifest or tag was uploaded yet")
		assert.Empty(t, r.stdout)
		for _, put := range m.asked("PUT /v2/x/manifests/") {
			assert.Equal(t, probe, put)
		}
	}
	m.settle()
	var sizes int64
	for _, layer := range layers {
		sizes += layer.Size
	}
	require.NoError(t, os.WriteFile(filepath.Join(mail, "r.tar.007"), []byte("a part"), 0o600))
	assertFailed(t, tryRelocate(t, args...), statusPartly, "waits for r.tar.007")
	move(t, dir, mail, "r.tar.007")
	mustRelocate(t, args...)
	m.settle()
	assert.Less(t, m.up.Load(), sizes+100<<10, "each layer was uploaded once")
	mustRelocate(t, "verify", "--repo", m.host+"/x", file, "--level", "deep")
}

// TestKillVolumes kills exports in volumes at random places. What has a final name is whole, there is a
// list only with all of its volumes, and the end is the same.
func TestKillVolumes(t *testing.T) {
	skipShort(t)
	t.Parallel()
	m := newMeter(t, startReal(t).Addr)
	root, _ := pushLarge(site{t: t, host: m.host}, sized(5, 3, 2, 1)...)
	_, private, err := ed25519.GenerateKey(rand.Reader) // signs the same with the same bytes
	require.NoError(t, err)
	key := pemKey(t, t.TempDir(), "ops", private)
	args := func(file string) []string {
		return []string{"-b", root, "--to-tar", file, "--volume-size", "1500kB", "--parity", "2", "--sign-key", key + ".key", "--receipt-key", key + ".key"}
	}

	clean := t.TempDir()
	m.arm(0, nil)
	mustRun(t, args(filepath.Join(clean, "r.tar"))...)
	want, steps := filesOf(t, clean, ""), m.settle()
	const receipts, lock = "r.tar.receipts.jsonl", "r.tar.receipts.jsonl.lock"
	unlike := func(files map[string][]byte) map[string][]byte { // a receipt has a time
		delete(files, receipts)
		delete(files, lock)
		return files
	}
	require.NotEmpty(t, want[receipts])
	require.NotEmpty(t, unlike(want)["r.tar.seal.sigstore.json"])
	rnd := chance(t)
	for round := range rounds(6, 100) {
		dir := t.TempDir()
		file := filepath.Join(dir, "r.tar")
		for left := 1 + rnd.IntN(3); ; left-- {
			p := newProcess(t, args(file)...)
			if m.arm(0, nil); left > 0 {
				m.arm(steps-rnd.IntN(1+steps*rnd.IntN(2)), late(p, rnd.IntN(60)))
			}
			r := p.run(t)
			m.settle()
			final := 0
			for name, text := range unlike(filesOf(t, dir, "")) {
				if slices.Contains([]string{".part", ".journal", ".lock"}, filepath.Ext(name)) {
					continue
				}
				final++
				require.True(t, bytes.Equal(want[name], text), "round %d: %s", round, name)
			}
			if _, err := os.Stat(file + ".volumes"); err == nil {
				named := 0
				for name := range want {
					if !strings.HasPrefix(name, "r.tar.seal") {
						named++
					}
				}
				require.GreaterOrEqual(t, final, named, "round %d: a list without its volumes", round)
			} else {
				require.NoFileExists(t, filepath.Join(dir, receipts))
				require.NoFileExists(t, file+".seal.sigstore.json")
			}
			if r.status == 0 {
				break
			}
			require.Equal(t, -1, p.cmd.ProcessState.ExitCode(), p.stderr.String())
		}
		require.Equal(t, want, unlike(filesOf(t, dir, "")), "round %d", round)
		assertAll(t, mustRun(t, "receipts", file, "--trust", key+".pub").stdout, "exported")
		require.NoError(t, os.RemoveAll(dir))
	}
}

// TestVolumesDiskFull: where the volumes with parity do not fit, the run says so before it fetches
// layers, and with more room the same command goes through.
func TestVolumesDiskFull(t *testing.T) {
	skipShort(t)
	t.Parallel()
	root, _ := pushLarge(site{t: t, host: startReal(t).Addr}, 2<<20)
	for _, bytes := range []int64{1 << 20, 2<<20 + 200<<10} { // without parity the second would do
		dir := mountTemp(t, fmt.Sprint("size=", bytes))
		file := filepath.Join(dir, "r.tar")
		args := []string{"-b", root, "--to-tar", file, "--volume-size", "512KiB", "--parity", "1"}
		r := newProcess(t, args...).run(t)
		assertFailed(t, r, statusNoSpace, dir, "no space", "hint: make room")
		require.Empty(t, namesIn(t, dir))
		out, err := exec.Command("mount", "-o", "remount,size=4m", dir).CombinedOutput()
		require.NoError(t, err, "%s", out)
		mustRun(t, args...)
		mustRun(t, "verify", file)
	}
}
