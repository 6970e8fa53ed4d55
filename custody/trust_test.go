package custody_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"relocate/custody"
)

// sshKeygen runs the real ssh-keygen in dir.
func sshKeygen(t *testing.T, dir string, stdin []byte, args ...string) error {
	t.Helper()
	cmd := exec.Command("ssh-keygen", args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	t.Logf("ssh-keygen %s: %v %s", strings.Join(args, " "), err, out)
	return err
}

func needSSH(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen (Debian: openssh-client) is not installed")
	}
}

// sshKeys are the kinds of keys that ssh-keygen makes and that are taken.
var sshKeys = [][]string{{"-t", "ed25519"}, {"-t", "ecdsa", "-b", "256"}, {"-t", "rsa", "-b", "2048"}}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	return raw
}

func trustIn(t *testing.T, file, text string) *custody.Trust {
	t.Helper()
	trust := &custody.Trust{}
	require.NoError(t, trust.Add(file, []byte(text)))
	return trust
}

// TestSSHKeygen: what we sign, ssh-keygen verifies, and what it signs, we do; with each kind of key, with
// a passphrase and without, and through an agent.
func TestSSHKeygen(t *testing.T) {
	t.Parallel()
	needSSH(t)
	for _, kind := range sshKeys {
		for _, passphrase := range []string{"", "secret"} {
			dir := t.TempDir()
			require.NoError(t, sshKeygen(t, dir, nil, append(kind, "-q", "-N", passphrase, "-f", "id")...))
			k, err := custody.ParseKey(read(t, filepath.Join(dir, "id")), givenPassword(passphrase))
			require.NoError(t, err)
			require.True(t, k.IsSSH())
			if passphrase != "" {
				_, err = custody.ParseKey(read(t, filepath.Join(dir, "id")), givenPassword("wrong"))
				require.ErrorIs(t, err, custody.ErrPassword)
				assert.EqualError(t, err, "wrong password")
			}
			signers := "ops@connected " + k.Public().Line() + "\n"
			write(t, filepath.Join(dir, "signers"), []byte(signers))
			write(t, filepath.Join(dir, "seal"), seal)
			signature, err := k.SignSSH(seal, custody.SealNamespace)
			require.NoError(t, err)
			write(t, filepath.Join(dir, "ours.sig"), signature)
			verify := []string{"-Y", "verify", "-f", "signers", "-I", "ops@connected", "-n", "relocate-seal", "-s", "ours.sig"}
			require.NoError(t, sshKeygen(t, dir, seal, verify...), kind)
			require.Error(t, sshKeygen(t, dir, seal[1:], verify...), kind)

			trust := trustIn(t, "site.signers", signers)
			got, err := trust.Verify(custody.Signature{File: "ours.sig", Raw: signature}, seal, "the seal", custody.SealNamespace, time.Now())
			require.NoError(t, err)
			assert.Equal(t, custody.Signer{Principal: "ops@connected", KeyFingerprint: k.Public().Fingerprint(), Form: custody.FormSSH}, got)
			if passphrase == "" {
				require.NoError(t, sshKeygen(t, dir, nil, "-Y", "sign", "-f", "id", "-n", "relocate-seal", "seal"))
				_, err = trust.Verify(custody.Signature{File: "seal.sig", Raw: read(t, filepath.Join(dir, "seal.sig"))}, seal, "the seal", custody.SealNamespace, time.Now())
				require.NoError(t, err, kind)
				signWithAgent(t, dir)
				_, err = trust.Verify(custody.Signature{File: "seal.sig", Raw: read(t, filepath.Join(dir, "seal.sig"))}, seal, "the seal", custody.SealNamespace, time.Now())
				require.NoError(t, err, kind)
			}
		}
	}
}

// signWithAgent signs the file seal with the key id in an agent, which alone can read it then.
func signWithAgent(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, os.Remove(filepath.Join(dir, "seal.sig")))
	cmd := exec.Command("ssh-agent", "sh", "-c", "ssh-add -q id && mv id gone && ssh-keygen -Y sign -f id.pub -n relocate-seal seal")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

