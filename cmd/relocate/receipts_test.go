package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/custody"
	"relocate/internal/digest"
)

// crossed is an archive with the receipts of a whole crossing.
type crossed struct {
	dir, file, repo string
	key             string // without the ending
	receipts        string // the file
}

func (c crossed) with(args ...string) []string { return append(args, "--receipt-key", c.key+".key") }

// lines are the receipts.
func (c crossed) lines(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(c.receipts)
	require.NoError(t, err)
	require.True(t, bytes.HasSuffix(text, []byte("\n")))
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// cross exports, rehearses, verifies and imports the sample, with a receipt of each.
func cross(t *testing.T, key any) crossed {
	t.Helper()
	host := startMemory(t, nil)
	dir := t.TempDir()
	c := crossed{dir: dir, file: filepath.Join(dir, "corp.tar"), repo: host + "/airgap", key: pemKey(t, dir, "gate", key)}
	c.receipts = c.file + ".receipts.jsonl"
	r := mustRelocate(t, c.with("-b", pushSample(t, host), "--to-tar", c.file)...)
	assertAll(t, r.stderr, "appended a receipt to "+c.receipts)
	mustRelocate(t, c.with("rehearse", c.file)...)
	mustRelocate(t, c.with("verify", c.file)...)
	mustRelocate(t, c.with("--from-tar", c.file, "--to-repo", c.repo)...)
	mustRelocate(t, c.with("verify", "--repo", c.repo, c.file)...)
	return c
}

func newP256(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// TestReceipts: a crossing leaves a receipt of each step, which receipts lists and checks.
func TestReceipts(t *testing.T) {
	t.Parallel()
	c := cross(t, newP256(t))
	signers := filepath.Join(c.dir, "signers")
	r := mustRelocate(t, "key", "show", c.key+".pub")
	_, line, _ := strings.Cut(r.stdout, "ecdsa-sha2-nistp256 ")
	require.NoError(t, os.WriteFile(signers, []byte(`gate@site namespaces="relocate-receipt" ecdsa-sha2-nistp256 `+line), 0o600))
	r = mustRelocate(t, "receipts", c.file, "--trust", signers)
	assertAll(t, r.stdout, "OK: 5 receipts of "+c.file+", each names the one before\n",
		"exported", "rehearsed", "received", "imported into "+c.repo, "verified at "+c.repo, "signed by gate@site (ECDSA SHA256:",
		"not proved:\n  that no line was removed after the last one, line 5\n")
	assert.NotContains(t, r.stdout, "--trust")
	assert.NotContains(t, r.stdout, "wrong:")

	var report receiptsReport
	require.NoError(t, json.Unmarshal([]byte(mustRelocate(t, "receipts", c.receipts, "-o", "json").stdout), &report))
	require.Len(t, report.Receipts, 5)
	levels := [][]string{nil, {"RELOCATE_REHEARSED", "RELOCATE_WHOLE", "RELOCATE_CLOSED"}, {"RELOCATE_WHOLE", "RELOCATE_CLOSED"}, nil, {"RELOCATE_COMPLETE", "RELOCATE_CLOSED"}}
	user, _ := os.Hostname()
	for i, x := range report.Receipts {
		assert.Equal(t, levels[i], x.Levels, x.Act)
		assert.Equal(t, "corp.tar", x.Archive)
		assert.Equal(t, user, x.Host)
		if i > 0 {
			assert.Equal(t, report.Receipts[i-1].Digest, x.Previous)
		}
	}
	assert.Contains(t, strings.Join(report.NotProved, "\n"), "--trust was not given")

	mustRelocate(t, "sign", c.file, "--key", c.key+".key")
	mustRelocate(t, c.with("verify", c.file, "--receipt-no-host", "--trust", c.key+".pub")...)
	text, err := os.ReadFile(c.receipts)
	require.NoError(t, err)
	b, err := custody.ParseBundle([]byte(c.lines(t)[5]))
	require.NoError(t, err)
	got, _, err := custody.ParseReceipt(b.Statement())
	require.NoError(t, err)
	assert.Equal(t, "", got.By+got.Host)
	assert.Equal(t, []string{"RELOCATE_SIGNED", "RELOCATE_WHOLE", "RELOCATE_CLOSED"}, got.Levels)
	assert.NotContains(t, string(text), "PRIVATE")

	r = tryRelocate(t, "receipts", c.file, "--trust", pemKey(t, t.TempDir(), "other", newP256(t))+".pub")
	assert.Equal(t, statusUntrusted, r.status, r.stderr)
	assertAll(t, r.stdout, "NOT OK: 6 receipts of "+c.file+": 6 lines are wrong", "wrong: line 1 of "+c.receipts+" is not by ")
}

// edit changes the statement in a line.
func edit(t *testing.T, line, from, to string) string {
	t.Helper()
	_, payload, _ := strings.Cut(line, `"payload":"`)
	payload, _, _ = strings.Cut(payload, `"`)
	statement, err := base64.StdEncoding.DecodeString(payload)
	require.NoError(t, err)
	require.Contains(t, string(statement), from)
	return strings.Replace(line, payload, base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(statement), from, to, 1))), 1)
}

// TestReceiptsBroken: whatever was done to the file, the status and the line say so.
func TestReceiptsBroken(t *testing.T) {
	t.Parallel()
	c := cross(t, newP256(t))
	l := c.lines(t)
	public := c.key + ".pub"
	for name, x := range map[string]struct {
		lines  []string
		status int
		says   string
	}{
		"deleted":      {[]string{l[0], l[2], l[3], l[4]}, statusDamage, "a line was removed or changed"},
		"first":        {l[1:], statusDamage, "a line was removed or changed"},
		"reordered":    {[]string{l[0], l[1], l[3], l[2], l[4]}, statusDamage, "the order was changed"},
		"edited":       {[]string{l[0], edit(t, l[1], `RELOCATE_CLOSED`, `RELOCATE_SIGNED`), l[2], l[3], l[4]}, statusUntrusted, "wrong:"},
		"duplicated":   {[]string{l[0], l[1], l[1], l[2]}, statusDamage, "it is the same as line 2"},
		"torn":         {[]string{l[0], l[1], l[2][:200]}, 0, "no receipt, or a part of one"},
		"none":         {[]string{"garbage"}, statusMissing, "NOT OK: no line is a receipt of " + c.file},
		"empty":        {nil, statusMissing, "NOT OK: no line is a receipt of " + c.file},
		"last deleted": {l[:4], 0, "that no line was removed after the last one, line 4"},
	} {
		text := strings.Join(x.lines, "\n") + "\n"
		require.NoError(t, os.WriteFile(c.receipts, []byte(text), 0o600))
		r := tryRelocate(t, "receipts", c.file, "--trust", public)
		assert.Equal(t, x.status, r.status, "%s: %s%s", name, r.stdout, r.stderr)
		assertAll(t, r.stdout, x.says)
	}
	require.NoError(t, os.WriteFile(c.receipts, []byte(l[0]+"\n"+l[1][:99]), 0o600))
	assertAll(t, mustRelocate(t, "receipts", c.file).stdout, "the last line was cut off")
	mustRelocate(t, c.with("verify", c.file)...)
	r := mustRelocate(t, "receipts", c.file, "--trust", public)
	assertAll(t, r.stdout, "OK: 2 receipts", "  3  ", "note: it is no receipt")

	other := export(t, pushSample(t, startMemory(t, nil)))
	r = tryRelocate(t, "receipts", other, "--receipts", c.receipts)
	assert.Equal(t, statusDamage, r.status)
	assertAll(t, r.stdout, "it is about another archive")
	assertFailed(t, tryRelocate(t, "receipts", other), statusUsage, other+".receipts.jsonl is missing", "--receipts names a file elsewhere")
}

// TestReceiptFailed: a verification that fails leaves a receipt that says so.
func TestReceiptFailed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := export(t, pushSample(t, startMemory(t, nil)))
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	b[len(b)-2048-600] ^= 1
	require.NoError(t, os.WriteFile(file, b, 0o600))
	key := pemKey(t, dir, "gate", newP256(t))
	r := tryRelocate(t, "verify", file, "--receipt-key", key+".key")
	assert.Equal(t, statusDamage, r.status, r.stderr)
	assertAll(t, r.stdout, "NOT OK")
	assertAll(t, mustRelocate(t, "receipts", file, "--trust", key+".pub").stdout, "received: FAILED")
	assertFailed(t, tryRelocate(t, "--from-tar", file, "--to-repo", startMemory(t, nil)+"/a", "--receipt-key", key+".key"), statusDamage)
	assertAll(t, mustRelocate(t, "receipts", file).stdout, "OK: 1 receipt ")
}