// TestAllowedSigners: we take and refuse what ssh-keygen does.
func TestAllowedSigners(t *testing.T) {
	t.Parallel()
	needSSH(t)
	dir := t.TempDir()
	require.NoError(t, sshKeygen(t, dir, nil, "-q", "-t", "ed25519", "-N", "", "-f", "id"))
	require.NoError(t, sshKeygen(t, dir, nil, "-q", "-t", "ed25519", "-N", "", "-f", "other"))
	key := strings.Join(strings.Fields(string(read(t, filepath.Join(dir, "id.pub"))))[:2], " ")
	other := strings.Join(strings.Fields(string(read(t, filepath.Join(dir, "other.pub"))))[:2], " ")
	k, err := custody.ParseKey(read(t, filepath.Join(dir, "id")), noPassword)
	require.NoError(t, err)
	day := func(days int) string { return time.Now().AddDate(0, 0, days).Format("20060102") }
	const ok = ""
	for _, c := range []struct{ line, want string }{
		{"ops " + key, ok},
		{"ops " + key + " a comment", ok},
		{"# comment\n\n  ops\t" + key, ok},
		{"a,ops,*@b " + key, ok},
		{`"ops" ` + key, ok},
		{"ops " + other + "\nops " + key, ok},
		{"ops " + other, "by a key that site.signers does not list: ED25519 SHA256:"},
		{`ops namespaces="relocate-seal" ` + key, ok},
		{`ops namespaces="git,relocate-*" ` + key, ok},
		{`ops namespaces="relocate-s??l" ` + key, ok},
		{`ops NameSpaces="relocate-seal" ` + key, ok},
		{`ops namespaces="git" ` + key, "by a key that site.signers lists but not for relocate-seal, as ops: ED25519"},
		{`ops namespaces="!relocate-seal,*" ` + key, "but not for relocate-seal"},
		{`ops namespaces="" ` + key, "but not for relocate-seal"},
		{`ops valid-after="` + day(-2) + `",valid-before="` + day(+2) + `" ` + key, ok},
		{`ops valid-before="` + day(+3) + `Z" ` + key, ok},
		{`ops valid-before="` + day(+3) + `1230" ` + key, ok},
		{`ops valid-before="` + day(+3) + `123045" ` + key, ok},
		{`ops valid-before="20200101" ` + key, "by a key that site.signers lists until 2020-01-01, as ops"},
		{`ops valid-before="20200101000000Z" ` + key, "lists until 2020-01-01, as ops"},
		{`ops valid-after="` + day(+2) + `" ` + key, "lists only from "},
		{`ops valid-before="20200101" ` + key + "\nops " + key, ok},
		{"ops cert-authority " + key, "it lists no key"},
		{"ops cert-authority " + key + "\nops " + other, "does not list"},
		{`ops valid-before="2020" ` + key, "line 1: \"2020\" is not a time"},
		{`ops valid-before="20201350" ` + key, "is not a time"},
		{`ops valid-before=20200101 ` + key, "must have a value in double quotes"},
		{`ops valid-before="20200101",valid-before="20990101" ` + key, "is unknown, or there twice"},
		{`ops valid-before="20200101",valid-after="20210101" ` + key, "valid-before is not after valid-after"},
		{`ops from="host" ` + key, `option "from" is unknown`},
		{"ops,", "no principals followed by a key"},
		{"ops ssh-ed25519 AAAA", "no public key follows"},
		{`"ops ` + key, "a quote is not closed"},
		{key, "no public key follows"},
	} {
		signature, err := k.SignSSH(seal, custody.SealNamespace)
		require.NoError(t, err)
		write(t, filepath.Join(dir, "signers"), []byte(c.line+"\n"))
		write(t, filepath.Join(dir, "sig"), signature)
		theirs := sshKeygen(t, dir, seal, "-Y", "verify", "-f", "signers", "-I", "ops", "-n", "relocate-seal", "-s", "sig")
		var trust custody.Trust
		ours := trust.Add("site.signers", []byte(c.line))
		if ours == nil {
			_, ours = trust.Verify(custody.Signature{File: "corp.tar.seal.sig", Raw: signature}, seal, "the seal", custody.SealNamespace, time.Now())
		}
		assert.Equal(t, theirs == nil, ours == nil, "%s: ssh-keygen %v, we %v", c.line, theirs, ours)
		if c.want == ok {
			assert.NoError(t, ours, c.line)
		} else {
			assert.ErrorContains(t, ours, c.want, c.line)
		}
	}
	for _, namespace := range []string{"file", custody.ReceiptNamespace} {
		signature, err := k.SignSSH(seal, namespace)
		require.NoError(t, err)
		trust := trustIn(t, "site.signers", "ops "+key)
		_, err = trust.Verify(custody.Signature{File: "corp.tar.seal.sig", Raw: signature}, seal, "the seal", custody.SealNamespace, time.Now())
		assert.EqualError(t, err, `corp.tar.seal.sig is a signature for "`+namespace+`", not for relocate-seal: make it with ssh-keygen -Y sign -n relocate-seal`)
	}
}