// TestReceiptNoSpace: on a full disk the verdict is printed all the same, and the receipts stay as they were.
func TestReceiptNoSpace(t *testing.T) {
	t.Parallel()
	disk := mountTemp(t, "size=64k")
	file := export(t, pushSample(t, startMemory(t, nil)))
	key := pemKey(t, t.TempDir(), "gate", newP256(t))
	receipts := filepath.Join(disk, "a.receipts.jsonl")
	args := []string{"verify", file, "--receipt-key", key + ".key", "--receipts", receipts}
	mustRelocate(t, args...)
	was, err := os.ReadFile(receipts)
	require.NoError(t, err)
	for status := 0; ; {
		r := tryRelocate(t, args...)
		assertAll(t, r.stdout, "OK: ")
		if status = r.status; status != 0 {
			assert.Equal(t, statusNoSpace, status, r.stderr)
			assertAll(t, r.stderr, "this is the verdict, but without a receipt: write a receipt to "+receipts)
			break
		}
		require.NoError(t, os.WriteFile(filepath.Join(disk, "full"), make([]byte, 56<<10), 0o600)) // the last page is filled by receipts
	}
	now, err := os.ReadFile(receipts)
	require.NoError(t, err)
	assert.True(t, bytes.HasPrefix(now, was))
	assert.True(t, bytes.HasSuffix(now, []byte("\n")), "no part of a receipt")
	assert.NotContains(t, mustRelocate(t, "receipts", file, "--receipts", receipts).stdout, "note:")
}

// TestReceiptsRefused: where no receipt can be appended, nothing is done.
func TestReceiptsRefused(t *testing.T) {
	t.Parallel()
	dst := startNoting(t)
	file := export(t, pushSample(t, startMemory(t, nil)))
	key := pemKey(t, t.TempDir(), "gate", newP256(t))
	path := file + ".receipts.jsonl"
	secret := filepath.Join(t.TempDir(), "profile")
	require.NoError(t, os.WriteFile(secret, []byte("mine\n"), 0o600))
	for name, place := range map[string]func() error{
		"link":   func() error { return os.Symlink(secret, path) },
		"FIFO":   func() error { return syscall.Mkfifo(path, 0o600) },
		"folder": func() error { return os.Mkdir(path, 0o700) },
	} {
		require.NoError(t, place(), name)
		r := tryRelocate(t, "--from-tar", file, "--to-repo", dst.host+"/a", "--receipt-key", key+".key")
		assert.NotZero(t, r.status, name)
		assertAll(t, r.stderr, path)
		assert.Empty(t, dst.requests(), name)
		require.NoError(t, os.Remove(path))
	}
	text, err := os.ReadFile(secret)
	require.NoError(t, err)
	assert.Equal(t, "mine\n", string(text))

	before, err := os.ReadFile(file)
	require.NoError(t, err)
	r := tryRelocate(t, "verify", file, "--receipt-key", key+".key", "--receipts", file)
	assertFailed(t, r, statusUsage, file+" is not a file of receipts")
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(before, after), "the archive is not appended to")

	for says, args := range map[string][]string{
		"--receipt-key needs an archive":                        {"verify", "--repo", dst.host + "/a:1", "--receipt-key", key + ".key"},
		"--receipt-no-host needs --receipt-key or --receipts":   {"verify", file, "--receipt-no-host"},
		"--receipts needs an archive":                           {"verify", "--repo", dst.host + "/a:1", "--receipts", file + ".jsonl"},
		"name the file for receipts with --receipts":            {"verify", "-", "--receipt-key", key + ".key"},
		"that format has no seal":                               {"-b", dst.host + "/a:1", "--to-tar", file + "2", "--tar-format", "imgpkg", "--receipt-key", key + ".key"},
		"--receipt-key with /dev/stdin: name the file for rece": {"verify", "/dev/stdin", "--receipt-key", key + ".key"},
	} {
		assertFailed(t, tryRelocate(t, args...), statusUsage, says)
	}
	r = tryRelocate(t, "verify", interop+"tar/repository.tar", "--receipt-key", key+".key", "--receipts", path)
	assert.Equal(t, statusUsage, r.status)
	assertAll(t, r.stderr, "imgpkg's format, which has no seal")
	assert.NoFileExists(t, path)
}