// TestFIDO: the signature of an authenticator, made here as one makes it, is good for ssh-keygen and for
// us. Without the touch of its user it is not good for us; ssh-keygen 9.2 takes it all the same.
func TestFIDO(t *testing.T) {
	t.Parallel()
	needSSH(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	const kind = "sk-ssh-ed25519@openssh.com"
	blob := ssh.Marshal(struct {
		Kind        string
		Key         []byte
		Application string
	}{kind, public, "ssh:"})
	k, err := ssh.ParsePublicKey(blob)
	require.NoError(t, err)
	for _, flags := range []byte{1, 0} {
		app, sum := sha256.Sum256([]byte("ssh:")), sha256.Sum256(seal)
		signed := ssh.Marshal(struct {
			Magic                                [6]byte
			Namespace, Reserved, Hash, HashValue string
		}{[6]byte([]byte("SSHSIG")), custody.SealNamespace, "", "sha256", string(sum[:])})
		message := sha256.Sum256(signed)
		raw := append(append(app[:], flags, 0, 0, 0, 7), message[:]...)
		signature := append(ssh.Marshal(struct {
			Kind string
			Blob []byte
		}{kind, ed25519.Sign(private, raw)}), flags, 0, 0, 0, 7)
		armored := pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: ssh.Marshal(struct {
			Magic                     [6]byte
			Version                   uint32
			Key                       []byte
			Namespace, Reserved, Hash string
			Signature                 []byte
		}{[6]byte([]byte("SSHSIG")), 1, blob, custody.SealNamespace, "", "sha256", signature})})
		signers := "ops " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))
		dir := t.TempDir()
		write(t, filepath.Join(dir, "signers"), []byte(signers+"\n"))
		write(t, filepath.Join(dir, "sig"), armored)
		theirs := sshKeygen(t, dir, seal, "-Y", "verify", "-f", "signers", "-I", "ops", "-n", "relocate-seal", "-s", "sig")
		trust := trustIn(t, "site.signers", signers)
		got, ours := trust.Verify(custody.Signature{File: "sig", Raw: armored}, seal, "the seal", custody.SealNamespace, time.Now())
		assert.NoError(t, theirs, "ssh-keygen")
		assert.Equal(t, flags == 1, ours == nil, "%v", ours)
		if ours == nil {
			assert.True(t, strings.HasPrefix(got.KeyFingerprint, "ED25519-SK SHA256:"))
		}
	}
}