// TestReceiptsOfStreams: an archive in a pipe has its receipts in a file that is named.
func TestReceiptsOfStreams(t *testing.T) {
	t.Parallel()
	c := cross(t, newP256(t))
	b, err := os.ReadFile(c.file)
	require.NoError(t, err)
	receipts := filepath.Join(t.TempDir(), "diode.tar.receipts.jsonl")
	pipe := fifo(t, func(w io.Writer) { _, _ = w.Write(b) })
	mustRelocate(t, c.with("verify", pipe, "--receipts", receipts)...)
	pipe = fifo(t, func(w io.Writer) { _, _ = w.Write(b) })
	mustRelocate(t, c.with("--from-tar", pipe, "--to-repo", c.repo, "--receipts", receipts)...)
	r := mustRelocate(t, "receipts", c.file, "--receipts", receipts, "--trust", c.key+".pub")
	assertAll(t, r.stdout, "OK: 2 receipts", "received", "imported into")
}

// TestCosignReceipts: stock cosign verifies each line without a network: by the archive's seal, by the file, and
// what was imported by the digest of its root. A line that cosign signs is listed.
func TestCosignReceipts(t *testing.T) {
	skipShort(t)
	t.Parallel()
	cosign(t)
	_, ed25519Key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	for name, key := range map[string]any{"P-256": newP256(t), "Ed25519": ed25519Key} {
		c := cross(t, key)
		var seal, root string
		for i, text := range c.lines(t) {
			b, err := custody.ParseBundle([]byte(text))
			require.NoError(t, err)
			r, predicate, err := custody.ParseReceipt(b.Statement())
			require.NoError(t, err)
			line := filepath.Join(c.dir, fmt.Sprintf("line%d.json", i))
			require.NoError(t, os.WriteFile(line, []byte(text), 0o600))
			verify := func(args ...string) (string, error) {
				return cosignRun(t, c.dir, append([]string{"verify-blob-attestation", "--key", c.key + ".pub", "--bundle", line, "--type", predicate, "--insecure-ignore-tlog"}, args...)...)
			}
			ways := [][]string{{"--digest", r.Seal.Hex, "--digestAlg", custody.SealAlgorithm}, {c.file}}
			switch seal = r.Seal.Hex; r.Act {
			case custody.Imported:
				root = r.Roots[0].Digest.Hex
				ways = [][]string{{"--digest", root, "--digestAlg", "sha256"}}
			case custody.Verified:
				ways = append(ways, []string{"--digest", root, "--digestAlg", "sha256"})
			}
			for _, way := range ways {
				out, err := verify(way...)
				assert.NoError(t, err, "%s: %s %v: %s", name, r.Act, way, out)
			}
			_, err = verify("--digest", digest.Of([]byte(text)).Hex, "--digestAlg", custody.SealAlgorithm)
			assert.Error(t, err, "%s: %s of another archive", name, r.Act)
		}
		if name == "Ed25519" { // which cosign 3.1.3 cannot sign with
			continue
		}
		statement := filepath.Join(c.dir, "statement.json")
		require.NoError(t, os.WriteFile(statement, fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"corp.tar","digest":{"sha256":%q}}],"predicateType":"https://example.com/scan/v1","predicate":{"clean":true}}`, seal), 0o600))
		out, err := cosignRun(t, c.dir, "import-key-pair", "--key", c.key+".key", "--output-key-prefix", "theirs")
		require.NoError(t, err, out)
		out, err = cosignRun(t, c.dir, "attest-blob", "--statement", statement, "--key", "theirs.key", "--bundle", "theirs.json", "--use-signing-config=false", "--tlog-upload=false", "-y")
		require.NoError(t, err, out)
		theirs, err := os.ReadFile(filepath.Join(c.dir, "theirs.json"))
		require.NoError(t, err)
		f, err := os.OpenFile(c.receipts, os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.Write(append(bytes.TrimSpace(theirs), '\n'))
		require.NoError(t, err)
		require.NoError(t, f.Close())
		mustRelocate(t, c.with("verify", c.file)...)
		r := mustRelocate(t, "receipts", c.file, "--trust", c.key+".pub")
		assertAll(t, r.stdout, "OK: 6 receipts", "6  attestation https://example.com/scan/v1\n     signed by "+c.key+".pub", "7  ")
	}
}