// TestOneKeyForBoth: a list of allowed signers is the trust for bundles, too, with names, namespaces and
// expiry.
func TestOneKeyForBoth(t *testing.T) {
	t.Parallel()
	k, err := custody.NewKey()
	require.NoError(t, err)
	other, err := custody.NewKey()
	require.NoError(t, err)
	bundle, err := k.SignMessage(seal)
	require.NoError(t, err)
	public, err := k.Public().PEM()
	require.NoError(t, err)
	otherPublic, err := other.Public().PEM()
	require.NoError(t, err)
	at := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	verify := func(trust string, message []byte) (custody.Signer, error) {
		file := "site.signers"
		if strings.HasPrefix(trust, "-----") {
			file = "ops.pub"
		}
		return trustIn(t, file, trust).Verify(custody.Signature{File: "corp.tar.seal.sigstore.json", Raw: bundle}, message, "the seal", custody.SealNamespace, at)
	}
	signer, err := verify(`ops@connected namespaces="relocate-seal",valid-before="20270630Z" `+k.Public().Line(), seal)
	require.NoError(t, err)
	assert.Equal(t, "ops@connected ("+k.Public().Fingerprint()+"), valid until 2027-06-30", signer.String())
	text, err := json.Marshal(signer)
	require.NoError(t, err)
	assert.JSONEq(t, fmt.Sprintf(`{"principal":"ops@connected","keyFingerprint":%q,"form":"sigstore bundle","validUntil":"2027-06-30T00:00:00Z"}`, k.Public().Fingerprint()), string(text))

	signer, err = verify(string(public), seal)
	require.NoError(t, err)
	assert.Equal(t, custody.Signer{Principal: "ops.pub", KeyFingerprint: k.Public().Fingerprint(), Form: custody.FormBundle}, signer)

	for name, c := range map[string]struct {
		trust   string
		message []byte
		want    string
	}{
		"namespace": {`ops namespaces="relocate-receipt" ` + k.Public().Line(), seal, "corp.tar.seal.sigstore.json is by a key that site.signers lists but not for relocate-seal, as ops: ECDSA SHA256:"},
		"expired":   {`ops valid-before="20260630Z" ` + k.Public().Line(), seal, "corp.tar.seal.sigstore.json is by a key that site.signers lists until 2026-06-30, as ops: ECDSA SHA256:"},
		"other key": {string(otherPublic), seal, "corp.tar.seal.sigstore.json is not by ops.pub, or the seal was changed after signing"},
		"changed":   {`ops ` + k.Public().Line(), seal[1:], "corp.tar.seal.sigstore.json is not by ops (ECDSA SHA256:"},
	} {
		_, err := verify(c.trust, c.message)
		var untrusted *custody.UntrustedError
		assert.ErrorAs(t, err, &untrusted, name)
		assert.ErrorContains(t, err, c.want, name)
	}
	_, err = trustIn(t, "ops.pub", string(public)).Verify(custody.Signature{File: "f", Raw: []byte("no")}, seal, "the seal", custody.SealNamespace, at)
	assert.ErrorContains(t, err, "f cannot be used: malformed signature")
}

// TestWeakKeysInList: a list with a key that cannot be used says so when that key signs, and is else as
// good as without it.
func TestWeakKeysInList(t *testing.T) {
	t.Parallel()
	needSSH(t)
	dir := t.TempDir()
	require.NoError(t, sshKeygen(t, dir, nil, "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", "id"))
	write(t, filepath.Join(dir, "seal"), seal)
	require.NoError(t, sshKeygen(t, dir, nil, "-Y", "sign", "-f", "id", "-n", "relocate-seal", "seal"))
	k, err := custody.NewKey()
	require.NoError(t, err)
	trust := trustIn(t, "site.signers", "ops "+string(read(t, filepath.Join(dir, "id.pub")))+"ops "+k.Public().Line())
	_, err = trust.Verify(custody.Signature{File: "seal.sig", Raw: read(t, filepath.Join(dir, "seal.sig"))}, seal, "the seal", custody.SealNamespace, time.Now())
	assert.ErrorContains(t, err, "it is ECDSA P-384")
	signature, err := k.SignSSH(seal, custody.SealNamespace)
	require.NoError(t, err)
	_, err = trust.Verify(custody.Signature{File: "seal.sig", Raw: signature}, seal, "the seal", custody.SealNamespace, time.Now())
	assert.NoError(t, err)
}

// TestSeal: the file of a seal is 72 bytes, and nothing else is one.
func TestSeal(t *testing.T) {
	t.Parallel()
	hash, err := custody.ParseSeal(seal)
	require.NoError(t, err)
	assert.Equal(t, seal, custody.SealText(hash))
	assert.Len(t, seal, 72)
	for _, bad := range []string{"", "\n", string(seal[:71]), string(seal) + "\n", "\r" + string(seal), strings.ToUpper(string(seal)), strings.Replace(string(seal), "sha256", "sha512", 1)} {
		_, err := custody.ParseSeal([]byte(bad))
		assert.ErrorIs(t, err, custody.ErrNotSeal, "%q", bad)
	}
}
